// Several servers: real stores that are killed and stopped under load, and a peer for the faults
// that a real one has too seldom.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/eventstore/client.h"
#include "common/eventstore/row_binary.h"
#include "common/status/status.h"
#include "common/testing/event_store.h"
#include "common/testing/eventually.h"
#include "common/testing/patience.h"
#include "common/testing/status_matchers.h"
#include "http_peer.h"

namespace yagura::eventstore {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::Each;
using testing::Eventually;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOk;
using ::testing::Le;
using ::testing::Not;
using testing::StatusIs;
using Connection = HttpPeer::Connection;
using Stopping = std::atomic<bool>;

constexpr std::string_view kPassword = "no-one-may-see-this";

// Two stores that are no replicas of each other, so that a test sees which one answered.
class FailoverTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    first_ = new testing::EventStore;
    second_ = new testing::EventStore;
    for (size_t i = 0; i < 2; ++i) {
      Client& client = Store(i).client();
      ASSERT_THAT(client.Execute(
                      {.sql = "CREATE TABLE default.who (n UInt64) ENGINE = MergeTree ORDER BY n"}),
                  IsOk());
      ASSERT_THAT(client.Execute({.sql = fmt::format("INSERT INTO default.who SELECT {}", i + 1)}),
                  IsOk());
      ASSERT_THAT(client.Execute({.sql = "CREATE TABLE default.kept (n UInt64) ENGINE = MergeTree "
                                         "ORDER BY n SETTINGS non_replicated_deduplication_window "
                                         "= 10000, fsync_after_insert = 1"}),
                  IsOk());
    }
  }
  static void TearDownTestSuite() {
    delete first_;
    delete second_;
    first_ = second_ = nullptr;
  }
  void TearDown() override {
    for (size_t i = 0; i < 2; ++i) {
      Store(i).AwaitUp();
      ASSERT_THAT(Store(i).client().Execute({.sql = "TRUNCATE TABLE default.kept"}), IsOk());
    }
  }

  static testing::EventStore& Store(size_t i) { return i == 0 ? *first_ : *second_; }

  static ClientOptions Options(std::vector<std::string> addresses) {
    ClientOptions options;
    options.addresses = std::move(addresses);
    options.user = "default";
    options.connect_timeout = milliseconds(500);
    options.first_pause = milliseconds(50);
    options.longest_pause = milliseconds(200);
    options.silence = milliseconds(500);
    options.timeout = testing::Patient(seconds(30));
    return options;
  }
  static ClientOptions BothStores() { return Options({first_->address(), second_->address()}); }

  // The number of the store that answers; 0: none does.
  static uint64_t Who(Client& client) {
    const auto table = client.Select({.sql = "SELECT n FROM default.who"});
    EXPECT_THAT(table, IsOk());
    return table.ok() ? table->rows.at(0).at(0).AsUnsigned() : 0;
  }

  static std::string Rows(uint64_t first, uint64_t count) {
    RowBinaryWriter out;
    for (uint64_t i = first; i < first + count; ++i) out.Unsigned64(i);
    return std::string(out.bytes());
  }
  static InsertRequest Insertion(const std::string& token) {
    return {.sql = "INSERT INTO default.kept (n) FORMAT RowBinary",
            .settings = {{"insert_deduplication_token", token}}};
  }
  static std::set<uint64_t> Kept(size_t store) {
    std::set<uint64_t> kept;
    const auto table =
        Store(store).client().Select({.sql = "SELECT n FROM default.kept"}, 10'000'000);
    EXPECT_THAT(table, IsOk());
    if (table.ok()) {
      for (const auto& row : table->rows) kept.insert(row.at(0).AsUnsigned());
      EXPECT_EQ(table->rows.size(), kept.size()) << "rows were stored twice";
    }
    return kept;
  }

  static testing::EventStore* first_;
  static testing::EventStore* second_;
};

testing::EventStore* FailoverTest::first_ = nullptr;
testing::EventStore* FailoverTest::second_ = nullptr;

