#include "services/detection/domain/pending.h"

#include <algorithm>
#include <array>
#include <bit>
#include <map>
#include <unordered_map>
#include <utility>

namespace yagura::detection {
namespace {

using internal::v1::Comparison;
using internal::v1::Group;
using internal::v1::RuleSummary;

bool Holds(const Comparison& comparison, double measure) {
  switch (comparison.op()) {
    case Comparison::GT:
      return measure > comparison.value();
    case Comparison::GTE:
      return measure >= comparison.value();
    case Comparison::LT:
      return measure < comparison.value();
    case Comparison::LTE:
      return measure <= comparison.value();
    case Comparison::EQ:
      return measure == comparison.value();
    case Comparison::NEQ:
      return measure != comparison.value();
    default:
      return false;
  }
}

bool AllHold(const RuleSummary& rule, double measure) {
  return std::ranges::all_of(rule.conditions(),
                             [measure](const auto& one) { return Holds(one, measure); });
}

template <typename Repeated>
void RotateIn(Repeated& values, int at) {
  std::rotate(values.begin() + at, values.end() - 1, values.end());
}

// Keeps the places of `kept`, ascending.
template <typename Repeated>
void Keep(Repeated& values, const std::vector<int>& kept) {
  if (values.empty()) return;
  int size = 0;
  for (const int from : kept) values[size++] = values[from];
  values.Truncate(size);
}

void KeepPlaces(Group& group, const std::vector<int>& kept) {
  Keep(*group.mutable_pending(), kept);
  Keep(*group.mutable_keys(), kept);
  Keep(*group.mutable_numbers(), kept);
  Keep(*group.mutable_weights(), kept);
}

// Lets one event stand for several neighbours of the same value, none for much more than others.
void Thin(Group& group, const RuleSummary& rule) {
  const int size = group.pending_size();
  if (group.weights().empty()) group.mutable_weights()->Resize(size, 1);
  const bool sums =
      rule.type() == internal::v1::VALUE_SUM || rule.type() == internal::v1::VALUE_AVERAGE;
  uint64_t total = 0;
  for (const uint32_t weight : group.weights()) total += weight;
  const uint64_t most = std::max<uint64_t>(4 * total / static_cast<uint64_t>(size), 2);
  std::vector<bool> gone(static_cast<size_t>(size), false);
  std::unordered_map<uint64_t, int> latest;  // by key
  for (int i = 1; i < size; ++i) {           // where a window begins stays
    const auto [found, is_new] = latest.try_emplace(group.keys().empty() ? 0 : group.keys(i), i);
    if (is_new) continue;
    const int other = std::exchange(found->second, i);
    const uint64_t both = uint64_t{group.weights(i)} + group.weights(other);
    if (both > most || both > UINT32_MAX) continue;
    gone[static_cast<size_t>(other)] = true;
    group.set_weights(i, static_cast<uint32_t>(both));
    if (sums) group.set_numbers(i, group.numbers(i) + group.numbers(other));
  }
  std::vector<int> kept;
  for (int i = 0; i < size; ++i) {
    if (!gone[static_cast<size_t>(i)]) kept.push_back(i);
  }
  KeepPlaces(group, kept);
}

template <typename Repeated>
void EraseRange(Repeated& values, int begin, int end) {
  if (values.empty()) return;
  values.erase(values.begin() + begin, values.begin() + end);
}

void KeepLatest(Group& group, int count) {
  if (group.pending_size() > count) ErasePending(group, 0, group.pending_size() - count);
}

double NumberAt(const Group& group, int at) {
  return group.numbers().empty() ? 0 : group.numbers(at);
}

// Slides a window of the time span over the pending events around `at` and gives the first one that
// `Tally` says is enough. Tally: Add(i), Remove(i), Enough().
template <typename Tally>
std::optional<PendingWindow> Slide(const Group& group, const RuleSummary& rule, int at,
                                   Tally tally) {
  const auto& times = group.pending();
  const int64_t span = rule.timespan_nanos();
  const int64_t earliest = Minus(times[at], span);
  int first = at;
  while (first > 0 && times[first - 1] >= earliest) --first;
  int next = first;  // the window is [first, next)
  for (; first <= at; ++first) {
    while (next < times.size() && times[next] <= Plus(times[first], span)) {
      if (next > at && tally.Enough()) break;
      tally.Add(next++);
    }
    if (next > at && tally.Enough()) return PendingWindow{first, next - 1};
    if (next > first) tally.Remove(first);
  }
  return std::nullopt;
}

class CountTally {
 public:
  CountTally(const Group& group, uint64_t threshold) : group_(group), threshold_(threshold) {}
  void Add(int at) { count_ += PendingWeight(group_, at); }
  void Remove(int at) { count_ -= PendingWeight(group_, at); }
  bool Enough() const { return count_ >= threshold_; }

