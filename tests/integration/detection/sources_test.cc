// What is watched of log sources, over real Redis, with workers that are killed at every point: the
// same reports give the same findings.
#include <random>

#include "common/stream/scripts.h"
#include "services/detection/storage/source_watch_store.h"
#include "services/detection/workers/source_worker.h"
#include "tests/integration/detection/pipeline_fixture.h"
#include "yagura/ingestion/v1/coverage_report.pb.h"

namespace yagura::detection {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using ::testing::HasSubstr;

const stream::Topic kCoverage{"coverage", 1, {"detection"}};
constexpr int kSources = 12;

class SourcesTest : public DetectionPipelineTest {
 protected:
  void SetUp() override { Empty(); }

  void Empty() {
    const auto pool = redis_.NewPool();
    ASSERT_THAT(pool->Command({"FLUSHALL"}), IsOk());
    for (const auto& topic : {kCoverage, kFindings}) {
      ASSERT_THAT(stream::DeclareReaders(*pool, topic), IsOk());
    }
    ASSERT_THAT(store::RegisterTenant(*pool, "provider"), IsOk());
  }

  static std::string NameOf(int number) { return fmt::format("tenants/acme/sources/s{}", number); }

  // Six hours of two processes, four minutes a report, each in three parts; one falls silent for a
  // while, one floods, one process stops for good.
  void Produce() {
    stream::Producer producer(redis_.NewPool(), kCoverage, {});
    uint64_t sequence = 0;
    std::map<std::string, uint64_t> lines;
    for (int step = 0; step < 90; ++step) {
      for (const std::string ingester : {"a", "b"}) {
        if (ingester == "b" && step > 40) continue;
        ProduceReport(producer, ingester, step, &sequence, &lines);
      }
    }
  }

  static void ProduceReport(stream::Producer& producer, const std::string& ingester, int step,
                            uint64_t* sequence, std::map<std::string, uint64_t>* lines) {
    const TimePoint start = TimePoint(hours(24 * 365 * 56)) + minutes(4 * step);
    const uint64_t report = *sequence + 1;
    for (uint32_t part = 0; part < 3; ++part) {
      ingestion::v1::CoverageReport told;
      told.set_ingester(ingester);
      told.set_instance("1");
      told.set_sequence(++*sequence);
      told.set_report(report);
      told.set_part(part);
      told.set_parts(3);
      *told.mutable_start_time() = ToProto(start);
      *told.mutable_end_time() = ToProto(start + minutes(4));
      for (int i = static_cast<int>(part); i < kSources; i += 3) {
        AddRow(told, ingester, i, step, start, lines);
      }
      if (part == 2) {
        told.set_lists_sources(true);
        for (int i = 0; i < kSources; ++i) {
          auto* source = told.add_sources();
          source->set_name(NameOf(i));
          *source->mutable_silence_limit() = ToProtoDuration(minutes(10));
        }
      }
      ASSERT_THAT(producer.Append(0, fmt::format("{}/{}", told.instance(), told.sequence()),
                                  told.SerializeAsString()),
                  IsOk());
    }
  }

  static void AddRow(ingestion::v1::CoverageReport& told, const std::string& ingester, int number,
                     int step, TimePoint start, std::map<std::string, uint64_t>* lines) {
    if ((number % 4 == 0) != (ingester == "b")) return;
    const bool quiet = number == 1 && step > 20 && step < 35;
    const uint64_t sent = quiet ? 0 : number == 2 && step > 60 ? 50'000 : 100;
    const int64_t hour = start.time_since_epoch() / hours(1);
    uint64_t& all = (*lines)[fmt::format("{}/{}", number, hour)];
    all += sent;
    if (quiet) return;
    auto* row = told.add_hours();
    row->set_source(NameOf(number));
    row->set_hour(hour);
    row->set_lines(all);
    row->set_watched_minutes((uint64_t{1} << 60) - 1);
    *row->mutable_last_receive_time() = ToProto(start + minutes(3));
  }

  std::unique_ptr<SourceWorker> NewWorker() {
    SourceWatch::Limits limits;
    limits.ingester_gone = minutes(20);
    const auto pool = redis_.NewPool();
    return std::make_unique<SourceWorker>(
        std::make_shared<SourceWatchStore>(pool, kCoverage, "detection"),
        std::make_shared<FindingSink>(
            store::Store<v1::Finding>(pool, FindingKind(), SystemClock()),
            std::make_shared<stream::Producer>(pool, kFindings, stream::Producer::Options{})),
        limits);
  }

