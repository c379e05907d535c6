#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "services/detection/domain/engine/gram_sieve.h"

namespace yagura::detection {

// Finds every occurrence of many literals in a text by one pass or two: four bytes of the text at a
// time are looked up in a table that stays in the cache, and only where they are the rarest four
// bytes of a literal is the literal compared. Where few literals are left or all are rare, vector
// instructions look at 32 places at a time instead. Exact: no occurrence is missed or told twice.
// Immutable and thread-safe.
class LiteralIndex {
 public:
  LiteralIndex() = default;
  // The literals are not empty.
  explicit LiteralIndex(const std::vector<std::string>& literals);

  // Calls hit(literal, begin) for each occurrence, by no particular order; `literal` is the place
  // in the constructor's list. Literals that want(literal) denies need not be told.
  template <typename Hit, typename Want>
  void Find(std::string_view text, const Hit& hit, const Want& want) const {
    FindWith(text, Action{hit, want, [](const char* part, std::string_view literal) {
                            return std::memcmp(part, literal.data(), literal.size()) == 0;
                          }});
  }
  template <typename Hit>
  void Find(std::string_view text, const Hit& hit) const {
    Find(text, hit, [](uint32_t /*literal*/) { return true; });
  }
  // The same in the text with its ASCII letters made small: literals have small ones.
  template <typename Hit, typename Want>
  void FindInAnyCase(std::string_view text, const Hit& hit, const Want& want) const {
    FindWith(text, Action{hit, want, [](const char* part, std::string_view literal) {
                            for (size_t i = 0; i < literal.size(); ++i) {
                              const auto c = static_cast<uint8_t>(part[i]);
                              const bool upper = static_cast<uint8_t>(c - 'A') < 26;
                              if (static_cast<char>(c | (upper ? 0x20U : 0U)) != literal[i]) {
                                return false;
                              }
                            }
                            return true;
                          }});
  }
  template <typename Hit>
  void FindInAnyCase(std::string_view text, const Hit& hit) const {
    FindInAnyCase(text, hit, [](uint32_t /*literal*/) { return true; });
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
    std::vector<uint64_t> filter;  // by bit: a gram may be there; instead of it, the sieve
    std::optional<GramSieve> sieve;
    bool shorts = false;  // the sieve knows of the literals that are shorter than a gram, too
    std::vector<Bucket> buckets;
    std::vector<Entry> entries;
  };

  // Letters in either case are the same gram: some others are, too, but literals are compared.
  static uint32_t Load(const char* at) {
    uint32_t gram = 0;
    std::memcpy(&gram, at, kGram);
    return gram | 0x20202020U;
  }
  // What is done about an occurrence, and how texts are compared.
  template <typename Hit, typename Want, typename Equal>
  struct Action {
    const Hit& hit;
    const Want& want;
    Equal equal;
  };
  template <typename Hit, typename Want, typename Equal>
  Action(const Hit&, const Want&, Equal) -> Action<Hit, Want, Equal>;

  static uint32_t Mix(uint32_t gram) { return gram * 0x9E3779B1U; }

  std::string_view TextOf(uint32_t literal) const {
    return std::string_view(text_).substr(literals_[literal].begin, literals_[literal].size);
  }
  struct Members {
    std::vector<uint32_t> shorts;  // of less than a gram
    std::vector<uint32_t> narrow;  // that are looked for at every place
    std::vector<uint32_t> wide;
  };
  Grams MakeGrams(const std::vector<uint32_t>& members, size_t stride) const;
  // By the sieve, where it would tell few places by chance.
  std::optional<Grams> MakeSieve(const std::vector<uint32_t>& members,
                                 const std::vector<uint32_t>& shorts) const;
  void MakeSieves(Members& members);
  void MakeShorts(const std::vector<uint32_t>& members);
  static void FillBuckets(std::vector<std::pair<uint32_t, Entry>> chosen, Grams& grams);

