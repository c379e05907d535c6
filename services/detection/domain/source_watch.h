#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "services/detection/domain/hour_history.h"
#include "services/detection/domain/windows.h"
#include "yagura/detection/internal/v1/source_watch.pb.h"
#include "yagura/ingestion/v1/coverage_report.pb.h"

namespace yagura::detection {

// Notices in what ingestion tells of its coverage that a source has fallen silent, that it sends
// much more or less than it uses to, and that an ingestion process did not run. A value of state:
// the same reports in the same order give the same findings. No clock, no Redis. Not thread-safe.
//
// Silence is measured by the time in which the ingestion process listened that took the source's
// lines last: while that did not run, nobody can say what the device did. How long a source may be
// silent is set in the directory, or learnt: four times the longest pause of its last seven days on
// which lines came, within `silence_least` and `silence_most`; until it has been known for
// `learning`, no less than an hour. A source that has never sent is told only where a limit is set.
//
// Nothing is judged before all parts of a report have come. The sources of a process that does not
// come back are watched by the next that reports, from then on, once others have reported for
// `ingester_gone` without it. How long that is follows from reports, too: their time goes on by a
// minute a report at most, so that an outage of all, or a clock that jumped, makes nobody gone.
class SourceWatch {
 public:
  struct Limits {
    std::chrono::nanoseconds silence_least{std::chrono::minutes(15)};
    std::chrono::nanoseconds silence_most{std::chrono::hours(24)};
    std::chrono::nanoseconds learning{std::chrono::hours(24)};
    std::chrono::nanoseconds ingestion_gap{std::chrono::minutes(3)};
    std::chrono::nanoseconds ingester_gone{std::chrono::hours(1)};
    VolumeLimits volume;
  };
  explicit SourceWatch(Limits limits) : limits_(limits) {}

  // What was kept, before the first Apply.
  void LoadIngester(const std::string& name, internal::v1::Ingester ingester);
  void LoadSource(const std::string& name, internal::v1::SourceState source);
  void LoadHistory(const std::string& name, internal::v1::HourHistory history);

  // Findings that began, went on or ended. A report that was seen before changes nothing.
  std::vector<Windows::Outcome> Apply(const ingestion::v1::CoverageReport& report);

  // Names of what changed since the last Clean; what is not there any more is to be removed.
  const std::set<std::string>& dirty_ingesters() const { return dirty_ingesters_; }
  const std::set<std::string>& dirty_sources() const { return dirty_sources_; }
  const std::set<std::string>& dirty_histories() const { return dirty_histories_; }
  // Null where it is not there.
  const internal::v1::Ingester* FindIngester(const std::string& name) const;
  const internal::v1::SourceState* FindSource(const std::string& name) const;
  const internal::v1::HourHistory* FindHistory(const std::string& name) const;
  void Clean();

 private:
  using Outcomes = std::vector<Windows::Outcome>;
  using Source = internal::v1::SourceState;

  static constexpr size_t kMaxSources = 100'000;

  // Where the process's own time of listening stands at `time`, as of the end of the report.
  struct Listening {
    std::string ingester;
    int64_t now;    // nanoseconds since 1970
    int64_t total;  // listened
  };

  Listening Listen(const ingestion::v1::CoverageReport& report, Outcomes& outcomes);
  void Tick(int64_t end, internal::v1::Ingester& ingester);
  bool IsWhole(const ingestion::v1::CoverageReport& report);
  void TakeOver(const Listening& listening, Outcomes& outcomes);
  int TakeOverSources(const std::string& gone, const Listening& listening);
  void List(const ingestion::v1::CoverageReport& report, const Listening& listening,
            Outcomes& outcomes);
  void Count(const ingestion::v1::SourceHour& hour, const std::string& instance,
             const Listening& listening, Outcomes& outcomes);
  void NoteLine(const std::string& name, Source& source, int64_t time, const Listening& listening,
                Outcomes& outcomes);
  void CheckSilence(const std::string& name, Source& source, const Listening& listening,
                    Outcomes& outcomes);
  void CloseHours(const std::string& name, Source& source, const Listening& listening,
                  Outcomes& outcomes);
  void JudgeHour(const std::string& name, Source& source, int64_t hour, uint64_t lines,
                 bool is_over, Outcomes& outcomes);
  int64_t SilenceLimit(const Source& source, const Listening& listening) const;
  int64_t UsualPause(const Source& source) const;
  std::string UsualRate(const std::string& name) const;
  Source* AddSource(const std::string& name, const Listening& listening);
  void EndSilence(const std::string& name, Source& source, int64_t time, std::string_view how,
                  Outcomes& outcomes);

  const Limits limits_;
  std::map<std::string, internal::v1::Ingester> ingesters_;
  std::map<std::string, Source> sources_;
  std::map<std::string, internal::v1::HourHistory> histories_;
  std::set<std::string> dirty_ingesters_;
  std::set<std::string> dirty_sources_;
  std::set<std::string> dirty_histories_;
};

// Whether a finding is one of these: its description is brought up to date as it goes on.
bool IsSourceFinding(const v1::Finding& finding);

}  // namespace yagura::detection