TEST_F(FailoverTest, TheFirstServerIsAskedAsLongAsItAnswersAndAgainOnceItIsBack) {
  Client client(BothStores());
  EXPECT_EQ(Who(client), 1u);
  first_->Stop();
  EXPECT_EQ(Who(client), 2u);
  EXPECT_EQ(Who(client), 2u);
  first_->Start();
  EXPECT_TRUE(Eventually([&] { return Who(client) == 1; }));
}

TEST_F(FailoverTest, AServerThatStandsStillIsGivenUpLongBeforeTheDeadline) {
  Client client(BothStores());
  ASSERT_EQ(Who(client), 1u);
  first_->Pause();
  const auto began = std::chrono::steady_clock::now();
  EXPECT_EQ(Who(client), 2u);
  EXPECT_LT(std::chrono::steady_clock::now() - began, testing::Patient(seconds(30)) / 2);
  const auto whole = client.Insert(Insertion("still"), Rows(1, 100));
  EXPECT_THAT(whole, IsOk());
  first_->Resume();
  EXPECT_EQ(Kept(1).size(), 100u) << "nobody asks the one that stands still";
  EXPECT_TRUE(Eventually([&] { return Who(client) == 1; }));
}

TEST_F(FailoverTest, AServerThatStandsStillInTheMiddleOfAResultEndsItAndTheNextGoesElsewhere) {
  Client client(BothStores());
  uint64_t rows = 0;
  const Status broken =
      client.Stream({.sql = "SELECT number FROM numbers(50000000)"}, [&rows](const Row&) {
        if (++rows == 1000) first_->Pause();
        return absl::OkStatus();
      });
  first_->Resume();
  EXPECT_THAT(broken, StatusIs(absl::StatusCode::kUnavailable, "EVENT_STORE_DOWN"));
  EXPECT_GE(rows, 1000u);
  EXPECT_LT(rows, 50'000'000u);
  EXPECT_TRUE(Eventually([&] { return Who(client) == 1; }));
}

TEST_F(FailoverTest, WhileServersAreKilledAndStoppedEveryQuestionIsAnsweredAndEveryInsertKept) {
  Client client(BothStores());
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> answers{0};
  std::atomic<uint64_t> failures{0};
  std::atomic<uint64_t> next{0};
  std::mutex mutex;
  std::set<uint64_t> acknowledged;
  std::vector<std::thread> load;
  for (int i = 0; i < 2; ++i) {
    load.emplace_back([&] {
      while (!stop) {
        const auto sum = client.Select({.sql = "SELECT sum(number) FROM numbers(100000)"});
        const bool good = sum.ok() && sum->rows.at(0).at(0).AsUnsigned() == 4'999'950'000;
        ++(good ? answers : failures);
        EXPECT_THAT(sum, IsOk());
      }
    });
  }
  load.emplace_back([&] {
    while (!stop) {
      const uint64_t first = next.fetch_add(10);
      if (!client.Insert(Insertion(std::to_string(first)), Rows(first, 10)).ok()) continue;
      const std::lock_guard lock(mutex);
      for (uint64_t n = first; n < first + 10; ++n) acknowledged.insert(n);
    }
  });
  // One at a time: the other one is up.
  for (size_t round = 0; round < 4; ++round) {
    testing::EventStore& store = Store(round % 2);
    const uint64_t before = answers;
    if (round < 2) {
      store.KillHard();
    } else {
      store.Pause();
    }
    EXPECT_TRUE(Eventually([&] { return answers > before + 20; }));
    if (round >= 2) store.Resume();
    store.AwaitUp();
  }
  stop = true;
  for (std::thread& thread : load) thread.join();
  EXPECT_EQ(failures, 0u);
  std::set<uint64_t> kept = Kept(0);
  kept.merge(Kept(1));
  EXPECT_GT(acknowledged.size(), 100u);
  for (const uint64_t n : acknowledged) ASSERT_TRUE(kept.contains(n)) << n;
}

