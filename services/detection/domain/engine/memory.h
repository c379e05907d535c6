#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace yagura::detection {

// A hash that nobody outside can aim at: it depends on `seed`.
uint64_t HashBytes(std::string_view bytes, uint64_t seed);

// Numbers sequences of numbers: the same sequence, the same number; the empty one is 0.
class SequenceTable {
 public:
  explicit SequenceTable(uint64_t seed);

  uint32_t Number(std::span<const uint32_t> sequence);
  std::span<const uint32_t> operator[](uint32_t number) const {
    return std::span(items_).subspan(first_[number], first_[number + 1] - first_[number]);
  }
  size_t size() const { return hashes_.size(); }
  size_t bytes() const {
    return items_.capacity() * 4 + first_.capacity() * 8 + hashes_.capacity() * 4 +
           slots_.capacity() * 4;
  }

 private:
  void Grow();

  uint64_t seed_;
  std::vector<uint32_t> items_;
  std::vector<size_t> first_;     // by number, and the end
  std::vector<uint32_t> hashes_;  // by number
  std::vector<uint32_t> slots_;   // 1 + number; 0: free
};

// Remembers a number for a text of a field.
class ValueTable {
 public:
  explicit ValueTable(uint64_t seed) : seed_(seed), slots_(1024, 0) {}

  // The number; null where the text is not known, and then `hash` is what Add wants.
  const uint32_t* Find(uint32_t field, std::string_view text, uint64_t& hash) const;
  void Add(uint32_t field, std::string_view text, uint64_t hash, uint32_t number);

  size_t bytes() const {
    return text_bytes_ + entries_.capacity() * sizeof(Entry) + slots_.capacity() * 4;
  }

 private:
  struct Entry {
    const char* text;
    uint32_t size;
    uint32_t field;
    uint32_t hash;
    uint32_t number;
  };
  void Place(size_t entry);
  const char* Keep(std::string_view text);

  uint64_t seed_;
  std::vector<Entry> entries_;
  std::vector<uint32_t> slots_;  // 1 + index of the entry; 0: free
  std::vector<std::unique_ptr<char[]>> blocks_;
  char* block_ = nullptr;  // free part of the last block
  size_t block_left_ = 0;
  size_t text_bytes_ = 0;
};

}  // namespace yagura::detection
