#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "services/archive/domain/block_column.h"

namespace yagura::archive {

class EventTable;

// Events of many batches as one block of the events' table, for an insert. Values go from the
// columns of a batch to those of the block without ever being rows. Not thread-safe.
class EventBlock {
 public:
  // The table must outlive the block.
  explicit EventBlock(const EventTable& table);

  void Add(const BatchRows& batch);
  size_t rows() const { return rows_; }
  // The body of the insert in pieces; nothing where there are no rows. The block is empty then.
  std::vector<std::string> Take();

 private:
  const EventTable& table_;
  std::vector<std::unique_ptr<BlockColumn>> columns_;
  size_t rows_ = 0;
};

}  // namespace yagura::archive
