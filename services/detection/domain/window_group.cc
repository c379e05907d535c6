#include "services/detection/domain/window_group.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "fmt/format.h"

#include "services/detection/domain/findings.h"
#include "services/detection/domain/hits.h"
#include "services/detection/domain/pending.h"

namespace yagura::detection {
namespace {

using google::protobuf::RepeatedPtrField;
using internal::v1::EarlierFinding;
using internal::v1::EvidenceRef;
using internal::v1::Group;
using internal::v1::Hit;
using internal::v1::OuterLevel;
using internal::v1::OuterPlace;
using internal::v1::RuleSummary;

constexpr int64_t kLongestFinding = 24LL * 3600 * 1'000'000'000;
constexpr int kMaxOuters = 64;
constexpr int kMaxNames = 1000;

// The longest that a finding goes on counts from the event that it began with: late ones, which
// move its first back, bring its end no nearer.
template <typename Finding>
bool IsWithinLongest(const Finding& finding, int64_t time) {
  return Minus(time, finding.has_began() ? finding.began() : finding.first()) < kLongestFinding;
}

template <typename Finding>
bool IsNear(const Finding& finding, int64_t time, int64_t span) {
  return Plus(time, span) >= finding.first() && time <= Plus(finding.last(), span) &&
         IsWithinLongest(finding, time);
}

// Lets a finding have the pending events from the place `at` on that follow it without a gap.
template <typename Finding>
std::vector<int64_t> Absorb(Finding& finding, int at, int64_t span, Group& group) {
  const auto& pending = group.pending();
  std::vector<int64_t> times;
  uint64_t count = finding.count();
  int end = at;
  while (end < pending.size() && pending[end] <= Plus(finding.last(), span) &&
         IsWithinLongest(finding, pending[end])) {
    finding.set_last(std::max(finding.last(), pending[end]));
    count += PendingWeight(group, end);
    times.push_back(pending[end++]);
  }
  finding.set_count(count);
  ErasePending(group, at, end);
  return times;
}

template <typename Finding>
std::vector<int64_t> Join(Finding& finding, int64_t time, int64_t span, Group& group) {
  if (!finding.has_began()) finding.set_began(finding.first());
  finding.set_first(std::min(finding.first(), time));
  finding.set_last(std::max(finding.last(), time));
  finding.set_count(finding.count() + 1);
  if (group.pending().empty()) return {};
  const auto next = std::ranges::lower_bound(group.pending(), finding.first());
  return Absorb(finding, static_cast<int>(next - group.pending().begin()), span, group);
}

template <typename From, typename To>
void CopyFinding(const From& from, To& to) {
  to.set_finding_id(from.finding_id());
  to.set_count(from.count());
  to.set_first(from.first());
  to.set_last(from.last());
  to.set_told_count(from.told_count());
  to.set_told_last(from.told_last());
  to.clear_began();
  if (from.has_began()) to.set_began(from.began());
}

bool IsAlike(const RepeatedPtrField<OuterLevel>& a, const RepeatedPtrField<OuterLevel>& b) {
  if (a.size() != b.size()) return false;
  for (int i = 0; i < a.size(); ++i) {
    if (a[i].SerializeAsString() != b[i].SerializeAsString()) return false;
  }
  return true;
}

}  // namespace

void DropPieces(Group& group, int begin, int end, EvidenceBlocks& blocks) {
  if (begin >= end) return;
  for (int i = begin; i < end; ++i) {
    group.set_evidence_bytes(group.evidence_bytes() - group.pieces(i).bytes());
    blocks.Release(group.pieces(i));
  }
  group.mutable_pieces()->DeleteSubrange(begin, end - begin);
}

void ClearPieces(Group& group, EvidenceBlocks& blocks) {
  DropPieces(group, 0, group.pieces_size(), blocks);
  group.clear_evidence_bytes();
}

void AddPiece(Group& group, const EvidenceRef& piece, EvidenceBlocks& blocks, int most_at_end) {
  auto& all = *group.mutable_pieces();
  // In order of time.
  const auto alike = std::ranges::equal_range(all, piece.time(), {}, &EvidenceRef::time);
  const auto is_same = [&](const EvidenceRef& one) { return one.event() == piece.event(); };
  if (std::ranges::any_of(alike, is_same)) return;
  const int most = group.at_end() ? most_at_end : kMaxEvidence;
  const bool is_full = all.size() >= most;
  // It would be the one that goes.
  if (is_full && group.at_end() && piece.time() >= all[all.size() - 1].time()) return;
  if (is_full && !group.at_end() && piece.time() < all[0].time()) return;
  blocks.Refer(piece);
  if (is_full) {
    // It takes the place of the one that goes.
    for (int i = 1; !group.at_end() && i < all.size(); ++i) all.SwapElements(i - 1, i);
    auto& last = all[all.size() - 1];
    group.set_evidence_bytes(group.evidence_bytes() - last.bytes());
    blocks.Release(last);
    last = piece;
  } else {
    *all.Add() = piece;
  }
  group.set_evidence_bytes(group.evidence_bytes() + piece.bytes());
  for (int i = all.size() - 1; i > 0 && all[i].time() < all[i - 1].time(); --i) {
    all.SwapElements(i, i - 1);
  }
}

void DropBefore(Group& group, const RuleSummary& rule, int64_t time, EvidenceBlocks& blocks) {
  DropPending(group, time);
  const auto& pieces = group.pieces();  // in order of time
  const int64_t reach = Minus(time, rule.reach_nanos());
  const auto young = std::find_if(pieces.begin(), pieces.end(),
                                  [reach](const auto& one) { return one.time() >= reach; });
  DropPieces(group, 0, static_cast<int>(young - pieces.begin()), blocks);
  auto& outers = *group.mutable_outers();
  const auto gone = std::remove_if(outers.begin(), outers.end(),
                                   [time](const auto& one) { return one.last() < time; });
  outers.erase(gone, outers.end());
  for (auto& one : outers) one.set_first(std::max(one.first(), time));
}

void AddOuter(Group& group, const RepeatedPtrField<OuterLevel>& levels, int64_t time,
              int64_t span) {
  if (levels.empty()) return;
  OuterPlace fresh;
  *fresh.mutable_levels() = levels;
  fresh.set_first(time);
  fresh.set_last(time);
  auto& all = *group.mutable_outers();
  // It may close the gap between two.
  const auto joined = std::remove_if(all.begin(), all.end(), [&](const OuterPlace& place) {
    if (Plus(time, span) < place.first() || time > Plus(place.last(), span) ||
        !IsAlike(place.levels(), levels)) {
      return false;
    }
    fresh.set_first(std::min(fresh.first(), place.first()));
    fresh.set_last(std::max(fresh.last(), place.last()));
    return true;
  });
  all.erase(joined, all.end());
  if (all.size() >= kMaxOuters) {
    all.erase(std::min_element(all.begin(), all.end(),
                               [](const auto& a, const auto& b) { return a.last() < b.last(); }));
  }
  *all.Add() = std::move(fresh);
}

std::vector<RepeatedPtrField<OuterLevel>> OutersWithin(const Group& group, int64_t first,
                                                       int64_t last) {
  std::vector<RepeatedPtrField<OuterLevel>> within;
  for (const OuterPlace& place : group.outers()) {
    if (place.last() < first || place.first() > last) continue;
    const bool is_known = std::ranges::any_of(
        within, [&place](const auto& levels) { return IsAlike(levels, place.levels()); });
    if (!is_known) within.push_back(place.levels());
  }
  return within;
}

void DropOuters(Group& group, int64_t first, int64_t last) {
  auto& all = *group.mutable_outers();
  const auto gone = std::remove_if(all.begin(), all.end(), [&](OuterPlace& place) {
    if (place.last() < first || place.first() > last) return false;
    if (place.last() > last) {
      place.set_first(Plus(last, 1));
      return false;
    }
    if (place.first() >= first) return true;
    place.set_last(Minus(first, 1));
    return false;
  });
  all.erase(gone, all.end());
}

void AddNames(Group& group, const Hit& hit) {
  std::vector<uint64_t> keys;
  keys.reserve(static_cast<size_t>(hit.names_size()));
  for (const auto& [key, name] : hit.names()) keys.push_back(key);
  std::ranges::sort(keys);
  for (const uint64_t key : keys) {
    if (group.names_size() >= kMaxNames) return;
    (*group.mutable_names())[key] = hit.names().at(key);
  }
}

std::string FindingId(const std::string& key, int64_t first) {
  return ShortDigest({"finding", key, fmt::format("{}", first)});
}

int64_t LatestTime(const Group& group) {
  const auto& pending = group.pending();
  const int64_t latest = pending.empty() ? INT64_MIN : pending[pending.size() - 1];
  return group.finding_id().empty() ? latest : std::max(latest, group.last());
}

std::optional<int> FindingOf(const Group& group, int64_t time, int64_t span) {
  if (group.finding_id().empty()) return std::nullopt;
  std::optional<int> nearest;
  int64_t least = INT64_MAX;
  const auto look = [&](const auto& finding, int place) {
    if (!IsNear(finding, time, span)) return;
    const int64_t distance =
        std::max({Minus(finding.first(), time), Minus(time, finding.last()), int64_t{0}});
    if (nearest && distance >= least) return;
    nearest = place;
    least = distance;
  };
  look(group, kLatest);
  for (int i = group.earlier_size() - 1; i >= 0; --i) look(group.earlier(i), i);
  return nearest;
}

std::vector<int64_t> JoinFinding(Group& group, int place, int64_t time, int64_t span) {
  return place == kLatest ? Join(group, time, span, group)
                          : Join(*group.mutable_earlier(place), time, span, group);
}

BegunFinding BeginFinding(Group& group, const std::string& key, int first, int64_t span) {
  EarlierFinding begun;
  begun.set_first(group.pending(first));
  begun.set_last(begun.first());
  begun.set_began(begun.first());
  begun.set_finding_id(FindingId(key, begun.first()));
  BegunFinding result;
  result.times = Absorb(begun, first, span, group);
  const bool is_latest = group.finding_id().empty() || begun.first() > group.first();
  EarlierFinding earlier = begun;
  if (is_latest) {
    CopyFinding(group, earlier);
    CopyFinding(begun, group);
    if (earlier.finding_id().empty()) return result;
  }
  auto& all = *group.mutable_earlier();
  const auto after = std::ranges::upper_bound(all, earlier.first(), {}, &EarlierFinding::first);
  const auto place = static_cast<int>(after - all.begin());
  *all.Add() = std::move(earlier);
  std::rotate(all.begin() + place, all.end() - 1, all.end());
  if (!is_latest) result.place = place;
  return result;
}

void CloseFinding(Group& group) {
  group.clear_finding_id();
  group.set_count(0);
  group.set_first(0);
  group.set_last(0);
  group.set_told_count(0);
  group.set_told_last(0);
  group.clear_began();
}

RepeatedPtrField<EvidenceRef> TakePieces(Group& group, int64_t first, int64_t last,
                                         EvidenceBlocks& blocks) {
  const auto& all = group.pieces();  // in order of time
  const auto begin = std::ranges::lower_bound(all, first, {}, &EvidenceRef::time);
  const auto end = std::ranges::upper_bound(all, last, {}, &EvidenceRef::time);
  RepeatedPtrField<EvidenceRef> taken(begin, end);
  DropPieces(group, static_cast<int>(begin - all.begin()), static_cast<int>(end - all.begin()),
             blocks);
  return taken;
}

size_t SizeOf(const std::string& key, const Group& group) {
  constexpr size_t kFixed = 200;  // ids and numbers
  constexpr size_t kPending = 28;
  constexpr size_t kEarlier = 80;
  size_t bytes = key.size() + kFixed + group.evidence_bytes() +
                 kPending * static_cast<size_t>(group.pending_size());
  for (const auto& [name, value] : group.names()) bytes += sizeof(name) + value.size();
  for (const auto& outer : group.outers()) bytes += outer.ByteSizeLong();
  bytes += kEarlier * static_cast<size_t>(group.earlier_size());
  if (!group.has_about()) return bytes;
  return bytes + group.about().ByteSizeLong() + group.about().first().core_bytes();
}

}  // namespace yagura::detection
