#include "services/ingestion/domain/line_stats.h"

#include <algorithm>
#include <bit>
#include <cstdlib>

#include "common/event/event_view.h"
#include "yagura/event/v1/event.pb.h"

namespace yagura::ingestion {
namespace {

constexpr int kExactBits = 6;
constexpr int64_t kLongest = int64_t{1} << 30;  // 34 years

constexpr uint64_t Bit(event::v1::Flaw flaw) { return uint64_t{1} << flaw; }

}  // namespace

int32_t ClockOffsets::ClassOf(int64_t seconds) {
  const int64_t bounded = std::clamp(seconds, -kLongest, kLongest);
  const auto size = static_cast<uint64_t>(std::abs(bounded));
  const int width = std::bit_width(size);
  if (width <= kExactBits) return static_cast<int32_t>(bounded);
  // The middle of those that share their first bits.
  const int dropped = width - kExactBits;
  const uint64_t middle = (size >> dropped << dropped) + (uint64_t{1} << (dropped - 1));
  return bounded < 0 ? -static_cast<int32_t>(middle) : static_cast<int32_t>(middle);
}

void ClockOffsets::AddClass(int32_t seconds, uint64_t lines) {
  if (last_ < entries_.size() && entries_[last_].first == seconds) {
    entries_[last_].second += lines;
    return;
  }
  size_t nearest = entries_.size();
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (entries_[i].first == seconds) {
      entries_[i].second += lines;
      last_ = i;
      return;
    }
    if (nearest == entries_.size() || std::abs(int64_t{entries_[i].first} - seconds) <
                                          std::abs(int64_t{entries_[nearest].first} - seconds)) {
      nearest = i;
    }
  }
  if (entries_.size() < kMaxClasses) {
    last_ = entries_.size();
    entries_.emplace_back(seconds, lines);
  } else {
    entries_[nearest].second += lines;
  }
}

void ClockOffsets::Add(const ClockOffsets& other) {
  for (const auto& [seconds, lines] : other.entries_) AddClass(seconds, lines);
}

void LineStats::Note(const event::EventView& event) {
  if (!event.receive_time) return;
  if (first == TimePoint{}) first = *event.receive_time;
  last = *event.receive_time;
  const uint64_t flaws = event.flaws;
  partly_parsed += (flaws & Bit(event::v1::PARTLY_PARSED)) != 0;
  clock_errors += (flaws & Bit(event::v1::CLOCK_ERROR)) != 0;
  if ((flaws & Bit(event::v1::NO_EVENT_TIME)) != 0 || !event.event_time) {
    ++untimed;
    return;
  }
  const auto behind = *event.receive_time - *event.event_time;
  offsets.Add(std::chrono::floor<std::chrono::seconds>(behind).count());
}

}  // namespace yagura::ingestion
