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

using internal::v1::EvidenceRef;
using internal::v1::Group;
using internal::v1::Hit;
using internal::v1::OuterLevel;
using internal::v1::OuterPlace;
using internal::v1::RuleSummary;

constexpr int64_t kTellInterval = 60LL * 1'000'000'000;
constexpr int kMaxEvidenceAtEnd = 60;  // of several windows
constexpr int kMaxOuters = 64;
constexpr int kMaxNames = 1000;

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

void AddPiece(Group& group, const EvidenceRef& piece, EvidenceBlocks& blocks) {
  auto& all = *group.mutable_pieces();
  const auto is_same = [&](const EvidenceRef& one) { return one.event() == piece.event(); };
  if (std::any_of(all.begin(), all.end(), is_same)) return;
  const int most = group.at_end() ? kMaxEvidenceAtEnd : kMaxEvidence;
  const bool is_full = all.size() >= most;
  // It would be the one that goes.
  if (is_full && group.at_end() && piece.time() >= all[all.size() - 1].time()) return;
  if (is_full && !group.at_end() && piece.time() < all[0].time()) return;
  *all.Add() = piece;
  blocks.Refer(piece);
  group.set_evidence_bytes(group.evidence_bytes() + piece.bytes());
  for (int i = all.size() - 1; i > 0 && all[i].time() < all[i - 1].time(); --i) {
    all.SwapElements(i, i - 1);
  }
  const int over = all.size() - most;
  if (over <= 0) return;
  const int begin = group.at_end() ? all.size() - over : 0;
  DropPieces(group, begin, begin + over, blocks);
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
}

void AddOuter(Group& group, const google::protobuf::RepeatedPtrField<OuterLevel>& levels,
              int64_t time) {
  if (levels.empty()) return;
  OuterPlace fresh;
  *fresh.mutable_levels() = levels;
  const std::string bytes = fresh.SerializeAsString();
  for (auto& place : *group.mutable_outers()) {
    OuterPlace alike;
    *alike.mutable_levels() = place.levels();
    if (alike.SerializeAsString() != bytes) continue;
    place.set_first(std::min(place.first(), time));
    place.set_last(std::max(place.last(), time));
    return;
  }
  auto& all = *group.mutable_outers();
  if (all.size() >= kMaxOuters) {
    all.erase(std::min_element(all.begin(), all.end(),
                               [](const auto& a, const auto& b) { return a.last() < b.last(); }));
  }
  fresh.set_first(time);
  fresh.set_last(time);
  *all.Add() = std::move(fresh);
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

void OpenFinding(Group& group, const std::string& key, int64_t span) {
  const auto& pending = group.pending();
  group.set_first(pending[0]);
  group.set_last(pending[0]);
  uint64_t count = 0;
  for (int i = 0; i < pending.size() && pending[i] <= Plus(group.last(), span); ++i) {
    group.set_last(pending[i]);
    count += PendingWeight(group, i);
  }
  group.set_count(count);
  group.set_finding_id(FindingId(key, group.first()));
  ClearPending(group);
  group.clear_outers();
  group.set_told_count(0);
  group.set_told_last(0);
}

void CloseFinding(Group& group) {
  group.clear_finding_id();
  group.set_count(0);
  group.set_first(0);
  group.set_last(0);
}

bool IsToTell(const Group& group) {
  return group.count() / 2 >= group.told_count() ||
         group.last() >= Plus(group.told_last(), kTellInterval);
}

void NoteTold(Group& group) {
  group.set_told_count(group.count());
  group.set_told_last(group.last());
}

bool HasUntold(const Group& group) {
  return !group.finding_id().empty() && group.told_count() < group.count();
}

size_t SizeOf(const std::string& key, const Group& group) {
  constexpr size_t kFixed = 200;  // ids and numbers
  constexpr size_t kPending = 28;
  size_t bytes = key.size() + kFixed + group.evidence_bytes() +
                 kPending * static_cast<size_t>(group.pending_size());
  for (const auto& [name, value] : group.names()) bytes += sizeof(name) + value.size();
  for (const auto& outer : group.outers()) bytes += outer.ByteSizeLong();
  if (!group.has_about()) return bytes;
  return bytes + group.about().ByteSizeLong() + group.about().first().core_bytes();
}

}  // namespace yagura::detection
