// The schema on replicated tables: one server of a cluster, with a Keeper in its own memory.
#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "archive_fixture.h"
#include "common/auth/token.h"
#include "common/config/settings_reader.h"
#include "common/eventstore/client.h"
#include "common/metrics/metrics.h"
#include "common/rpc/app.h"
#include "common/rpc/channels.h"
#include "common/status/status.h"
#include "common/store/change_feed.h"
#include "common/testing/event_store.h"
#include "common/testing/eventually.h"
#include "common/testing/redis_server.h"
#include "common/testing/status_matchers.h"
#include "services/archive/app.h"
#include "services/archive/domain/event_table.h"
#include "services/archive/settings.h"
#include "services/archive/storage/migrations.h"
#include "services/archive/workers/range_inserter.h"

namespace yagura::archive {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOk;
using ::testing::SizeIs;
using ::testing::StartsWith;
using testing::StatusIs;

using Lines = std::vector<std::string>;

testing::EventStore::Options OfCluster() {
  testing::EventStore::Options options;
  options.replicated = true;
  return options;
}

testing::EventStore::Options OfOneServer() {
  testing::EventStore::Options options;
  options.replicated = false;
  return options;
}

Lines Ask(eventstore::Client& client, const std::string& sql) {
  const auto result = client.Select({.sql = sql});
  EXPECT_THAT(result, IsOk());
  Lines lines;
  if (result.ok()) {
    for (const auto& row : result->rows) lines.push_back(row.at(0).text);
  }
  return lines;
}

// Everything of the schema that is not about replicas: columns, order, partitions, views, settings.
Lines SchemaOf(eventstore::Client& client) {
  Lines schema =
      Ask(client,
          "SELECT concat(table, '.', name, ' ', type, ' ', default_kind, default_expression, ' ', "
          "compression_codec) FROM system.columns WHERE database = 'yagura' ORDER BY table, name");
  const Lines tables = Ask(
      client,
      "SELECT concat(name, ' ', replaceRegexpAll(replaceRegexpAll(engine_full, "
      "'^Replicated|\\'/yagura/[a-z_/]*\\', \\'\\\\{replica\\\\}\\'(, )?|"
      "(non_)?replicated_deduplication_window(_seconds)? = [0-9]+, ', ''), '\\\\(\\\\)', ''), ' ', "
      "as_select) FROM system.tables WHERE database = 'yagura' ORDER BY name");
  schema.insert(schema.end(), tables.begin(), tables.end());
  return schema;
}

TEST(Cluster, ItsSchemaIsThatOfOneServerOnReplicatedTables) {
  const EventTable table;
  testing::EventStore cluster(OfCluster());
  testing::EventStore alone(OfOneServer());
  ASSERT_THAT(Migrate(cluster.client(), table, Logger::Null(), "test"), IsOk());
  ASSERT_THAT(Migrate(alone.client(), table, Logger::Null()), IsOk());
  EXPECT_EQ(SchemaOf(cluster.client()), SchemaOf(alone.client()));

  eventstore::ClientOptions options;
  AddReplication(1, &options);
  EXPECT_EQ(Ask(cluster.client(),
                "SELECT concat(database, '.', table) AS t FROM system.replicas WHERE NOT "
                "is_readonly ORDER BY t"),
            [&options] {
              std::sort(options.replicated_tables.begin(), options.replicated_tables.end());
              return options.replicated_tables;
            }());
  EXPECT_THAT(Ask(cluster.client(),
                  "SELECT engine_full FROM system.tables WHERE database = 'yagura' AND name = "
                  "'coverage'"),
              Each(StartsWith("ReplicatedReplacingMergeTree('/yagura/test/coverage', "
                              "'{replica}', sequence)")));
}

TEST(Cluster, SeveralProcessesMayMakeItsSchemaAtOnce) {
  const EventTable table;
  testing::EventStore cluster(OfCluster());
  std::array<Status, 4> done;
  {
    std::vector<std::jthread> processes;
    for (Status& status : done) {
      processes.emplace_back([&] {
        eventstore::ClientOptions options;
        options.addresses = {cluster.address()};
        eventstore::Client client(options);
        status = Migrate(client, table, Logger::Null(), "test");
      });
    }
  }
  EXPECT_THAT(done, Each(IsOk()));
  EXPECT_THAT(Migrate(cluster.client(), table, Logger::Null(), "test"), IsOk()) << "again";
  EXPECT_THAT(Ask(cluster.client(), "SELECT table FROM system.replicas WHERE is_readonly"),
              IsEmpty());
}

absl::Status Read(const std::string& store) {
  auto reader = config::SettingsReader::FromYaml("store: {" + store + "}");
  EXPECT_THAT(reader, IsOk());
  const auto settings = ReadSettings(*reader);
  return reader->Finish();
}

TEST(Cluster, SettingsThatDoNotGoTogetherAreRefused) {
  const std::string two = "addresses: ['https://a:8443', 'https://b:8443']";
  EXPECT_THAT(Read(two + ", cluster: logs"), IsOk());
  EXPECT_THAT(Read(two + ", cluster: logs, insert_quorum: 2"), IsOk());
  const auto why = [](const std::string& store) { return std::string(Message(Read(store))); };
  EXPECT_THAT(why(two), HasSubstr("replicas of each other"));
  EXPECT_THAT(why(two + ", cluster: logs, insert_quorum: 3"), HasSubstr("fewer addresses"));
  EXPECT_THAT(why(two + ", cluster: 'a/b'"), HasSubstr("ASCII letters"));
  EXPECT_THAT(why("addresses: []"), HasSubstr("at least one"));
  EXPECT_THAT(why("key_file: a.key"), HasSubstr("certificate_file is empty"));
  const std::string secret = why("addresses: ['http://default:hunter2@a:8123']");
  EXPECT_THAT(secret, HasSubstr("without a user"));
  EXPECT_THAT(secret, ::testing::Not(HasSubstr("hunter2")));
}

TEST(Cluster, TablesOfTheOtherKindAreRefused) {
  const EventTable table;
  testing::EventStore alone(OfOneServer());
  ASSERT_THAT(Migrate(alone.client(), table, Logger::Null()), IsOk());
  EXPECT_THAT(Migrate(alone.client(), table, Logger::Null(), "test"),
              StatusIs(absl::StatusCode::kFailedPrecondition, "STORE_NOT_REPLICATED"));
  testing::EventStore cluster(OfCluster());
  ASSERT_THAT(Migrate(cluster.client(), table, Logger::Null(), "test"), IsOk());
  EXPECT_THAT(Migrate(cluster.client(), table, Logger::Null()),
              StatusIs(absl::StatusCode::kFailedPrecondition, "STORE_NOT_REPLICATED"));
}

// Archive over several servers, with what it says of them.
class ClusterServersTest : public ::testing::Test {
 protected:
  ClusterServersTest() {
    EXPECT_THAT(Migrate(other_kind_.client(), EventTable(), Logger::Null()), IsOk());
  }