TEST_F(FailoverTest, WhatOneServerRefusesForItsOwnReasonsAnotherAnswers) {
  struct Case {
    std::string_view what;
    HttpPeer::Handler handler;
  };
  const auto refuse = [](int code, std::string_view text) {
    return [code, text](Connection& connection, const Stopping&) { connection.Refuse(code, text); };
  };
  const Case cases[] = {
      {"a proxy without a server",
       [](Connection& connection, const Stopping&) { connection.Answer(503, "", "away"); }},
      {"read only", refuse(242, "Table is in readonly mode")},
      {"too many parts", refuse(252, "Too many parts (3001)")},
      {"too many queries", refuse(202, "Too many simultaneous queries")},
      {"no keeper", refuse(999, "Coordination::Exception: Session expired")},
      {"too few replicas", refuse(285, "Number of alive replicas (1) is less than requested")},
      {"no HTTP",
       [](Connection& connection, const Stopping&) { connection.Write("220 smtp\r\n"); }},
      {"closes", [](Connection&, const Stopping&) {}},
      {"silent, to pings too",
       [](Connection& connection, const Stopping& stopping) { connection.FallSilent(stopping); }},
      {"half a result",
       [](Connection& connection, const Stopping&) {
         connection.Write("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n\x01\x01n\x06UInt64");
       }},
      {"an exception in the middle of its result",
       [](Connection& connection, const Stopping&) {
         connection.Write(
             "HTTP/1.1 200 OK\r\nConnection: close\r\nX-ClickHouse-Exception-Tag: abc\r\n\r\n"
             "\x01\x01n\x06UInt64");
         connection.Write(std::string("\x07\0\0\0\0\0\0\0", 8));
         connection.Write(
             "\r\n__exception__\r\nabc\r\nCode: 236. DB::Exception: Aborted\n34 "
             "abc\r\n__exception__\r\n");
       }},
  };
  for (const Case& one : cases) {
    SCOPED_TRACE(one.what);
    HttpPeer peer(one.handler);
    ClientOptions options = Options({peer.address(), second_->address()});
    options.password = kPassword;
    options.user = "";
    Client client(options);
    EXPECT_EQ(Who(client), 2u);
    EXPECT_THAT(client.Insert(Insertion(std::string(one.what)), Rows(7, 1)), IsOk());
    EXPECT_THAT(peer.heads(), HasSubstr(kPassword)) << "it was asked";

    ClientOptions alone = options;
    alone.addresses = {peer.address(), peer.address()};
    alone.timeout = milliseconds(1500);
    Client none(alone);
    const Status error = none.Select({.sql = "SELECT n FROM default.who"}).status();
    EXPECT_FALSE(error.ok());
    EXPECT_THAT(error.ToString(), Not(HasSubstr(kPassword)));
  }
}

TEST_F(FailoverTest, AServerThatFailsIsLeftAloneAndItsPingsAloneBringItBack) {
  std::atomic<bool> away{true};
  HttpPeer peer([&away](Connection& connection, const Stopping&) {
    if (away) {
      connection.Answer(503, "", "");
    } else if (connection.IsPing()) {
      connection.Answer(200, "", "Ok.\n");
    } else {
      connection.Refuse(47, "an error of the query itself");
    }
  });
  Client client(Options({peer.address(), second_->address()}));
  for (int i = 0; i < 30; ++i) EXPECT_EQ(Who(client), 2u);
  EXPECT_EQ(peer.requests(), 1);
  away = false;
  EXPECT_TRUE(Eventually([&] {
    return client.Select({.sql = "SELECT 1"}).status().code() == absl::StatusCode::kInternal;
  })) << "the first one is asked again";
}

