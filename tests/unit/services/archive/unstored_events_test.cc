// What was received and is not in the store yet, with a real Redis and a real event store.
#include "services/archive/storage/unstored_events.h"

#include <atomic>
#include <thread>
#include <vector>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "archive_fixture.h"
#include "common/clock/proto_time.h"
#include "common/redis/pool.h"
#include "common/stream/info.h"
#include "common/stream/worker.h"
#include "common/testing/eventually.h"
#include "common/testing/status_matchers.h"
#include "common/text/text.h"
#include "services/archive/api/archive_handlers.h"
#include "services/archive/api/investigation_handlers.h"

namespace yagura::archive {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOk;
using ::testing::Not;

const TimeWindow kThen{BaseTime(), BaseTime() + minutes(10)};

class UnstoredEventsTest : public ::testing::Test {
 protected:
  v1::PendingEvents Of(const std::set<std::string>& tenants,
                       const TimeWindow& window = kThen) const {
    return unstored_.Of({.all = tenants.contains("-"), .tenants = tenants}, window);
  }
  static void SetRange(v1::TimeRange* range) {
    *range->mutable_start_time() = ToProto(kThen.start);
    *range->mutable_end_time() = ToProto(kThen.end);
  }
  v1::CoverageSummary Count() const {
    v1::CountEventsRequest request;
    SetRange(request.mutable_range());
    const auto response = handlers_.CountEvents(call_, request);
    EXPECT_THAT(response.status(), IsOk());
    return response.ok() ? response->coverage() : v1::CoverageSummary();
  }

  static constexpr const char* kShard0 = "y:{s0}:stream:events";
  static std::string Key(int number) { return fmt::format("k{}", number); }
  redis::Reply Redis(const redis::Args& command) const {
    auto reply = archive_.flow->Command(command);
    for (int tries = 0; !reply.ok() && tries < 3; ++tries) {  // a connection from before a kill
      reply = archive_.flow->Command(command);
    }
    EXPECT_THAT(reply.status(), IsOk());
    return reply.ok() ? *std::move(reply) : redis::Reply();
  }
  std::vector<std::string> IdsOf(int shard) const {
    std::vector<std::string> ids;
    const std::string key = stream::StreamKey("events", shard);
    for (const auto& entry : Redis({"XRANGE", key, "-", "+"}).items) {
      ids.push_back(entry.items.at(0).text);
    }
    return ids;
  }
  void SetCommitted(int shard, const std::string& id) const {
    Redis({"XGROUP", "SETID", stream::StreamKey("events", shard), "archive", id});
  }
  // A batch under an id of the test's choice.
  void Append(const std::string& id, const std::string& tenant, int events) const {
    const std::string batch = MakeBatch(tenant, "b" + id, 0, events);
    Redis({"XADD", kShard0, id, "k", "b" + id, "p", batch});
    EXPECT_THAT(stream::DeclareReaders(*archive_.flow, archive_.topic), IsOk());
  }
  uint64_t SentByRedis() const {
    return stream::InfoNumber(Redis({"INFO", "stats"}).text, "total_net_output_bytes").value_or(0);
  }
  uint64_t LooksServed() const {
    const std::string stats = Redis({"INFO", "commandstats"}).text;
    const std::string_view groups = stream::InfoText(stats, "cmdstat_xinfo|groups");
    const auto calls = groups.substr(std::min(groups.size(), groups.find('=') + 1));
    const auto count = ParseNumber<uint64_t>(calls.substr(0, calls.find(',')));
    EXPECT_TRUE(count.has_value()) << stats;
    return count.value_or(0) / static_cast<uint64_t>(archive_.topic.shards);
  }

