#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "services/detection/domain/engine/address.h"

namespace yagura::detection {

// Which of many address blocks an address is in: blocks nest or are apart, so that the addresses
// fall into ranges, each with its blocks, and one binary search tells. Immutable.
class BlockTable {
 public:
  struct Block {
    AddressBytes low;
    AddressBytes high;
    uint32_t number;
  };

  BlockTable() = default;
  explicit BlockTable(const std::vector<Block>& blocks);

  // The numbers of the blocks, ascending; none for a text that is no address.
  std::span<const uint32_t> Find(std::string_view address) const;
  bool empty() const { return begins_.empty(); }

 private:
  // Range i is [begins_[i], begins_[i + 1]); its blocks are numbers_[first_[i], first_[i + 1]).
  std::vector<AddressBytes> begins_;
  std::vector<uint32_t> first_;
  std::vector<uint32_t> numbers_;
};

}  // namespace yagura::detection
