#include "services/detection/domain/engine/memory.h"

#include <algorithm>
#include <cstring>

namespace yagura::detection {
namespace {

constexpr size_t kBlockSize = 64 * 1024;
constexpr uint64_t kOdd = 0x9E3779B97F4A7C15ULL;
constexpr uint64_t kOther = 0xE7037ED1A0B428DBULL;

uint64_t Mix(uint64_t a, uint64_t b) {
  const auto product = static_cast<unsigned __int128>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

uint64_t Load(const char* at, size_t size) {
  uint64_t word = 0;
  std::memcpy(&word, at, size);
  return word;
}

}  // namespace

uint64_t HashBytes(std::string_view bytes, uint64_t seed) {
  const char* at = bytes.data();
  size_t left = bytes.size();
  uint64_t state = seed ^ Mix(left ^ kOdd, seed | 1);
  for (; left >= 16; at += 16, left -= 16) {
    state = Mix(Load(at, 8) ^ kOther ^ seed, Load(at + 8, 8) ^ state);
  }
  const uint64_t first = left >= 8 ? Load(at, 8) : Load(at, left);
  const uint64_t second = left >= 8 ? Load(at + left - 8, 8) : 0;
  return Mix(Mix(first ^ kOther ^ seed, second ^ state), kOdd ^ state);
}

SequenceTable::SequenceTable(uint64_t seed) : seed_(seed), first_{0, 0}, hashes_{0} {
  slots_.resize(1024, 0);
}

uint32_t SequenceTable::Number(std::span<const uint32_t> sequence) {
  if (sequence.empty()) return 0;
  const auto hash = static_cast<uint32_t>(
      HashBytes({reinterpret_cast<const char*>(sequence.data()), sequence.size_bytes()}, seed_));
  const size_t mask = slots_.size() - 1;
  size_t slot = hash & mask;
  for (; slots_[slot] != 0; slot = (slot + 1) & mask) {
    const uint32_t number = slots_[slot] - 1;
    if (hashes_[number] != hash) continue;
    const auto known = (*this)[number];
    if (std::equal(known.begin(), known.end(), sequence.begin(), sequence.end())) return number;
  }
  const auto number = static_cast<uint32_t>(hashes_.size());
  items_.insert(items_.end(), sequence.begin(), sequence.end());
  first_.push_back(items_.size());
  hashes_.push_back(hash);
  slots_[slot] = number + 1;
  if (hashes_.size() * 2 > slots_.size()) Grow();
  return number;
}

void SequenceTable::Grow() {
  std::vector<uint32_t> slots(slots_.size() * 2, 0);
  const size_t mask = slots.size() - 1;
  for (uint32_t number = 1; number < hashes_.size(); ++number) {
    size_t slot = hashes_[number] & mask;
    while (slots[slot] != 0) slot = (slot + 1) & mask;
    slots[slot] = number + 1;
  }
  slots_ = std::move(slots);
}

const uint32_t* ValueTable::Find(uint32_t field, std::string_view text, uint64_t& hash) const {
  hash = HashBytes(text, seed_ + field * kOdd);
  const auto short_hash = static_cast<uint32_t>(hash);
  const size_t mask = slots_.size() - 1;
  for (size_t slot = short_hash & mask; slots_[slot] != 0; slot = (slot + 1) & mask) {
    const Entry& entry = entries_[slots_[slot] - 1];
    if (entry.hash == short_hash && entry.field == field &&
        std::string_view(entry.text, entry.size) == text) {
      return &entry.number;
    }
  }
  return nullptr;
}

void ValueTable::Add(uint32_t field, std::string_view text, uint64_t hash, uint32_t number) {
  entries_.push_back(
      {Keep(text), static_cast<uint32_t>(text.size()), field, static_cast<uint32_t>(hash), number});
  if (entries_.size() * 2 <= slots_.size()) {
    Place(entries_.size() - 1);
    return;
  }
  slots_.assign(slots_.size() * 2, 0);
  for (size_t i = 0; i < entries_.size(); ++i) Place(i);
}

void ValueTable::Place(size_t entry) {
  const size_t mask = slots_.size() - 1;
  size_t slot = entries_[entry].hash & mask;
  while (slots_[slot] != 0) slot = (slot + 1) & mask;
  slots_[slot] = static_cast<uint32_t>(entry + 1);
}

const char* ValueTable::Keep(std::string_view text) {
  if (text.size() > block_left_) {
    const size_t size = std::max(kBlockSize, text.size());
    block_ = blocks_.emplace_back(std::make_unique_for_overwrite<char[]>(size)).get();
    block_left_ = size;
    text_bytes_ += size;
  }
  char* const kept = block_;
  std::memcpy(kept, text.data(), text.size());
  block_ += text.size();
  block_left_ -= text.size();
  return kept;
}

}  // namespace yagura::detection
