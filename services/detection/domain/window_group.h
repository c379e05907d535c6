#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "services/detection/domain/evidence_blocks.h"
#include "yagura/detection/internal/v1/hits.pb.h"

// One group of a window as it is kept: its evidence, and the finding that grows of it. Plain
// functions over the message.
namespace yagura::detection {

// Keeps references to evidence in order of time, each event once. Where there is too much, the
// latest stays; where windows are decided at their end, the earliest.
void AddPiece(internal::v1::Group& group, const internal::v1::EvidenceRef& piece,
              EvidenceBlocks& blocks);
// The places from `begin` up to `end` go.
void DropPieces(internal::v1::Group& group, int begin, int end, EvidenceBlocks& blocks);
void ClearPieces(internal::v1::Group& group, EvidenceBlocks& blocks);

// Forgets pending events before `time`, and what goes with them.
void DropBefore(internal::v1::Group& group, const internal::v1::RuleSummary& rule, int64_t time,
                EvidenceBlocks& blocks);

// Notes what an event is to the correlations above.
void AddOuter(internal::v1::Group& group,
              const google::protobuf::RepeatedPtrField<internal::v1::OuterLevel>& levels,
              int64_t time);
// Which ones find room follows from the hits: the order of a map does not.
void AddNames(internal::v1::Group& group, const internal::v1::Hit& hit);

std::string FindingId(const std::string& key, int64_t first);
// Begins the group's finding with the earliest pending event and all that follow without a gap of
// more than a time span.
void OpenFinding(internal::v1::Group& group, const std::string& key, int64_t span);
void CloseFinding(internal::v1::Group& group);
// Whether others are to hear of the finding as it is now, and that they did.
bool IsToTell(const internal::v1::Group& group);
void NoteTold(internal::v1::Group& group);
bool HasUntold(const internal::v1::Group& group);

// As it is kept with what it shows as messages, but for a few bytes; that is not gone through
// again.
size_t SizeOf(const std::string& key, const internal::v1::Group& group);

}  // namespace yagura::detection
