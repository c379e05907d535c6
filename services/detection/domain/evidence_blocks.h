#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/status.h"

#include "yagura/detection/internal/v1/hits.pb.h"

namespace yagura::detection {

class Packer;

// The evidence that the groups of one shard of "hits" refer to: blocks as they came, packed, each
// written once and looked into only when a finding is told. A block goes with the last reference to
// it; those of which most is referred to by nobody any more are packed anew without that, before
// all take half of what is referred to, as messages, and more than a mebibyte. Not thread-safe.
class EvidenceBlocks {
 public:
  // `keeps`: they are written somewhere, so they are packed.
  explicit EvidenceBlocks(bool keeps);
  ~EvidenceBlocks();

  // What was kept, before the first Sweep and before any Add; references to it may come earlier.
  // False, and nothing changes, where there is one of that number already.
  bool Load(uint64_t number, std::string packed);

  // Takes the block of a batch, which has so many pieces, and gives it a number, from 1. It goes
  // with the next Sweep where nothing refers to it then.
  uint64_t Add(std::string packed, size_t pieces);
  uint64_t Add(internal::v1::EvidenceBlock block);

  // A group refers to the piece, or does so no more.
  void Refer(const internal::v1::EvidenceRef& ref);
  void Release(const internal::v1::EvidenceRef& ref);
  // The same of the typed core of its event alone: the raw line may go.
  void ReferCore(const internal::v1::EvidenceRef& ref);
  void ReleaseCore(const internal::v1::EvidenceRef& ref);

  // As of EvidenceAt and CoreAt; empty for what is not there or cannot be read.
  v1::Evidence Evidence(const internal::v1::EvidenceRef& ref);
  event::v1::Event Core(const internal::v1::EvidenceRef& ref);

  // After each batch: lets go what nobody refers to.
  void Sweep();

  // What changed since the last Clean: to be written packed (null: to be removed).
  std::map<uint64_t, const std::string*> Dirty() const;
  void Clean();

  // Blocks that were looked into and could not be read, or were not there, each once. They stay as
  // they are.
  std::vector<std::pair<uint64_t, absl::Status>> TakeUnreadable();

  size_t size() const { return blocks_.size(); }
  // What all of them take, and what is referred to would as messages.
  size_t bytes() const { return bytes_; }
  size_t live_bytes() const { return live_bytes_; }

 private:
  using Message = internal::v1::EvidenceBlock;
  struct Block {
    std::string packed;
    std::unique_ptr<Message> plain;  // of what is not packed
    size_t bytes = 0;                // of either
    std::vector<uint32_t> refs;      // by piece
    std::vector<uint32_t> cores;     // references to its core alone, by piece
    size_t live = 0;                 // pieces that are referred to
    size_t live_cores = 0;           // the same of `cores`
    std::optional<size_t> held;      // pieces that it has; none: not looked into yet
    size_t held_cores = 0;           // of one that has no pieces any more
    bool is_written = false;
    bool is_broken = false;   // it was looked into
    bool is_touched = false;  // since the last Sweep
  };
  static bool IsEmptier(const Block& block);
  uint64_t Place(Block block);
  Block* ToRefer(const internal::v1::EvidenceRef& ref);
  void Touch(uint64_t number, Block& block);
  const Message* Look(uint64_t number);
  void SetContent(Block& block, std::unique_ptr<Message> plain);
  void Shrink(uint64_t number, Block& block);

  const bool keeps_;
  std::unique_ptr<Packer> packer_;
  std::unordered_map<uint64_t, Block> blocks_;
  uint64_t next_ = 1;
  std::vector<uint64_t> touched_;
  std::set<uint64_t> emptier_;  // of which half or more is referred to by nobody, or may be
  std::set<uint64_t> dirty_;
  std::unordered_map<uint64_t, Message> open_;  // what was looked into since the last Sweep
  size_t open_bytes_ = 0;
  std::vector<std::pair<uint64_t, absl::Status>> unreadable_;
  size_t bytes_ = 0;
  size_t live_bytes_ = 0;
};

}  // namespace yagura::detection
