#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"

#include "yagura/detection/internal/v1/hits.pb.h"

// What the hits of one batch show as evidence: each event once, whatever number of rules matched
// it. Plain functions over the messages.
namespace yagura::detection {

// Which event it is: the same for the same id ("{batch id}-{row}") in every process and release.
uint64_t EventDigest(std::string_view batch_id, uint64_t row);
uint64_t EventDigest(std::string_view event_id);

// A piece of evidence as a message of its own; an empty one where the block does not have it.
v1::Evidence EvidenceAt(const internal::v1::EvidenceBlock& block, uint32_t piece);
// The typed core of the event of a piece; an empty one where the block does not have it.
event::v1::Event CoreAt(const internal::v1::EvidenceBlock& block, uint32_t piece);
// Says of a hit or a finding what its first event was; nothing where that is not known.
template <typename Shown>
void ShowCore(event::v1::Event core, Shown& shown) {
  if (core.ByteSizeLong() == 0) return;
  shown.set_device(core.device());
  shown.set_site(core.site());
  *shown.mutable_event() = std::move(core);
}
// How many pieces it has evidence of.
size_t CountPieces(const internal::v1::EvidenceBlock& block);
// How many bytes EvidenceAt gives for an event that takes `event_bytes` without matched fields.
uint32_t EvidenceBytes(size_t event_bytes, const internal::v1::EvidencePiece& piece);

// The block of a batch, packed or not; an empty one where it has none. Errors as of Unpack.
absl::StatusOr<internal::v1::EvidenceBlock> BlockOf(const internal::v1::HitBatch& batch);

// INVALID_ARGUMENT (BAD_PACKED), UNAVAILABLE (NEWER_FORMAT): the hits of a batch refer to evidence
// that is not there, that no release can read, or only a later one. What shows only when it is
// unpacked is not found.
absl::Status CheckEvidence(const internal::v1::HitBatch& batch);

// Makes a hit whole in itself, as earlier releases made them: without references into `block`.
void InlineEvidence(const internal::v1::EvidenceBlock& block, internal::v1::Hit& hit);

// The other way round: what a hit of an earlier release shows goes into the block. Does nothing to
// one that has references already.
void MoveEvidence(internal::v1::Hit& hit, internal::v1::EvidenceBlock& block);
// The same of a group.
void MoveEvidence(internal::v1::Group& group, internal::v1::EvidenceBlock& block);

// Gives the events of a batch that is not packed the ids by which they are known elsewhere.
void RenameEvents(internal::v1::HitBatch& batch,
                  const std::function<std::string(const std::string& id)>& rename);

// When the event of a piece of evidence happened, as windows see it: never later than it came.
int64_t EvidenceTime(const v1::Evidence& evidence);

}  // namespace yagura::detection
