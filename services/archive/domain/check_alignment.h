#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace yagura::archive {

// A place where the events of a unit are not those that were stored: `there_count` of them stand
// where `stored_count` were, at least one of which is not 0. Where the counts are the same, each of
// the events is another than the one that was stored in its place.
struct CheckDifference {
  size_t there = 0;  // index of the first
  size_t there_count = 0;
  size_t stored = 0;  // index of the first
  size_t stored_count = 0;
  // Where one of the counts is 0: the place may as well lie so many events before or behind, as
  // the checks there are the same.
  size_t alike_before = 0;
  size_t alike_behind = 0;
  // So much differs that some of the events may be as they were.
  bool vague = false;

  size_t there_end() const { return there + there_count; }
  size_t stored_end() const { return stored + stored_count; }
};

// Aligns the short checks (see EventUnit) of the events that are there with those that were stored;
// what differs, in order. One check in 65,536 is that of another event by chance, so that few that
// are the same amid many that are not count for nothing. For n events it takes n memory and n log n
// time, a bounded number of times that where few are as they were.
std::vector<CheckDifference> AlignChecks(std::span<const uint16_t> there,
                                         std::span<const uint16_t> stored);

}  // namespace yagura::archive