  std::unique_ptr<rpc::App> NewArchive(const Lines& addresses) const {
    rpc::Platform platform{.logger = Logger::ToFile(log_.string())};
    platform.state = platform.flow = redis_.NewPool();
    platform.clock = SystemClock();
    platform.metrics = metrics_;
    platform.verifier = std::make_shared<auth::TokenVerifier>(platform.clock);
    platform.data_dir = redis_.folder();
    platform.feed = std::make_shared<store::FeedFollower>(platform.state, platform.logger);
    platform.channels = std::make_shared<rpc::Channels>(
        "archive", std::map<std::string, std::string>{{"*", "unix:/nonexistent"}},
        std::make_shared<auth::TokenIssuer>(auth::SigningKey::Generate(), "yagura-internal",
                                            platform.clock));
    Settings settings;
    settings.store.addresses = addresses;
    settings.cluster = "test";
    settings.insert_quorum = 1;
    return NewApp(settings, platform).value();
  }
  bool Counted(const std::string& state, int servers) const {
    return testing::Eventually([&] {
      return metrics_->Render().find(fmt::format(
                 "yagura_archive_store_servers{{state=\"{}\"}} {}\n", state, servers)) !=
             std::string::npos;
    });
  }
  // Lines of the log that have both.
  Lines Logged(const std::string& text, const std::string& server) const {
    std::ifstream in(log_);
    Lines lines;
    for (std::string line; std::getline(in, line);) {
      const bool both =
          line.find(text) != std::string::npos && line.find(server + "\"") != std::string::npos;
      if (both) lines.push_back(line);
    }
    return lines;
  }

