#include "services/ingestion/domain/sender_memory.h"

#include <algorithm>

namespace yagura::ingestion {

namespace {

bool IsOf(const SenderMemory::Table& table, const SenderMemory::Stream& stream) {
  return table.host == stream.host && table.program == stream.program;
}

}  // namespace

SenderMemory::Table& SenderMemory::Building(const Stream& stream) {
  const auto found = std::find_if(building_.begin(), building_.end(),
                                  [&stream](const Table& table) { return IsOf(table, stream); });
  if (found != building_.end()) return *found;
  if (building_.size() >= kMaxTables) building_.pop_back();
  Table& table = building_.emplace_front();
  table.host = stream.host;
  table.program = stream.program;
  return table;
}

void SenderMemory::Finish(const Stream& stream) {
  const Table& built = Building(stream);
  tables_.remove_if([&built](const Table& old) {
    return old.host == built.host && old.program == built.program && old.path == built.path;
  });
  if (tables_.size() >= kMaxTables) tables_.pop_back();
  tables_.push_front(built);
}

const SenderMemory::Table* SenderMemory::Find(const Stream& stream, size_t columns) const {
  const auto found = std::find_if(tables_.begin(), tables_.end(), [&](const Table& table) {
    return IsOf(table, stream) && table.columns.size() == columns;
  });
  return found == tables_.end() ? nullptr : &*found;
}

}  // namespace yagura::ingestion
