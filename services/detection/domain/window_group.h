#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "services/detection/domain/evidence_blocks.h"
#include "services/detection/domain/pending.h"
#include "yagura/detection/internal/v1/hits.pb.h"

// One group of a window as it is kept: its evidence, and the finding that grows of it. Plain
// functions over the message.
namespace yagura::detection {

// Where windows are decided at their end: of several of them, or of many.
inline constexpr int kMaxEvidenceAtEnd = 60;
inline constexpr int kMaxPatientEvidence = 1'000;
// Keeps references to evidence in order of time, each event once. Where there is too much, the
// latest stays; where windows are decided at their end, the earliest `most_at_end`.
void AddPiece(internal::v1::Group& group, const internal::v1::EvidenceRef& piece,
              EvidenceBlocks& blocks, int most_at_end = kMaxEvidenceAtEnd);
// The places from `begin` up to `end` go.
void DropPieces(internal::v1::Group& group, int begin, int end, EvidenceBlocks& blocks);
void ClearPieces(internal::v1::Group& group, EvidenceBlocks& blocks);

// Forgets pending events before `time`, and what goes with them.
void DropBefore(internal::v1::Group& group, const internal::v1::RuleSummary& rule, int64_t time,
                EvidenceBlocks& blocks);

// Notes what a pending event is to the correlations above. `span`: a time span of the rule.
void AddOuter(internal::v1::Group& group,
              const google::protobuf::RepeatedPtrField<internal::v1::OuterLevel>& levels,
              int64_t time, int64_t span);
// What the pending events between two times are to those, each once.
std::vector<google::protobuf::RepeatedPtrField<internal::v1::OuterLevel>> OutersWithin(
    const internal::v1::Group& group, int64_t first, int64_t last);
// The events between two times are pending no longer.
void DropOuters(internal::v1::Group& group, int64_t first, int64_t last);
// Which ones find room follows from the hits: the order of a map does not.
void AddNames(internal::v1::Group& group, const internal::v1::Hit& hit);

std::string FindingId(const std::string& key, int64_t first);

// Of the latest event that it has, pending or in its latest finding.
int64_t LatestTime(const internal::v1::Group& group);

// The findings of a group that are still growing: the latest is in Group itself, those before it,
// to which events that come late may belong, in `earlier`.
inline constexpr int kMaxEarlier = 8;
inline constexpr int kLatest = -1;  // instead of a place in `earlier`

// The finding to which an event of that time belongs, none more than a time span before its first
// or after its last event: the nearest, the later one of two.
std::optional<int> FindingOf(const internal::v1::Group& group, int64_t time, int64_t span);
// Counts the event, and the pending ones that now follow without a gap of more than a time span.
// Gives the times of the latter.
std::vector<int64_t> JoinFinding(internal::v1::Group& group, int place, int64_t time, int64_t span);
// Begins a finding with the pending event at `first` and all that follow without a gap of more than
// a time span, which are pending no longer.
struct BegunFinding {
  int place = kLatest;
  std::vector<int64_t> times;
};
BegunFinding BeginFinding(internal::v1::Group& group, const std::string& key, int first,
                          int64_t span);
void CloseFinding(internal::v1::Group& group);
// Takes the pieces of a finding's events out of those of pending ones.
google::protobuf::RepeatedPtrField<internal::v1::EvidenceRef> TakePieces(internal::v1::Group& group,
                                                                         int64_t first,
                                                                         int64_t last,
                                                                         EvidenceBlocks& blocks);

// Whether others are to hear of a finding as it is now, and that they did: of a Group, or of one of
// its earlier findings.
inline constexpr int64_t kTellInterval = 60LL * 1'000'000'000;
template <typename Finding>
bool IsToTell(const Finding& finding) {
  return finding.count() / 2 >= finding.told_count() ||
         finding.last() >= Plus(finding.told_last(), kTellInterval);
}
template <typename Finding>
void NoteTold(Finding& finding) {
  finding.set_told_count(finding.count());
  finding.set_told_last(finding.last());
}
template <typename Finding>
bool HasUntold(const Finding& finding) {
  return !finding.finding_id().empty() && finding.told_count() < finding.count();
}

// As it is kept with what it shows as messages, but for a few bytes; that is not gone through
// again.
size_t SizeOf(const std::string& key, const internal::v1::Group& group);

}  // namespace yagura::detection
