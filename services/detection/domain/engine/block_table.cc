#include "services/detection/domain/engine/block_table.h"

#include <algorithm>

namespace yagura::detection {
namespace {

// The address after; nothing after the last.
std::optional<AddressBytes> Next(AddressBytes bytes) {
  for (size_t i = bytes.size(); i-- > 0;) {
    if (++bytes[i] != 0) return bytes;
  }
  return std::nullopt;
}

}  // namespace

BlockTable::BlockTable(const std::vector<Block>& blocks) {
  if (blocks.empty()) return;
  for (const Block& block : blocks) {
    begins_.push_back(block.low);
    if (const auto next = Next(block.high)) begins_.push_back(*next);
  }
  std::sort(begins_.begin(), begins_.end());
  begins_.erase(std::unique(begins_.begin(), begins_.end()), begins_.end());

  // The wider first, so that the open ones form a stack.
  std::vector<Block> ordered = blocks;
  std::sort(ordered.begin(), ordered.end(), [](const Block& a, const Block& b) {
    return a.low != b.low ? a.low < b.low : b.high < a.high;
  });
  std::vector<const Block*> open;
  size_t next = 0;
  for (const AddressBytes& begin : begins_) {
    while (!open.empty() && open.back()->high < begin) open.pop_back();
    while (next < ordered.size() && ordered[next].low == begin) open.push_back(&ordered[next++]);
    first_.push_back(static_cast<uint32_t>(numbers_.size()));
    for (const Block* block : open) numbers_.push_back(block->number);
    std::sort(numbers_.begin() + first_.back(), numbers_.end());
  }
  first_.push_back(static_cast<uint32_t>(numbers_.size()));
}

std::span<const uint32_t> BlockTable::Find(std::string_view address) const {
  const auto parsed = ParseAddress(address);
  if (!parsed) return {};
  const auto after = std::upper_bound(begins_.begin(), begins_.end(), parsed->bytes);
  if (after == begins_.begin()) return {};
  const auto range = static_cast<size_t>(after - begins_.begin()) - 1;
  return std::span(numbers_).subspan(first_[range], first_[range + 1] - first_[range]);
}

}  // namespace yagura::detection
