// Aggregations over a real event store.
#include <set>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "archive_fixture.h"
#include "common/clock/proto_time.h"
#include "common/testing/status_matchers.h"
#include "services/archive/api/archive_handlers.h"

namespace yagura::archive {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::IsOk;
using testing::StatusIs;

constexpr int kAcme = 6000;
constexpr int kBeta = 500;

class AggregatesTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    archive_ = new Archive;
    ASSERT_THAT(InsertTwoTenants(*archive_, kAcme, kBeta), IsOk());
  }
  static void TearDownTestSuite() {
    delete archive_;
    archive_ = nullptr;
  }

  static v1::AggregateEventsRequest Request(const std::string& filter = "") {
    v1::AggregateEventsRequest request;
    request.set_parent("tenants/acme");
    request.set_filter(filter);
    *request.mutable_range()->mutable_start_time() = ToProto(BaseTime());
    *request.mutable_range()->mutable_end_time() = ToProto(BaseTime() + std::chrono::minutes(2));
    return request;
  }
  static v1::Aggregate* Add(v1::AggregateEventsRequest* request, v1::AggregateFunction function,
                            const std::string& field = "") {
    auto* aggregate = request->add_aggregates();
    aggregate->set_function(function);
    aggregate->set_field(field);
    return aggregate;
  }
  StatusOr<v1::AggregateEventsResponse> Ask(const v1::AggregateEventsRequest& request) const {
    return handlers_.AggregateEvents(acme_, request);
  }

  static Archive* archive_;
  const rpc::Call acme_ = MakeCall("acme", {"acme"});
  const QueryRunner runner_{archive_->client, SystemClock(), {}};
  const ArchiveHandlers handlers_{runner_, archive_->table};
};
Archive* AggregatesTest::archive_ = nullptr;

TEST_F(AggregatesTest, EachFunctionTellsWhatTheEventsHold) {
  auto request = Request();
  Add(&request, v1::DISTINCT, "dst.ip");
  Add(&request, v1::SUM, "bytes_out");
  Add(&request, v1::AVERAGE, "duration");
  Add(&request, v1::MIN, "bytes_out");
  Add(&request, v1::MAX, "fields.policyid");
  Add(&request, v1::FIRST_SEEN);
  Add(&request, v1::LAST_SEEN);
  Add(&request, v1::MAX, "receive_time");
  ASSERT_OK_AND_ASSIGN(const auto response, Ask(request));
  EXPECT_EQ(response.total(), static_cast<uint64_t>(kAcme));
  ASSERT_EQ(response.rows_size(), 1);
  EXPECT_EQ(response.aggregates(0).name(), "distinct_dst_ip");
  const auto& row = response.rows(0);
  EXPECT_EQ(row.count(), static_cast<uint64_t>(kAcme));
  EXPECT_EQ(row.results(0).count(), 200u);
  EXPECT_EQ(row.results(1).count(), uint64_t{kAcme} * (kAcme - 1) / 2);
  EXPECT_DOUBLE_EQ(row.results(2).number(), 30.0) << "0 seconds are not told";
  EXPECT_EQ(row.results(3).count(), 1u);
  EXPECT_DOUBLE_EQ(row.results(4).number(), 6.0);
  EXPECT_EQ(FromProto(row.results(5).time()), BaseTime());
  EXPECT_EQ(FromProto(row.results(6).time()),
            BaseTime() + std::chrono::milliseconds(10) * (kAcme - 1));
  EXPECT_EQ(FromProto(row.results(7).time()), FromProto(row.results(6).time()));
}

TEST_F(AggregatesTest, PercentilesAndDistinctKeepTheirErrors) {
  auto request = Request();
  auto* percentiles = Add(&request, v1::PERCENTILES, "bytes_out");
  for (const double percent : {1.0, 50.0, 99.5}) percentiles->add_percents(percent);
  Add(&request, v1::DISTINCT, "bytes_out");
  ASSERT_OK_AND_ASSIGN(const auto response, Ask(request));
  const auto& result = response.rows(0).results(0);
  ASSERT_EQ(result.percentiles_size(), 3);
  EXPECT_NEAR(result.percentiles(0), 60, 60 * 0.02 + 1);
  EXPECT_NEAR(result.percentiles(1), 3000, 3000 * 0.011);
  EXPECT_NEAR(result.percentiles(2), 5970, 5970 * 0.011);
  EXPECT_NEAR(static_cast<double>(response.rows(0).results(1).count()), kAcme - 1, kAcme * 0.01);
}

