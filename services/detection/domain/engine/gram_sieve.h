#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace yagura::detection {

// Tells by vector instructions, 32 places of a text at a time, where one of a few short texts
// (grams of 1 to 4 bytes) may begin. Never misses a place; which of those it tells are none must be
// found out by comparing. Letters count in either case. Immutable and thread-safe.
class GramSieve {
 public:
  static constexpr size_t kWidth = 4;
  // How many places Scan looks at.
  static constexpr size_t kChunk = 1024;

  // Whether this machine has the instructions (AVX2); nothing else may be called where not.
  static bool IsSupported();
  // How common the text is, by the letters that computers write: the logarithm of its share.
  static double Commonness(std::string_view text);

  // The grams have small letters.
  explicit GramSieve(std::vector<std::string_view> grams);

  // The share of places that will be told by chance, estimated.
  double by_chance() const { return by_chance_; }

  // Writes to `places` where in [begin, begin + kChunk) a gram may begin, ascending; returns how
  // many. Places near the end of the text may be too near for what would begin there.
  size_t Scan(std::string_view text, size_t begin, uint32_t* places) const;

 private:
  static constexpr size_t kBuckets = 8;
  // Which halves of bytes the grams of a bucket may have at each of their places, by bit.
  struct Bucket {
    std::array<uint16_t, kWidth> low{};
    std::array<uint16_t, kWidth> high{};

    void Add(std::string_view gram);
    double Chance() const;
  };

  // Bit b of low_[i][n]: a gram of bucket b may have a byte of the low half n at its place i.
  using Halves = std::array<std::array<uint8_t, 16>, kWidth>;
  alignas(16) Halves low_{};
  alignas(16) Halves high_{};
  double by_chance_ = 0;
};

}  // namespace yagura::detection
