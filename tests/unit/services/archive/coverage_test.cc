// What ingestion tells of its coverage, kept in a real event store and asked for again.
#include <map>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "archive_fixture.h"
#include "common/clock/proto_time.h"
#include "common/testing/fake_clock.h"
#include "common/testing/status_matchers.h"
#include "services/archive/api/coverage_handlers.h"
#include "services/archive/api/coverage_reader.h"
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
using ::testing::ElementsAre;
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

// What a process tells of itself.
SourceHour Listening(int hour, uint64_t watched = kAllMinutes) {
  SourceHour row;
  row.set_hour(Hour("", hour, 0, 0).hour());
  row.set_watched_minutes(watched);
  return row;
}

constexpr char kFw[] = "tenants/acme/sources/fw";

TEST_F(CoverageTest, BeforeASourceWasThereNobodyHadToListenToIt) {
  // Ingestion began at 2:10, and the source came with it; other hours had been listened to.
  std::vector<SourceHour> told = {Listening(0)};
  told.push_back(Listening(2, kAllMinutes << 10 & kAllMinutes));
  told.push_back(Hour(kFw, 2, 5, uint64_t{1} << 30, kAllMinutes << 10 & kAllMinutes));
  told.push_back(Hour(kFw, 3, 5, kAllMinutes));
  Tell("one", 1, told);
  clock_->SetNow(BaseTime() + hours(4));

  const auto found = List(Request(-100, 4));
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].unwatched_minutes(), 0u);
  for (const auto period : {coverage::v1::HOUR, coverage::v1::DAY}) {
    ListCoverageRequest request = Request(-100, 4);
    request.set_period(period);
    for (const auto& one : List(request)) EXPECT_EQ(one.unwatched_minutes(), 0u) << period;
  }
}

TEST_F(CoverageTest, AfterItsEndNobodyHasToListenToASource) {
  Tell("one", 1, {Hour(kFw, 0, 5, kAllMinutes), Listening(0), Listening(1), Listening(2)});
  clock_->SetNow(BaseTime() + hours(9));  // nobody has listened since 3:00
  const auto found = List(Request(0, 10));
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].unwatched_minutes(), 0u);
}

TEST_F(CoverageTest, LinesWithoutASourceSayNothingOfTheHoursBetween) {
  // Two lines, five hours apart, at a suite without any source.
  std::vector<SourceHour> told = {Hour("tenants/acme", 0, 1, 1, 1),
                                  Hour("tenants/acme", 5, 1, uint64_t{1} << 8, kAllMinutes >> 51)};
  for (int hour = 0; hour < 5; ++hour) told.push_back(Listening(hour));
  told.push_back(Listening(5, kAllMinutes >> 20));
  Tell("one", 1, told);
  clock_->SetNow(BaseTime() + hours(5) + minutes(41));
  const auto found = List(Request(-1, 6));
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].unwatched_minutes(), 0u);
  EXPECT_EQ(found[0].silent_minutes(), 59 + 39u);
}

TEST_F(CoverageTest, WhatIsNotToldYetIsNotUnwatched) {
  Tell("one", 1,
       {Hour(kFw, 0, 5, kAllMinutes), Hour(kFw, 1, 0, 0, kAllMinutes >> 30), Listening(0),
        Listening(1, kAllMinutes >> 22)});
  clock_->SetNow(BaseTime() + hours(1) + minutes(47));
  EXPECT_EQ(List(Request(0, 2))[0].unwatched_minutes(), 0u);
  // A quarter of an hour later nobody listens, it seems.
  clock_->SetNow(BaseTime() + hours(1) + minutes(49));
  EXPECT_EQ(List(Request(0, 2))[0].unwatched_minutes(), 11u);
}