TEST_F(AggregatesTest, EstimatesAreMarkedAndExactResultsAreNot) {
  auto request = Request();
  Add(&request, v1::DISTINCT, "dst.ip");
  Add(&request, v1::DISTINCT, "bytes_out")->set_accuracy("exact, says the client");
  Add(&request, v1::PERCENTILES, "bytes_out");
  Add(&request, v1::SUM, "bytes_out");
  Add(&request, v1::TOP, "severity");
  Add(&request, v1::TOP, "bytes_out")->set_top(5);
  ASSERT_OK_AND_ASSIGN(const auto response, Ask(request));
  const auto& row = response.rows(0);
  EXPECT_FALSE(row.results(0).approximate()) << "200 are counted exactly";
  EXPECT_TRUE(row.results(1).approximate()) << "some 6,000 are estimated";
  EXPECT_TRUE(row.results(2).approximate());
  EXPECT_FALSE(row.results(3).approximate());
  EXPECT_FALSE(row.results(4).approximate()) << "no count has an error";
  ASSERT_GT(row.results(5).top(0).error(), 0u);
  EXPECT_TRUE(row.results(5).approximate());
  for (const int distinct : {0, 1}) {
    EXPECT_THAT(response.aggregates(distinct).accuracy(), HasSubstr("HyperLogLog")) << distinct;
  }
  EXPECT_THAT(response.aggregates(2).accuracy(), HasSubstr("1 %"));
  EXPECT_THAT(response.aggregates(3).accuracy(), "");
}

TEST_F(AggregatesTest, TopValuesComeWithTheirErrors) {
  auto request = Request();
  request.add_group_by("action");
  Add(&request, v1::TOP, "severity")->set_top(1);
  Add(&request, v1::TOP, "fields.attack");
  Add(&request, v1::TOP, "dst.ip")->set_top(200);
  ASSERT_OK_AND_ASSIGN(const auto response, Ask(request));
  ASSERT_EQ(response.rows_size(), 2);
  EXPECT_THAT(response.rows(0).values(), ElementsAre("ALLOWED"));
  ASSERT_EQ(response.rows(0).results(0).top_size(), 1);
  EXPECT_EQ(response.rows(0).results(0).top(0).value(), "LOW");
  EXPECT_EQ(response.rows(0).results(0).top(0).count(), 4200u);
  EXPECT_EQ(response.rows(0).results(0).top(0).error(), 0u);
  const auto& attacks = response.rows(1).results(1);
  ASSERT_EQ(attacks.top_size(), 1) << "values that are missing do not count";
  EXPECT_EQ(attacks.top(0).value(), "Evil.Thing");
  EXPECT_EQ(attacks.top(0).count(), 300u);
  EXPECT_EQ(response.aggregates(2).top(), 100);
  EXPECT_THAT(response.rows(0).results(2).top(0).value(), HasSubstr("2001:db8::"));
}

TEST_F(AggregatesTest, GroupsAreOrderedByAnyAggregateWithOneValue) {
  auto request = Request("action = ALLOWED");
  request.add_group_by("fields.policyid");
  request.set_limit(3);
  Add(&request, v1::SUM, "bytes_out")->set_name("volume");
  request.set_order_by("volume desc");
  ASSERT_OK_AND_ASSIGN(const auto response, Ask(request));
  EXPECT_TRUE(response.truncated());
  EXPECT_EQ(response.total(), 4500u);
  ASSERT_EQ(response.rows_size(), 3);
  EXPECT_GE(response.rows(0).results(0).count(), response.rows(1).results(0).count());
  EXPECT_GE(response.rows(1).results(0).count(), response.rows(2).results(0).count());
  request.set_order_by("value");
  ASSERT_OK_AND_ASSIGN(const auto by_value, Ask(request));
  EXPECT_THAT(by_value.rows(0).values(), ElementsAre("0"));
}

