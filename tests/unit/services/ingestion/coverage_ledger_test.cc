// What a process received, lost and listened to, by source and hour.
#include "services/ingestion/domain/coverage_ledger.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/clock/proto_time.h"
#include "common/event/event_view.h"
#include "services/ingestion/domain/intake.h"
#include "yagura/event/v1/event.pb.h"

namespace yagura::ingestion {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr char kFw[] = "tenants/acme/sources/fw";
constexpr char kQuiet[] = "tenants/acme/sources/quiet";

TimePoint At(int hour, int minute, int second = 0) {
  return TimePoint(hours(24 * 365 * 56 + hour) + minutes(minute) + seconds(second));
}

ReadyBatch Batch(TimePoint time, size_t lines, std::string listener = "syslog_udp",
                 std::string key = "k") {
  ReadyBatch batch;
  batch.partition = kFw;
  batch.source = kFw;
  batch.tenant = "acme";
  batch.key = std::move(key);
  batch.listener = std::move(listener);
  batch.events = lines;
  batch.bytes = lines * 100;
  batch.unparsed = 1;
  batch.stats.first = time;
  batch.stats.last = time + std::chrono::milliseconds(50);
  return batch;
}

const v1::SourceHour* Find(const std::vector<v1::CoverageReport>& reports,
                           const std::string& source, TimePoint hour) {
  for (const auto& report : reports) {
    for (const auto& row : report.hours()) {
      if (row.source() == source && row.hour() == hour.time_since_epoch() / hours(1)) return &row;
    }
  }
  return nullptr;
}

v1::WatchedSource Watched(const std::string& name) {
  v1::WatchedSource source;
  source.set_name(name);
  source.set_site("hq");
  return source;
}

TEST(CoverageLedgerTest, CountsAnHourOfASourceAndTellsItWhole) {
  CoverageLedger ledger("host", "one");
  ledger.Listened(At(1, 5));
  ledger.Received(Batch(At(1, 5), 10));
  ledger.Received(Batch(At(1, 7), 5));
  ledger.Lost(Batch(At(1, 7), 5));
  ledger.Listened(At(1, 7));

  auto reports = ledger.Collect(At(1, 7));
  const auto* row = Find(reports, kFw, At(1, 0));
  ASSERT_NE(row, nullptr);
  EXPECT_EQ(row->lines(), 15u);
  EXPECT_EQ(row->bytes(), 1500u);
  EXPECT_EQ(row->unparsed(), 2u);
  EXPECT_EQ(row->lost(), 5u);
  EXPECT_EQ(row->minutes(), uint64_t{1} << 5 | uint64_t{1} << 7);
  EXPECT_EQ(row->watched_minutes(), uint64_t{7} << 5);
  EXPECT_EQ(FromProto(reports[0].start_time()), At(1, 5));
  EXPECT_EQ(FromProto(reports[0].end_time()), At(1, 7));

  // What has not changed is not told again; what grew is told whole.
  EXPECT_EQ(Find(ledger.Collect(At(1, 8)), kFw, At(1, 0)), nullptr);
  ledger.Received(Batch(At(1, 9), 1));
  reports = ledger.Collect(At(1, 9));
  EXPECT_EQ(Find(reports, kFw, At(1, 0))->lines(), 16u);
}

TEST(CoverageLedgerTest, WhatCouldNotBeToldIsToldLater) {
  CoverageLedger ledger("host", "one");
  ledger.Received(Batch(At(1, 5), 10));
  const auto refused = ledger.Collect(At(1, 6));
  EXPECT_EQ(ledger.Untold().hours_size(), 0);
  ledger.PutBack(refused);
  EXPECT_EQ(ledger.Untold().hours_size(), 1);
  // Even after hours.
  const auto late = ledger.Collect(At(9, 0));
  ASSERT_NE(Find(late, kFw, At(1, 0)), nullptr);
  ledger.PutBack(late);
  ledger.Collect(At(9, 1));
  ledger.PutBack(late);
  const auto later = ledger.Collect(At(9, 2));
  ASSERT_NE(Find(later, kFw, At(1, 0)), nullptr);
  EXPECT_EQ(Find(later, kFw, At(1, 0))->lines(), 10u);
}

TEST(CoverageLedgerTest, ManyRowsAreThePartsOfOneReport) {
  CoverageLedger ledger("host", "one");
  std::vector<v1::WatchedSource> sources;
  for (int i = 0; i < 2 * CoverageLedger::kMaxHours + 1; ++i) {
    sources.push_back(Watched("tenants/acme/sources/s" + std::to_string(i)));
  }
  ledger.SetSources(sources);
  ledger.Listened(At(1, 0));
  const auto first = ledger.Collect(At(1, 0));
  ASSERT_EQ(first.size(), 3u);
  for (size_t i = 0; i < first.size(); ++i) {
    EXPECT_EQ(first[i].report(), first[0].sequence());
    EXPECT_EQ(first[i].part(), i);
    EXPECT_EQ(first[i].parts(), 3u);
    EXPECT_EQ(first[i].lists_sources(), i == 2);
  }
  const auto second = ledger.Collect(At(1, 1));
  ASSERT_EQ(second.size(), 1u);
  EXPECT_GT(second[0].report(), first[0].report());
  EXPECT_EQ(second[0].parts(), 1u);
}

TEST(CoverageLedgerTest, ASourceThatSendsNothingHasHoursToo) {
  CoverageLedger ledger("host", "one");
  ledger.SetSources({Watched(kFw), Watched(kQuiet)});
  ledger.Listened(At(1, 0));
  auto reports = ledger.Collect(At(1, 0));
  EXPECT_TRUE(reports[0].lists_sources());
  EXPECT_EQ(reports[0].sources_size(), 2);
  for (int minute = 1; minute <= 60; ++minute) ledger.Listened(At(1, minute));
  reports = ledger.Collect(At(2, 0));
  const auto* row = Find(reports, kQuiet, At(1, 0));
  ASSERT_NE(row, nullptr);
  EXPECT_EQ(row->lines(), 0u);
  EXPECT_EQ(row->site(), "hq");
  EXPECT_EQ(row->watched_minutes(), (uint64_t{1} << 60) - 1);
}

TEST(CoverageLedgerTest, ItTellsEachMinuteThatItListensWithoutAnySource) {
  CoverageLedger ledger("host", "one");
  ledger.Listened(At(1, 5));
  auto reports = ledger.Collect(At(1, 5));
  ASSERT_NE(Find(reports, "", At(1, 0)), nullptr);
  EXPECT_EQ(Find(reports, "", At(1, 0))->watched_minutes(), uint64_t{1} << 5);
  ledger.Listened(At(1, 5, 30));
  EXPECT_EQ(Find(ledger.Collect(At(1, 5, 30)), "", At(1, 0)), nullptr);
  // Also where it is killed then.
  ledger.Listened(At(1, 6));
  ASSERT_EQ(ledger.Untold().hours_size(), 1);
  EXPECT_EQ(ledger.Untold().hours(0).watched_minutes(), uint64_t{3} << 5);
  ledger.Listened(At(1, 59, 30));  // a sleep
  ledger.Listened(At(2, 0));
  reports = ledger.Collect(At(2, 0));
  EXPECT_EQ(Find(reports, "", At(1, 0))->watched_minutes(), uint64_t{3} << 5 | uint64_t{1} << 59);
  EXPECT_EQ(Find(reports, "", At(2, 0))->watched_minutes(), 1u);
}

TEST(CoverageLedgerTest, ASleepIsNoListening) {
  CoverageLedger ledger("host", "one");
  ledger.SetSources({Watched(kQuiet)});
  ledger.Listened(At(1, 0));
  ledger.Listened(At(1, 30));
  const auto reports = ledger.Collect(At(1, 30));
  EXPECT_EQ(Find(reports, kQuiet, At(1, 0))->watched_minutes(), 1u | uint64_t{1} << 30);
}

TEST(CoverageLedgerTest, DropsOfTheKernelAreSharedOutAmongTheListenersSources) {
  CoverageLedger ledger("host", "one");
  ledger.Received(Batch(At(1, 5), 30));
  ReadyBatch other = Batch(At(1, 5), 10);
  other.partition = kQuiet;
  ledger.Received(other);
  ReadyBatch tcp = Batch(At(1, 5), 1000, "syslog_tcp");
  tcp.partition = "tenants/beta";
  ledger.Received(tcp);
  ledger.Dropped("syslog_udp", 101);
  const auto reports = ledger.Collect(At(1, 6));
  const auto drops = [&](const char* source) {
    return Find(reports, source, At(1, 0))->kernel_drops();
  };
  EXPECT_EQ(drops("tenants/beta"), 0u);
  EXPECT_NEAR(static_cast<double>(drops(kFw)), 75, 1);
  EXPECT_EQ(drops(kFw) + drops(kQuiet), 101u);
}

TEST(LineStatsTest, OffsetsAreInClasses) {
  EXPECT_EQ(ClockOffsets::ClassOf(0), 0);
  EXPECT_EQ(ClockOffsets::ClassOf(-59), -59);
  EXPECT_EQ(ClockOffsets::ClassOf(63), 63);
  for (const int64_t exact : {64LL, 3600LL, 32'400LL, -32'400LL, 86'400LL * 400}) {
    const double error = std::abs(static_cast<double>(ClockOffsets::ClassOf(exact) - exact) /
                                  static_cast<double>(exact));
    EXPECT_LE(error, 0.016) << exact;
  }
  ClockOffsets offsets;
  for (int64_t i = 0; i < 100'000; ++i) offsets.Add(i * 7);
  EXPECT_LE(offsets.entries().size(), 128u);
}

TEST(LineStatsTest, ALineWithoutATimeHasNoOffset) {
  LineStats stats;
  event::EventView event;
  event.receive_time = At(1, 0);
  event.event_time = At(1, 0) - seconds(5);
  stats.Note(event);
  event.flaws = uint64_t{1} << event::v1::NO_EVENT_TIME;
  stats.Note(event);
  event.flaws = uint64_t{1} << event::v1::CLOCK_ERROR | uint64_t{1} << event::v1::PARTLY_PARSED;
  stats.Note(event);
  EXPECT_EQ(stats.untimed, 1u);
  EXPECT_EQ(stats.clock_errors, 1u);
  EXPECT_EQ(stats.partly_parsed, 1u);
  EXPECT_THAT(stats.offsets.entries(), ::testing::ElementsAre(ClockOffsets::Entry(5, 2)));
}

}  // namespace
}  // namespace yagura::ingestion