TEST_F(CoverageTest, AnOutageOfAllIsToldOfWhereverItLies) {
  // Up until 2:00, down until 8:30 two days later.
  std::vector<SourceHour> told = {Hour(kFw, 0, 5, kAllMinutes), Listening(0),
                                  Hour(kFw, 1, 5, kAllMinutes), Listening(1)};
  const uint64_t half = kAllMinutes << 30 & kAllMinutes;
  told.push_back(Hour(kFw, 56, 0, 0, half));
  told.push_back(Listening(56, half));
  told.push_back(Hour(kFw, 57, 5, kAllMinutes));
  told.push_back(Listening(57));
  Tell("one", 1, told);
  clock_->SetNow(BaseTime() + hours(58));
  const auto unwatched = [&](int from, int to, coverage::v1::Period period) {
    ListCoverageRequest request = Request(from, to);
    request.set_period(period);
    uint32_t minutes_of = 0;
    for (const auto& one : List(request)) minutes_of += one.unwatched_minutes();
    return minutes_of;
  };
  EXPECT_EQ(unwatched(0, 58, coverage::v1::RANGE), 54 * 60 + 30u);
  // A range that begins in the midst of it, longer than a day before the end.
  EXPECT_EQ(unwatched(20, 58, coverage::v1::RANGE), 36 * 60 + 30u);
  EXPECT_EQ(unwatched(56, 57, coverage::v1::HOUR), 30u);
  EXPECT_EQ(unwatched(50, 58, coverage::v1::HOUR), 30u);  // hours without a word are left out
  // One that ends in it.
  EXPECT_EQ(unwatched(0, 20, coverage::v1::RANGE), 18 * 60u);
  // It goes on.
  clock_->SetNow(BaseTime() + hours(20));
  ASSERT_THAT(archive_->client->Execute({.sql = "TRUNCATE TABLE yagura.coverage"}), IsOk());
  told.resize(4);
  Tell("one", 1, told);
  EXPECT_EQ(unwatched(0, 24, coverage::v1::RANGE), 18 * 60u);
}

