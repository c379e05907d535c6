#include "services/archive/domain/check_alignment.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace yagura::archive {
namespace {

using Checks = std::span<const uint16_t>;

// Between anchors; beyond so many the place is vague, or compared event by event.
constexpr int64_t kMostEdits = 1'500;
// Checks in a row that are the same and nowhere else: no chance any more.
constexpr size_t kAnchor = 3;

struct Pair {
  size_t there;
  size_t stored;
};

struct Gram {
  uint64_t checks;
  size_t at;
  auto operator<=>(const Gram&) const = default;
};

std::vector<Gram> GramsOf(Checks checks, size_t begin, size_t end) {
  std::vector<Gram> grams;
  for (size_t i = begin; i + kAnchor <= end; ++i) {
    uint64_t gram = 0;
    for (size_t k = 0; k < kAnchor; ++k) gram = gram << 16 | checks[i + k];
    grams.push_back({gram, i});
  }
  std::sort(grams.begin(), grams.end());
  return grams;
}

// The next of `grams` from `i` on that is there once; its index, or the size.
size_t NextSingle(const std::vector<Gram>& grams, size_t i) {
  while (i < grams.size()) {
    size_t next = i + 1;
    while (next < grams.size() && grams[next].checks == grams[i].checks) ++next;
    if (next == i + 1) return i;
    i = next;
  }
  return i;
}

// As many as there are that rise in both; `pairs` rise in `there`.
std::vector<Pair> LongestRising(const std::vector<Pair>& pairs) {
  std::vector<size_t> last;  // by length, the pair that ends lowest
  std::vector<size_t> before(pairs.size());
  for (size_t i = 0; i < pairs.size(); ++i) {
    const auto place =
        std::lower_bound(last.begin(), last.end(), pairs[i].stored,
                         [&](size_t p, size_t stored) { return pairs[p].stored < stored; });
    before[i] = place == last.begin() ? i : *std::prev(place);
    if (place == last.end()) {
      last.push_back(i);
    } else {
      *place = i;
    }
  }
  std::vector<Pair> rising(last.size());
  size_t at = last.empty() ? 0 : last.back();
  for (size_t i = last.size(); i > 0; --i) {
    rising[i - 1] = pairs[at];
    at = before[at];
  }
  return rising;
}

// Collects what differs from the beginning to the end.
class Alignment {
 public:
  Alignment(Checks there, Checks stored) : there_(there), stored_(stored) {}

  std::vector<CheckDifference> Take();

 private:
  // What lies between what has been looked at and the ends given.
  void Compare(size_t there_end, size_t stored_end);
  // Places of the least edits, by Myers' O(ND) algorithm.
  std::optional<std::vector<CheckDifference>> LeastEdits(const CheckDifference& place) const;
  std::vector<Pair> Anchors(size_t there_end, size_t stored_end) const;
  void Add(const CheckDifference& difference);
  void JoinAcrossChance();
  void FindAlike();
  void SplitByEvent();

