// Search, count, histogram and coverage over a real event store.
#include "services/archive/api/archive_handlers.h"

#include <algorithm>
#include <set>
#include <thread>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"

#include "archive_fixture.h"
#include "common/clock/proto_time.h"
#include "common/eventstore/row_binary.h"
#include "common/testing/eventually.h"
#include "common/testing/fake_clock.h"
#include "common/testing/status_matchers.h"
#include "services/archive/domain/coverage_table.h"
#include "services/archive/domain/page_token.h"
#include "services/archive/domain/time_window.h"
#include "yagura/ingestion/v1/coverage_report.pb.h"

namespace yagura::archive {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOk;
using testing::StatusIs;

constexpr int kAcme = 3000;
constexpr int kBeta = 500;

class HandlersTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    archive_ = new Archive;
    ASSERT_THAT(InsertTwoTenants(*archive_, kAcme, kBeta), IsOk());
  }
  static void TearDownTestSuite() {
    delete archive_;
    archive_ = nullptr;
  }

  static void SetRange(v1::TimeRange* range) {
    *range->mutable_start_time() = ToProto(BaseTime());
    *range->mutable_end_time() = ToProto(BaseTime() + std::chrono::minutes(2));
  }

  struct Found {
    Status status;
    std::vector<event::v1::Event> events;
    std::string token;
  };
  Found Search(v1::SearchEventsRequest request, const rpc::Call& call) const {
    if (!request.has_range()) SetRange(request.mutable_range());
    const auto outbox = std::make_shared<CollectingOutbox>();
    Found found;
    found.status =
        handlers_.SearchEvents(call, request, rpc::Outbox<v1::SearchEventsResponse>(outbox));
    for (const auto& message : outbox->messages) {
      const auto& response = static_cast<const v1::SearchEventsResponse&>(*message);
      found.events.insert(found.events.end(), response.events().begin(), response.events().end());
      found.token = response.next_page_token();
    }
    return found;
  }
  Found Search(const std::string& filter, int page_size = 10'000) const {
    v1::SearchEventsRequest request;
    request.set_parent("tenants/acme");
    request.set_filter(filter);
    request.set_page_size(page_size);
    return Search(request, acme_);
  }

  StatusOr<v1::CountEventsResponse> Count(const std::string& filter,
                                          std::vector<std::string> group_by = {},
                                          const rpc::Call* call = nullptr) const {
    v1::CountEventsRequest request;
    request.set_parent("tenants/acme");
    request.set_filter(filter);
    for (auto& path : group_by) request.add_group_by(std::move(path));
    SetRange(request.mutable_range());
    return handlers_.CountEvents(call == nullptr ? acme_ : *call, request);
  }

  static Archive* archive_;
  const rpc::Call acme_ = MakeCall("acme", {"acme"});
  const QueryRunner runner_{archive_->client, SystemClock(), {}};
  const ArchiveHandlers handlers_{runner_, archive_->table};
};
Archive* HandlersTest::archive_ = nullptr;

TEST_F(HandlersTest, AnEventComesBackAsItWas) {
  const Found found = Search("fields.policyid = 3 AND bytes_out = 17");
  ASSERT_THAT(found.status, IsOk());
  ASSERT_EQ(found.events.size(), 1u);
  event::v1::Event expected = MakeEvent("acme", 17);
  expected.set_id("a-17");
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(found.events[0], expected))
      << found.events[0].DebugString() << expected.DebugString();
}

TEST_F(HandlersTest, AWrongClockIsFlagged) {
  const Found found = Search("flaws:CLOCK_ERROR");
  ASSERT_THAT(found.status, IsOk());
  ASSERT_EQ(found.events.size(), 3u);
  EXPECT_THAT(found.events[0].flaws(),
              ElementsAre(event::v1::PARTLY_PARSED, event::v1::CLOCK_ERROR));
}

