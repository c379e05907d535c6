#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace yagura::detection {

// Finds every occurrence of many literals in a text by one pass or two: four bytes of the text at a
// time are looked up in a table that stays in the cache, and only where they are the rarest four
// bytes of a literal is the literal compared. Exact: no occurrence is missed or told twice.
// Immutable and thread-safe.
class LiteralIndex {
 public:
  LiteralIndex() = default;
  // The literals are not empty.
  explicit LiteralIndex(const std::vector<std::string>& literals);

  // Calls hit(literal, begin) for each occurrence, by no particular order; `literal` is the place
  // in the constructor's list.
  template <typename Hit>
  void Find(std::string_view text, const Hit& hit) const {
    FindWith(text, hit, [](std::string_view part, std::string_view literal) {
      return std::memcmp(part.data(), literal.data(), literal.size()) == 0;
    });
  }
  // The same in the text with its ASCII letters made small: literals have small ones.
  template <typename Hit>
  void FindInAnyCase(std::string_view text, const Hit& hit) const {
    FindWith(text, hit, [](std::string_view part, std::string_view literal) {
      for (size_t i = 0; i < literal.size(); ++i) {
        const auto c = static_cast<uint8_t>(part[i]);
        const bool upper = static_cast<uint8_t>(c - 'A') < 26;
        if (static_cast<char>(c | (upper ? 0x20U : 0U)) != literal[i]) return false;
      }
      return true;
    });
  }

  size_t size() const { return literals_.size(); }
  bool empty() const { return literals_.empty(); }
  size_t bytes() const;

 private:
  static constexpr size_t kGram = 4;

  struct Literal {
    uint32_t begin;  // in text_
    uint32_t size;
  };
  struct Entry {
    uint32_t literal;
    uint32_t offset;  // of the gram in the literal
  };
  struct Bucket {
    uint32_t gram;
    uint32_t first;
    uint32_t count;  // 0: free
  };
  // Literals of which `stride` neighbouring grams are kept, so that looking at every stride-th
  // place of a text meets exactly one of them in each occurrence.
  struct Grams {
    size_t stride = 1;
    unsigned filter_shift = 0;
    unsigned bucket_shift = 0;
    std::vector<uint8_t> filter;  // not 0 where a gram may be
    std::vector<Bucket> buckets;
    std::vector<Entry> entries;
  };

  // Letters in either case are the same gram: some others are, too, but literals are compared.
  static uint32_t Load(const char* at) {
    uint32_t gram = 0;
    std::memcpy(&gram, at, kGram);
    return gram | 0x20202020U;
  }
  static uint32_t Mix(uint32_t gram) { return gram * 0x9E3779B1U; }

  std::string_view TextOf(uint32_t literal) const {
    return std::string_view(text_).substr(literals_[literal].begin, literals_[literal].size);
  }
  Grams MakeGrams(const std::vector<uint32_t>& members, size_t stride) const;
  void MakeShorts(const std::vector<uint32_t>& members);

  template <typename Hit, typename Equal>
  void FindWith(std::string_view text, const Hit& hit, const Equal& equal) const {
    for (const Grams& grams : grams_) FindGrams(grams, text, hit, equal);
    if (!shorts_.empty()) FindShorts(text, hit, equal);
  }

  template <typename Hit, typename Equal>
  void FindGrams(const Grams& grams, std::string_view text, const Hit& hit,
                 const Equal& equal) const {
    if (text.size() < kGram) return;
    const uint8_t* const filter = grams.filter.data();
    const unsigned shift = grams.filter_shift;
    const size_t stride = grams.stride;
    const size_t end = text.size() - kGram + 1;
    for (size_t at = 0; at < end; at += stride) {
      if (filter[Mix(Load(text.data() + at)) >> shift] != 0) [[unlikely]] {
        HitGram(grams, text, at, hit, equal);
      }
    }
  }

  template <typename Hit, typename Equal>
  [[gnu::noinline]] void HitGram(const Grams& grams, std::string_view text, size_t at,
                                 const Hit& hit, const Equal& equal) const {
    const uint32_t gram = Load(text.data() + at);
    const size_t mask = grams.buckets.size() - 1;
    size_t slot = Mix(gram) >> grams.bucket_shift;
    while (grams.buckets[slot].count != 0 && grams.buckets[slot].gram != gram) {
      slot = (slot + 1) & mask;
    }
    const Bucket& bucket = grams.buckets[slot];
    for (uint32_t i = 0; i < bucket.count; ++i) {
      const Entry& entry = grams.entries[bucket.first + i];
      if (entry.offset > at) continue;
      const std::string_view literal = TextOf(entry.literal);
      const std::string_view rest = text.substr(at - entry.offset);
      if (rest.size() >= literal.size() && equal(rest, literal)) {
        hit(entry.literal, at - entry.offset);
      }
    }
  }

  template <typename Hit, typename Equal>
  void FindShorts(std::string_view text, const Hit& hit, const Equal& equal) const {
    for (size_t at = 0; at < text.size(); ++at) {
      const auto first = static_cast<uint8_t>(text[at]);
      for (uint32_t i = short_begin_[first]; i < short_begin_[first + 1]; ++i) {
        const std::string_view literal = TextOf(shorts_[i]);
        const std::string_view rest = text.substr(at);
        if (rest.size() >= literal.size() && equal(rest, literal)) hit(shorts_[i], at);
      }
    }
  }

  std::string text_;
  std::vector<Literal> literals_;
  std::vector<Grams> grams_;
  // Literals of less than a gram, by their first byte, letters under both cases of it:
  // shorts_[short_begin_[b], short_begin_[b + 1]).
  std::vector<uint32_t> shorts_;
  std::array<uint32_t, 257> short_begin_{};
};

}  // namespace yagura::detection
