#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "common/clock/clock.h"

namespace yagura::event {
struct EventView;
}

namespace yagura::ingestion {

// How far receipt was behind the lines' own times, in classes of seconds: exact below a minute, to
// 1.6 % above. Not thread-safe.
class ClockOffsets {
 public:
  using Entry = std::pair<int32_t, uint64_t>;  // seconds, lines

  void Add(int64_t seconds) { AddClass(ClassOf(seconds), 1); }
  void Add(const ClockOffsets& other);
  // As CoverageReport tells them.
  template <typename Seconds, typename Counts>
  void Add(const Seconds& seconds, const Counts& counts) {
    for (int i = 0; i < seconds.size() && i < counts.size(); ++i)
      AddClass(seconds.Get(i), counts.Get(i));
  }
  void Clear() { entries_.clear(); }
  // In no order.
  const std::vector<Entry>& entries() const { return entries_; }
  // The seconds that stand for all of a class.
  static int32_t ClassOf(int64_t seconds);

 private:
  // A sender can invent times: beyond so many classes a line counts for the nearest.
  static constexpr size_t kMaxClasses = 128;
  void AddClass(int32_t seconds, uint64_t lines);

  std::vector<Entry> entries_;
  size_t last_ = 0;  // found last: offsets come in runs
};

// What coverage needs to know of the lines of a batch.
struct LineStats {
  TimePoint first{};  // receipt
  TimePoint last{};
  uint64_t partly_parsed = 0;
  uint64_t clock_errors = 0;
  uint64_t untimed = 0;
  ClockOffsets offsets;

  void Note(const event::EventView& event);
};

}  // namespace yagura::ingestion
