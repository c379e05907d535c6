// Who talked to whom, over a real event store.
#include <map>
#include <set>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "archive_fixture.h"
#include "common/clock/proto_time.h"
#include "common/testing/eventually.h"
#include "common/testing/status_matchers.h"
#include "services/archive/api/flow_handlers.h"
#include "services/archive/workers/flow_keeper.h"
#include "services/archive/workers/range_inserter.h"

namespace yagura::archive {
namespace {

using testing::IsOk;
using testing::StatusIs;

constexpr int kAcme = 3000;

event::v1::Event Talk(int number, event::v1::Action action, std::chrono::hours later) {
  event::v1::Event event = MakeEvent("beta", number);
  event.set_action(action);
  event.mutable_src()->set_ip(std::string{10, 9, 9, 9});
  event.mutable_dst()->set_ip(std::string{'\xc0', 0, 2, 1});
  event.mutable_dst()->set_port(22);
  event.set_bytes_out(100);
  event.set_bytes_in(1000);
  *event.mutable_receive_time() = ToProto(BaseTime() + later + std::chrono::seconds(number));
  return event;
}

class FlowsTest : public ::testing::Test {
 protected:
  FlowsTest() {
    Insert("acme", MakeBatch("acme", "a", 0, kAcme));
    event::BatchBuilder builder({"beta", "b", BaseTime()});
    builder.Add(Talk(1, event::v1::STARTED, std::chrono::hours(0)));
    builder.Add(Talk(2, event::v1::ENDED, std::chrono::hours(0)));
    builder.Add(Talk(3, event::v1::ALLOWED, std::chrono::hours(24)));
    builder.Add(Talk(4, event::v1::BLOCKED, std::chrono::hours(24)));
    event::v1::Event alone = Talk(5, event::v1::LOGON, std::chrono::hours(24));
    alone.clear_dst();
    builder.Add(alone);
    Insert("beta", builder.Finish());
  }
  void Insert(const std::string& token, const std::string& batch) {
    const RangeInserter inserter(archive_.client, archive_.table, archive_.retention);
    RangeData range;
    range.plan.set_token(token);
    range.entries.push_back({{1, 0}, token, batch});
    EXPECT_THAT(inserter.Insert(range), IsOk());
  }
  static v1::ListFlowsRequest Request(const std::string& tenant) {
    v1::ListFlowsRequest request;
    request.set_parent("tenants/" + tenant);
    *request.mutable_range()->mutable_start_time() = ToProto(BaseTime());
    *request.mutable_range()->mutable_end_time() = ToProto(BaseTime() + std::chrono::hours(40));
    return request;
  }
  StatusOr<v1::ListFlowsResponse> List(const v1::ListFlowsRequest& request) const {
    const std::string tenant = request.parent().substr(8);
    return flows_.ListFlows(MakeCall(tenant, {tenant == "-" ? "acme" : tenant}), request);
  }

