#include "common/eventstore/native.h"

#include <functional>
#include <limits>

namespace yagura::eventstore {
namespace {

constexpr size_t kFirstSlots = 64;
// Of the serialisation of LowCardinality: its version, and that its keys come with the data.
constexpr uint64_t kKeysVersion = 1;
constexpr uint64_t kHasKeys = 1u << 9;

void AppendCount(uint64_t value, std::string* out) {
  while (value >= 0x80) {
    out->push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out->push_back(static_cast<char>(value));
}

}  // namespace

void AppendBlockHead(size_t columns, size_t rows, std::string* out) {
  AppendCount(columns, out);
  AppendCount(rows, out);
}

void AppendColumnHead(std::string_view name, std::string_view type, std::string* out) {
  AppendText(name, out);
  AppendText(type, out);
}

void AppendText(std::string_view text, std::string* out) {
  AppendCount(text.size(), out);
  out->append(text);
}

DictionaryColumn::DictionaryColumn() : ends_{0}, hashes_{0}, slots_(kFirstSlots, kEmpty) {}

std::string_view DictionaryColumn::TextOf(Key key) const {
  return std::string_view(heap_).substr(ends_[key - 1], ends_[key] - ends_[key - 1]);
}

DictionaryColumn::Key DictionaryColumn::Intern(std::string_view text) {
  if (text.empty()) return kEmpty;
  const size_t hash = std::hash<std::string_view>{}(text);
  size_t slot = hash & (slots_.size() - 1);
  for (; slots_[slot] != kEmpty; slot = (slot + 1) & (slots_.size() - 1)) {
    if (hashes_[slots_[slot]] == hash && TextOf(slots_[slot]) == text) return slots_[slot];
  }
  const auto key = static_cast<Key>(ends_.size());
  heap_.append(text);
  ends_.push_back(heap_.size());
  hashes_.push_back(hash);
  slots_[slot] = key;
  if (ends_.size() * 2 > slots_.size()) Grow();
  return key;
}

void DictionaryColumn::Grow() {
  slots_.assign(slots_.size() * 2, kEmpty);
  for (Key key = 1; key < ends_.size(); ++key) {
    size_t slot = hashes_[key] & (slots_.size() - 1);
    while (slots_[slot] != kEmpty) slot = (slot + 1) & (slots_.size() - 1);
    slots_[slot] = key;
  }
}

void DictionaryColumn::AppendPrefix(std::string* out) { AppendFixed(kKeysVersion, out); }

template <typename Number>
void DictionaryColumn::AppendRows(std::string* out) const {
  const size_t start = out->size();
  out->resize(start + rows_.size() * sizeof(Number));
  char* at = out->data() + start;
  for (const Key row : rows_) {
    const auto number = static_cast<Number>(row);
    std::char_traits<char>::copy(at, reinterpret_cast<const char*>(&number), sizeof(number));
    at += sizeof(number);
  }
}

void DictionaryColumn::AppendData(std::string* out) const {
  if (rows_.empty()) return;
  const size_t keys = ends_.size();
  constexpr size_t kBytes = std::numeric_limits<uint8_t>::max();
  constexpr size_t kWords = std::numeric_limits<uint16_t>::max();
  const uint64_t width = keys <= kBytes ? 0 : keys <= kWords ? 1 : 2;
  AppendFixed(kHasKeys | width, out);
  AppendFixed(static_cast<uint64_t>(keys), out);
  AppendText({}, out);
  for (Key key = 1; key < keys; ++key) AppendText(TextOf(key), out);
  AppendFixed(static_cast<uint64_t>(rows_.size()), out);
  if (width == 0) {
    AppendRows<uint8_t>(out);
  } else if (width == 1) {
    AppendRows<uint16_t>(out);
  } else {
    AppendRows<uint32_t>(out);
  }
}

}  // namespace yagura::eventstore
