// What ingestion tells of its coverage, kept in a real event store and asked for again.
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "archive_fixture.h"
#include "common/clock/proto_time.h"
#include "common/testing/fake_clock.h"
#include "common/testing/status_matchers.h"
#include "services/archive/api/coverage_handlers.h"
#include "services/archive/api/query_runner.h"
#include "services/archive/workers/coverage_writer.h"
#include "yagura/ingestion/v1/coverage_report.pb.h"

namespace yagura::archive {
namespace {

using coverage::v1::Coverage;
using coverage::v1::ListCoverageRequest;
using ingestion::v1::CoverageReport;
using ingestion::v1::SourceHour;
using std::chrono::hours;
using std::chrono::minutes;
using testing::IsOk;
using testing::StatusIs;

constexpr uint64_t kAllMinutes = (uint64_t{1} << 60) - 1;

SourceHour Hour(const std::string& source, int hour, uint64_t lines, uint64_t heard,
                uint64_t watched = kAllMinutes) {
  SourceHour row;
  row.set_source(source);
  row.set_hour(BaseTime().time_since_epoch() / hours(1) + hour);
  row.set_lines(lines);
  row.set_bytes(lines * 100);
  row.set_minutes(heard);
  row.set_watched_minutes(watched);
  row.set_site("hq");
  row.set_device("fw1");
  if (lines > 0) {
    *row.mutable_first_receive_time() = ToProto(BaseTime() + hours(hour) + std::chrono::minutes(1));
    *row.mutable_last_receive_time() = ToProto(BaseTime() + hours(hour) + std::chrono::minutes(50));
  }
  return row;
}

class CoverageTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { archive_ = new Archive; }
  static void TearDownTestSuite() {
    delete archive_;
    archive_ = nullptr;
  }
  void SetUp() override {
    ASSERT_THAT(archive_->client->Execute({.sql = "TRUNCATE TABLE yagura.coverage"}), IsOk());
    clock_->SetNow(BaseTime() + hours(10));
  }

  void Tell(const std::string& instance, uint64_t sequence, std::vector<SourceHour> rows) {
    CoverageReport report;
    report.set_instance(instance);
    report.set_sequence(sequence);
    for (const auto& row : rows) *report.add_hours() = row;
    ASSERT_THAT(writer_.Handle({{{1, 0}, "key", report.SerializeAsString()}}), IsOk());
  }

  static ListCoverageRequest Request(int from_hour, int to_hour) {
    ListCoverageRequest request;
    request.set_parent("tenants/acme");
    *request.mutable_range()->mutable_start_time() = ToProto(BaseTime() + hours(from_hour));
    *request.mutable_range()->mutable_end_time() = ToProto(BaseTime() + hours(to_hour));
    return request;
  }
  std::vector<Coverage> List(const ListCoverageRequest& request,
                             const std::string& tenant = "acme") const {
    const auto response = handlers_.ListCoverage(MakeCall(tenant, {tenant}), request);
    EXPECT_THAT(response, IsOk());
    if (!response.ok()) return {};
    return {response->coverages().begin(), response->coverages().end()};
  }

