// What the events of an hour come to, over a real event store.
#include <map>
#include <set>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "archive_fixture.h"
#include "common/clock/proto_time.h"
#include "common/testing/status_matchers.h"
#include "services/archive/api/measures_handlers.h"
#include "services/archive/workers/range_inserter.h"

namespace yagura::archive {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using testing::IsOk;
using testing::StatusIs;

const std::string kInside{10, 1, 0, 5};
const std::string kOutside{'\xcb', 0, 113, 9};  // 203.0.113.9

class MeasuresTest : public ::testing::Test {
 protected:
  // An event that happened so long after BaseTime, received a minute later unless told.
  static event::v1::Event At(minutes later, event::v1::Action action, const std::string& device) {
    event::v1::Event event;
    event.set_tenant("acme");
    event.set_site("hq");
    event.set_device(device);
    event.set_action(action);
    event.mutable_src()->set_ip(kInside);
    event.mutable_dst()->set_ip(kOutside);
    *event.mutable_event_time() = ToProto(BaseTime() + later);
    *event.mutable_receive_time() = ToProto(BaseTime() + later + minutes(1));
    return event;
  }
  void Insert(const std::string& token, const std::vector<event::v1::Event>& events) {
    event::BatchBuilder builder({"acme", token, BaseTime()});
    for (const auto& event : events) builder.Add(event);
    const RangeInserter inserter(archive_.client, archive_.table, archive_.retention);
    RangeData range;
    range.plan.set_token(token);
    range.entries.push_back({{1, 0}, token, builder.Finish()});
    ASSERT_THAT(inserter.Insert(range), IsOk());
  }
  static v1::ListHourlyMeasuresRequest Request() {
    v1::ListHourlyMeasuresRequest request;
    request.set_parent("tenants/acme");
    *request.mutable_range()->mutable_start_time() = ToProto(BaseTime());
    *request.mutable_range()->mutable_end_time() = ToProto(BaseTime() + hours(40));
    return request;
  }
  StatusOr<v1::ListHourlyMeasuresResponse> List(const v1::ListHourlyMeasuresRequest& request) {
    return handlers_.ListHourlyMeasures(MakeCall("acme", {"acme"}), request);
  }