  const testing::RedisServer redis_;
  const std::filesystem::path log_ = redis_.folder() / "archive.log";
  const std::shared_ptr<MetricsRegistry> metrics_ = std::make_shared<MetricsRegistry>();
  testing::EventStore good_{OfCluster()};
  testing::EventStore other_kind_{OfOneServer()};
};

TEST_F(ClusterServersTest, OneThatIsNotFitIsToldOfThoughAnotherOneWillDo) {
  const auto archive = NewArchive({good_.address(), other_kind_.address()});
  ASSERT_THAT(archive->Start(), IsOk());
  EXPECT_TRUE(Counted("unfit", 1));
  EXPECT_TRUE(Counted("usable", 1));
  EXPECT_THAT(archive->Health()["store"], IsOk());
  archive->Stop();
  const Lines told = Logged("it is not fit", other_kind_.address());
  ASSERT_EQ(told.size(), 1u) << "once, however often it is checked";
  EXPECT_THAT(told[0], HasSubstr("STORE_NOT_REPLICATED"));
  EXPECT_THAT(Logged("in use", good_.address()), SizeIs(1));
}

TEST_F(ClusterServersTest, OneThatIsNotFitEndsNothingWhereAnotherOneMayComeBack) {
  good_.Stop();
  const auto archive = NewArchive({other_kind_.address(), good_.address()});
  ASSERT_THAT(archive->Start(), IsOk());
  EXPECT_TRUE(Counted("unfit", 1));
  EXPECT_TRUE(Counted("away", 1));
  EXPECT_THAT(Logged("is away", good_.address()), SizeIs(1));
  good_.Start();
  EXPECT_TRUE(Counted("usable", 1));
  EXPECT_TRUE(testing::Eventually([&] { return archive->Health()["store"].ok(); }));
  archive->Stop();
  EXPECT_THAT(NewArchive({other_kind_.address()})->Start(),
              StatusIs(absl::StatusCode::kFailedPrecondition, "STORE_NOT_REPLICATED"))
      << "there is no other";
}

class ClusterInsertTest : public ::testing::Test {
 protected:
  ClusterInsertTest() {
    EXPECT_THAT(Migrate(cluster_.client(), table_, Logger::Null(), "test"), IsOk());
  }

  std::shared_ptr<eventstore::Client> NewClient(size_t quorum, Lines addresses) {
    eventstore::ClientOptions options;
    options.addresses = std::move(addresses);
    options.first_pause = std::chrono::milliseconds(50);
    AddReplication(quorum, &options);
    options.settings.erase("insert_quorum_timeout");
    return std::make_shared<eventstore::Client>(options);
  }
  absl::Status Insert(const std::shared_ptr<eventstore::Client>& client, int events) {
    const RangeInserter inserter(client, table_, retention_);
    RangeData range;
    range.plan.set_token("range");
    range.entries.push_back({{1, 0}, "a", MakeBatch("acme", "a", 0, events)});
    return inserter.Insert(range).status();
  }
  static std::string Count(eventstore::Client& client, const std::string& what) {
    const Lines count = Ask(client, "SELECT toString(n) FROM (SELECT " + what + ")");
    return count.size() == 1 ? count[0] : "no answer";
  }

  const EventTable table_;
  const Retention retention_{400};
  testing::EventStore cluster_{OfCluster()};
};

TEST_F(ClusterInsertTest, ARangeThatComesTwiceIsStoredOnceAndSoAreItsFlows) {
  const auto client = NewClient(1, {cluster_.address()});
  for (int i = 0; i < 3; ++i) ASSERT_THAT(Insert(client, 1000), IsOk());
  EXPECT_EQ(Count(*client, "count() AS n FROM yagura.events"), "1000");
  EXPECT_EQ(Count(*client, "sum(event_count) AS n FROM yagura.flows"), "1000");
  EXPECT_EQ(Count(*client, "sum(events) AS n FROM yagura.hourly_measures"), "1000");
}

TEST_F(ClusterInsertTest, WhatTooFewReplicasHaveIsNotStoredAndComesAgain) {
  EXPECT_THAT(Insert(NewClient(2, {cluster_.address()}), 10),
              StatusIs(absl::StatusCode::kUnavailable, "STORE_QUORUM"));
  EXPECT_THAT(Insert(NewClient(1, {cluster_.address()}), 10), IsOk());
  EXPECT_EQ(Count(cluster_.client(), "count() AS n FROM yagura.events"), "10");
}

// A server that has lost its Keeper takes no inserts, and cannot tell whether it has everything.
TEST_F(ClusterInsertTest, AReadOnlyReplicaIsLeftForAnotherOne) {
  testing::EventStore other(OfCluster());
  ASSERT_THAT(Migrate(other.client(), table_, Logger::Null(), "test"), IsOk());
  cluster_.Stop();
  cluster_.Start();
  ASSERT_THAT(Ask(cluster_.client(), "SELECT table FROM system.replicas WHERE is_readonly"),
              ::testing::Not(IsEmpty()));
  const auto alone = NewClient(1, {cluster_.address()});
  EXPECT_THAT(Insert(alone, 10), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(alone->Select({.sql = "SELECT count() FROM yagura.events"}),
              StatusIs(absl::StatusCode::kUnavailable));
  const auto both = NewClient(1, {cluster_.address(), other.address()});
  EXPECT_THAT(both->Select({.sql = "SELECT count() FROM yagura.events"}), IsOk());
  absl::Status inserted = Insert(both, 10);
  if (!inserted.ok()) inserted = Insert(both, 10);  // what was sent may have been taken
  EXPECT_THAT(inserted, IsOk());
  EXPECT_EQ(Count(other.client(), "count() AS n FROM yagura.events"), "10");
}

}  // namespace
}  // namespace yagura::archive