 private:
  const Group& group_;
  const uint64_t threshold_;
  uint64_t count_ = 0;
};

class ValueTally {
 public:
  ValueTally(const Group& group, uint64_t threshold) : group_(group), threshold_(threshold) {}
  void Add(int at) { ++counts_[group_.keys(at)]; }
  void Remove(int at) {
    const auto found = counts_.find(group_.keys(at));
    if (--found->second == 0) counts_.erase(found);
  }
  bool Enough() const { return counts_.size() >= threshold_; }

 private:
  const Group& group_;
  const uint64_t threshold_;
  std::unordered_map<uint64_t, uint32_t> counts_;
};

class MemberTally {
 public:
  MemberTally(const Group& group, uint64_t threshold) : group_(group), threshold_(threshold) {}
  void Add(int at) { Change(at, 1); }
  void Remove(int at) { Change(at, -1); }
  bool Enough() const { return different_ >= threshold_; }

 private:
  void Change(int at, int by) {
    for (uint64_t bits = group_.keys(at); bits != 0; bits &= bits - 1) {
      int& count = counts_[static_cast<size_t>(std::countr_zero(bits))];
      if (count == 0 && by > 0) ++different_;
      count += by;
      if (count == 0) --different_;
    }
  }
  const Group& group_;
  const uint64_t threshold_;
  std::array<int, 64> counts_{};
  uint64_t different_ = 0;
};

// As Slide, of sums: further events may bring one down, so what counts is the highest that the
// events from each on come to at `at` or after it.
std::optional<PendingWindow> FindSum(const Group& group, const RuleSummary& rule, int at) {
  const auto& times = group.pending();
  const int64_t span = rule.timespan_nanos();
  const int64_t earliest = Minus(times[at], span);
  int first = at;
  long double sum = NumberAt(group, at);  // of [first, at]
  while (first > 0 && times[first - 1] >= earliest) sum += NumberAt(group, --first);
  int next = at + 1;
  long double after = 0;  // of [at + 1, next)
  long double most = 0;   // that it was, at its first place
  for (; first <= at; sum -= NumberAt(group, first++)) {
    for (; next < times.size() && times[next] <= Plus(times[first], span); ++next) {
      after += NumberAt(group, next);
      most = std::max(most, after);
    }
    if (!AllHold(rule, static_cast<double>(sum + most))) continue;
    int last = at;
    for (long double more = 0; !AllHold(rule, static_cast<double>(sum + more));) {
      more += NumberAt(group, ++last);
    }
    return PendingWindow{first, last};
  }
  return std::nullopt;
}

// The most rules in their order that the events from `first` on make until it is enough; each step
// is another event, not earlier than the one before.
std::optional<PendingWindow> FindOrdered(const Group& group, const RuleSummary& rule, int at) {
  const auto& times = group.pending();
  const int64_t span = rule.timespan_nanos();
  const int64_t earliest = Minus(times[at], span);
  int first = at;
  while (first > 0 && times[first - 1] >= earliest) --first;
  const auto members = static_cast<int>(std::min<uint32_t>(rule.members(), 32));
  const auto threshold = static_cast<int>(rule.threshold());
  // chains[length][m]: where the latest begins of all chains of that length that end with member m.
  std::vector<std::vector<int>> chains(static_cast<size_t>(threshold) + 1,
                                       std::vector<int>(static_cast<size_t>(members), -1));
  for (int i = first; i < times.size() && times[i] <= Plus(times[at], span); ++i) {
    for (int length = threshold; length >= 1; --length) {
      for (int m = members - 1; m >= 0; --m) {
        if ((group.keys(i) >> m & 1) == 0) continue;
        int begin = length == 1 ? i : -1;
        for (int before = 0; length > 1 && before < m; ++before) {
          begin =
              std::max(begin, chains[static_cast<size_t>(length) - 1][static_cast<size_t>(before)]);
        }
        if (begin < 0 || times[i] > Plus(times[begin], span)) continue;
        int& best = chains[static_cast<size_t>(length)][static_cast<size_t>(m)];
        best = std::max(best, begin);
        if (length < threshold || begin > at || at > i) continue;
        // As of all types: the earliest window.
        const auto window = std::ranges::lower_bound(times, Minus(times[i], span));
        return PendingWindow{static_cast<int>(window - times.begin()), i};
      }
    }
  }
  return std::nullopt;
}

// Whether the event at `at` completes nothing that was not complete, as its value is there already:
// each window with it has the value at another place, too, or has nothing else that a window
// without it lacks. Looks no further than to the nearest events of that value.
bool Repeats(const Group& group, const RuleSummary& rule, int at) {
  const auto& times = group.pending();
  const int64_t span = rule.timespan_nanos();
  int before = at - 1;
  while (before >= 0 && Plus(times[before], span) >= times[at] &&
         group.keys(before) != group.keys(at)) {
    --before;
  }
  if (before >= 0 && Plus(times[before], span) >= times[at]) {
    // Windows that begin later than the one before end, as far as there are events, where the
    // window that begins with it does.
    if (times[times.size() - 1] <= Plus(times[before], span)) return true;
  } else {
    before = -1;
  }
  int after = at + 1;
  while (after < times.size() && times[after] <= Plus(times[at], span) &&
         group.keys(after) != group.keys(at)) {
    ++after;
  }
  if (after == times.size() || times[after] > Plus(times[at], span)) return false;
  // Any window around both places has one of the two; or none begins so early that it has neither.
  const int64_t begin = before < 0 ? times[0] : times[before];
  return times[after] <= Plus(begin, span);
}

WindowVerdict JudgeShares(const Group& group, const RuleSummary& rule,
                          const PendingWindow& window) {
  std::map<uint64_t, uint64_t> counts;
  uint64_t total = 0;
  for (int i = window.first; i <= window.last; ++i) {
    counts[group.keys(i)] += PendingWeight(group, i);
    total += PendingWeight(group, i);
  }
  WindowVerdict verdict;
  for (const auto& [key, count] : counts) {
    const double share = 100.0 * static_cast<double>(count) / static_cast<double>(total);
    if (!AllHold(rule, share)) continue;
    if (!verdict.holds || share < verdict.measure) verdict.measure = share;
    verdict.holds = true;
    verdict.keys.push_back(key);
  }
  return verdict;
}

// By the nearest rank.
double Percentile(const Group& group, double percentile, const PendingWindow& window) {
  std::vector<std::pair<double, uint32_t>> numbers;
  uint64_t total = 0;
  for (int i = window.first; i <= window.last; ++i) {
    numbers.emplace_back(NumberAt(group, i), PendingWeight(group, i));
    total += PendingWeight(group, i);
  }
  std::ranges::sort(numbers);
  const double rank = std::max(percentile / 100.0 * static_cast<double>(total), 1.0);
  uint64_t seen = 0;
  for (const auto& [number, weight] : numbers) {
    seen += weight;
    if (static_cast<double>(seen) >= rank) return number;
  }
  return numbers.back().first;
}

double Measure(const Group& group, const RuleSummary& rule, const PendingWindow& window) {
  uint64_t weight = 0;
  long double sum = 0;
  uint64_t bits = 0;
  std::vector<uint64_t> keys;
  for (int i = window.first; i <= window.last; ++i) {
    weight += PendingWeight(group, i);
    sum += NumberAt(group, i);
    if (group.keys().empty()) continue;
    bits |= group.keys(i);
    if (rule.type() == internal::v1::VALUE_COUNT) keys.push_back(group.keys(i));
  }
  switch (rule.type()) {
    case internal::v1::VALUE_COUNT: {
      std::ranges::sort(keys);
      const auto repeated = std::ranges::unique(keys);
      return static_cast<double>(repeated.begin() - keys.begin());
    }
    case internal::v1::VALUE_SUM:
      return static_cast<double>(sum);
    case internal::v1::VALUE_AVERAGE:
      return static_cast<double>(sum / static_cast<long double>(weight));
    case internal::v1::VALUE_PERCENTILE:
      return Percentile(group, rule.percentile(), window);
    case internal::v1::TEMPORAL:
    case internal::v1::TEMPORAL_ORDERED:
      return std::popcount(bits);
    default:
      return static_cast<double>(weight);
  }
}

}  // namespace

bool IsTemporal(const RuleSummary& rule) {
  return rule.type() == internal::v1::TEMPORAL || rule.type() == internal::v1::TEMPORAL_ORDERED;
}

int64_t Plus(int64_t time, int64_t span) {
  int64_t sum = 0;
  return __builtin_add_overflow(time, span, &sum) ? INT64_MAX : sum;
}

int64_t Minus(int64_t time, int64_t span) {
  int64_t difference = 0;
  return __builtin_sub_overflow(time, span, &difference) ? INT64_MIN : difference;
}

uint32_t PendingWeight(const Group& group, int at) {
  return group.weights().empty() ? 1 : group.weights(at);
}

int AddPending(Group& group, const RuleSummary& rule, const PendingEvent& event) {
  const int most = IsTemporal(rule) ? kMaxPendingTemporal : kMaxPending;
  if (group.pending_size() >= most) {
    Thin(group, rule);
    KeepLatest(group, most - most / 4);
    if (event.time < group.pending(0)) return -1;
  }
  auto& times = *group.mutable_pending();
  auto at = static_cast<int>(std::ranges::upper_bound(times, event.time) - times.begin());
  const bool has_keys = rule.type() == internal::v1::VALUE_COUNT || IsTemporal(rule) ||
                        (rule.type() == internal::v1::VALUE_PERCENTILE && !rule.has_percentile());
  const bool has_numbers = rule.type() == internal::v1::VALUE_SUM ||
                           rule.type() == internal::v1::VALUE_AVERAGE ||
                           (rule.type() == internal::v1::VALUE_PERCENTILE && rule.has_percentile());
  // Of the same time in the order of the keys, whichever came first.
  while (has_keys && at > 0 && times[at - 1] == event.time && group.keys(at - 1) > event.key) --at;
  times.Add(event.time);
  RotateIn(times, at);
  if (has_keys) {
    group.add_keys(event.key);
    RotateIn(*group.mutable_keys(), at);
  }
  if (has_numbers) {
    group.add_numbers(event.number);
    RotateIn(*group.mutable_numbers(), at);
  }
  if (!group.weights().empty()) {
    group.add_weights(1);
    RotateIn(*group.mutable_weights(), at);
  }
  return at;
}

void ErasePending(Group& group, int begin, int end) {
  if (begin >= end) return;
  if (begin == 0 && end == group.pending_size()) return ClearPending(group);
  EraseRange(*group.mutable_pending(), begin, end);
  EraseRange(*group.mutable_keys(), begin, end);
  EraseRange(*group.mutable_numbers(), begin, end);
  EraseRange(*group.mutable_weights(), begin, end);
}

void DropPending(Group& group, int64_t time) {
  const auto& times = group.pending();
  const auto count = static_cast<int>(std::ranges::lower_bound(times, time) - times.begin());
  ErasePending(group, 0, count);
  if (group.pending().empty()) ClearPending(group);
}

void ClearPending(Group& group) {
  group.clear_pending();
  group.clear_keys();
  group.clear_numbers();
  group.clear_weights();
  group.clear_names();
}

std::optional<PendingWindow> FindWindow(const Group& group, const RuleSummary& rule, int at) {
  const uint64_t threshold = std::max<uint64_t>(rule.threshold(), 1);
  switch (rule.type()) {
    case internal::v1::VALUE_COUNT:
      if (Repeats(group, rule, at)) return std::nullopt;
      return Slide(group, rule, at, ValueTally(group, threshold));
    case internal::v1::VALUE_SUM:
      return FindSum(group, rule, at);
    case internal::v1::TEMPORAL:
      if (Repeats(group, rule, at)) return std::nullopt;
      return Slide(group, rule, at, MemberTally(group, threshold));
    case internal::v1::TEMPORAL_ORDERED:
      return FindOrdered(group, rule, at);
    default:
      return Slide(group, rule, at, CountTally(group, threshold));
  }
}

WindowVerdict Judge(const Group& group, const RuleSummary& rule, const PendingWindow& window) {
  if (rule.type() == internal::v1::VALUE_PERCENTILE && !rule.has_percentile()) {
    return JudgeShares(group, rule, window);
  }
  WindowVerdict verdict;
  verdict.measure = Measure(group, rule, window);
  verdict.holds = AllHold(rule, verdict.measure);
  return verdict;
}

}  // namespace yagura::detection
