// Sources that fall silent, that change, and ingestion that did not run.
#include "services/detection/domain/source_watch.h"

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/clock/proto_time.h"
#include "services/detection/domain/findings.h"

namespace yagura::detection {
namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::nanoseconds;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

constexpr char kFw[] = "tenants/acme/sources/fw";
constexpr nanoseconds kStep = minutes(1);

class SourceWatchTest : public ::testing::Test {
 protected:
  SourceWatchTest() { List(nanoseconds(0)); }

  // Everything that detection keeps goes through its stored form at every report, as after a kill.
  void Apply(const ingestion::v1::CoverageReport& report) {
    SourceWatch watch{limits_};
    for (const auto& [name, one] : ingesters_) watch.LoadIngester(name, one);
    for (const auto& [name, one] : sources_) watch.LoadSource(name, one);
    for (const auto& [name, one] : histories_) watch.LoadHistory(name, one);
    for (auto& outcome : watch.Apply(report)) outcomes_.push_back(std::move(outcome));
    Keep(
        watch.dirty_ingesters(), [&](const auto& n) { return watch.FindIngester(n); }, ingesters_);
    Keep(
        watch.dirty_sources(), [&](const auto& n) { return watch.FindSource(n); }, sources_);
    Keep(
        watch.dirty_histories(), [&](const auto& n) { return watch.FindHistory(n); }, histories_);
  }
  template <typename Find, typename Map>
  static void Keep(const std::set<std::string>& names, const Find& find, Map& map) {
    for (const auto& name : names) {
      if (find(name) == nullptr) {
        map.erase(name);
      } else {
        map[name] = *find(name);
      }
    }
  }

  ingestion::v1::CoverageReport Report(TimePoint from, TimePoint to) {
    ingestion::v1::CoverageReport report;
    report.set_ingester("host");
    report.set_instance("one");
    report.set_sequence(++sequence_);
    *report.mutable_start_time() = ToProto(from);
    *report.mutable_end_time() = ToProto(to);
    return report;
  }

  // All sources, with the limit of kFw.
  void List(nanoseconds limit, bool is_there = true) {
    auto report = Report(now_, now_ + kStep);
    now_ += kStep;
    report.set_lists_sources(true);
    if (is_there) {
      auto* source = report.add_sources();
      source->set_name(kFw);
      source->set_device("fw1");
      source->set_site("hq");
      if (limit > nanoseconds(0)) *source->mutable_silence_limit() = ToProtoDuration(limit);
    }
    Apply(report);
  }

  // A minute in which so many lines came.
  void Minute(uint64_t lines) {
    auto report = Report(now_, now_ + kStep);
    now_ += kStep;
    const int64_t hour = (now_ - kStep).time_since_epoch() / hours(1);
    if (hour != hour_) {
      hour_ = hour;
      lines_ = 0;
    }
    lines_ += lines;
    auto* row = report.add_hours();
    row->set_source(kFw);
    row->set_hour(hour);
    row->set_lines(lines_);
    row->set_watched_minutes((uint64_t{1} << 60) - 1);
    if (lines > 0) last_ = now_;
    if (lines_ > 0) *row->mutable_last_receive_time() = ToProto(last_);
    Apply(report);
  }
  // Ingestion listens and this source sends so many lines a minute.
  void Pass(nanoseconds time, uint64_t lines) {
    for (auto left = time; left > nanoseconds(0); left -= kStep) Minute(lines);
  }