TEST_F(HandlersTest, PagesGiveEveryEventOnceInBothOrders) {
  for (const std::string order : {"receive_time desc", "receive_time"}) {
    std::vector<std::string> ids;
    v1::SearchEventsRequest request;
    request.set_parent("tenants/acme");
    request.set_order_by(order);
    request.set_page_size(700);
    int pages = 0;
    do {
      const Found page = Search(request, acme_);
      ASSERT_THAT(page.status, IsOk());
      for (const auto& event : page.events) ids.push_back(event.id());
      request.set_page_token(page.token);
      ++pages;
    } while (!request.page_token().empty() && pages < 20);
    EXPECT_EQ(pages, 5);
    ASSERT_EQ(ids.size(), static_cast<size_t>(kAcme));
    EXPECT_EQ(std::set<std::string>(ids.begin(), ids.end()).size(), ids.size());
    EXPECT_EQ(ids.front(), order == "receive_time" ? "a-0" : "a-2999");
  }
}

// Lines of one batch have one time of receipt; as text the tenth id comes before the second.
TEST_F(HandlersTest, EventsOfABatchComeInTheOrderInWhichTheyCame) {
  const std::string first(26, 'a');
  const std::string second(26, 'b');
  const TimePoint at = BaseTime() + std::chrono::days(1);
  ASSERT_THAT(archive_->client->Execute(
                  {.sql = fmt::format(
                       "INSERT INTO yagura.events (tenant, id, receive_time, expires) SELECT "
                       "'acme', concat(if(number < 12, '{}', '{}'), '-', toString(number % 12)), "
                       "fromUnixTimestamp64Nano(toInt64({}), 'UTC'), '2100-01-01' FROM numbers(24)",
                       first, second, at.time_since_epoch().count())}),
              IsOk());
  const auto all = [&](const std::string& order, std::string token = {}) {
    v1::SearchEventsRequest request;
    request.set_parent("tenants/acme");
    request.set_order_by(order);
    request.set_page_size(5);
    *request.mutable_range()->mutable_start_time() = ToProto(at);
    *request.mutable_range()->mutable_end_time() = ToProto(at + std::chrono::seconds(1));
    std::vector<std::string> ids;
    do {
      request.set_page_token(std::move(token));
      const Found page = Search(request, acme_);
      EXPECT_THAT(page.status, IsOk());
      for (const auto& event : page.events) ids.push_back(event.id());
      token = page.token;
    } while (!token.empty() && ids.size() < 50);
    return ids;
  };
  std::vector<std::string> expected;
  for (const std::string& batch : {first, second}) {
    for (int i = 0; i < 12; ++i) expected.push_back(fmt::format("{}-{}", batch, i));
  }
  EXPECT_EQ(all("receive_time"), expected);
  std::ranges::reverse(expected);
  EXPECT_EQ(all("receive_time desc"), expected);

  // What an earlier release began goes on as it began.
  const SearchIdentity identity{"tenants/acme", "", "receive_time"};
  const TimeWindow window{at, at + std::chrono::seconds(1)};
  const auto rest =
      all("receive_time", EncodeSearchToken({{at, second + "-10", true}, window}, identity));
  std::vector<std::string> as_text = {second + "-11"};
  for (int i = 2; i < 10; ++i) as_text.push_back(fmt::format("{}-{}", second, i));
  EXPECT_EQ(rest, as_text);
  EXPECT_THAT(archive_->client->Execute(
                  {.sql = fmt::format("ALTER TABLE yagura.events DROP PARTITION ID '{}'",
                                      PartitionOf(at))}),
              IsOk());
}