  Archive archive_;
  const UnstoredEvents unstored_{archive_.flow, archive_.topic, "archive", *archive_.spool};
  const QueryRunner runner_{archive_.client, SystemClock(), {}};
  const ArchiveHandlers handlers_{runner_, archive_.table, &unstored_};
  const rpc::Call call_ = MakeCall("acme", {"acme"});
};

TEST_F(UnstoredEventsTest, AreToldOfTheTenantsAndTheTimeThatIsAskedFor) {
  EXPECT_FALSE(Of({"-"}).has_oldest_receive_time());
  for (int i = 0; i < 40; ++i) archive_.Produce("acme", fmt::format("a{}", i), i * 10, 10);
  archive_.Produce("beta", "b", 0, 5);
  const auto acme = Of({"acme"});
  EXPECT_EQ(acme.batch_count(), 40u);
  EXPECT_EQ(acme.event_count(), 400u);
  EXPECT_FALSE(acme.more());
  EXPECT_EQ(FromProto(acme.oldest_receive_time()), BaseTime());
  EXPECT_EQ(Of({"beta"}).event_count(), 5u);
  EXPECT_EQ(Of({"-"}).event_count(), 405u);
  EXPECT_FALSE(Of({"other"}).has_oldest_receive_time());
  EXPECT_FALSE(Of({"acme"}, {BaseTime() - hours(2), BaseTime()}).has_oldest_receive_time());
  EXPECT_FALSE(
      Of({"acme"}, {BaseTime() + hours(1), BaseTime() + hours(2)}).has_oldest_receive_time());
  // What happened then may come within 7 days.
  EXPECT_EQ(Of({"acme"}, {BaseTime() - hours(2), BaseTime(), TimeBasis::kHappened}).batch_count(),
            40u);
}

TEST_F(UnstoredEventsTest, AreToldUntilTheyCanBeFound) {
  archive_.Produce("acme", "a", 0, 10);
  const auto before = Count();
  EXPECT_EQ(before.pending().event_count(), 10u);
  EXPECT_THAT(before.gaps(), ElementsAre(fmt::format(
                                 "10 events in 1 batches, received since {}, were not stored yet",
                                 FormatTime(BaseTime()))));
  WriterOptions options;
  options.max_delay = std::chrono::milliseconds(50);
  const auto writer = archive_.NewWriter(options);
  writer->Start();
  ASSERT_TRUE(archive_.AwaitNoLag());
  EXPECT_FALSE(Count().has_pending());
  EXPECT_EQ(archive_.CountEvents(), 10u);
}

TEST_F(UnstoredEventsTest, AreToldByEveryAnswer) {
  archive_.Produce("acme", "a", 0, 10);
  v1::AggregateEventsRequest aggregate;
  SetRange(aggregate.mutable_range());
  ASSERT_OK_AND_ASSIGN(const auto aggregated, handlers_.AggregateEvents(call_, aggregate));
  EXPECT_EQ(aggregated.coverage().pending().batch_count(), 1u);
  v1::GetHistogramRequest histogram;
  SetRange(histogram.mutable_range());
  ASSERT_OK_AND_ASSIGN(const auto bars, handlers_.GetHistogram(call_, histogram));
  EXPECT_EQ(bars.coverage().pending().batch_count(), 1u);
  const auto outbox = std::make_shared<CollectingOutbox>();
  const rpc::Outbox<v1::SearchEventsResponse> out(outbox);
  v1::SearchEventsRequest search;
  SetRange(search.mutable_range());
  v1::ExportEventsRequest exported;
  SetRange(exported.mutable_range());
  ASSERT_THAT(handlers_.SearchEvents(call_, search, out), IsOk());
  ASSERT_THAT(handlers_.ExportEvents(call_, exported, out), IsOk());
  ASSERT_EQ(outbox->messages.size(), 2u);
  for (const auto& message : outbox->messages) {
    const auto& response = static_cast<const v1::SearchEventsResponse&>(*message);
    EXPECT_EQ(response.coverage().pending().batch_count(), 1u);
  }
  const InvestigationHandlers investigations(runner_, archive_.table, &unstored_);
  v1::InvestigateEntityRequest entity;
  entity.set_entity("10.0.0.1");
  *entity.mutable_time() = ToProto(BaseTime() + minutes(1));
  ASSERT_OK_AND_ASSIGN(const auto investigated, investigations.InvestigateEntity(call_, entity));
  EXPECT_EQ(investigated.coverage_summary().pending().batch_count(), 1u);
  EXPECT_THAT(investigated.remarks(), Contains(HasSubstr("not stored yet")));
  v1::TraceEndpointRequest trace;
  trace.set_address("203.0.113.5");
  *trace.mutable_time() = ToProto(BaseTime() + minutes(1));
  ASSERT_OK_AND_ASSIGN(const auto traced, investigations.TraceEndpoint(call_, trace));
  EXPECT_THAT(traced.remarks(), Contains(HasSubstr("not stored yet")));
}

TEST_F(UnstoredEventsTest, BeyondThoseThatAreLookedAtThereMayBeMore) {
  const std::string batch = MakeBatch("acme", "a", 0, 1);
  for (int i = 0; i < 200; ++i) archive_.ProduceRaw(0, fmt::format("k{}", i), batch);
  const auto first = [&](const std::string& tenant, const TimeWindow& window) {
    return UnstoredEvents(archive_.flow, archive_.topic, "archive", *archive_.spool)
        .Of({.all = false, .tenants = {tenant}}, window);
  };
  const auto acme = first("acme", kThen);
  EXPECT_TRUE(acme.more());
  EXPECT_EQ(acme.batch_count(), 128u);
  EXPECT_THAT(PendingText(acme), HasSubstr("at least 128 events"));
  // Theirs may be among the others, which came later.
  const auto other = first("other", kThen);
  EXPECT_TRUE(other.more());
  EXPECT_THAT(PendingText(other), HasSubstr("may not be stored yet"));
  EXPECT_FALSE(first("other", {BaseTime() - hours(2), BaseTime() - hours(1)}).more());
  // The next answer knows the others, too.
  EXPECT_EQ(Of({"acme"}).batch_count(), 128u);
  EXPECT_EQ(Of({"acme"}).batch_count(), 200u);
  EXPECT_FALSE(Of({"acme"}).more());
  EXPECT_THAT(PendingText(Of({"other"})), IsEmpty());
}

TEST_F(UnstoredEventsTest, AreReadOnce) {
  for (int i = 0; i < 40; ++i) archive_.Produce("acme", fmt::format("a{}", i), i * 100, 100);
  const uint64_t before = SentByRedis();
  EXPECT_EQ(Of({"acme"}).event_count(), 4'000u);
  const uint64_t once = SentByRedis() - before;
  constexpr int kAnswers = 5;
  for (int i = 0; i < kAnswers; ++i) EXPECT_EQ(Of({"acme"}).event_count(), 4'000u);
  const uint64_t again = (SentByRedis() - before - once) / kAnswers;
  EXPECT_LT(again * 2, once) << "bytes of an answer that finds nothing new";
}

TEST_F(UnstoredEventsTest, AreForgottenAsTheyAreCommittedAndFoundAgainAfterAStepBack) {
  for (int i = 0; i < 30; ++i) archive_.ProduceRaw(0, Key(i), MakeBatch("acme", Key(i), i, 1));
  EXPECT_EQ(Of({"acme"}).batch_count(), 30u);
  const auto ids = IdsOf(0);
  ASSERT_EQ(ids.size(), 30u);
  SetCommitted(0, ids[9]);
  EXPECT_EQ(Of({"acme"}).batch_count(), 20u);
  archive_.ProduceRaw(0, "late", MakeBatch("acme", "late", 30, 1));
  EXPECT_EQ(Of({"acme"}).batch_count(), 21u);
  SetCommitted(0, ids[4]);
  EXPECT_EQ(Of({"acme"}).batch_count(), 26u);
  SetCommitted(0, IdsOf(0).back());
  EXPECT_THAT(PendingText(Of({"acme"})), IsEmpty());
  SetCommitted(0, ids[28]);
  EXPECT_EQ(Of({"acme"}).batch_count(), 2u);
}

TEST_F(UnstoredEventsTest, AreThoseOfTheStreamThatIsThereNow) {
  for (int i = 0; i < 3; ++i) archive_.ProduceRaw(0, Key(i), MakeBatch("acme", Key(i), i, 1));
  EXPECT_EQ(Of({"acme"}).batch_count(), 3u);
  const auto ids = IdsOf(0);
  // The first that wait are trimmed by hand.
  Redis({"XTRIM", kShard0, "MINID", ids[1]});
  EXPECT_EQ(Of({"acme"}).batch_count(), 2u);
  // Another stream in its place, whose clock was behind.
  Redis({"DEL", kShard0});
  Append("5-0", "beta", 7);
  EXPECT_THAT(PendingText(Of({"acme"})), IsEmpty());
  EXPECT_EQ(Of({"beta"}).event_count(), 7u);
  // And one that is ahead.
  Redis({"DEL", kShard0});
  Append("99999999999999-0", "acme", 2);
  EXPECT_EQ(Of({"-"}).event_count(), 2u);
}

TEST_F(UnstoredEventsTest, AreThoseOfTheServerThatAnswersNow) {
  Append("5-0", "acme", 3);
  Append("6-0", "acme", 3);
  EXPECT_EQ(Of({"acme"}).event_count(), 6u);
  archive_.redis.KillHard();
  EXPECT_TRUE(Of({"acme"}).unknown());
  archive_.redis.Restart();
  EXPECT_EQ(Of({"acme"}).event_count(), 6u) << "nothing was lost";
  // It comes back with less than it had; what comes then has the ids of what was lost.
  Redis({"FLUSHALL"});
  archive_.redis.KillHard();
  archive_.redis.Restart();
  Append("5-0", "beta", 4);
  Append("6-0", "beta", 4);
  EXPECT_EQ(Of({"-"}).event_count(), 8u);
  EXPECT_THAT(PendingText(Of({"acme"})), IsEmpty());
}

TEST_F(UnstoredEventsTest, AreRememberedWithinABound) {
  const UnstoredEvents few(archive_.flow, archive_.topic, "archive", *archive_.spool,
                           {.batches_per_look = 8, .heads = 80});  // 20 of each shard
  for (int i = 0; i < 60; ++i) archive_.ProduceRaw(0, Key(i), MakeBatch("acme", Key(i), i, 1));
  const auto of_all = [&] { return few.Of({.all = true, .tenants = {}}, kThen); };
  EXPECT_EQ(of_all().batch_count(), 8u);
  EXPECT_EQ(of_all().batch_count(), 16u);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(of_all().batch_count(), 20u);
    EXPECT_TRUE(of_all().more());
  }
  const auto ids = IdsOf(0);
  SetCommitted(0, ids[49]);
  EXPECT_EQ(of_all().batch_count(), 8u) << "what lay beyond the bound";
  EXPECT_EQ(of_all().batch_count(), 10u);
  EXPECT_FALSE(of_all().more());
}

TEST_F(UnstoredEventsTest, OfARelayAreToldForWheneverTheyWereReceived) {
  event::BatchBuilder builder({"acme", "relayed", BaseTime() + hours(3)});
  for (const auto when : {hours(3), hours(1), hours(5)}) {
    event::v1::Event event = MakeEvent("acme", 0);
    *event.mutable_receive_time() = ToProto(BaseTime() + when);
    builder.Add(event);
  }
  archive_.ProduceRaw(0, "relayed", builder.Finish());
  const auto in_hour = [&](int hour) {
    return Of({"acme"}, {BaseTime() + hours(hour), BaseTime() + hours(hour + 1)}).batch_count();
  };
  EXPECT_EQ(in_hour(0), 0u);
  for (const int hour : {1, 3, 5}) EXPECT_EQ(in_hour(hour), 1u) << hour;
  EXPECT_EQ(in_hour(6), 0u);
}

TEST_F(UnstoredEventsTest, OfWhatWasAcknowledgedBeforeNoneIsPassedOver) {
  constexpr int kThreads = 8;
  constexpr int kRounds = 40;
  std::atomic<int> wrong = 0;
  std::vector<std::jthread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      const std::string tenant = fmt::format("t{}", t);
      for (int i = 0; i < kRounds; ++i) {
        archive_.Produce(tenant, fmt::format("{}-{}", tenant, i), 0, 1);
        const auto told = Of({tenant});
        if (told.batch_count() != static_cast<uint64_t>(i) + 1 || told.more()) ++wrong;
      }
    });
  }
  threads.clear();
  EXPECT_EQ(wrong, 0);
}