  Archive archive_;
  const QueryRunner runner_{archive_.client, SystemClock(), {}};
  const MeasuresHandlers handlers_{runner_, archive_.table};
};

TEST_F(MeasuresTest, AnHourIsWhatItsEventsSay) {
  std::vector<event::v1::Event> events;
  events.push_back(At(minutes(0), event::v1::BLOCKED, "fw-1"));
  auto upload = At(minutes(59), event::v1::ENDED, "fw-1");
  upload.set_bytes_out(700);
  events.push_back(upload);
  upload.mutable_dst()->set_ip(std::string{'\xcb', 0, 113, 10});
  upload.set_bytes_out(300);
  events.push_back(upload);
  upload.mutable_dst()->set_ip(std::string{10, 2, 0, 1});  // inside to inside
  events.push_back(upload);
  auto inward = At(minutes(3), event::v1::ALLOWED, "fw-1");
  std::swap(*inward.mutable_src(), *inward.mutable_dst());
  inward.set_bytes_out(5'000);
  events.push_back(inward);
  auto attack = At(minutes(5), event::v1::DETECTED, "fw-1");
  attack.set_signature("Evil");
  attack.set_severity(event::v1::CRITICAL);
  events.push_back(attack);
  attack.set_severity(event::v1::LOW);
  events.push_back(attack);
  events.push_back(At(minutes(6), event::v1::LOGON_FAILED, "fw-1"));
  events.push_back(At(minutes(60), event::v1::BLOCKED, "fw-1"));
  events.push_back(At(minutes(61), event::v1::BLOCKED, "fw-2"));
  // Public addresses that are the customer's own, and private ones that are not.
  auto enriched = At(minutes(62), event::v1::ALLOWED, "fw-2");
  enriched.set_bytes_out(40);
  auto* scope = enriched.add_fields();
  scope->set_name("enriched.dst.scope");
  scope->set_value("internal");
  events.push_back(enriched);
  Insert("a", events);

  ASSERT_OK_AND_ASSIGN(const auto response, List(Request()));
  ASSERT_EQ(response.measures_size(), 3);
  const v1::HourlyMeasures& first = response.measures(0);
  EXPECT_EQ(first.device(), "fw-1");
  EXPECT_EQ(first.site(), "hq");
  EXPECT_EQ(FromProto(first.start_time()), BaseTime());
  EXPECT_EQ(first.event_count(), 8u);
  EXPECT_EQ(first.deny_count(), 1u);
  EXPECT_EQ(first.outside_bytes(), 1'000u) << "neither inside to inside nor from outside";
  EXPECT_EQ(first.outside_destination_count(), 2u);
  EXPECT_EQ(first.signature_count(), 2u);
  EXPECT_EQ(first.grave_signature_count(), 1u);
  EXPECT_EQ(first.failed_logon_count(), 1u);
  EXPECT_EQ(response.measures(1).device(), "fw-1");
  EXPECT_EQ(FromProto(response.measures(1).start_time()), BaseTime() + hours(1));
  EXPECT_EQ(response.measures(1).deny_count(), 1u);
  EXPECT_EQ(response.measures(2).device(), "fw-2");
  EXPECT_EQ(response.measures(2).outside_bytes(), 0u) << "internal by enrichment";
  EXPECT_GT(FromProto(response.known_since()), BaseTime());
}

TEST_F(MeasuresTest, WhatComesLateCountsInItsHourUnlessItsClockIsWrong) {
  Insert("a", {At(minutes(10), event::v1::BLOCKED, "fw-1")});
  auto late = At(minutes(20), event::v1::BLOCKED, "fw-1");
  *late.mutable_receive_time() = ToProto(BaseTime() + hours(30));
  auto wrong = At(minutes(30), event::v1::BLOCKED, "fw-1");
  *wrong.mutable_event_time() = ToProto(BaseTime() - hours(24 * 400));
  auto ahead = At(minutes(30), event::v1::BLOCKED, "fw-1");
  *ahead.mutable_event_time() = ToProto(BaseTime() + hours(24 * 400));
  Insert("b", {late, wrong, ahead});
  ASSERT_OK_AND_ASSIGN(const auto response, List(Request()));
  ASSERT_EQ(response.measures_size(), 1);
  EXPECT_EQ(response.measures(0).deny_count(), 4u);
}

TEST_F(MeasuresTest, ARepeatedInsertCountsOnce) {
  const std::vector<event::v1::Event> events = {At(minutes(1), event::v1::BLOCKED, "fw-1"),
                                                At(minutes(2), event::v1::BLOCKED, "fw-1")};
  for (int i = 0; i < 3; ++i) Insert("same", events);
  ASSERT_OK_AND_ASSIGN(const auto response, List(Request()));
  ASSERT_EQ(response.measures_size(), 1);
  EXPECT_EQ(response.measures(0).event_count(), 2u);
}

TEST_F(MeasuresTest, PagesGiveEachHourOnceAndFiltersTakeHostileNames) {
  const std::string hostile = "fw' OR 1=1 -- \"\\\x1b[31m";
  std::vector<event::v1::Event> events;
  for (int i = 0; i < 30; ++i) {
    events.push_back(At(hours(i), event::v1::BLOCKED, i % 2 == 0 ? hostile : "fw-1"));
  }
  Insert("a", events);
  auto request = Request();
  request.set_page_size(7);
  std::set<std::string> seen;
  do {
    ASSERT_OK_AND_ASSIGN(const auto page, List(request));
    for (const auto& one : page.measures()) {
      seen.insert(fmt::format("{} {}", one.device(), one.start_time().seconds()));
    }
    ASSERT_LE(page.measures_size(), 7);
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  EXPECT_EQ(seen.size(), 30u);
  request = Request();
  request.set_filter("device = \"fw' OR 1=1 -- \\\"\\\\\x1b[31m\" AND deny_count > 0");
  ASSERT_OK_AND_ASSIGN(const auto of_one, List(request));
  EXPECT_EQ(of_one.measures_size(), 15);
  request.set_filter("start_time >= \"" + FormatTime(BaseTime() + hours(28)) + "\"");
  ASSERT_OK_AND_ASSIGN(const auto later, List(request));
  EXPECT_EQ(later.measures_size(), 2);
  request.set_filter("nonsense = 1");
  EXPECT_THAT(List(request), StatusIs(absl::StatusCode::kInvalidArgument));
  request.set_filter("");
  request.set_page_token("x");
  EXPECT_THAT(List(request), StatusIs(absl::StatusCode::kInvalidArgument));
}

// A host that calls every so many seconds, a second or two early or late.
std::vector<event::v1::Event> Calls(const std::string& src, std::chrono::seconds every, int count,
                                    int jitter_seconds) {
  std::vector<event::v1::Event> events;
  uint32_t noise = 7;
  for (int i = 0; i < count; ++i) {
    noise = noise * 1664525U + 1013904223U;
    const int off = jitter_seconds == 0 ? 0 : static_cast<int>(noise >> 16) % (2 * jitter_seconds);
    event::v1::Event event;
    event.set_tenant("acme");
    event.set_site("hq");
    event.set_device("fw-1");
    event.mutable_src()->set_ip(src);
    event.mutable_dst()->set_ip(kOutside);
    event.mutable_dst()->set_port(443);
    event.set_protocol("tcp");
    event.set_bytes_out(500 + static_cast<uint64_t>(i % 3));
    const TimePoint began = BaseTime() + every * i + std::chrono::seconds(off - jitter_seconds);
    // Begin and end of a session, which differ in when they are told alone.
    event.set_action(event::v1::STARTED);
    *event.mutable_event_time() = ToProto(began);
    *event.mutable_receive_time() = ToProto(began + std::chrono::seconds(1));
    events.push_back(event);
    event.set_action(event::v1::ENDED);
    event.mutable_duration()->set_seconds(20 + i % 5);
    *event.mutable_event_time() = ToProto(began + std::chrono::seconds(20 + i % 5));
    *event.mutable_receive_time() = event.event_time();
    events.push_back(event);
  }
  return events;
}

TEST_F(MeasuresTest, CallsAtEvenIntervalsAreToldFromOthers) {
  const std::string even{10, 1, 0, 7};
  const std::string jittered{10, 1, 0, 8};
  const std::string people{10, 1, 0, 9};
  Insert("even", Calls(even, std::chrono::seconds(300), 100, 0));
  Insert("jittered", Calls(jittered, std::chrono::seconds(300), 100, 40));
  Insert("people", Calls(people, std::chrono::seconds(300), 100, 290));
  Insert("few", Calls(kInside, std::chrono::seconds(300), 5, 0));
  v1::ListPeriodicFlowsRequest request;
  request.set_parent("tenants/acme");
  *request.mutable_range()->mutable_start_time() = ToProto(BaseTime() - hours(1));
  *request.mutable_range()->mutable_end_time() = ToProto(BaseTime() + hours(20));
  const auto list = [&] {
    return handlers_.ListPeriodicFlows(MakeCall("acme", {"acme"}), request);
  };
  ASSERT_OK_AND_ASSIGN(const auto response, list());
  ASSERT_EQ(response.flows_size(), 2);
  const v1::PeriodicFlow& first = response.flows(0);
  EXPECT_EQ(first.src_ip(), even);
  EXPECT_EQ(first.dst_ip(), kOutside);
  EXPECT_EQ(first.dst_port(), 443u);
  EXPECT_EQ(first.protocol(), "tcp");
  EXPECT_EQ(first.call_count(), 100u) << "a session's begin and end are one call";
  EXPECT_EQ(first.event_count(), 200u);
  EXPECT_EQ(first.blocked_count(), 0u);
  EXPECT_NEAR(first.median_interval_seconds(), 300, 0.1);
  EXPECT_NEAR(first.interval_deviation_seconds(), 0, 0.1);
  EXPECT_EQ(first.median_bytes_out(), 501u);
  EXPECT_EQ(FromProto(first.first_time()), BaseTime());
  EXPECT_EQ(response.flows(1).src_ip(), jittered);
  EXPECT_GT(response.flows(1).interval_deviation_seconds(), 5);
  request.set_max_jitter(0.02);
  ASSERT_OK_AND_ASSIGN(const auto strict, list());
  EXPECT_EQ(strict.flows_size(), 1);
  request.set_filter("dst.port = 80");
  ASSERT_OK_AND_ASSIGN(const auto none, list());
  EXPECT_EQ(none.flows_size(), 0);
  request.set_max_jitter(7);
  EXPECT_THAT(list(), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(MeasuresTest, RegularCallsAreFoundAmongManyPairsInLittleMemory) {
  const std::string even{10, 1, 0, 7};
  Insert("even", Calls(even, std::chrono::seconds(30), 2'500, 0));
  // As many pairs as events, and one that never rests.
  const auto insert = [&](int count, const char* source, int port) {
    eventstore::Query query;
    query.sql = fmt::format(
        "INSERT INTO yagura.events (tenant, site, receive_time, event_time, src_ip, dst_ip, "
        "dst_port, protocol, bytes_out) SELECT 'acme', 'hq', at, at, {}, "
        "toIPv6('203.0.113.9'), {}, 'tcp', 100 + number % 1000 FROM (SELECT number, "
        "fromUnixTimestamp64Milli({} + toInt64(number) * 100, 'UTC') AS at FROM numbers({}))",
        source, port,
        std::chrono::duration_cast<std::chrono::milliseconds>(BaseTime().time_since_epoch())
            .count(),
        count);
    ASSERT_THAT(archive_.client->Execute(query), IsOk());
  };
  insert(300'000, "toIPv6(IPv4NumToString(toUInt32(168820736 + number)))", 443);
  insert(400'000, "toIPv6('10.9.9.9')", 80);
  const QueryRunner runner(archive_.client, SystemClock(), {.memory = 48 << 20});
  const MeasuresHandlers handlers(runner, archive_.table);
  v1::ListPeriodicFlowsRequest request;
  request.set_parent("tenants/acme");
  *request.mutable_range()->mutable_start_time() = ToProto(BaseTime() - hours(1));
  *request.mutable_range()->mutable_end_time() = ToProto(BaseTime() + hours(40));
  ASSERT_OK_AND_ASSIGN(const auto response,
                       handlers.ListPeriodicFlows(MakeCall("acme", {"acme"}), request));
  ASSERT_EQ(response.flows_size(), 1);
  EXPECT_EQ(response.flows(0).src_ip(), even);
  EXPECT_EQ(response.flows(0).call_count(), 2'500u);
}

}  // namespace
}  // namespace yagura::archive