  SourceWatch::Limits limits_;
  std::map<std::string, internal::v1::Ingester> ingesters_;
  std::map<std::string, internal::v1::SourceState> sources_;
  std::map<std::string, internal::v1::HourHistory> histories_;
  std::vector<Windows::Outcome> outcomes_;
  TimePoint now_ = std::chrono::sys_days(std::chrono::year(2026) / 1 / 5);
  TimePoint last_{};
  int64_t hour_ = 0;
  uint64_t lines_ = 0;
  uint64_t sequence_ = 0;
};

TEST_F(SourceWatchTest, ASourceThatStopsIsToldOnceAndThatItSendsAgain) {
  Pass(hours(30), 5);
  outcomes_.clear();
  const TimePoint since = now_;
  Pass(minutes(14), 0);
  EXPECT_THAT(outcomes_, IsEmpty());
  Pass(minutes(60), 0);
  ASSERT_THAT(outcomes_, SizeIs(1));
  const v1::Finding silent = outcomes_[0].finding;
  EXPECT_TRUE(outcomes_[0].began);
  EXPECT_EQ(silent.title(), "A log source is silent");
  EXPECT_EQ(silent.device(), "fw1");
  EXPECT_EQ(FromProto(silent.first_event_time()), since);
  EXPECT_THAT(silent.description(), HasSubstr(FormatTime(since)));
  EXPECT_THAT(silent.description(), HasSubstr("about 300 lines an hour"));
  EXPECT_THAT(silent.description(), HasSubstr("learnt"));

  outcomes_.clear();
  Pass(minutes(5), 5);
  ASSERT_THAT(outcomes_, SizeIs(1));
  EXPECT_EQ(outcomes_[0].finding.name(), silent.name());
  EXPECT_FALSE(outcomes_[0].began);
  EXPECT_TRUE(outcomes_[0].tells);
  EXPECT_EQ(outcomes_[0].finding.event_count(), 2u);
  v1::Finding kept = silent;
  ASSERT_TRUE(MergeFinding(outcomes_[0].finding, kept));
  EXPECT_THAT(kept.description(), HasSubstr("It sends again"));
}

TEST_F(SourceWatchTest, TimeInWhichIngestionDidNotRunIsNoSilence) {
  Pass(hours(30), 5);
  outcomes_.clear();
  Pass(minutes(10), 0);
  const TimePoint stopped = now_;
  now_ += hours(5);
  Pass(minutes(3), 0);
  // What is told is that ingestion did not run, to the provider.
  ASSERT_THAT(outcomes_, SizeIs(1));
  EXPECT_THAT(outcomes_[0].finding.name(), HasSubstr("tenants/provider/"));
  EXPECT_EQ(FromProto(outcomes_[0].finding.first_event_time()), stopped);
  EXPECT_THAT(outcomes_[0].finding.description(), HasSubstr("5h00m"));
  outcomes_.clear();
  Pass(minutes(5), 0);
  ASSERT_THAT(outcomes_, SizeIs(1));
  EXPECT_THAT(outcomes_[0].finding.description(),
              HasSubstr("ingestion itself did not listen for 5h00m"));
}

TEST_F(SourceWatchTest, ARepeatedReportChangesNothing) {
  Pass(hours(30), 5);
  auto report = Report(now_ - hours(2), now_ - hours(1));
  outcomes_.clear();
  for (int i = 0; i < 100; ++i) Apply(report);
  EXPECT_THAT(outcomes_, IsEmpty());
}

// Many sources: what is told of one minute takes three reports.
class PartsOfReports : public SourceWatchTest {
 protected:
  static constexpr int kSources = 30;
  static constexpr int kPerPart = 10;
  static std::string NameOf(int number) {
    return fmt::format("tenants/acme/sources/s{:02}", number);
  }
  // Every source has sent, but those from `silent_from` on.
  std::vector<ingestion::v1::CoverageReport> Parts(int silent_from = kSources) {
    std::vector<ingestion::v1::CoverageReport> parts;
    for (int from = 0; from < kSources; from += kPerPart) {
      auto& part = parts.emplace_back(Report(now_, now_ + kStep));
      part.set_report(sequence_ - static_cast<uint64_t>(from / kPerPart));
      part.set_part(static_cast<uint32_t>(from / kPerPart));
      part.set_parts(kSources / kPerPart);
      for (int i = from; i < from + kPerPart; ++i) {
        auto* row = part.add_hours();
        row->set_source(NameOf(i));
        row->set_hour(now_.time_since_epoch() / hours(1));
        row->set_lines(++lines_);
        auto& last = last_of_[i];
        if (i < silent_from) last = now_ + kStep;
        *row->mutable_last_receive_time() = ToProto(last);
      }
    }
    auto& last = parts.back();
    last.set_lists_sources(true);
    for (int i = 0; i < kSources; ++i) {
      auto* source = last.add_sources();
      source->set_name(NameOf(i));
      *source->mutable_silence_limit() = ToProtoDuration(minutes(2));
    }
    now_ += kStep;
    return parts;
  }
  void Tell(int silent_from = kSources) {
    for (const auto& part : Parts(silent_from)) Apply(part);
  }
  std::map<int, TimePoint> last_of_;
};

TEST_F(PartsOfReports, ASourceOfALaterPartIsNotSilentForTheFirst) {
  Tell();
  now_ += minutes(5);  // so long it takes until all is told again
  outcomes_.clear();
  auto long_one = Parts();
  for (auto& part : long_one) *part.mutable_start_time() = ToProto(now_ - minutes(6));
  for (const auto& part : long_one) Apply(part);
  EXPECT_THAT(outcomes_, IsEmpty());
}

TEST_F(PartsOfReports, TheLastPartTellsWhichAreSilent) {
  for (int i = 0; i < 3; ++i) Tell();
  outcomes_.clear();
  for (int i = 0; i < 3; ++i) Tell(kSources - 1);
  ASSERT_THAT(outcomes_, SizeIs(1));
  EXPECT_EQ(outcomes_[0].finding.matched_fields(0).value(), "s29");
}

TEST_F(PartsOfReports, NothingIsJudgedWhereAPartIsMissing) {
  for (int i = 0; i < 3; ++i) Tell();
  outcomes_.clear();
  for (int i = 0; i < 10; ++i) {
    const auto parts = Parts();
    Apply(parts[0]);
    Apply(parts[2]);
  }
  EXPECT_THAT(outcomes_, IsEmpty());
  Tell();
  EXPECT_THAT(outcomes_, IsEmpty());
}

TEST_F(PartsOfReports, PartsThatComeAgainChangeNothing) {
  for (int i = 0; i < 3; ++i) Tell(kSources - 1);
  Tell(kSources - 1);
  outcomes_.clear();
  const auto parts = Parts(kSources - 1);
  for (const size_t part : {0, 1, 0, 1, 2, 1, 2, 0, 1, 2}) Apply(parts[part]);
  Tell(kSources - 1);
  EXPECT_THAT(outcomes_, IsEmpty());
}

// A second process, which knows the same sources.
class SeveralIngesters : public SourceWatchTest {
 protected:
  void Other(nanoseconds time, nanoseconds limit = nanoseconds(0)) {
    for (auto left = time; left > nanoseconds(0); left -= kStep) {
      auto report = Report(now_, now_ + kStep);
      now_ += kStep;
      report.set_ingester("other");
      report.set_instance("two");
      report.set_lists_sources(true);
      auto* source = report.add_sources();
      source->set_name(kFw);
      if (limit > nanoseconds(0)) *source->mutable_silence_limit() = ToProtoDuration(limit);
      Apply(report);
    }
  }
};

TEST_F(SeveralIngesters, TheSourcesOfOneThatDoesNotComeBackAreJudged) {
  Pass(hours(30), 5);
  outcomes_.clear();
  const TimePoint stopped = now_;
  Other(minutes(59));
  EXPECT_THAT(outcomes_, IsEmpty());
  Other(minutes(2));
  ASSERT_THAT(outcomes_, SizeIs(1));
  const v1::Finding gone = outcomes_[0].finding;
  EXPECT_THAT(gone.name(), HasSubstr("tenants/provider/"));
  EXPECT_EQ(FromProto(gone.first_event_time()), stopped);
  EXPECT_THAT(gone.description(), HasSubstr("its 1 sources"));
  outcomes_.clear();
  Other(minutes(20));
  ASSERT_THAT(outcomes_, SizeIs(1));
  EXPECT_EQ(outcomes_[0].finding.title(), "A log source is silent");
  EXPECT_EQ(FromProto(outcomes_[0].finding.first_event_time()), stopped);
  outcomes_.clear();
  // It is told once, and its return grows that finding.
  Other(hours(5));
  EXPECT_THAT(outcomes_, IsEmpty());
  Pass(minutes(2), 5);
  ASSERT_THAT(outcomes_, SizeIs(2));
  EXPECT_EQ(outcomes_[0].finding.name(), gone.name());
  EXPECT_FALSE(outcomes_[0].began);
  EXPECT_EQ(outcomes_[0].finding.event_count(), 2u);
  EXPECT_THAT(outcomes_[1].finding.description(), HasSubstr("It sends again"));
}

TEST_F(SeveralIngesters, OneThatNobodySendsToAnyMoreIsForgotten) {
  Other(minutes(1));
  Pass(hours(2), 5);
  EXPECT_THAT(outcomes_, IsEmpty());
  EXPECT_FALSE(ingesters_.contains("other"));
}

TEST_F(SeveralIngesters, AnOutageOfAllMakesNobodyGone) {
  for (int i = 0; i < 60 * 30; ++i) {
    Minute(5);
    if (i % 5 == 0) Other(minutes(1));
  }
  outcomes_.clear();
  now_ += hours(5);
  Other(minutes(2));
  Pass(minutes(1), 5);
  for (const auto& outcome : outcomes_) {
    EXPECT_THAT(outcome.finding.description(), Not(HasSubstr("watched by")));
  }
  EXPECT_EQ(ingesters_.size(), 2u);
  EXPECT_EQ(sources_.at(kFw).ingester(), "host");
}

TEST_F(SeveralIngesters, AClockThatIsWrongMakesNobodyGone) {
  Pass(hours(1), 5);
  outcomes_.clear();
  for (int i = 0; i < 30; ++i) {
    now_ += hours(48);
    Other(minutes(1));
    now_ -= hours(48) + minutes(1);
    Minute(5);
  }
  EXPECT_THAT(outcomes_, IsEmpty());
}

TEST_F(SourceWatchTest, HowLongASourceMayPauseIsLearnt) {
  // It sends once an hour.
  for (int i = 0; i < 48; ++i) {
    Minute(1);
    Pass(minutes(59), 0);
  }
  outcomes_.clear();
  Pass(hours(2), 0);
  EXPECT_THAT(outcomes_, IsEmpty());
  Pass(hours(2), 0);
  EXPECT_THAT(outcomes_, SizeIs(1));
}

TEST_F(SourceWatchTest, ALimitOfTheDirectoryCountsInstead) {
  List(minutes(5));
  outcomes_.clear();
  Pass(minutes(6), 0);
  ASSERT_THAT(outcomes_, SizeIs(1));  // though it never sent
  EXPECT_THAT(outcomes_[0].finding.description(), HasSubstr("when the source became known"));
  EXPECT_THAT(outcomes_[0].finding.description(), HasSubstr("set for the source"));
}

TEST_F(SourceWatchTest, ASourceThatNeverSentIsNotToldWithoutALimit) {
  Pass(days(3), 0);
  EXPECT_THAT(outcomes_, IsEmpty());
}

TEST_F(SourceWatchTest, ASourceThatIsRemovedIsNoLongerSilent) {
  Pass(hours(30), 5);
  Pass(hours(1), 0);
  ASSERT_THAT(outcomes_, SizeIs(1));
  List(nanoseconds(0), /*is_there=*/false);
  ASSERT_THAT(outcomes_, SizeIs(2));
  EXPECT_THAT(outcomes_[1].finding.description(), HasSubstr("removed"));
  EXPECT_THAT(sources_, IsEmpty());
  EXPECT_THAT(histories_, IsEmpty());
}

TEST_F(SourceWatchTest, AFloodIsToldWithinTheHourAndItsEnd) {
  Pass(hours(8), 50);
  ASSERT_THAT(outcomes_, IsEmpty());
  Pass(minutes(10), 2'000);
  ASSERT_THAT(outcomes_, SizeIs(1));
  EXPECT_TRUE(outcomes_[0].began);
  EXPECT_EQ(outcomes_[0].finding.title(), "A log source sends far more than usual");
  EXPECT_THAT(outcomes_[0].finding.description(), HasSubstr("usual are about 3000"));
  EXPECT_THAT(outcomes_[0].finding.description(), HasSubstr("of the 24 hours before"));
  const std::string name = outcomes_[0].finding.name();
  outcomes_.clear();
  Pass(hours(3), 50);
  ASSERT_THAT(outcomes_, SizeIs(2));  // the hour in the end, and that it is over
  EXPECT_EQ(outcomes_[1].finding.name(), name);
  EXPECT_THAT(outcomes_[1].finding.description(), HasSubstr("as usual again"));
}

TEST_F(SourceWatchTest, AnHourWithFarFewerLinesIsTold) {
  Pass(hours(8), 50);
  Pass(hours(1) + minutes(5), 1);
  Pass(hours(1), 50);
  ASSERT_FALSE(outcomes_.empty());
  EXPECT_EQ(outcomes_[0].finding.title(), "A log source sends far fewer lines than usual");
}

TEST_F(SourceWatchTest, FewerLinesThatBecomeNoneAreNotAsUsualAgain) {
  Pass(hours(8), 50);
  Pass(hours(1) + minutes(5), 1);
  Pass(hours(3), 0);
  ASSERT_FALSE(outcomes_.empty());
  EXPECT_EQ(outcomes_[0].finding.title(), "A log source sends far fewer lines than usual");
  for (const auto& outcome : outcomes_) {
    EXPECT_THAT(outcome.finding.description(), Not(HasSubstr("as usual again")));
  }
}

TEST_F(SourceWatchTest, AWeeklyRhythmIsNoChange) {
  // Three weeks: quiet nights and week-ends, busy days.
  for (int day = 0; day < 23; ++day) {
    const bool is_free = day % 7 >= 5;
    Pass(hours(8), 1);
    Pass(hours(10), is_free ? 1 : 100);
    Pass(hours(6), 1);
    if (day == 14) outcomes_.clear();  // by then there are two weeks to compare with
  }
  EXPECT_THAT(outcomes_, IsEmpty());
}

TEST(HourHistoryTest, UnknownHoursCountForNothing) {
  internal::v1::HourHistory history;
  for (int64_t hour = 0; hour < 6; ++hour) AddHour(hour, 100, &history);
  AddHour(6, std::nullopt, &history);
  AddHour(10, 100, &history);
  AddHour(9, 7, &history);  // late
  EXPECT_EQ(history.counts_size(), 11);
  const auto usual = UsualOf(history, 11);
  ASSERT_TRUE(usual.has_value());
  EXPECT_EQ(usual->lines, 100);
  EXPECT_EQ(usual->basis, "7 of the 24 hours before");
  for (int64_t hour = 11; hour < 2000; ++hour) AddHour(hour, 1, &history);
  EXPECT_EQ(history.counts_size(), 672);
}

}  // namespace
}  // namespace yagura::detection
