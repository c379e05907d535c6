#include "services/detection/domain/evidence_block.h"

#include <algorithm>
#include <vector>

#include "common/clock/proto_time.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "services/detection/domain/engine/memory.h"
#include "services/detection/domain/packed.h"

namespace yagura::detection {
namespace {

using internal::v1::EvidenceBlock;
using internal::v1::EvidencePiece;
using internal::v1::EvidenceRef;
using internal::v1::Hit;

// Kept with groups, so never another.
constexpr uint64_t kDigestSeed = 0x59616775726A3031ULL;

EvidenceRef MovePiece(v1::Evidence& evidence, EvidenceBlock& block) {
  EvidenceRef ref;
  ref.set_piece(static_cast<uint32_t>(block.pieces_size()));
  ref.set_time(EvidenceTime(evidence));
  ref.set_bytes(static_cast<uint32_t>(evidence.ByteSizeLong()));
  ref.set_event(EventDigest(evidence.event_id()));
  auto& piece = *block.add_pieces();
  piece.set_event(static_cast<uint32_t>(block.events_size()));
  piece.mutable_matched_fields()->Swap(evidence.mutable_matched_fields());
  block.add_events(evidence.SerializeAsString());
  return ref;
}

template <typename Holder>
void MoveAll(Holder& holder, EvidenceBlock& block) {
  for (auto& one : *holder.mutable_evidence()) *holder.add_pieces() = MovePiece(one, block);
  holder.clear_evidence();
}

}  // namespace

uint64_t EventDigest(std::string_view batch_id, uint64_t row) {
  return HashBytes(batch_id, kDigestSeed) + row;
}

uint64_t EventDigest(std::string_view event_id) {
  const size_t dash = event_id.rfind('-');
  if (dash != std::string_view::npos) {
    const auto row = ParseNumber<uint64_t>(event_id.substr(dash + 1));
    if (row) return EventDigest(event_id.substr(0, dash), *row);
  }
  return HashBytes(event_id, kDigestSeed);
}

v1::Evidence EvidenceAt(const EvidenceBlock& block, uint32_t number) {
  v1::Evidence evidence;
  if (number >= static_cast<uint32_t>(block.pieces_size())) return evidence;
  const EvidencePiece& piece = block.pieces(static_cast<int>(number));
  if (piece.event() >= static_cast<uint32_t>(block.events_size())) return evidence;
  if (!evidence.ParseFromString(block.events(static_cast<int>(piece.event())))) return {};
  *evidence.mutable_matched_fields() = piece.matched_fields();
  return evidence;
}

event::v1::Event CoreAt(const EvidenceBlock& block, uint32_t number) {
  event::v1::Event event;
  if (number >= static_cast<uint32_t>(block.pieces_size())) return event;
  const uint32_t place = block.pieces(static_cast<int>(number)).event();
  if (place >= static_cast<uint32_t>(block.cores_size())) return event;
  if (!event.ParseFromString(block.cores(static_cast<int>(place)))) return {};
  return event;
}

size_t CountPieces(const EvidenceBlock& block) {
  size_t pieces = 0;
  for (const auto& piece : block.pieces()) {
    if (piece.event() >= static_cast<uint32_t>(block.events_size())) continue;
    pieces += block.events(static_cast<int>(piece.event())).empty() ? 0 : 1;
  }
  return pieces;
}

uint32_t EvidenceBytes(size_t event_bytes, const EvidencePiece& piece) {
  // A field is a message of the same number of bytes in either; both tags take one byte.
  size_t bytes = event_bytes;
  for (const auto& field : piece.matched_fields()) {
    const size_t size = field.ByteSizeLong();
    bytes += 1 + size;
    for (size_t left = size;; left >>= 7U) {
      ++bytes;
      if (left < 0x80) break;
    }
  }
  return static_cast<uint32_t>(bytes);
}

absl::StatusOr<EvidenceBlock> BlockOf(const internal::v1::HitBatch& batch) {
  if (batch.has_evidence() || batch.packed_evidence().empty()) return batch.evidence();
  EvidenceBlock block;
  YAGURA_RETURN_IF_ERROR(Annotate(Unpack(batch.packed_evidence(), block), "evidence"));
  return block;
}

absl::Status CheckEvidence(const internal::v1::HitBatch& batch) {
  if (batch.has_evidence()) return absl::OkStatus();
  const std::string& packed = batch.packed_evidence();
  if (packed.empty()) {
    const bool refers = std::ranges::any_of(
        batch.hits(), [](const Hit& hit) { return !hit.pieces().empty() || hit.has_first(); });
    if (!refers) return absl::OkStatus();
    return MakeError(absl::StatusCode::kInvalidArgument, "BAD_PACKED",
                     "evidence: hits refer to it, and it is not there");
  }
  YAGURA_RETURN_IF_ERROR(Annotate(CheckPacked(packed), "evidence"));
  constexpr size_t kSmall = 1024;  // all that is no frame, but for what did not get smaller by it
  if (UnpackedSize(packed) > kSmall) return absl::OkStatus();
  EvidenceBlock block;
  return Annotate(Unpack(packed, block), "evidence");
}

void InlineEvidence(const EvidenceBlock& block, Hit& hit) {
  for (const auto& ref : hit.pieces()) {
    v1::Evidence evidence = EvidenceAt(block, ref.piece());
    if (!evidence.event_id().empty()) *hit.add_evidence() = std::move(evidence);
  }
  hit.clear_pieces();
  if (!hit.has_first()) return;
  ShowCore(CoreAt(block, hit.first().piece()), hit);
  hit.clear_first();
}

void MoveEvidence(Hit& hit, EvidenceBlock& block) { MoveAll(hit, block); }

void MoveEvidence(internal::v1::Group& group, EvidenceBlock& block) { MoveAll(group, block); }

void RenameEvents(internal::v1::HitBatch& batch,
                  const std::function<std::string(const std::string& id)>& rename) {
  if (!batch.has_evidence()) return;
  EvidenceBlock& block = *batch.mutable_evidence();
  struct Renamed {
    uint64_t digest = 0;
    int64_t grown = 0;  // bytes
  };
  std::vector<Renamed> events(static_cast<size_t>(block.events_size()));
  for (int i = 0; i < block.events_size(); ++i) {
    v1::Evidence evidence;
    if (!evidence.ParseFromString(block.events(i))) continue;
    evidence.set_event_id(rename(evidence.event_id()));
    const std::string bytes = evidence.SerializeAsString();
    events[static_cast<size_t>(i)] = {
        EventDigest(evidence.event_id()),
        static_cast<int64_t>(bytes.size()) - static_cast<int64_t>(block.events(i).size())};
    block.set_events(i, bytes);
  }
  const auto follow = [&](EvidenceRef& ref) {
    if (ref.piece() >= static_cast<uint32_t>(block.pieces_size())) return;
    const size_t event = block.pieces(static_cast<int>(ref.piece())).event();
    if (event >= events.size()) return;
    ref.set_event(events[event].digest);
    ref.set_bytes(static_cast<uint32_t>(ref.bytes() + events[event].grown));
  };
  for (auto& hit : *batch.mutable_hits()) {
    for (auto& piece : *hit.mutable_pieces()) follow(piece);
    if (hit.has_first()) follow(*hit.mutable_first());
  }
}

int64_t EvidenceTime(const v1::Evidence& evidence) {
  const auto time = std::min(FromProto(evidence.event_time()), FromProto(evidence.receive_time()));
  return time.time_since_epoch().count();
}

}  // namespace yagura::detection