  Archive archive_;
  const QueryRunner runner_{archive_.client, SystemClock(), {}};
  const FlowHandlers flows_{runner_};
};

// What a FortiGate tells of one session: its bytes so far and, where `delta` is not negative, since
// it told last.
event::v1::Event Told(int number, const std::string& id, event::v1::Action action, uint64_t bytes,
                      int delta, uint32_t port) {
  event::v1::Event event = Talk(number, action, std::chrono::hours(0));
  event.set_tenant("forti");
  event.mutable_dst()->set_port(port);
  event.set_vendor_event_id(id);
  event.set_bytes_out(bytes);
  event.set_bytes_in(bytes * 2);
  event.clear_fields();
  const auto add = [&event](const std::string& name, const std::string& value) {
    auto* field = event.add_fields();
    field->set_name(name);
    field->set_value(value);
  };
  add("sentbyte", std::to_string(bytes));
  if (delta >= 0) add("sentdelta", std::to_string(delta));
  if (delta >= 0) add("rcvddelta", std::to_string(delta * 2));
  return event;
}

TEST_F(FlowsTest, BytesThatAreToldAgainWhileASessionLastsCountOnce) {
  event::BatchBuilder builder({"forti", "f", BaseTime()});
  // With what was sent since; the last one has all of it as well.
  builder.Add(Told(1, "0000000020", event::v1::ALLOWED, 1000, 1000, 443));
  builder.Add(Told(2, "0000000020", event::v1::ALLOWED, 1500, 500, 443));
  builder.Add(Told(3, "0000000013", event::v1::ENDED, 1600, 100, 443));
  // Without: the end tells of all.
  builder.Add(Told(4, "0000000020", event::v1::ALLOWED, 1000, -1, 80));
  builder.Add(Told(5, "0000000020", event::v1::ALLOWED, 1500, -1, 80));
  builder.Add(Told(6, "0000000013", event::v1::ENDED, 1600, -1, 80));
  Insert("forti", builder.Finish());
  auto request = Request("forti");
  request.set_order_by("first_time");
  ASSERT_OK_AND_ASSIGN(const auto response, List(request));
  ASSERT_EQ(response.flows_size(), 2);
  for (const v1::Flow& flow : response.flows()) {
    EXPECT_EQ(flow.bytes_out(), 1600u) << flow.dst_port();
    EXPECT_EQ(flow.bytes_in(), 3200u) << flow.dst_port();
    EXPECT_EQ(flow.event_count(), 3u);
  }
}

TEST_F(FlowsTest, AQuestionThatNeedsMoreMemoryThanItMayUseGoesOnFromDisk) {
  ASSERT_THAT(archive_.client->Execute(
                  {.sql = "INSERT INTO yagura.flows SELECT 'many', toDate('2026-01-01') + number % "
                          "60, '', toIPv6(concat('2001:db8::', lower(hex(number % 65000)))), "
                          "toIPv6(concat('2001:db9::', lower(hex(intDiv(number, 3) % 65000)))), "
                          "'tcp', number % 60000, 1, 1, number, 1, now64(9), now64(9) FROM "
                          "numbers(600000)"}),
              IsOk());
  QueryLimits limits;
  limits.memory = 100ull << 20;
  const QueryRunner runner(archive_.client, SystemClock(), limits);
  const FlowHandlers flows(runner);
  auto request = Request("many");
  *request.mutable_range()->mutable_start_time() = ToProto(*ParseTime("2025-12-31T00:00:00Z"));
  *request.mutable_range()->mutable_end_time() = ToProto(*ParseTime("2026-12-31T00:00:00Z"));
  const auto response = flows.ListFlows(MakeCall("many", {"many"}), request);
  ASSERT_THAT(response, IsOk());
  EXPECT_EQ(response->flows_size(), 100);
}

TEST_F(FlowsTest, AFlowIsWhatAllItsEventsSay) {
  auto request = Request("beta");
  request.set_order_by("event_count desc");
  ASSERT_OK_AND_ASSIGN(const auto response, List(request));
  ASSERT_EQ(response.flows_size(), 2) << "an event with one end alone is no flow";
  const v1::Flow& allowed = response.flows(0);
  EXPECT_EQ(allowed.verdict(), event::v1::ALLOWED);
  EXPECT_EQ(allowed.event_count(), 3u) << "a session's begin and end, and that of the next day";
  EXPECT_EQ(allowed.bytes_out(), 200u) << "what tells of a begin has no bytes of its own";
  EXPECT_EQ(allowed.bytes_in(), 2000u);
  EXPECT_EQ(allowed.src_ip(), (std::string{10, 9, 9, 9}));
  EXPECT_EQ(allowed.dst_port(), 22u);
  EXPECT_EQ(allowed.protocol(), "tcp");
  EXPECT_EQ(allowed.site(), "tokyo");
  EXPECT_EQ(FromProto(allowed.first_time()), BaseTime() + std::chrono::seconds(1));
  EXPECT_EQ(FromProto(allowed.last_time()),
            BaseTime() + std::chrono::hours(24) + std::chrono::seconds(3));
  EXPECT_EQ(response.flows(1).verdict(), event::v1::BLOCKED);

  *request.mutable_range()->mutable_end_time() = ToProto(BaseTime() + std::chrono::hours(1));
  ASSERT_OK_AND_ASSIGN(const auto first_day, List(request));
  ASSERT_EQ(first_day.flows_size(), 1);
  EXPECT_EQ(first_day.flows(0).event_count(), 2u);
}

TEST_F(FlowsTest, FiltersSpeakOfFlows) {
  const auto count = [&](const std::string& filter) {
    auto request = Request("acme");
    request.set_filter(filter);
    request.set_page_size(10'000);
    const auto response = List(request);
    EXPECT_THAT(response, IsOk()) << filter;
    return response.ok() ? response->flows_size() : -1;
  };
  const int all = count("");
  EXPECT_GT(all, 1000);
  const int inside = count("src_ip = 10.0.0.0/25");
  EXPECT_GT(inside, 0);
  EXPECT_LT(inside, all);
  EXPECT_EQ(count("verdict = BLOCKED") + count("verdict = ALLOWED"), all);
  EXPECT_EQ(count("dst_port = 443 AND protocol = tcp"), all);
  EXPECT_EQ(count("event_count > 100"), 0);
  EXPECT_EQ(count("first_time < 2020-01-01"), 0);
  EXPECT_EQ(count("site = \"' OR 1=1 --\""), 0);
  auto wrong = Request("acme");
  wrong.set_filter("raw = x");
  EXPECT_THAT(List(wrong), StatusIs(absl::StatusCode::kInvalidArgument));
  wrong.set_filter("");
  wrong.add_group_by("day; DROP TABLE yagura.flows");
  EXPECT_THAT(List(wrong), StatusIs(absl::StatusCode::kInvalidArgument));
  wrong.clear_group_by();
  wrong.set_order_by("src_ip");
  EXPECT_THAT(List(wrong), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(FlowsTest, PagesGiveEveryFlowOnceInEveryOrder) {
  for (const std::string order : {"bytes desc", "bytes", "event_count desc", "last_time"}) {
    auto request = Request("acme");
    request.set_order_by(order);
    request.set_page_size(400);
    std::set<std::string> keys;
    uint64_t events = 0;
    int flows = 0;
    do {
      ASSERT_OK_AND_ASSIGN(const auto page, List(request));
      for (v1::Flow flow : page.flows()) {
        events += flow.event_count();
        ++flows;
        keys.insert(flow.src_ip() + flow.dst_ip() + std::to_string(flow.verdict()));
      }
      request.set_page_token(page.next_page_token());
    } while (!request.page_token().empty() && flows < 10'000);
    EXPECT_EQ(events, static_cast<uint64_t>(kAcme)) << order;
    EXPECT_EQ(keys.size(), static_cast<size_t>(flows)) << order;
  }
  auto request = Request("acme");
  request.set_page_size(1);
  ASSERT_OK_AND_ASSIGN(const auto page, List(request));
  request.set_page_token(page.next_page_token());
  request.add_group_by("src_ip");
  EXPECT_THAT(List(request), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(FlowsTest, GroupsAddFlowsUp) {
  auto request = Request("acme");
  request.add_group_by("verdict");
  request.set_order_by("event_count desc");
  ASSERT_OK_AND_ASSIGN(const auto response, List(request));
  ASSERT_EQ(response.flows_size(), 2);
  EXPECT_EQ(response.flows(0).verdict(), event::v1::ALLOWED);
  EXPECT_EQ(response.flows(0).event_count(), 2250u);
  EXPECT_EQ(response.flows(1).event_count(), 750u);
  EXPECT_GT(response.flows(0).flow_count(), 100u);
  EXPECT_EQ(response.flows(0).src_ip(), "");
  EXPECT_EQ(response.flows(0).bytes_out() + response.flows(1).bytes_out(),
            uint64_t{kAcme} * (kAcme - 1) / 2);
}

TEST_F(FlowsTest, ATenantSeesItsOwnFlowsAlone) {
  auto request = Request("-");
  request.add_group_by("tenant");
  ASSERT_OK_AND_ASSIGN(const auto response, List(request));
  ASSERT_EQ(response.flows_size(), 1);
  EXPECT_EQ(response.flows(0).tenant(), "acme");
}

TEST_F(FlowsTest, DaysThatAreOverGoByTheTenantsRetention) {
  const FlowKeeper keeper(archive_.client, archive_.retention);
  const auto tenants = [&] {
    std::map<std::string, uint64_t> events;
    const auto rows = archive_.client->Select(
        {.sql = "SELECT toString(tenant) AS t, sum(event_count) FROM yagura.flows GROUP BY t"});
    for (const auto& row : rows->rows) events[row[0].text] = row[1].AsUnsigned();
    return events;
  };
  archive_.retention.SetFlowDays({{"acme", 30}, {"beta", 60}});
  ASSERT_THAT(keeper.Sweep(BaseTime() + std::chrono::hours(24 * 29)), IsOk());
  EXPECT_EQ(tenants(), (std::map<std::string, uint64_t>{{"acme", 3000}, {"beta", 4}}));
  ASSERT_THAT(keeper.Sweep(BaseTime() + std::chrono::hours(24 * 31)), IsOk());
  EXPECT_TRUE(testing::Eventually([&] {
    return tenants() == std::map<std::string, uint64_t>{{"beta", 4}};
  }));
  ASSERT_THAT(keeper.Sweep(BaseTime() + std::chrono::hours(24 * 61)), IsOk());
  EXPECT_TRUE(testing::Eventually([&] {
    return tenants() == std::map<std::string, uint64_t>{{"beta", 2}};
  })) << "its first day is over, the second not yet";
}

}  // namespace
}  // namespace yagura::archive
