// What was received and is not in the store yet, with a real Redis and a real event store.
#include "services/archive/storage/unstored_events.h"

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "archive_fixture.h"
#include "common/clock/proto_time.h"
#include "common/redis/pool.h"
#include "common/testing/status_matchers.h"
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
  const auto acme = Of({"acme"});
  EXPECT_TRUE(acme.more());
  EXPECT_EQ(acme.batch_count(), 128u);
  EXPECT_THAT(PendingText(acme), HasSubstr("at least 128 events"));
  // Theirs may be among the others, which came later.
  const auto other = Of({"other"});
  EXPECT_TRUE(other.more());
  EXPECT_THAT(PendingText(other), HasSubstr("may not be stored yet"));
  EXPECT_FALSE(Of({"other"}, {BaseTime() - hours(2), BaseTime() - hours(1)}).more());
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