TEST_F(HandlersTest, ARangeOfTheEventsOwnTimeFindsWhatWasReceivedLater) {
  v1::SearchEventsRequest request;
  request.set_parent("tenants/acme");
  request.set_page_size(500);
  v1::TimeRange& range = *request.mutable_range();
  *range.mutable_start_time() = ToProto(BaseTime() - std::chrono::minutes(1));
  *range.mutable_end_time() = ToProto(BaseTime());
  EXPECT_THAT(Search(request, acme_).events, IsEmpty()) << "nothing was received so early";
  range.set_basis(v1::HAPPENED);
  std::set<std::string> expected;
  for (int i = 0; i < kAcme; ++i) {
    const TimePoint happened = FromProto(MakeEvent("acme", i).event_time());
    if (happened >= FromProto(range.start_time()) && happened < FromProto(range.end_time())) {
      expected.insert(fmt::format("a-{}", i));
    }
  }
  ASSERT_GT(expected.size(), 1000u);
  std::set<std::string> found;
  do {
    const Found page = Search(request, acme_);
    ASSERT_THAT(page.status, IsOk());
    for (const auto& event : page.events) found.insert(event.id());
    request.set_page_token(page.token);
  } while (!request.page_token().empty());
  EXPECT_EQ(found, expected);
  v1::GetHistogramRequest over_time;
  over_time.set_parent("tenants/acme");
  *over_time.mutable_range() = range;
  ASSERT_OK_AND_ASSIGN(const auto histogram, handlers_.GetHistogram(acme_, over_time));
  EXPECT_EQ(histogram.total(), expected.size());
  v1::GetCoverageRequest coverage;
  coverage.set_parent("tenants/acme");
  *coverage.mutable_range() = range;
  EXPECT_THAT(handlers_.GetCoverage(acme_, coverage), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(HandlersTest, AnAnswerSaysWhatItsCoverageLacks) {
  ingestion::v1::CoverageReport report;
  report.set_instance("fixture");
  report.set_sequence(1);
  auto* hour = report.add_hours();
  hour->set_source("tenants/gaps/sources/fw1");
  hour->set_hour(std::chrono::floor<std::chrono::hours>(BaseTime()).time_since_epoch() /
                 std::chrono::hours(1));
  hour->set_lines(10);
  hour->set_lost(5);
  eventstore::RowBinaryWriter rows;
  ASSERT_EQ(EncodeCoverage(report, &rows), 1u);
  ASSERT_THAT(
      archive_->client->Insert({.sql = std::string(kInsertCoverage)}, std::string(rows.bytes())),
      IsOk());
  const rpc::Call call = MakeCall("gaps", {"gaps"});
  v1::CountEventsRequest count;
  count.set_parent("tenants/gaps");
  SetRange(count.mutable_range());
  ASSERT_OK_AND_ASSIGN(const auto counted, handlers_.CountEvents(call, count));
  EXPECT_EQ(counted.coverage().lost_count(), 5u);
  EXPECT_THAT(counted.coverage().gaps(), Contains(HasSubstr("5 lines were lost")));
  v1::SearchEventsRequest request;
  request.set_parent("tenants/gaps");
  SetRange(request.mutable_range());
  const auto outbox = std::make_shared<CollectingOutbox>();
  ASSERT_THAT(handlers_.SearchEvents(call, request, rpc::Outbox<v1::SearchEventsResponse>(outbox)),
              IsOk());
  const auto& last = static_cast<const v1::SearchEventsResponse&>(*outbox->messages.back());
  EXPECT_EQ(last.coverage().lost_count(), 5u);
}

TEST_F(HandlersTest, AStreamThatBrokeGoesOnAfterItsLastMessage) {
  v1::SearchEventsRequest request;
  request.set_parent("tenants/acme");
  request.set_page_size(kAcme);
  SetRange(request.mutable_range());
  const auto outbox = std::make_shared<CollectingOutbox>();
  ASSERT_THAT(handlers_.SearchEvents(acme_, request, rpc::Outbox<v1::SearchEventsResponse>(outbox)),
              IsOk());
  ASSERT_GT(outbox->messages.size(), 3u);
  std::set<std::string> ids;
  for (int i = 0; i < 2; ++i) {
    const auto& message = static_cast<const v1::SearchEventsResponse&>(*outbox->messages[i]);
    for (const auto& event : message.events()) ids.insert(event.id());
    request.set_page_token(message.next_page_token());
  }
  const size_t before = ids.size();
  EXPECT_EQ(before, 1000u);
  const Found rest = Search(request, acme_);
  for (const auto& event : rest.events) ids.insert(event.id());
  EXPECT_EQ(rest.events.size(), kAcme - before);
  EXPECT_EQ(ids.size(), static_cast<size_t>(kAcme));
}

// A million events of another tenant, and a question that takes the store a while.
class SlowSearchTest : public HandlersTest {
 protected:
  static void SetUpTestSuite() {
    HandlersTest::SetUpTestSuite();
    eventstore::Query fill;
    fill.sql =
        "INSERT INTO yagura.events (tenant, id, receive_time, raw, expires) SELECT 'slow', "
        "toString(number), fromUnixTimestamp64Nano({base:Int64} + toInt64(number) * 1000, 'UTC'), "
        "concat('<13>aaaaaaaaaa ', hex(sipHash128(number)), ' b ', toString(number)), now() + "
        "86400 FROM numbers({first:UInt64}, 200000)";
    fill.parameters["base"] = std::to_string(BaseTime().time_since_epoch().count());
    for (int part = 0; part < 5; ++part) {
      fill.parameters["first"] = std::to_string(part * 200'000);
      ASSERT_THAT(archive_->client->Execute(fill), IsOk());
    }
  }
  static v1::SearchEventsRequest Slow() {
    v1::SearchEventsRequest request;
    request.set_parent("tenants/slow");
    request.set_filter("a*a*a*a*a*z*z*z*z");
    SetRange(request.mutable_range());
    return request;
  }
  static uint64_t Running() {
    const auto count = archive_->client->Select(
        {.sql = "SELECT count() FROM system.processes WHERE query LIKE '%FROM yagura.events%' AND "
                "query NOT LIKE '%system.processes%'"});
    return count.ok() ? count->rows[0][0].AsUnsigned() : ~uint64_t{0};
  }
  const QueryRunner slow_runner_{archive_->client,
                                 SystemClock(),
                                 {.threads = 1, .progress_interval = std::chrono::milliseconds(5)}};
  const ArchiveHandlers slow_{slow_runner_, archive_->table};
};

TEST_F(SlowSearchTest, TellsHowFarItIs) {
  const auto outbox = std::make_shared<CollectingOutbox>();
  ASSERT_THAT(slow_.SearchEvents(MakeCall("slow", {"slow"}), Slow(),
                                 rpc::Outbox<v1::SearchEventsResponse>(outbox)),
              IsOk());
  uint64_t read = 0;
  int told = 0;
  for (const auto& message : outbox->messages) {
    const auto& response = static_cast<const v1::SearchEventsResponse&>(*message);
    if (!response.has_progress()) continue;
    ++told;
    EXPECT_GE(response.progress().rows_read(), read);
    read = response.progress().rows_read();
    EXPECT_LE(read, response.progress().total_rows_estimate());
  }
  EXPECT_GT(told, 1);
  EXPECT_GT(read, 0u);
  const auto& last = static_cast<const v1::SearchEventsResponse&>(*outbox->messages.back());
  EXPECT_FALSE(last.has_progress());
  EXPECT_EQ(last.next_page_token(), "");
}

TEST_F(SlowSearchTest, ACallerThatGoesAwayStopsItInTheStore) {
  std::stop_source stop;
  rpc::Call::Parts parts;
  parts.principal.grants = {auth::Grant{"admin", false, {"slow"}}};
  parts.permission = "archive.events.search";
  parts.tenant = "slow";
  parts.deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  parts.cancelled = stop.get_token();
  v1::SearchEventsRequest endless = Slow();
  std::string words;
  for (int i = 0; i < 60; ++i) words += fmt::format("OR a*{0}*a*{0}*a*z*{0}z ", i);
  endless.set_filter("qqq " + words);
  std::jthread leaver([&] {
    testing::Eventually([] { return Running() > 0; });
    stop.request_stop();
  });
  const auto outbox = std::make_shared<CollectingOutbox>();
  EXPECT_THAT(slow_.SearchEvents(rpc::Call(std::move(parts)), endless,
                                 rpc::Outbox<v1::SearchEventsResponse>(outbox)),
              StatusIs(absl::StatusCode::kCancelled));
  EXPECT_TRUE(testing::Eventually([] { return Running() == 0; }, std::chrono::seconds(5)));
}

TEST_F(HandlersTest, ATokenFitsItsSearchAlone) {
  Found page = Search("action = BLOCKED", 5);
  ASSERT_FALSE(page.token.empty());
  v1::SearchEventsRequest request;
  request.set_parent("tenants/acme");
  request.set_filter("action = ALLOWED");
  request.set_page_token(page.token);
  EXPECT_THAT(Search(request, acme_).status, StatusIs(absl::StatusCode::kInvalidArgument));
  request.set_page_token("nonsense!");
  EXPECT_THAT(Search(request, acme_).status, StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(HandlersTest, ATenantSeesItsOwnEventsAlone) {
  v1::SearchEventsRequest request;
  request.set_parent("tenants/-");
  request.set_page_size(10'000);
  EXPECT_EQ(Search(request, MakeCall("-", {"acme"})).events.size(), static_cast<size_t>(kAcme));
  EXPECT_EQ(Search(request, MakeCall("-", {"acme", "beta"})).events.size(),
            static_cast<size_t>(kAcme + kBeta));
  EXPECT_EQ(Search(request, MakeCall("-", {"-"})).events.size(),
            static_cast<size_t>(kAcme + kBeta));
  EXPECT_THAT(Search(request, MakeCall("-", {"other", "more"})).events, IsEmpty());
  request.set_filter("tenant = \"beta\"");
  EXPECT_THAT(Search(request, MakeCall("-", {"acme"})).events, IsEmpty());
}

TEST_F(HandlersTest, HostileFiltersFindNothingAndDoNothing) {
  for (const std::string value :
       {"' OR 1=1 --", "'; DROP TABLE yagura.events; --", "\\\\' OR '1'='1", "{p0:String}", "%",
        "_", "a') OR (1=1", "\x01\x02", "${jndi:ldap://x}"}) {
    for (const std::string path : {"user", "fields.policyid", "fields.\"' OR 1=1\"", "url"}) {
      std::string quoted;
      for (const char c : value) {
        if (c == '"' || c == '\\') quoted += '\\';
        quoted += c;
      }
      const auto count = Count(fmt::format("{} = \"{}\"", path, quoted));
      ASSERT_THAT(count, IsOk()) << path << " = " << quoted;
      EXPECT_EQ(count->total(), 0u) << path << " = " << quoted;
    }
  }
  EXPECT_THAT(Count("user = \"x\" OR 1=1 --"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Count("", {"user) UNION SELECT 1 --"}), StatusIs(absl::StatusCode::kInvalidArgument));
  ASSERT_OK_AND_ASSIGN(const auto groups, Count("", {"fields.x'] FROM system.tables --"}));
  ASSERT_EQ(groups.groups_size(), 1);
  EXPECT_EQ(groups.groups(0).values(0), "");
  EXPECT_EQ(archive_->CountEvents(), static_cast<uint64_t>(kAcme + kBeta));
}

TEST_F(HandlersTest, FiltersFindWhatTheyShould) {
  EXPECT_EQ(Search("src.ip = 10.0.0.0/24").events.size(), 250u);
  EXPECT_EQ(Search("dst.ip = 2001:db8::1").events.size(), 15u);
  EXPECT_EQ(Search("severity >= HIGH action = BLOCKED").events.size(), 150u);
  EXPECT_EQ(Search("\"user=\\\"user7\\\"\"").events.size(), 60u)
      << "bare words search the raw line";
  EXPECT_EQ(Search("fields.attack:evil").events.size(), 150u);
  EXPECT_EQ(Search("fields.z = first").events.size(), static_cast<size_t>(kAcme));
  EXPECT_EQ(Search("fields.z = second").events.size(), 0u);
  EXPECT_EQ(Search("duration >= 59s").events.size(), 50u);
}

TEST_F(HandlersTest, CountsByGroups) {
  ASSERT_OK_AND_ASSIGN(const auto total, Count("action = BLOCKED"));
  EXPECT_EQ(total.total(), 750u);
  ASSERT_OK_AND_ASSIGN(const auto groups, Count("", {"action", "severity"}));
  EXPECT_EQ(groups.total(), static_cast<uint64_t>(kAcme));
  ASSERT_EQ(groups.groups_size(), 4);
  EXPECT_THAT(groups.groups(0).values(), ElementsAre("ALLOWED", "LOW"));
  EXPECT_EQ(groups.groups(0).count(), 2100u);
  ASSERT_OK_AND_ASSIGN(const auto sources, Count("", {"src.ip"}));
  EXPECT_EQ(sources.groups_size(), 10);
  EXPECT_TRUE(sources.truncated());
  EXPECT_EQ(sources.groups(0).values(0).substr(0, 5), "10.0.");

  v1::CountEventsRequest request;
  SetRange(request.mutable_range());
  request.add_group_by("fields.attack");
  request.set_skip_missing(true);
  ASSERT_OK_AND_ASSIGN(const auto attacks, handlers_.CountEvents(acme_, request));
  ASSERT_EQ(attacks.groups_size(), 1);
  EXPECT_THAT(attacks.groups(0).values(), ElementsAre("Evil.Thing"));
  EXPECT_EQ(attacks.groups(0).count(), 150u);
  EXPECT_EQ(attacks.total(), static_cast<uint64_t>(kAcme));

  ASSERT_OK_AND_ASSIGN(const auto hours, Count("", {"receive_hour"}));
  ASSERT_EQ(hours.groups_size(), 1);
  EXPECT_EQ(hours.groups(0).values(0), FormatTime(BaseTime()));
}

TEST_F(HandlersTest, AHistogramHasNoGapsAndAddsUp) {
  v1::GetHistogramRequest request;
  SetRange(request.mutable_range());
  request.mutable_interval()->set_seconds(10);
  ASSERT_OK_AND_ASSIGN(const auto histogram, handlers_.GetHistogram(acme_, request));
  ASSERT_EQ(histogram.buckets_size(), 12);
  EXPECT_EQ(histogram.total(), static_cast<uint64_t>(kAcme));
  EXPECT_EQ(histogram.buckets(0).count(), 1000u);
  EXPECT_EQ(histogram.buckets(5).count(), 0u);
  request.clear_interval();
  ASSERT_OK_AND_ASSIGN(const auto round, handlers_.GetHistogram(acme_, request));
  EXPECT_EQ(round.interval().seconds(), 2);
  request.mutable_interval()->set_nanos(1);
  EXPECT_THAT(handlers_.GetHistogram(acme_, request), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(HandlersTest, CoverageTellsOfEverySource) {
  v1::GetCoverageRequest request;
  SetRange(request.mutable_range());
  ASSERT_OK_AND_ASSIGN(const auto coverage, handlers_.GetCoverage(acme_, request));
  ASSERT_EQ(coverage.sources_size(), 3);
  EXPECT_EQ(coverage.hours_in_range(), 1u);
  EXPECT_EQ(coverage.sources(0).device(), "fw0");
  EXPECT_EQ(coverage.sources(0).event_count(), 1000u);
  EXPECT_EQ(coverage.sources(0).hours_with_events(), 1u);
  EXPECT_EQ(coverage.sources(0).flawed_count() + coverage.sources(1).flawed_count() +
                coverage.sources(2).flawed_count(),
            3u);
}

TEST_F(HandlersTest, WrongRequestsAreNamed) {
  v1::SearchEventsRequest request;
  request.set_page_size(-1);
  EXPECT_THAT(Search(request, acme_).status, StatusIs(absl::StatusCode::kInvalidArgument));
  request.set_page_size(1);
  request.set_order_by("raw");
  EXPECT_THAT(Search(request, acme_).status, StatusIs(absl::StatusCode::kInvalidArgument));
  request.set_order_by("");
  *request.mutable_range()->mutable_start_time() = ToProto(BaseTime());
  *request.mutable_range()->mutable_end_time() = ToProto(BaseTime());
  EXPECT_THAT(Search(request, acme_).status, StatusIs(absl::StatusCode::kInvalidArgument));
  *request.mutable_range()->mutable_start_time() =
      ToProto(BaseTime() - std::chrono::hours(24 * 500));
  EXPECT_THAT(Search(request, acme_).status, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Search("sorce = 1").status, StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(HandlersTest, AStoreThatIsDownIsUnavailableWithItsReason) {
  eventstore::ClientOptions options;
  options.addresses = {"unix:/nonexistent/store"};
  const QueryRunner runner(std::make_shared<eventstore::Client>(options), SystemClock(), {});
  const ArchiveHandlers handlers(runner, archive_->table);
  v1::CountEventsRequest request;
  EXPECT_THAT(handlers.CountEvents(acme_, request),
              StatusIs(absl::StatusCode::kUnavailable, "EVENT_STORE_DOWN"));
}

}  // namespace
}  // namespace yagura::archive