  const Checks there_;
  const Checks stored_;
  size_t there_at_ = 0;
  size_t stored_at_ = 0;
  std::vector<CheckDifference> differences_;
};

std::vector<CheckDifference> Alignment::Take() {
  while (there_at_ < std::min(there_.size(), stored_.size()) &&
         there_[there_at_] == stored_[there_at_]) {
    ++there_at_;
  }
  stored_at_ = there_at_;
  size_t there_end = there_.size();
  size_t stored_end = stored_.size();
  while (there_end > there_at_ && stored_end > stored_at_ &&
         there_[there_end - 1] == stored_[stored_end - 1]) {
    --there_end;
    --stored_end;
  }
  for (const Pair& anchor : Anchors(there_end, stored_end)) {
    if (anchor.there < there_at_ || anchor.stored < stored_at_) continue;
    Compare(anchor.there, anchor.stored);
    while (there_at_ < there_end && stored_at_ < stored_end &&
           there_[there_at_] == stored_[stored_at_]) {
      ++there_at_;
      ++stored_at_;
    }
  }
  Compare(there_end, stored_end);
  JoinAcrossChance();
  FindAlike();
  SplitByEvent();
  return std::move(differences_);
}

std::vector<Pair> Alignment::Anchors(size_t there_end, size_t stored_end) const {
  const auto there = GramsOf(there_, there_at_, there_end);
  const auto stored = GramsOf(stored_, stored_at_, stored_end);
  std::vector<Pair> pairs;
  size_t i = NextSingle(there, 0);
  size_t k = NextSingle(stored, 0);
  while (i < there.size() && k < stored.size()) {
    if (there[i].checks == stored[k].checks) pairs.push_back({there[i].at, stored[k].at});
    const bool there_first = there[i].checks <= stored[k].checks;
    const bool stored_first = stored[k].checks <= there[i].checks;
    if (there_first) i = NextSingle(there, i + 1);
    if (stored_first) k = NextSingle(stored, k + 1);
  }
  std::sort(pairs.begin(), pairs.end(),
            [](const Pair& a, const Pair& b) { return a.there < b.there; });
  return LongestRising(pairs);
}

void Alignment::Compare(size_t there_end, size_t stored_end) {
  CheckDifference place{.there = there_at_, .stored = stored_at_};
  place.there_count = there_end - there_at_;
  place.stored_count = stored_end - stored_at_;
  there_at_ = there_end;
  stored_at_ = stored_end;
  if (place.there_count == 0 || place.stored_count == 0) {
    Add(place);
  } else if (const auto edits = LeastEdits(place)) {
    for (const CheckDifference& edit : *edits) Add(edit);
  } else {
    // A long stretch that moved would have an anchor.
    place.vague = place.there_count != place.stored_count;
    Add(place);
  }
}

std::optional<std::vector<CheckDifference>> Alignment::LeastEdits(
    const CheckDifference& place) const {
  const Checks from = stored_.subspan(place.stored, place.stored_count);
  const Checks to = there_.subspan(place.there, place.there_count);
  const auto from_end = static_cast<int64_t>(from.size());
  const auto to_end = static_cast<int64_t>(to.size());
  // How far `from` each diagonal (from - to: -d, -d + 2 and so on to d) comes with d edits.
  std::vector<std::vector<int64_t>> reach;
  const auto at = [&reach](int64_t d, int64_t k) {
    return reach[static_cast<size_t>(d)][static_cast<size_t>((k + d) / 2)];
  };
  const auto inserts = [&at](int64_t d, int64_t k) {
    return k == -d || (k != d && at(d - 1, k - 1) < at(d - 1, k + 1));
  };
  bool done = false;
  for (int64_t d = 0; !done; ++d) {
    if (d > kMostEdits) return std::nullopt;
    reach.emplace_back();
    for (int64_t k = -d; k <= d && !done; k += 2) {
      int64_t x = 0;
      if (d > 0) x = inserts(d, k) ? at(d - 1, k + 1) : at(d - 1, k - 1) + 1;
      while (x < from_end && x - k < to_end &&
             from[static_cast<size_t>(x)] == to[static_cast<size_t>(x - k)]) {
        ++x;
      }
      reach.back().push_back(x);
      done = x >= from_end && x - k >= to_end;
    }
  }
  std::vector<CheckDifference> edits;
  int64_t k = from_end - to_end;
  for (auto d = static_cast<int64_t>(reach.size()) - 1; d > 0; --d) {
    const bool insert = inserts(d, k);
    k += insert ? 1 : -1;
    const int64_t x = at(d - 1, k);
    edits.push_back({.there = place.there + static_cast<size_t>(x - k),
                     .there_count = insert ? 1U : 0U,
                     .stored = place.stored + static_cast<size_t>(x),
                     .stored_count = insert ? 0U : 1U});
  }
  std::reverse(edits.begin(), edits.end());
  return edits;
}

// What follows right on the last is one with it.
void Alignment::Add(const CheckDifference& difference) {
  if (difference.there_count == 0 && difference.stored_count == 0) return;
  if (!differences_.empty()) {
    CheckDifference& last = differences_.back();
    if (last.there_end() == difference.there && last.stored_end() == difference.stored) {
      last.there_count += difference.there_count;
      last.stored_count += difference.stored_count;
      last.vague = last.vague || difference.vague;
      return;
    }
  }
  differences_.push_back(difference);
}

// Whether what is the same between two places is so by chance: then what is too much in one of
// them lacks in the other, and so many could have met that some had to.
bool IsChance(const CheckDifference& a, const CheckDifference& b) {
  constexpr double kChecks = 65'536;
  constexpr double kLikely = 1.0 / 64;
  if (a.vague || b.vague) return false;
  const bool more = a.there_count > a.stored_count && b.there_count < b.stored_count;
  const bool fewer = a.there_count < a.stored_count && b.there_count > b.stored_count;
  if (!more && !fewer) return false;
  double meetings =
      static_cast<double>(b.there_end() - a.there) * static_cast<double>(b.stored_end() - a.stored);
  for (size_t i = a.there_end(); i < b.there && meetings >= kLikely; ++i) meetings /= kChecks;
  return meetings >= kLikely;
}

void Alignment::JoinAcrossChance() {
  std::vector<CheckDifference> joined;
  for (const CheckDifference& difference : differences_) {
    joined.push_back(difference);
    while (joined.size() > 1 && IsChance(joined[joined.size() - 2], joined.back())) {
      const CheckDifference last = joined.back();
      joined.pop_back();
      joined.back().there_count = last.there_end() - joined.back().there;
      joined.back().stored_count = last.stored_end() - joined.back().stored;
    }
  }
  differences_ = std::move(joined);
}

void Alignment::FindAlike() {
  for (size_t i = 0; i < differences_.size(); ++i) {
    CheckDifference& place = differences_[i];
    if (place.there_count > 0 && place.stored_count > 0) continue;
    const bool more = place.there_count > 0;
    const Checks checks = more ? there_ : stored_;
    const size_t begin = more ? place.there : place.stored;
    const size_t end = more ? place.there_end() : place.stored_end();
    const size_t before = place.there - (i == 0 ? 0 : differences_[i - 1].there_end());
    const size_t behind =
        (i + 1 == differences_.size() ? there_.size() : differences_[i + 1].there) -
        place.there_end();
    size_t& back = place.alike_before;
    while (back < before && checks[begin - 1 - back] == checks[end - 1 - back]) ++back;
    size_t& forth = place.alike_behind;
    while (forth < behind && checks[begin + forth] == checks[end + forth]) ++forth;
  }
}

// Where as many are there as were stored, those that are as they were are left out.
void Alignment::SplitByEvent() {
  std::vector<CheckDifference> whole;
  std::swap(whole, differences_);
  for (const CheckDifference& place : whole) {
    if (place.there_count != place.stored_count) {
      differences_.push_back(place);
      continue;
    }
    for (size_t i = 0; i < place.there_count; ++i) {
      if (there_[place.there + i] == stored_[place.stored + i]) continue;
      Add({.there = place.there + i,
           .there_count = 1,
           .stored = place.stored + i,
           .stored_count = 1});
    }
  }
}

}  // namespace

std::vector<CheckDifference> AlignChecks(std::span<const uint16_t> there,
                                         std::span<const uint16_t> stored) {
  return Alignment(there, stored).Take();
}

}  // namespace yagura::archive