TEST_F(UnstoredEventsTest, AreLookedForTogetherByThoseWhoAskAtOnce) {
  archive_.Produce("acme", "a", 0, 10);
  EXPECT_EQ(Of({"acme"}).batch_count(), 1u);  // a connection is there
  constexpr int kAsking = 16;
  const uint64_t before = LooksServed();
  archive_.redis.Pause();
  std::atomic<int> asking = 0;
  std::atomic<int> told = 0;
  std::vector<std::jthread> threads;
  for (int i = 0; i < kAsking; ++i) {
    threads.emplace_back([&] {
      ++asking;
      if (Of({"acme"}).batch_count() == 1) ++told;
    });
  }
  EXPECT_TRUE(testing::Eventually([&] { return asking == kAsking; }));
  archive_.redis.Resume();
  threads.clear();
  EXPECT_EQ(told, kAsking);
  // Who was not scheduled before the pause ended looks later.
  EXPECT_LE(LooksServed() - before, static_cast<uint64_t>(kAsking) / 2);
}

TEST_F(UnstoredEventsTest, InTheSpoolAreTold) {
  const TimePoint now = SystemClock()->Now();
  const TimeWindow lately{now - hours(1), now + hours(1)};
  RangeData range;
  const stream::EntryId id{
      static_cast<uint64_t>(
          std::chrono::floor<std::chrono::milliseconds>(now).time_since_epoch().count()),
      0};
  range.plan.set_first_entry(id.ToString());
  range.entries.push_back({id, "a", MakeBatch("acme", "a", 0, 1)});
  ASSERT_THAT(archive_.spool->Put(range), IsOk());
  EXPECT_TRUE(Of({"acme"}, lately).more());
  EXPECT_THAT(PendingText(Of({"acme"}, lately)), Not(IsEmpty()));
  EXPECT_FALSE(Of({"acme"}, {now - hours(2), now - hours(1)}).more());
  ASSERT_THAT(archive_.spool->Remove(range), IsOk());
  EXPECT_THAT(PendingText(Of({"acme"}, lately)), IsEmpty());
}

TEST_F(UnstoredEventsTest, AreNotKnownWhileRedisIsAway) {
  archive_.redis.KillHard();
  EXPECT_TRUE(Of({"acme"}).unknown());
  EXPECT_THAT(Count().gaps(), ElementsAre(HasSubstr("is not known")));
}

}  // namespace
}  // namespace yagura::archive
