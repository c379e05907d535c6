#include "services/archive/domain/event_block.h"

#include <utility>

#include "common/eventstore/native.h"
#include "services/archive/domain/event_table.h"

namespace yagura::archive {

EventBlock::EventBlock(const EventTable& table) : table_(table) {
  for (const EventColumn& column : table.columns()) columns_.push_back(column.make());
  columns_.push_back(ExpiryColumn()());
}

void EventBlock::Add(const BatchRows& batch) {
  for (const auto& column : columns_) column->Add(batch);
  rows_ += batch.rows().size();
}

std::vector<std::string> EventBlock::Take() {
  if (rows_ == 0) return {};
  std::vector<std::string> pieces;
  std::string head;
  eventstore::AppendBlockHead(columns_.size(), rows_, &head);
  for (size_t i = 0; i < columns_.size(); ++i) {
    const bool last = i == table_.columns().size();
    eventstore::AppendColumnHead(last ? kExpires : table_.columns()[i].name,
                                 last ? kExpiresType : table_.columns()[i].type_name, &head);
    pieces.push_back(std::exchange(head, {}));
    pieces.push_back(columns_[i]->Take());
  }
  rows_ = 0;
  return pieces;
}

}  // namespace yagura::archive