TEST_F(FailoverTest, AStatementThatMayHaveBeenDoneIsNotRepeated) {
  std::atomic<int> refuse_with{0};
  HttpPeer peer([&](Connection& connection, const Stopping&) {
    if (refuse_with > 0) connection.Refuse(refuse_with, "no");
  });
  Client client(Options({peer.address(), second_->address()}));
  const Query statement{.sql = "INSERT INTO default.kept SELECT 1"};
  EXPECT_THAT(client.Execute(statement), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(Kept(1).size(), 0u);
  refuse_with = 242;  // nothing was done
  Client other(Options({peer.address(), second_->address()}));
  EXPECT_THAT(other.Execute(statement), IsOk());
  EXPECT_EQ(Kept(1).size(), 1u);
}

TEST_F(FailoverTest, AnInsertThatBreaksOffGoesElsewhereWithTheSameToken) {
  HttpPeer peer([](Connection& connection, const Stopping&) { connection.Read(1000); });
  Client client(Options({peer.address(), second_->address()}));
  const std::string body = Rows(0, 100'000);
  EXPECT_THAT(client.Insert(Insertion("whole"), body), IsOk());
  EXPECT_EQ(Kept(1).size(), 100'000u);

  Client without(Options({peer.address(), second_->address()}));
  InsertRequest request = Insertion("");
  request.settings.clear();
  EXPECT_THAT(without.Insert(request, body), StatusIs(absl::StatusCode::kUnavailable))
      << "without a token it might be stored twice";

  // What a source gave is gone: the caller comes again, and is sent elsewhere.
  Client streaming(Options({peer.address(), second_->address()}));
  const auto insert = [&] {
    size_t at = 0;
    return streaming
        .Insert(Insertion("whole"),
                [&](char* buffer, size_t capacity) -> StatusOr<size_t> {
                  const size_t size = body.copy(buffer, capacity, at);
                  at += size;
                  return size;
                })
        .status();
  };
  EXPECT_THAT(insert(), StatusIs(absl::StatusCode::kUnavailable, "EVENT_STORE_DOWN"));
  EXPECT_THAT(insert(), IsOk());
  EXPECT_EQ(Kept(1).size(), 100'000u) << "the same token";
}

TEST_F(FailoverTest, AResultThatBreaksOffAfterItsFirstRowsIsAnErrorAndIsNotBegunAnew) {
  HttpPeer peer([](Connection& connection, const Stopping&) {
    connection.Write("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n\x01\x01n\x06UInt64");
    connection.Write(std::string("\x07\0\0\0\0\0\0\0", 8));
  });
  Client client(Options({peer.address(), second_->address()}));
  std::vector<uint64_t> rows;
  const auto stream = [&] {
    return client.Stream({.sql = "SELECT n FROM default.who"}, [&rows](const Row& row) {
      rows.push_back(row.at(0).AsUnsigned());
      return absl::OkStatus();
    });
  };
  EXPECT_THAT(stream(), StatusIs(absl::StatusCode::kUnavailable, "EVENT_STORE_DOWN"));
  EXPECT_THAT(rows, ::testing::ElementsAre(7));
  EXPECT_THAT(stream(), IsOk());
  EXPECT_THAT(rows, ::testing::ElementsAre(7, 2));
}

TEST_F(FailoverTest, AQueryThatIsGivenUpIsKilledWhereItRuns) {
  Client client(Options({"unix:/nonexistent", second_->address()}));
  const std::string tag = NewQueryTag();
  std::jthread query([&](const std::stop_token& stop) {
    const auto slow = client.Select(
        {.sql = "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 1",
         .tag = tag},
        10, stop);
    EXPECT_THAT(slow, StatusIs(absl::StatusCode::kCancelled));
  });
  ASSERT_TRUE(Eventually([&] {
    const auto progress = client.ProgressOf(tag);
    return progress.ok() && *progress && (*progress)->rows > 0;
  }));
  query.request_stop();
  query.join();
  EXPECT_TRUE(Eventually([&] {
    const auto left = second_->client().Select(
        {.sql = "SELECT count() FROM system.processes WHERE Settings['log_comment'] = {t:String}",
         .parameters = {{"t", tag}}});
    return left.ok() && left->rows.at(0).at(0).AsUnsigned() == 0;
  }));
}

TEST_F(FailoverTest, AServerIsPreparedBeforeItIsUsedAndAgainAfterItWasAway) {
  std::atomic<int> prepared{0};
  std::atomic<bool> fit{false};
  ClientOptions options = BothStores();
  options.prepare = [&](Client& server) -> Status {
    const auto who = server.Select({.sql = "SELECT n FROM default.who"});
    YAGURA_RETURN_IF_ERROR(who.status());
    if (who->rows.at(0).at(0).AsUnsigned() != 1) return absl::OkStatus();
    ++prepared;
    return fit ? absl::OkStatus() : MakeError(absl::StatusCode::kUnavailable, "NOT_YET", "not fit");
  };
  Client client(options);
  EXPECT_THAT(client.PrepareServers(), IsOk());
  EXPECT_EQ(Who(client), 2u) << "the first one is not fit";
  fit = true;
  EXPECT_TRUE(Eventually([&] { return Who(client) == 1; }));
  const int before = prepared;
  first_->Stop();
  EXPECT_EQ(Who(client), 2u);
  first_->Start();
  EXPECT_TRUE(Eventually([&] { return Who(client) == 1; }));
  EXPECT_GT(prepared, before);
}

TEST_F(FailoverTest, OneThatNobodyAsksIsFoundMissingToo) {
  std::mutex mutex;
  std::vector<std::string> told;
  ClientOptions options = BothStores();
  options.on_change = [&](size_t server, const Status& status) {
    const std::lock_guard lock(mutex);
    told.push_back(fmt::format("{} {}", server + 1, status.ok() ? "OK" : ErrorReason(status)));
  };
  Client client(options);
  const auto heard = [&](const std::string& what) {
    return Eventually([&] {
      EXPECT_EQ(Who(client), 1u);
      const std::lock_guard lock(mutex);
      return !told.empty() && told.back() == what;
    });
  };
  EXPECT_TRUE(heard("1 OK"));
  second_->Stop();
  client.CheckUnheard(seconds(0));
  EXPECT_TRUE(heard("2 EVENT_STORE_DOWN"));
  second_->Start();
  EXPECT_TRUE(heard("2 OK"));
}

TEST_F(FailoverTest, ASettingOfTheClientTakesThePlaceOfItsOwn) {
  HttpPeer peer([](Connection& connection, const Stopping&) { connection.Answer(200, "", ""); });
  ClientOptions options = Options({peer.address()});
  options.settings["max_execution_time"] = "77";
  Client client(options);
  EXPECT_THAT(client.Execute({.sql = "SELECT 1"}), IsOk());
  const std::string heads = peer.heads();
  const size_t at = heads.find("max_execution_time=");
  EXPECT_THAT(heads, HasSubstr("max_execution_time=77"));
  EXPECT_EQ(heads.find("max_execution_time=", at + 1), std::string::npos);
}

// A server of a cluster that says what a test wants when it is to catch up.
class Replica {
 public:
  Replica(char number, HttpPeer::Handler sync)
      : sync_(std::move(sync)),
        peer_([this, number](Connection& connection, const Stopping& stopping) {
          if (connection.IsPing()) return connection.Answer(200, "", "Ok.\n");
          const std::string statement = connection.Read(1);
          if (statement.starts_with("SYSTEM SYNC REPLICA")) {
            ++syncs_;
            return sync_(connection, stopping);
          }
          if (statement.starts_with("KILL QUERY")) return connection.Answer(200, "", "");
          if (silent_) return connection.FallSilent(stopping);
          std::string row = "\x01\x01n\x06UInt64";
          row += number;
          row.resize(row.size() + 7);
          connection.Answer(200, "", row);
        }) {}

  const HttpPeer& peer() const { return peer_; }
  std::string address() const { return peer_.address(); }
  int syncs() const { return syncs_; }
  // It takes questions and does not answer.
  void Silence() { silent_ = true; }

 private:
  const HttpPeer::Handler sync_;
  std::atomic<int> syncs_{0};
  std::atomic<bool> silent_{false};
  HttpPeer peer_;
};

HttpPeer::Handler InSyncAfter(milliseconds wait) {
  return [wait](Connection& connection, const Stopping& stopping) {
    connection.FallSilent(stopping, std::chrono::steady_clock::now() + wait);
    connection.Answer(200, "", "");
  };
}
HttpPeer::Handler NeverInSync() {
  return [](Connection& connection, const Stopping& stopping) { connection.FallSilent(stopping); };
}

class ReplicaTest : public FailoverTest {
 protected:
  static ClientOptions Of(const std::vector<const Replica*>& replicas) {
    std::vector<std::string> addresses;
    for (const Replica* replica : replicas) addresses.push_back(replica->address());
    ClientOptions options = Options(std::move(addresses));
    options.replicated_tables = {"default.who"};
    // Whoever is left alone here stays so.
    options.first_pause = options.longest_pause = seconds(60);
    return options;
  }
  static Query Question(milliseconds timeout) {
    return {.sql = "SELECT n FROM default.who", .timeout = timeout};
  }
  // What its requests said of a setting, in order.
  static std::vector<int> Asked(const Replica& replica, const std::string& setting) {
    std::vector<int> values;
    const std::string heads = replica.peer().heads();
    const std::string name = setting + "=";
    for (size_t at = heads.find(name); at != std::string::npos; at = heads.find(name, at)) {
      at += name.size();
      values.push_back(std::stoi(heads.substr(at, 9)));
    }
    return values;
  }
};

TEST_F(ReplicaTest, EachQuestionSeesWhatWasStoredBeforeItWasPut) {
  const Replica replica(1, InSyncAfter(milliseconds(0)));
  Client client(Of({&replica}));
  for (int i = 1; i <= 3; ++i) {
    EXPECT_EQ(Who(client), 1u);
    EXPECT_EQ(replica.syncs(), i);
  }
  EXPECT_THAT(client.Select({.sql = "SELECT 1"}), IsOk());
  EXPECT_EQ(replica.syncs(), 3) << "of a table that it names";
}

TEST_F(ReplicaTest, AnImpatientQuestionTakesAHealthyReplicaAwayFromNobody) {
  const Replica first(1, InSyncAfter(milliseconds(700)));
  const Replica second(2, InSyncAfter(milliseconds(0)));
  Client client(Of({&first, &second}));
  const auto impatient = client.Select(Question(milliseconds(400)));
  if (impatient.ok()) {
    EXPECT_EQ(impatient->rows.at(0).at(0).AsUnsigned(), 2u);
  }
  EXPECT_EQ(Who(client), 1u);
}

TEST_F(ReplicaTest, OneThatNeverCatchesUpIsLeftAloneThoughAllQuestionsAreImpatient) {
  const Replica first(1, NeverInSync());
  const Replica second(2, InSyncAfter(milliseconds(0)));
  Client client(Of({&first, &second}));
  EXPECT_TRUE(Eventually([&] {
    const int before = first.syncs();
    for (int i = 0; i < 5; ++i) {
      if (!client.Select(Question(milliseconds(400))).ok()) return false;
    }
    return first.syncs() == before;
  }));
}

TEST_F(ReplicaTest, OneThatRefusesToCatchUpIsPassedOverAndNotTakenForAway) {
  struct Case {
    int code;
    std::string_view text;
  };
  for (const Case& one : {Case{497, "Not enough privileges"}, Case{60, "Unknown table"}}) {
    SCOPED_TRACE(one.text);
    std::atomic<bool> refuses{true};
    const Replica first(1, [&](Connection& connection, const Stopping&) {
      if (refuses) return connection.Refuse(one.code, one.text);
      connection.Answer(200, "", "");
    });
    const Replica second(2, InSyncAfter(milliseconds(0)));
    Client client(Of({&first, &second}));
    EXPECT_EQ(Who(client), 2u);
    refuses = false;
    EXPECT_EQ(Who(client), 1u);
  }
}

TEST_F(ReplicaTest, NoWaitForAReplicaLastsLongerThanTheQuestion) {
  {
    const Replica first(1, NeverInSync());
    const Replica second(2, NeverInSync());
    Client client(Of({&first, &second}));
    EXPECT_THAT(client.Select(Question(milliseconds(1))),
                StatusIs(absl::StatusCode::kDeadlineExceeded));
    for (const Replica* replica : {&first, &second}) {
      EXPECT_THAT(Asked(*replica, "receive_timeout"), Each(1))
          << "half of a millisecond is not the client's own time-out";
    }
  }
  // Each table takes its share of what the others left.
  Replica slow(1, InSyncAfter(milliseconds(1100)));
  slow.Silence();
  ClientOptions options = Of({&slow});
  options.replicated_tables.emplace_back("default.kept");
  Client client(options);
  Query question = Question(milliseconds(5'000));
  question.sql += ", default.kept";
  EXPECT_THAT(client.Select(question), StatusIs(absl::StatusCode::kDeadlineExceeded));
  // Seconds, rounded up. Where this machine is slow there is less left.
  const std::vector<int> waits = Asked(slow, "receive_timeout");
  ASSERT_THAT(waits, Not(IsEmpty()));
  EXPECT_LE(waits[0], 3);
  EXPECT_THAT(std::vector<int>(waits.begin() + 1, waits.end()), Each(Le(2)));
}

TEST_F(ReplicaTest, AStopEndsTheWaitForAReplica) {
  const Replica first(1, NeverInSync());
  const Replica second(2, InSyncAfter(milliseconds(0)));
  Client client(Of({&first, &second}));
  std::jthread question([&](const std::stop_token& stop) {
    EXPECT_THAT(client.Select(Question(testing::Patient(seconds(30))), 10, stop),
                StatusIs(absl::StatusCode::kCancelled));
  });
  EXPECT_TRUE(Eventually([&] { return first.syncs() == 1; }));
  question.request_stop();
  question.join();
  EXPECT_EQ(second.peer().requests(), 0);
}

TEST_F(ReplicaTest, AQuestionWaitsNoLongerThanItMayForAServerToBePrepared) {
  const Replica first(1, InSyncAfter(milliseconds(0)));
  const Replica second(2, InSyncAfter(milliseconds(0)));
  ClientOptions options = Of({&first, &second});
  std::atomic<bool> goes_on{false};
  options.prepare = [&](Client& server) {
    if (Who(server) == 1) Eventually([&] { return goes_on.load(); });
    return absl::OkStatus();
  };
  Client client(options);
  const auto answer = client.Select(Question(testing::Patient(seconds(4))));
  ASSERT_THAT(answer, IsOk()) << "while the first one was still being prepared";
  EXPECT_EQ(answer->rows.at(0).at(0).AsUnsigned(), 2u);
  goes_on = true;
  EXPECT_TRUE(Eventually([&] { return Who(client) == 1; })) << "what was begun went on";
}

TEST_F(ReplicaTest, OneThatIsOnlyCheckedIsNotPreparedAgain) {
  const Replica first(1, InSyncAfter(milliseconds(0)));
  const Replica second(2, InSyncAfter(milliseconds(0)));
  ClientOptions options = Of({&first, &second});
  std::atomic<int> prepared{0};
  options.prepare = [&](Client& server) {
    if (Who(server) == 2) ++prepared;
    return absl::OkStatus();
  };
  Client client(options);
  ASSERT_THAT(client.PrepareServers(), IsOk());
  EXPECT_EQ(prepared, 1);
  for (int i = 0; i < 3; ++i) {
    const int before = second.syncs();
    // Again and again: one that is still under way counts for what is asked meanwhile.
    EXPECT_TRUE(Eventually([&] {
      client.CheckUnheard(seconds(0));
      return second.syncs() > before;
    })) << "it was checked";
  }
  EXPECT_EQ(prepared, 1);
}

// A server whose queue of connections is full: none comes about.
class FullPeer {
 public:
  FullPeer() {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(listener_, 0), 0);
    EXPECT_EQ(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
    for (int& guest : guests_) {
      guest = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
      const int made = connect(guest, reinterpret_cast<sockaddr*>(&address), size);
      EXPECT_TRUE(made == 0 || errno == EINPROGRESS);
    }
  }
  ~FullPeer() {
    for (const int guest : guests_) close(guest);
    close(listener_);
  }
  FullPeer(const FullPeer&) = delete;
  FullPeer& operator=(const FullPeer&) = delete;
  std::string address() const { return fmt::format("http://127.0.0.1:{}", port_); }

 private:
  int listener_ = -1;
  int port_ = 0;
  std::array<int, 8> guests_{};
};

TEST_F(ReplicaTest, NoConnectionInTimeIsTheServersFaultOnceItHadAllOfConnectTimeout) {
  const FullPeer peer;
  ClientOptions options = Options({peer.address()});
  options.connect_timeout = milliseconds(500);
  Client client(options);
  EXPECT_THAT(client.Select(Question(milliseconds(100))),
              StatusIs(absl::StatusCode::kDeadlineExceeded, "QUERY_TIMEOUT"));
  EXPECT_THAT(client.Select(Question(testing::Patient(seconds(20)))),
              StatusIs(absl::StatusCode::kUnavailable, "EVENT_STORE_DOWN"));
}

}  // namespace
}  // namespace yagura::eventstore