  static inline Archive* archive_ = nullptr;
  std::shared_ptr<testing::FakeClock> clock_ = std::make_shared<testing::FakeClock>();
  CoverageWriter writer_{archive_->client};
  QueryRunner runner_{archive_->client, clock_, {}};
  CoverageHandlers handlers_{runner_};
};

TEST_F(CoverageTest, StartsOfProcessesAddUpAndRepeatsReplace) {
  SourceHour early = Hour("tenants/acme/sources/fw", 0, 10, 0b1);
  SourceHour first = Hour("tenants/acme/sources/fw", 0, 100, 0b11);
  first.set_lost(5);
  first.set_kernel_drops(7);
  first.add_offset_seconds(1);
  first.add_offset_counts(60);
  first.add_offset_seconds(32'400);
  first.add_offset_counts(40);
  SourceHour second = Hour("tenants/acme/sources/fw", 0, 50, 0b110);
  second.add_offset_seconds(32'400);
  second.add_offset_counts(50);
  Tell("one", 1, {early});
  Tell("one", 2, {first});
  Tell("one", 2, {first});
  Tell("two", 1, {second});
  Tell("one", 1, {early});  // late: an older word of the same start

  const auto found = List(Request(0, 1));
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].source(), "fw");
  EXPECT_EQ(found[0].device(), "fw1");
  EXPECT_EQ(found[0].line_count(), 150u);
  EXPECT_EQ(found[0].byte_count(), 15'000u);
  EXPECT_EQ(found[0].lost_count(), 5u);
  EXPECT_EQ(found[0].kernel_drop_count(), 7u);
  EXPECT_EQ(found[0].silent_minutes(), 57u);
  EXPECT_EQ(found[0].unwatched_minutes(), 0u);
  EXPECT_EQ(found[0].clock_offset().seconds(), 32'400);
  EXPECT_EQ(FromProto(found[0].start_time()), BaseTime());
}

TEST_F(CoverageTest, SilenceIsToldFromNobodyListening) {
  const std::string quiet = "tenants/acme/sources/quiet";
  // An hour with lines; one of silence; one without ingestion; half an hour of silence.
  Tell("one", 1, {Hour(quiet, 0, 5, kAllMinutes), Hour(quiet, 1, 0, 0)});
  Tell("two", 1, {Hour(quiet, 3, 0, 0, kAllMinutes >> 30)});
  clock_->SetNow(BaseTime() + hours(3) + minutes(30));

  auto whole = List(Request(0, 4));
  ASSERT_EQ(whole.size(), 1u);
  EXPECT_EQ(whole[0].hours_with_lines(), 1u);
  EXPECT_EQ(whole[0].silent_minutes(), 90u);
  EXPECT_EQ(whole[0].unwatched_minutes(), 60u);
  EXPECT_FALSE(whole[0].has_clock_offset());

  ListCoverageRequest request = Request(0, 4);
  request.set_period(coverage::v1::HOUR);
  const auto by_hour = List(request);
  ASSERT_EQ(by_hour.size(), 3u);
  EXPECT_EQ(by_hour[1].silent_minutes(), 60u);
  EXPECT_EQ(by_hour[2].silent_minutes(), 30u);
  EXPECT_EQ(by_hour[2].unwatched_minutes(), 0u);
  EXPECT_EQ(FromProto(by_hour[2].end_time()), BaseTime() + hours(3) + minutes(30));
}

TEST_F(CoverageTest, OnlyTheCallersTenantsAreSeen) {
  Tell("one", 1,
       {Hour("tenants/acme/sources/fw", 0, 1, 1), Hour("tenants/beta/sources/fw", 0, 2, 1),
        Hour("tenants/acme", 0, 3, 1), Hour("nonsense", 0, 4, 1)});
  const auto acme = List(Request(0, 1));
  ASSERT_EQ(acme.size(), 2u);
  EXPECT_EQ(acme[0].source(), "");
  EXPECT_EQ(acme[0].line_count(), 3u);
  EXPECT_EQ(acme[1].line_count(), 1u);
  EXPECT_EQ(List(Request(0, 1), "beta")[0].line_count(), 2u);
}

TEST_F(CoverageTest, PagesAndFilters) {
  std::vector<SourceHour> rows;
  for (int i = 0; i < 25; ++i) {
    rows.push_back(
        Hour(fmt::format("tenants/acme/sources/s{:02}", i), 0, static_cast<uint64_t>(i + 1), 1));
    rows.back().set_lost(static_cast<uint64_t>(i % 2));
  }
  Tell("one", 1, rows);
  ListCoverageRequest request = Request(0, 1);
  request.set_page_size(10);
  std::vector<std::string> sources;
  do {
    const auto page = handlers_.ListCoverage(MakeCall("acme", {"acme"}), request);
    ASSERT_THAT(page, IsOk());
    for (const auto& one : page->coverages()) sources.push_back(one.source());
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  ASSERT_EQ(sources.size(), 25u);
  EXPECT_TRUE(std::is_sorted(sources.begin(), sources.end()));

  request.set_page_size(0);
  request.set_filter("lost_count > 0 AND line_count <= 10");
  EXPECT_EQ(List(request).size(), 5u);
  request.set_filter("source = \"s03\"");
  EXPECT_EQ(List(request).size(), 1u);
  request.set_filter(fmt::format("start_time >= \"{}\"", FormatTime(BaseTime())));
  EXPECT_EQ(List(request).size(), 25u);
}

TEST_F(CoverageTest, WhatIsWrongIsNamed) {
  const auto call = MakeCall("acme", {"acme"});
  ListCoverageRequest request = Request(0, 1);
  request.set_page_size(-1);
  EXPECT_THAT(handlers_.ListCoverage(call, request), StatusIs(absl::StatusCode::kInvalidArgument));
  request.set_page_size(0);
  request.set_page_token("AAAA");
  EXPECT_THAT(handlers_.ListCoverage(call, request), StatusIs(absl::StatusCode::kInvalidArgument));
  request.clear_page_token();
  request.set_filter("nonsense = 1");
  EXPECT_THAT(handlers_.ListCoverage(call, request), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(writer_.Handle({{{1, 0}, "key", "\xff not a report"}}),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace yagura::archive