  template <typename Doing>
  void FindWith(std::string_view text, const Doing& action) const {
    for (const Grams& grams : grams_) {
      if (grams.sieve) {
        FindBySieve(grams, text, action);
      } else {
        FindGrams(grams, text, action);
      }
    }
    if (plain_shorts_) {
      for (size_t at = 0; at < text.size(); ++at) HitShorts(text, at, action);
    }
  }

  template <typename Doing>
  void FindGrams(const Grams& grams, std::string_view text, const Doing& action) const {
    if (text.size() < kGram) return;
    const uint64_t* const filter = grams.filter.data();
    const unsigned shift = grams.filter_shift;
    const size_t stride = grams.stride;
    const size_t end = text.size() - kGram + 1;
    const auto may_be = [&](size_t at) {
      const uint32_t place = Mix(Load(text.data() + at)) >> shift;
      return filter[place / 64] >> (place % 64) & 1U;
    };
    size_t at = 0;
    for (; at + 3 * stride < end; at += 4 * stride) {
      const uint64_t any = may_be(at) | may_be(at + stride) << 1U | may_be(at + 2 * stride) << 2U |
                           may_be(at + 3 * stride) << 3U;
      if (any == 0) [[likely]]
        continue;
      for (unsigned i = 0; i < 4; ++i) {
        if ((any >> i & 1U) != 0) HitGram(grams, text, at + i * stride, action);
      }
    }
    for (; at < end; at += stride) {
      if (may_be(at) != 0) HitGram(grams, text, at, action);
    }
  }

  template <typename Doing>
  void FindBySieve(const Grams& grams, std::string_view text, const Doing& action) const {
    uint32_t places[GramSieve::kChunk];
    for (size_t begin = 0; begin < text.size(); begin += GramSieve::kChunk) {
      const size_t count = grams.sieve->Scan(text, begin, places);
      for (size_t i = 0; i < count; ++i) {
        const size_t at = places[i];
        if (at + kGram <= text.size()) HitGram(grams, text, at, action);
        if (grams.shorts) HitShorts(text, at, action);
      }
    }
  }

  template <typename Doing>
  [[gnu::noinline]] void HitGram(const Grams& grams, std::string_view text, size_t at,
                                 const Doing& action) const {
    const uint32_t gram = Load(text.data() + at);
    const size_t mask = grams.buckets.size() - 1;
    size_t slot = Mix(gram) >> grams.bucket_shift;
    while (grams.buckets[slot].count != 0 && grams.buckets[slot].gram != gram) {
      slot = (slot + 1) & mask;
    }
    const Bucket& bucket = grams.buckets[slot];
    for (uint32_t i = 0; i < bucket.count; ++i) {
      const Entry& entry = grams.entries[bucket.first + i];
      if (entry.offset <= at) Compare(entry.literal, text, at - entry.offset, action);
    }
  }

  template <typename Doing>
  void HitShorts(std::string_view text, size_t at, const Doing& action) const {
    const auto first = static_cast<uint8_t>(text[at]);
    for (uint32_t i = short_begin_[first]; i < short_begin_[first + 1]; ++i) {
      Compare(shorts_[i], text, at, action);
    }
  }

  template <typename Doing>
  void Compare(uint32_t number, std::string_view text, size_t begin, const Doing& action) const {
    const std::string_view literal = TextOf(number);
    if (text.size() - begin < literal.size() || !action.want(number)) return;
    if (action.equal(text.data() + begin, literal)) action.hit(number, begin);
  }

  std::string text_;
  std::vector<Literal> literals_;
  std::vector<Grams> grams_;
  // Literals of less than a gram, by their first byte, letters under both cases of it:
  // shorts_[short_begin_[b], short_begin_[b + 1]).
  std::vector<uint32_t> shorts_;
  std::array<uint32_t, 257> short_begin_{};
  bool plain_shorts_ = false;  // the short ones are looked for by themselves
};

}  // namespace yagura::detection
