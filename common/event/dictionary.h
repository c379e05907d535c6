#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "common/event/batch_format.h"

// Distinct texts of one column; private to common/event.
namespace yagura::event {

// At most 65,535 texts. Cleared, it keeps its memory.
class Dictionary {
 public:
  // The text that was found last, where this is the same: values come in runs. Else 0.
  uint16_t FindLast(std::string_view text) const {
    return last_ != 0 && At(last_) == text ? last_ : 0;
  }
  // 1-based, in order of insertion; 0 where the text is not there.
  uint16_t Find(std::string_view text, uint64_t hash) const {
    if (slots_.empty()) return 0;
    for (size_t slot = hash & mask();; slot = (slot + 1) & mask()) {
      const uint16_t found = slots_[slot];
      if (found == 0) return 0;
      if (entries_[found - 1].tag == static_cast<uint32_t>(hash >> 32) && At(found) == text) {
        last_ = found;
        return found;
      }
    }
  }
  // The text must not be there yet.
  uint16_t Insert(std::string_view text, uint64_t hash) {
    if ((entries_.size() + 1) * 2 > slots_.size()) Grow();
    heap_ += text;
    entries_.push_back({heap_.size(), hash, static_cast<uint32_t>(hash >> 32)});
    last_ = static_cast<uint16_t>(entries_.size());
    Place(last_, hash);
    return last_;
  }
  size_t size() const { return entries_.size(); }
  void Clear() {
    heap_.clear();
    entries_.clear();
    // The next batch will need about as many slots, unless this one was extraordinary.
    if (slots_.size() > kKeptSlots) slots_.clear();
    std::fill(slots_.begin(), slots_.end(), 0);
    last_ = 0;
  }
  void Write(std::string& out) const {
    PutVarint(out, entries_.size());
    size_t start = 0;
    for (const Entry& entry : entries_) {
      PutVarint(out, entry.end - start);
      start = entry.end;
    }
    out += heap_;
  }

 private:
  struct Entry {
    size_t end;  // in heap_
    uint64_t hash;
    uint32_t tag;  // upper half of the hash
  };
  std::string_view At(uint16_t index) const {
    const size_t start = index == 1 ? 0 : entries_[index - 2].end;
    return std::string_view(heap_).substr(start, entries_[index - 1].end - start);
  }
  size_t mask() const { return slots_.size() - 1; }
  void Place(uint16_t index, uint64_t hash) {
    size_t slot = hash & mask();
    while (slots_[slot] != 0) slot = (slot + 1) & mask();
    slots_[slot] = index;
  }
  void Grow() {
    const size_t size = slots_.empty() ? 16 : slots_.size() * 2;
    slots_.assign(size, 0);
    for (size_t i = 0; i < entries_.size(); ++i) {
      Place(static_cast<uint16_t>(i + 1), entries_[i].hash);
    }
  }

  static constexpr size_t kKeptSlots = 1024;

  std::string heap_;
  std::vector<Entry> entries_;
  std::vector<uint16_t> slots_;  // power of two, 0 is free
  mutable uint16_t last_ = 0;    // found last
};

// Distinct numbers of one column, as Dictionary is for texts.
class NumberDictionary {
 public:
  // 1-based, in order of insertion.
  uint16_t Intern(int64_t number, uint64_t seed) {
    if (!numbers_.empty() && numbers_.back() == number) {
      return static_cast<uint16_t>(numbers_.size());
    }
    if ((numbers_.size() + 1) * 2 > slots_.size()) Grow(seed);
    uint16_t& slot = SlotOf(number, seed);
    if (slot == 0) {
      numbers_.push_back(number);
      slot = static_cast<uint16_t>(numbers_.size());
    }
    return slot;
  }
  const std::vector<int64_t>& numbers() const { return numbers_; }
  void Clear() {
    numbers_.clear();
    if (slots_.size() > kKeptSlots) slots_.clear();
    std::fill(slots_.begin(), slots_.end(), 0);
  }

 private:
  static constexpr size_t kKeptSlots = 1024;

  // Where the number is, or the free slot where it belongs.
  uint16_t& SlotOf(int64_t number, uint64_t seed) {
    const size_t mask = slots_.size() - 1;
    size_t slot = MixHash(static_cast<uint64_t>(number) ^ seed, kMultiplier) & mask;
    while (slots_[slot] != 0 && numbers_[slots_[slot] - 1] != number) slot = (slot + 1) & mask;
    return slots_[slot];
  }
  void Grow(uint64_t seed) {
    const size_t size = slots_.empty() ? 16 : slots_.size() * 2;
    slots_.assign(size, 0);
    for (size_t i = 0; i < numbers_.size(); ++i) {
      SlotOf(numbers_[i], seed) = static_cast<uint16_t>(i + 1);
    }
  }

  static constexpr uint64_t kMultiplier = 0x9e3779b97f4a7c15ull;
  std::vector<int64_t> numbers_;
  std::vector<uint16_t> slots_;  // power of two, 0 is free
};

}  // namespace yagura::event