TEST_F(AggregatesTest, AnIntervalTellsTheFirstGroupsOverTime) {
  auto request = Request();
  request.add_group_by("device");
  request.set_limit(2);
  request.set_order_by("value desc");
  request.mutable_interval()->set_seconds(20);
  Add(&request, v1::DISTINCT, "src.ip");
  ASSERT_OK_AND_ASSIGN(const auto response, Ask(request));
  EXPECT_TRUE(response.truncated());
  EXPECT_EQ(response.total(), static_cast<uint64_t>(kAcme));
  ASSERT_EQ(response.rows_size(), 6) << "two groups in each of the three buckets with events";
  EXPECT_THAT(response.rows(0).values(), ElementsAre("fw2"));
  EXPECT_THAT(response.rows(1).values(), ElementsAre("fw1"));
  EXPECT_EQ(FromProto(response.rows(0).start_time()), BaseTime());
  EXPECT_EQ(FromProto(response.rows(5).start_time()), BaseTime() + std::chrono::seconds(40));
  uint64_t sum = 0;
  for (const auto& row : response.rows()) sum += row.count();
  EXPECT_EQ(sum, 4000u);
  request.mutable_interval()->set_seconds(1);
  request.set_limit(1000);
  EXPECT_THAT(Ask(request), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(AggregatesTest, NothingThatMatchesIsNothing) {
  auto request = Request("user = nobody");
  Add(&request, v1::SUM, "bytes_out");
  Add(&request, v1::PERCENTILES, "bytes_out");
  Add(&request, v1::FIRST_SEEN);
  Add(&request, v1::TOP, "user");
  ASSERT_OK_AND_ASSIGN(const auto response, Ask(request));
  EXPECT_EQ(response.total(), 0u);
  for (const auto& row : response.rows()) {
    for (const auto& result : row.results()) EXPECT_EQ(result.ByteSizeLong(), 0u);
  }
}

TEST_F(AggregatesTest, AllPermittedTenantsAndNoOther) {
  auto request = Request();
  request.set_parent("tenants/-");
  request.add_group_by("tenant");
  ASSERT_OK_AND_ASSIGN(const auto both,
                       handlers_.AggregateEvents(MakeCall("-", {"acme", "beta"}), request));
  EXPECT_EQ(both.total(), static_cast<uint64_t>(kAcme + kBeta));
  ASSERT_OK_AND_ASSIGN(const auto one, handlers_.AggregateEvents(MakeCall("-", {"beta"}), request));
  ASSERT_EQ(one.rows_size(), 1);
  EXPECT_THAT(one.rows(0).values(), ElementsAre("beta"));
}

TEST_F(AggregatesTest, WrongRequestsAreNamed) {
  const auto refused = [&](const std::function<void(v1::AggregateEventsRequest*)>& spoil) {
    auto request = Request();
    spoil(&request);
    return Ask(request).status();
  };
  const auto bad = StatusIs(absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(refused([](auto* r) { Add(r, v1::SUM, "user"); }), bad);
  EXPECT_THAT(refused([](auto* r) { Add(r, v1::SUM, "receive_time"); }), bad);
  EXPECT_THAT(refused([](auto* r) { Add(r, v1::SUM, ""); }), bad);
  EXPECT_THAT(refused([](auto* r) { Add(r, v1::FIRST_SEEN, "user"); }), bad);
  EXPECT_THAT(refused([](auto* r) { Add(r, v1::DISTINCT, "raw) FROM system.one --"); }), bad);
  EXPECT_THAT(refused([](auto* r) { Add(r, v1::DISTINCT, "user")->set_name("a b"); }), bad);
  EXPECT_THAT(refused([](auto* r) { Add(r, v1::PERCENTILES, "bytes_in")->add_percents(101); }),
              bad);
  EXPECT_THAT(refused([](auto* r) {
                Add(r, v1::SUM, "bytes_in");
                Add(r, v1::SUM, "bytes_in");
              }),
              bad);
  EXPECT_THAT(refused([](auto* r) { r->set_order_by("r0; DROP TABLE yagura.events"); }), bad);
  EXPECT_THAT(refused([](auto* r) {
                Add(r, v1::TOP, "user");
                r->set_order_by("top_user");
              }),
              bad);
  auto hostile = Request();
  Add(&hostile, v1::SUM, "fields.x']) FROM system.tables --");
  ASSERT_OK_AND_ASSIGN(const auto response, Ask(hostile));
  EXPECT_FALSE(response.rows(0).results(0).has_number());
}

TEST_F(AggregatesTest, ALimitOfTheStoreIsNamed) {
  const auto refused = [&](const QueryLimits& limits) {
    const QueryRunner runner(archive_->client, SystemClock(), limits);
    auto request = Request();
    request.add_group_by("raw");
    for (int i = 0; i < 10; ++i) {
      Add(&request, v1::PERCENTILES, "bytes_out")->set_name(fmt::format("p{}", i));
    }
    return ArchiveHandlers(runner, archive_->table).AggregateEvents(acme_, request).status();
  };
  for (const auto& [limits, name] :
       {std::pair(QueryLimits{.rows = 100}, "query_limits.rows"),
        std::pair(QueryLimits{.bytes = 1000}, "query_limits.bytes"),
        std::pair(QueryLimits{.memory = 1 << 20}, "query_limits.memory")}) {
    const Status status = refused(limits);
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted, "QUERY_TOO_LARGE"));
    EXPECT_THAT(std::string(Message(status)), HasSubstr(name));
    EXPECT_EQ(GetErrorMetadata(status)["limit"], name);
  }
}

}  // namespace
}  // namespace yagura::archive
