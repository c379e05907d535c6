#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "yagura/detection/internal/v1/hits.pb.h"

// The pending events of a group: what a correlation has counted and not made a finding of yet, in
// order of time. Plain functions over the message that is kept.
namespace yagura::detection {

// How many pending events are kept one by one; beyond, neighbours of the same value are taken
// together (their times blur, sums and counts stay exact, percentiles become estimates), then the
// oldest go.
inline constexpr int kMaxPending = 20'000;
inline constexpr int kMaxPendingTemporal = 2'000;

// Hostile times must not overflow.
int64_t Plus(int64_t time, int64_t span);
int64_t Minus(int64_t time, int64_t span);

// Whether a correlation asks for several rules within its time span.
bool IsTemporal(const internal::v1::RuleSummary& rule);

struct PendingEvent {
  int64_t time = 0;
  uint64_t key = 0;
  double number = 0;
};
// Where it stands now; -1 where there was no room for one so old.
int AddPending(internal::v1::Group& group, const internal::v1::RuleSummary& rule,
               const PendingEvent& event);
// Forgets pending events before `time`, and what goes with them.
void DropPending(internal::v1::Group& group, int64_t time);
// The places from `begin` up to `end` go.
void ErasePending(internal::v1::Group& group, int begin, int end);
void ClearPending(internal::v1::Group& group);
uint32_t PendingWeight(const internal::v1::Group& group, int at);

// A window of pending events [first, last].
struct PendingWindow {
  int first = 0;
  int last = 0;
};
// Of a rule that is decided while windows grow: the earliest window of its time span with the event
// at `at` that satisfies it, with no more events than it needs.
std::optional<PendingWindow> FindWindow(const internal::v1::Group& group,
                                        const internal::v1::RuleSummary& rule, int at);

// What a rule measures over pending events.
struct WindowVerdict {
  bool holds = false;
  double measure = 0;
  std::vector<uint64_t> keys;  // the values that satisfy it, where each is measured by itself
};
WindowVerdict Judge(const internal::v1::Group& group, const internal::v1::RuleSummary& rule,
                    const PendingWindow& window);

}  // namespace yagura::detection
