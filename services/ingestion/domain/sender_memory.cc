#include "services/ingestion/domain/sender_memory.h"

#include <algorithm>
#include <utility>

namespace yagura::ingestion {
namespace {

using Table = SenderMemory::Table;

bool IsOf(const Table& table, const SenderMemory::Stream& stream) {
  return table.host == stream.host && table.program == stream.program;
}

size_t BytesOf(const std::vector<std::string>& texts) {
  size_t bytes = texts.capacity() * sizeof(std::string);
  for (const std::string& text : texts) bytes += text.capacity();
  return bytes;
}

size_t BytesOf(const std::list<Table>& tables) {
  size_t bytes = 0;
  for (const Table& table : tables) {
    bytes += sizeof(Table) + BytesOf(table.columns) + BytesOf(table.types);
    for (const std::string* text : {&table.host, &table.program, &table.path, &table.set_separator,
                                    &table.empty, &table.unset}) {
      bytes += text->capacity();
    }
  }
  return bytes;
}

}  // namespace

struct SenderMemory::Content {
  std::list<Table> tables;    // the newest in front
  std::list<Table> building;  // likewise
  size_t counted = 0;         // bytes, in the budget
  std::list<Content*>::iterator place;
  bool placed = false;
};

void SenderMemoryBudget::Note(SenderMemory::Content& content) {
  if (content.placed) {
    contents_.splice(contents_.begin(), contents_, content.place);
  } else {
    contents_.push_front(&content);
    content.place = contents_.begin();
    content.placed = true;
  }
  const size_t bytes =
      sizeof(SenderMemory::Content) + BytesOf(content.tables) + BytesOf(content.building);
  used_ += bytes - std::exchange(content.counted, bytes);
  while (used_ > limit_ && contents_.back() != &content) {
    SenderMemory::Content& oldest = *contents_.back();
    oldest.tables.clear();
    oldest.building.clear();
    Drop(oldest);
  }
}

void SenderMemoryBudget::Touch(SenderMemory::Content& content) {
  if (content.placed) contents_.splice(contents_.begin(), contents_, content.place);
}

void SenderMemoryBudget::Drop(SenderMemory::Content& content) {
  if (!std::exchange(content.placed, false)) return;
  contents_.erase(content.place);
  used_ -= std::exchange(content.counted, 0);
}

SenderMemory::SenderMemory() = default;
SenderMemory::~SenderMemory() { Clear(); }
SenderMemory::SenderMemory(SenderMemory&& other) noexcept = default;
SenderMemory& SenderMemory::operator=(SenderMemory&& other) noexcept {
  if (this == &other) return *this;
  Clear();
  budget_ = std::move(other.budget_);
  content_ = std::move(other.content_);
  return *this;
}

void SenderMemory::DrawOn(const std::shared_ptr<SenderMemoryBudget>& budget) {
  if (budget_ == budget) return;
  Clear();
  budget_ = budget;
}

void SenderMemory::Clear() {
  if (content_ != nullptr && budget_ != nullptr) budget_->Drop(*content_);
  content_.reset();
}

SenderMemory::Content& SenderMemory::Make() {
  if (content_ == nullptr) content_ = std::make_unique<Content>();
  return *content_;
}

bool SenderMemory::empty() const { return content_ == nullptr || content_->tables.empty(); }

SenderMemory::Table& SenderMemory::Building(const Stream& stream) {
  Content& content = Make();
  auto& building = content.building;
  auto found = std::find_if(building.begin(), building.end(),
                            [&stream](const Table& table) { return IsOf(table, stream); });
  if (found == building.end()) {
    if (building.size() >= kMaxTables) building.pop_back();
    found = building.emplace(building.begin());
    found->host = stream.host;
    found->program = stream.program;
  }
  if (budget_ != nullptr) budget_->Note(content);
  return *found;
}

void SenderMemory::Finish(const Stream& stream) {
  const Table& built = Building(stream);
  Content& content = *content_;
  content.tables.remove_if([&built](const Table& old) {
    return old.host == built.host && old.program == built.program && old.path == built.path;
  });
  if (content.tables.size() >= kMaxTables) content.tables.pop_back();
  content.tables.push_front(built);
  if (budget_ != nullptr) budget_->Note(content);
}

const SenderMemory::Table* SenderMemory::Find(const Stream& stream, size_t columns) const {
  if (content_ == nullptr) return nullptr;
  const auto& tables = content_->tables;
  const auto found = std::find_if(tables.begin(), tables.end(), [&](const Table& table) {
    return IsOf(table, stream) && table.columns.size() == columns;
  });
  if (found == tables.end()) return nullptr;
  if (budget_ != nullptr) budget_->Touch(*content_);
  return &*found;
}

}  // namespace yagura::ingestion