  // The process may be killed before or after any write. Returns at the end of the topic.
  void Run(std::mt19937& random, bool trouble) {
    auto worker = NewWorker();
    while (true) {
      LeasedCursor cursor = Take(kCoverage, 0);
      const auto entries = cursor.Read(1 + random() % 7, 1 << 20, {});
      ASSERT_THAT(entries, IsOk());
      if (entries->empty()) return;
      const stream::Worker::Context context{0, cursor.epoch()};
      const auto fate = trouble ? random() % 5 : 4;
      if (fate == 0) {  // nothing of it was saved, but findings were told
        LeasedCursor thief = Take(kCoverage, 0);
        EXPECT_THAT(worker->Handle(context, *entries),
                    StatusIs(absl::StatusCode::kAborted, "LEASE_LOST"));
        if (random() % 2 == 0) worker = NewWorker();
        continue;
      }
      ASSERT_THAT(worker->Handle(context, *entries), IsOk());
      if (fate == 1) {  // killed before the cursor moves
        worker = NewWorker();
        continue;
      }
      ASSERT_THAT(cursor.Commit(entries->back().id), IsOk());
      if (fate == 2) worker = NewWorker();
    }
  }

  std::set<std::string> AllFindings() {
    std::set<std::string> texts = Findings();
    store::Store<v1::Finding> findings(redis_.NewPool(), FindingKind(), SystemClock());
    const auto page = findings.List({.parent = "tenants/provider"});
    EXPECT_THAT(page, IsOk());
    for (auto finding : page->items) {
      finding.clear_etag();
      finding.clear_create_time();
      finding.clear_update_time();
      texts.insert(finding.DebugString());
    }
    return texts;
  }
};

TEST_F(SourcesTest, KillsChangeNothingOfWhatIsFound) {
  Produce();
  std::mt19937 calm(1);
  Run(calm, false);
  const auto expected = AllFindings();
  const auto told = Published();
  const auto grown = grown_;
  std::string all;
  for (const auto& text : expected) all += text;
  EXPECT_THAT(all, HasSubstr("A log source is silent"));
  EXPECT_THAT(all, HasSubstr("It sends again"));
  EXPECT_THAT(all, HasSubstr("are watched by"));
  for (uint32_t seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE(seed);
    Empty();
    Produce();
    std::mt19937 random(seed);
    Run(random, true);
    EXPECT_EQ(AllFindings(), expected);
    EXPECT_EQ(Published(), told);
    EXPECT_EQ(grown_, grown);
    if (HasFailure()) break;
  }
}

TEST_F(SourcesTest, ManySourcesAreSavedInOneStep) {
  const auto pool = redis_.NewPool();
  const SourceWatchStore store(pool, kCoverage, "detection");
  SourceWatch watch{SourceWatch::Limits{}};
  ingestion::v1::CoverageReport report;
  report.set_ingester("a");
  report.set_instance("1");
  *report.mutable_end_time() = ToProto(TimePoint(hours(1)));
  report.set_lists_sources(true);
  constexpr int kMany = 20'000;
  for (int i = 0; i < kMany; ++i) report.add_sources()->set_name(NameOf(i));
  watch.Apply(report);
  const LeasedCursor cursor = Take(kCoverage, 0);
  const auto writes = [&] {
    const auto info = pool->Command({"INFO", "commandstats"});
    EXPECT_THAT(info, IsOk());
    const size_t at = info->text.find("cmdstat_evalsha:calls=");
    return at == std::string::npos ? 0 : std::atoi(info->text.c_str() + at + 22);
  };
  ASSERT_THAT(store.Save(0, cursor.epoch(), watch), IsOk());  // Redis knows the script
  const int before = writes();
  ASSERT_THAT(store.Save(0, cursor.epoch(), watch), IsOk());
  EXPECT_EQ(writes() - before, 1);
  SourceWatch loaded{SourceWatch::Limits{}};
  ASSERT_THAT(store.Load(0, loaded), IsOk());
  EXPECT_NE(loaded.FindSource(NameOf(kMany - 1)), nullptr);
  EXPECT_NE(loaded.FindIngester("a"), nullptr);
  // What is gone is removed; another epoch changes nothing.
  watch.Clean();
  report.clear_sources();
  *report.mutable_start_time() = report.end_time();
  *report.mutable_end_time() = ToProto(TimePoint(hours(2)));
  watch.Apply(report);
  EXPECT_THAT(store.Save(0, cursor.epoch() + 1, watch),
              StatusIs(absl::StatusCode::kAborted, "LEASE_LOST"));
  SourceWatch same{SourceWatch::Limits{}};
  ASSERT_THAT(store.Load(0, same), IsOk());
  EXPECT_NE(same.FindSource(NameOf(0)), nullptr);
  ASSERT_THAT(store.Save(0, cursor.epoch(), watch), IsOk());
  SourceWatch empty{SourceWatch::Limits{}};
  ASSERT_THAT(store.Load(0, empty), IsOk());
  EXPECT_EQ(empty.FindSource(NameOf(0)), nullptr);
}

TEST_F(SourcesTest, AReportThatCannotBeReadIsRefused) {
  const auto worker = NewWorker();
  const LeasedCursor cursor = Take(kCoverage, 0);
  stream::Entry entry;
  entry.payload = "\xff no report";
  EXPECT_THAT(worker->Handle({0, cursor.epoch()}, {entry}),
              StatusIs(absl::StatusCode::kInvalidArgument, "BAD_COVERAGE"));
}

}  // namespace
}  // namespace yagura::detection
