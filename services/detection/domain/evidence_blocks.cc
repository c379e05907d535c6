#include "services/detection/domain/evidence_blocks.h"

#include <algorithm>
#include <utility>

#include "common/status/status.h"
#include "services/detection/domain/evidence_block.h"
#include "services/detection/domain/packed.h"

namespace yagura::detection {
namespace {

using internal::v1::EvidenceBlock;
using internal::v1::EvidenceRef;

// So much is never worth packing anew.
constexpr size_t kFewBytes = 1 << 20;
// Of what is looked into between two sweeps; more is looked into again.
constexpr size_t kMaxOpenBytes = 16 << 20;
// Beyond, a number is no place in a block.
constexpr uint32_t kMaxPieces = 1 << 20;

// True for the first.
bool CountUp(uint32_t piece, std::vector<uint32_t>& counts) {
  if (counts.size() <= piece) counts.resize(piece + size_t{1}, 0);
  return counts[piece]++ == 0;
}

bool IsCounted(uint32_t piece, const std::vector<uint32_t>& counts) {
  return piece < counts.size() && counts[piece] > 0;
}

}  // namespace

EvidenceBlocks::EvidenceBlocks(bool keeps) : keeps_(keeps) {}
EvidenceBlocks::~EvidenceBlocks() = default;

void EvidenceBlocks::Touch(uint64_t number, Block& block) {
  if (std::exchange(block.is_touched, true)) return;
  touched_.push_back(number);
}

bool EvidenceBlocks::Load(uint64_t number, std::string packed) {
  Block& block = blocks_[number];
  if (block.is_written || block.bytes > 0) return false;
  block.packed = std::move(packed);
  block.bytes = block.packed.size();
  block.is_written = true;
  bytes_ += block.bytes;
  next_ = std::max(next_, number + 1);
  Touch(number, block);
  return true;
}

uint64_t EvidenceBlocks::Place(Block block) {
  const uint64_t number = next_++;
  bytes_ += block.bytes;
  Touch(number, blocks_.emplace(number, std::move(block)).first->second);
  return number;
}

uint64_t EvidenceBlocks::Add(std::string packed, size_t pieces) {
  Block block;
  block.bytes = packed.size();
  block.packed = std::move(packed);
  block.held = pieces;
  return Place(std::move(block));
}

uint64_t EvidenceBlocks::Add(Message message) {
  Block block;
  block.held = static_cast<size_t>(message.pieces_size());
  block.bytes = message.ByteSizeLong();
  block.plain = std::make_unique<Message>(std::move(message));
  return Place(std::move(block));
}

// What is to be loaded may come later.
EvidenceBlocks::Block* EvidenceBlocks::ToRefer(const EvidenceRef& ref) {
  if (ref.block() == 0 || ref.piece() >= kMaxPieces) return nullptr;
  Block& block = blocks_[ref.block()];
  next_ = std::max(next_, ref.block() + 1);
  Touch(ref.block(), block);
  return &block;
}

void EvidenceBlocks::Refer(const EvidenceRef& ref) {
  Block* const block = ToRefer(ref);
  if (block == nullptr) return;
  if (CountUp(ref.piece(), block->refs)) ++block->live;
  live_bytes_ += ref.bytes();
}

void EvidenceBlocks::ReferCore(const EvidenceRef& ref) {
  Block* const block = ToRefer(ref);
  if (block == nullptr) return;
  if (CountUp(ref.piece(), block->cores)) ++block->live_cores;
  live_bytes_ += ref.core_bytes();
}

void EvidenceBlocks::Release(const EvidenceRef& ref) {
  const auto found = blocks_.find(ref.block());
  if (found == blocks_.end() || !IsCounted(ref.piece(), found->second.refs)) return;
  Block& block = found->second;
  if (--block.refs[ref.piece()] == 0) --block.live;
  live_bytes_ -= ref.bytes();
  Touch(ref.block(), block);
}

void EvidenceBlocks::ReleaseCore(const EvidenceRef& ref) {
  const auto found = blocks_.find(ref.block());
  if (found == blocks_.end() || !IsCounted(ref.piece(), found->second.cores)) return;
  Block& block = found->second;
  if (--block.cores[ref.piece()] == 0) --block.live_cores;
  live_bytes_ -= ref.core_bytes();
  Touch(ref.block(), block);
}

const EvidenceBlock* EvidenceBlocks::Look(uint64_t number) {
  const auto found = blocks_.find(number);
  if (found == blocks_.end() || found->second.is_broken) return nullptr;
  Block& block = found->second;
  if (block.plain != nullptr) return block.plain.get();
  if (const auto open = open_.find(number); open != open_.end()) return &open->second;
  if (open_bytes_ > kMaxOpenBytes) {
    open_.clear();
    open_bytes_ = 0;
  }
  Message& message = open_[number];
  const absl::Status read = block.bytes == 0
                                ? absl::NotFoundError("evidence that is referred to is not there")
                                : Annotate(Unpack(block.packed, message), "evidence");
  if (!read.ok()) {
    block.is_broken = true;
    open_.erase(number);
    unreadable_.emplace_back(number, read);
    return nullptr;
  }
  if (!block.held) block.held = CountPieces(message);
  open_bytes_ += UnpackedSize(block.packed);
  return &message;
}

std::vector<std::pair<uint64_t, absl::Status>> EvidenceBlocks::TakeUnreadable() {
  return std::exchange(unreadable_, {});
}

v1::Evidence EvidenceBlocks::Evidence(const EvidenceRef& ref) {
  const Message* block = Look(ref.block());
  return block == nullptr ? v1::Evidence() : EvidenceAt(*block, ref.piece());
}

event::v1::Event EvidenceBlocks::Core(const EvidenceRef& ref) {
  const Message* block = Look(ref.block());
  return block == nullptr ? event::v1::Event() : CoreAt(*block, ref.piece());
}

void EvidenceBlocks::SetContent(Block& block, std::unique_ptr<Message> plain) {
  bytes_ -= block.bytes;
  if (keeps_) {
    if (packer_ == nullptr) packer_ = std::make_unique<Packer>();
    block.packed = packer_->Pack(*plain);
    block.bytes = block.packed.size();
    block.plain.reset();
  } else {
    block.bytes = plain->ByteSizeLong();
    block.plain = std::move(plain);
  }
  bytes_ += block.bytes;
}

// Whether half of it or more is referred to by nobody; of one that is not known, it may be.
bool EvidenceBlocks::IsEmptier(const Block& block) {
  if (block.is_broken) return false;
  if (block.held.value_or(1) == 0) return 2 * block.live_cores <= block.held_cores;
  return !block.held || 2 * block.live <= *block.held;
}

// Empties what nobody refers to; all that is left keeps its place.
void EvidenceBlocks::Shrink(uint64_t number, Block& block) {
  const Message* const all = Look(number);
  if (all == nullptr || !IsEmptier(block)) return;
  auto fewer = std::make_unique<Message>(*all);
  const auto events = static_cast<uint32_t>(fewer->events_size());
  std::vector<bool> shown(events, false);
  std::vector<bool> cores(events, false);
  for (int i = 0; i < fewer->pieces_size(); ++i) {
    auto& piece = *fewer->mutable_pieces(i);
    const auto at = static_cast<uint32_t>(i);
    const bool is_core = IsCounted(at, block.cores);
    if (is_core && piece.event() < events) cores[piece.event()] = true;
    if (IsCounted(at, block.refs)) {
      if (piece.event() < events) shown[piece.event()] = true;
      continue;
    }
    piece.clear_matched_fields();
    if (!is_core) piece.set_event(events);  // none
  }
  for (size_t i = 0; i < events; ++i) {
    const int at = static_cast<int>(i);
    if (!shown[i]) fewer->mutable_events(at)->clear();
    if (!cores[i] && at < fewer->cores_size()) fewer->mutable_cores(at)->clear();
  }
  open_.erase(number);
  SetContent(block, std::move(fewer));
  block.held = block.live;
  block.held_cores = block.live_cores;
  dirty_.insert(number);
}

void EvidenceBlocks::Sweep() {
  for (const uint64_t number : std::exchange(touched_, {})) {
    const auto found = blocks_.find(number);
    if (found == blocks_.end()) continue;
    Block& block = found->second;
    block.is_touched = false;
    if (block.live == 0 && block.live_cores == 0) {
      bytes_ -= block.bytes;
      emptier_.erase(number);
      if (block.is_written) {
        dirty_.insert(number);
      } else {
        dirty_.erase(number);
      }
      blocks_.erase(found);
      continue;
    }
    if (block.bytes > 0 && IsEmptier(block)) emptier_.insert(number);
    if (block.is_written || block.bytes == 0) continue;
    if (keeps_ && block.plain != nullptr) SetContent(block, std::move(block.plain));
    dirty_.insert(number);
  }
  while (!emptier_.empty() && bytes_ > kFewBytes && bytes_ > live_bytes_ / 2) {
    const uint64_t number = *emptier_.begin();
    emptier_.erase(emptier_.begin());
    Shrink(number, blocks_.at(number));
  }
  open_.clear();
  open_bytes_ = 0;
}

std::map<uint64_t, const std::string*> EvidenceBlocks::Dirty() const {
  std::map<uint64_t, const std::string*> dirty;
  for (const uint64_t number : dirty_) {
    const auto found = blocks_.find(number);
    dirty[number] = found == blocks_.end() ? nullptr : &found->second.packed;
  }
  return dirty;
}

void EvidenceBlocks::Clean() {
  for (const uint64_t number : dirty_) {
    const auto found = blocks_.find(number);
    if (found != blocks_.end()) found->second.is_written = true;
  }
  dirty_.clear();
}

}  // namespace yagura::detection
