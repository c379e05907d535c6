// Coverage on its way to the topic "coverage" of a real flow Redis, also when that was away and the
// process was killed meanwhile.
#include "services/ingestion/workers/coverage_reporter.h"

#include <filesystem>
#include <fstream>
#include <map>

#include "gtest/gtest.h"

#include "common/redis/pool.h"
#include "common/stream/producer.h"
#include "common/stream/topics.h"
#include "common/testing/fake_clock.h"
#include "common/testing/redis_server.h"
#include "common/testing/status_matchers.h"
#include "services/ingestion/domain/intake.h"
#include "services/ingestion/workers/current_sources.h"
#include "yagura/directory/v1/source.pb.h"

namespace yagura::ingestion {
namespace {

constexpr char kFw[] = "tenants/acme/sources/fw";

class CoverageReporterTest : public ::testing::Test {
 protected:
  CoverageReporterTest() : file_(redis_.folder() / "ingestion" / "coverage.pb") {
    directory::v1::Source source;
    source.set_name(kFw);
    source.set_device("fw1");
    source.mutable_match()->set_cidr("127.0.0.0/8");
    source.mutable_silence_limit()->set_seconds(300);
    sources_->Set(SourceMap::Build({source}, {}, nullptr));
  }

  std::shared_ptr<CoverageLedger> NewLedger(const std::string& instance) {
    return std::make_shared<CoverageLedger>("host", instance);
  }
  CoverageReporter NewReporter(const std::shared_ptr<CoverageLedger>& ledger) {
    return CoverageReporter({std::chrono::seconds(10), file_},
                            {ledger, sources_,
                             std::make_shared<stream::Producer>(pool_, stream::CoverageTopic(),
                                                                stream::Producer::Options{}),
                             clock_, Logger::Null()});
  }

  ReadyBatch Batch(size_t lines) const {
    ReadyBatch batch;
    batch.partition = kFw;
    batch.listener = "syslog_tcp";
    batch.events = lines;
    batch.stats.first = clock_->Now();
    batch.stats.last = clock_->Now();
    return batch;
  }

  // What a reader makes of the topic: the last word of each start, added up.
  uint64_t Lines() {
    const auto reply = pool_->Command({"XRANGE", stream::StreamKey("coverage", 0), "-", "+"});
    EXPECT_THAT(reply, testing::IsOk());
    if (!reply.ok()) return 0;
    // Sequence and lines by start and source.
    std::map<std::pair<std::string, std::string>, std::pair<uint64_t, uint64_t>> last;
    for (const auto& entry : reply->items) {
      v1::CoverageReport report;
      const auto& fields = entry.items.at(1).items;
      for (size_t i = 0; i + 1 < fields.size(); i += 2) {
        if (fields[i].text != "p") continue;
        EXPECT_TRUE(report.ParseFromString(fields[i + 1].text));
      }
      if (report.lists_sources()) listed_ = report.sources_size();
      for (const auto& hour : report.hours()) {
        auto& known = last[{report.instance(), hour.source()}];
        if (report.sequence() >= known.first) known = {report.sequence(), hour.lines()};
      }
    }
    uint64_t lines = 0;
    for (const auto& [key, one] : last) lines += one.second;
    return lines;
  }

  testing::RedisServer redis_;
  const std::shared_ptr<redis::Pool> pool_ = redis_.NewPool();
  const std::filesystem::path file_;
  const std::shared_ptr<CurrentSources> sources_ = std::make_shared<CurrentSources>();
  const std::shared_ptr<testing::FakeClock> clock_ = std::make_shared<testing::FakeClock>();
  int listed_ = 0;
};

TEST_F(CoverageReporterTest, WhatCameInIsToldEveryInterval) {
  const auto ledger = NewLedger("one");
  CoverageReporter reporter = NewReporter(ledger);
  reporter.Turn(false);
  EXPECT_EQ(Lines(), 0u);
  EXPECT_EQ(listed_, 1);
  ledger->Received(Batch(10));
  clock_->Advance(std::chrono::seconds(2));
  reporter.Turn(false);
  EXPECT_EQ(Lines(), 0u);
  EXPECT_TRUE(std::filesystem::exists(file_));
  clock_->Advance(std::chrono::seconds(8));
  reporter.Turn(false);
  EXPECT_EQ(Lines(), 10u);
  EXPECT_FALSE(std::filesystem::exists(file_));
}

TEST_F(CoverageReporterTest, AKilledProcessHasItToldByTheNextOnce) {
  {
    const auto ledger = NewLedger("one");
    CoverageReporter killed = NewReporter(ledger);
    killed.Turn(false);
    ledger->Received(Batch(10));
    killed.Turn(true);
    ledger->Received(Batch(5));
    killed.Turn(false);  // kept in the file alone
  }
  EXPECT_EQ(Lines(), 10u);
  const auto ledger = NewLedger("two");
  CoverageReporter next = NewReporter(ledger);
  ledger->Received(Batch(1));
  next.Turn(false);
  EXPECT_EQ(Lines(), 16u);
  EXPECT_FALSE(std::filesystem::exists(file_));
}

TEST_F(CoverageReporterTest, AnOutageOfRedisLosesNothing) {
  const auto ledger = NewLedger("one");
  CoverageReporter reporter = NewReporter(ledger);
  reporter.Turn(true);
  redis_.KillHard();
  ledger->Received(Batch(10));
  reporter.Turn(true);
  EXPECT_TRUE(std::filesystem::exists(file_));
  ledger->Received(Batch(1));
  redis_.Restart();
  reporter.Turn(true);
  EXPECT_EQ(Lines(), 11u);
}

TEST_F(CoverageReporterTest, AFileThatIsBrokenStopsNothing) {
  std::filesystem::create_directories(file_.parent_path());
  std::ofstream(file_) << "\xff nonsense";
  const auto ledger = NewLedger("one");
  CoverageReporter reporter = NewReporter(ledger);
  ledger->Received(Batch(3));
  reporter.Turn(true);
  EXPECT_EQ(Lines(), 3u);
}

}  // namespace
}  // namespace yagura::ingestion
