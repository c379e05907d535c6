#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock/clock.h"
#include "common/text/text.h"
#include "services/ingestion/domain/line_stats.h"
#include "yagura/ingestion/v1/coverage_report.pb.h"

namespace yagura::ingestion {

struct ReadyBatch;

// What this start of the process received and lost, by source and hour of receipt, and when it
// listened. Hours are kept until they have been told and are over. Thread-safe.
class CoverageLedger {
 public:
  // `ingester`: the process's name that it has again after a restart; `instance`: unique a start.
  CoverageLedger(std::string ingester, std::string instance);

  // A batch came in, and not before.
  void Received(const ReadyBatch& batch);
  // It was given up.
  void Lost(const ReadyBatch& batch);
  // It did not reach a relay, whose kernel dropped it.
  void DroppedFar(const ReadyBatch& batch);
  // The kernel dropped datagrams of a listener.
  void Dropped(std::string_view listener, uint64_t datagrams);
  // All sources in force.
  void SetSources(std::vector<v1::WatchedSource> sources);
  // The process listens, from the first call on.
  void Listened(TimePoint now);

  // What has changed since it was told last, as the parts of one report, of at most `kMaxHours`
  // rows each. Where nothing has, there is one without rows: it listens.
  std::vector<v1::CoverageReport> Collect(TimePoint now);
  // Everything that has not been told, without counting as told; empty where there is nothing.
  v1::CoverageReport Untold() const;
  // What was collected could not be told; it will be collected again.
  void PutBack(std::vector<v1::CoverageReport> reports);
  // How many rows Collect would give.
  size_t untold() const;
  // Hours that were given up before they could be told, as there were too many.
  uint64_t forgotten() const;

  static constexpr int kMaxHours = 500;

 private:
  static constexpr size_t kMaxRows = 200'000;

  struct Row {
    v1::SourceHour counts;
    ClockOffsets offsets;
    bool told = false;
  };
  using Key = std::pair<int64_t, std::string>;  // hour, source

  Row& RowOf(std::string_view source, int64_t hour);
  // The row to count in: of an hour that was told and forgotten already, a late one.
  Row& CountingRow(std::string_view source, int64_t hour);
  // The process listens in that minute.
  void Watch(TimePoint minute);
  void CollectLate(std::vector<v1::CoverageReport>* reports);
  void ShareDrops(int64_t hour);
  void NoteQuietSources(int64_t hour, int minute);
  void Describe(v1::SourceHour* counts) const;
  v1::SourceHour Told(const Row& row) const;
  void Tidy(int64_t hour);
  v1::CoverageReport NewReport();

  const std::string ingester_;
  const std::string instance_;
  mutable std::mutex mutex_;  // of all below
  uint64_t sequence_ = 0;
  std::map<Key, Row> rows_;
  // Lines that come long after they were received first, of a relay that was cut off. What was told
  // of their hours is not here any more, so that they are told as another instance's: these add up.
  std::map<Key, Row> late_;
  uint64_t late_instances_ = 0;
  std::vector<v1::CoverageReport> late_untold_;  // collected, but could not be told
  std::map<int64_t, uint64_t> watched_;          // minutes by hour
  TimePoint listened_from_{};                    // what no report has told yet
  TimePoint listened_to_{};
  StringMap<v1::WatchedSource> sources_;
  bool sources_told_ = false;
  TimePoint sources_told_at_{};
  int64_t quiet_noted_ = -1;                       // ten minutes since 1970
  int64_t last_hour_ = -1;                         // of the last Collect
  StringMap<uint64_t> drops_;                      // by listener, not shared out yet
  StringMap<std::map<std::string, uint64_t>> by_;  // lines by listener and source since then
  uint64_t forgotten_ = 0;
};

}  // namespace yagura::ingestion