TEST_F(CoverageTest, LinesWithoutASourceAreToldOfByTheSiteOfTheirRelay) {
  SourceHour hq = Hour("tenants/acme/sites/hq", 0, 3, 1);
  SourceHour branch = Hour("tenants/acme/sites/branch", 0, 4, 2);
  SourceHour direct = Hour("tenants/acme", 0, 5, 4);
  for (auto* row : {&hq, &branch, &direct}) {
    row->clear_site();
    row->clear_device();
  }
  Tell("one", 1, {hq, branch, direct, Hour("tenants/acme/sites/", 0, 1, 1)});
  ListCoverageRequest request = Request(0, 1);
  request.set_page_size(1);
  std::map<std::string, uint64_t> lines;  // by site
  do {
    const auto page = handlers_.ListCoverage(MakeCall("acme", {"acme"}), request);
    ASSERT_THAT(page, IsOk());
    ASSERT_EQ(page->coverages_size(), 1);
    EXPECT_EQ(page->coverages(0).source(), "");
    EXPECT_TRUE(lines.emplace(page->coverages(0).site(), page->coverages(0).line_count()).second);
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  EXPECT_EQ(lines, (std::map<std::string, uint64_t>{{"", 5}, {"branch", 4}, {"hq", 3}}));
  request = Request(0, 1);
  request.set_filter("site = \"hq\"");
  EXPECT_EQ(List(request).size(), 1u);
}

TEST_F(CoverageTest, OfARangeWithinAnOutageItIsSaidThatNobodyListened) {
  Tell("one", 1,
       {Hour("tenants/acme/sources/gone", -3, 5, kAllMinutes), Listening(-3),
        Hour(kFw, 0, 5, kAllMinutes), Hour("tenants/acme/sites/hq", 0, 5, kAllMinutes),
        Hour("tenants/beta/sources/fw", 0, 5, kAllMinutes), Listening(0),
        Hour(kFw, 9, 5, kAllMinutes), Listening(9)});
  for (const auto period : {coverage::v1::RANGE, coverage::v1::DAY, coverage::v1::HOUR}) {
    SCOPED_TRACE(period);
    ListCoverageRequest request = Request(3, 5);
    request.set_period(period);
    request.set_page_size(1);
    std::vector<Coverage> found;
    do {
      const auto page = handlers_.ListCoverage(MakeCall("acme", {"acme"}), request);
      ASSERT_THAT(page, IsOk());
      found.insert(found.end(), page->coverages().begin(), page->coverages().end());
      request.set_page_token(page->next_page_token());
    } while (!request.page_token().empty());
    ASSERT_EQ(found.size(), 2u);
    EXPECT_EQ(found[0].source() + " " + found[0].site(), " hq");
    EXPECT_EQ(found[1].source() + " " + found[1].site(), "fw hq");
    for (const Coverage& one : found) {
      EXPECT_EQ(one.tenant(), "acme");
      EXPECT_EQ(one.unwatched_minutes(), 120u);
      EXPECT_EQ(one.line_count(), 0u);
      EXPECT_EQ(FromProto(one.start_time()), BaseTime() + hours(3));
      EXPECT_EQ(FromProto(one.end_time()), BaseTime() + hours(5));
      EXPECT_FALSE(one.has_first_receive_time() || one.has_clock_offset());
    }
  }
  ListCoverageRequest request = Request(3, 5);
  request.set_filter("source = \"fw\" AND unwatched_minutes > 100");
  EXPECT_EQ(List(request).size(), 1u);

  const auto summary = SummarizeCoverage(runner_, MakeCall("acme", {"acme"}),
                                         {BaseTime() + hours(3), BaseTime() + hours(5)});
  ASSERT_THAT(summary, IsOk());
  EXPECT_THAT(summary->gaps(),
              ElementsAre("nobody listened to 2 of 2 sources for up to 120 minutes"));

  // Somebody listened: what has no row was not there any more.
  EXPECT_EQ(List(Request(8, 10)).size(), 1u);
  Tell("two", 1, {Listening(4, 1)});
  EXPECT_TRUE(List(Request(3, 5)).empty());
  // Word of the last minutes may be on its way; an hour that is to come is nobody's.
  EXPECT_TRUE(List(Request(10, 11)).empty());
  clock_->SetNow(BaseTime() + hours(10) + minutes(9));
  EXPECT_TRUE(List(Request(10, 11)).empty());
  clock_->SetNow(BaseTime() + hours(10) + minutes(11));
  request = Request(10, 11);
  request.set_filter("source = \"fw\"");
  ASSERT_EQ(List(request).size(), 1u);
  EXPECT_EQ(List(request)[0].unwatched_minutes(), 11u);
  EXPECT_EQ(FromProto(List(request)[0].end_time()), BaseTime() + hours(10) + minutes(11));
  EXPECT_TRUE(List(Request(-40, -30)).empty()) << "before all that is known";
}

TEST_F(CoverageTest, AnOutageIsOneOfTheSitesWhoseUnknownSendersWereThereBefore) {
  // Down from 1:00 to 5:00; behind it lines of a site that had some before, and of one that had
  // not.
  std::vector<SourceHour> told = {Hour("tenants/acme/sites/hq", 0, 3, kAllMinutes), Listening(0)};
  for (const char* name : {"tenants/acme/sites/hq", "tenants/acme/sites/branch", "tenants/acme"}) {
    told.push_back(Hour(name, 5, 3, kAllMinutes));
    told.back().clear_site();
  }
  told.push_back(Listening(5));
  Tell("one", 1, told);
  std::map<std::string, uint32_t> unwatched;  // by site
  for (const auto& one : List(Request(2, 6))) unwatched[one.site()] = one.unwatched_minutes();
  EXPECT_EQ(unwatched, (std::map<std::string, uint32_t>{{"", 0}, {"branch", 0}, {"hq", 180}}));
}

TEST_F(CoverageTest, WhatIngestionTellsOfItselfIsNobodysSource) {
  Tell("one", 1, {Listening(0), Hour(kFw, 0, 1, 1)});
  const auto response = handlers_.ListCoverage(MakeCall("-", {"-"}), Request(0, 1));
  ASSERT_THAT(response, IsOk());
  ASSERT_EQ(response->coverages_size(), 1);
  EXPECT_EQ(response->coverages(0).tenant(), "acme");
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
