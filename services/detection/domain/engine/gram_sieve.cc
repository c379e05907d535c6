#include "services/detection/domain/engine/gram_sieve.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace yagura::detection {
namespace {

bool IsSmallLetter(uint8_t byte) { return byte >= 'a' && byte <= 'z'; }

// How often each byte comes in logs, about: they are made of words, numbers, paths and JSON.
struct Shares {
  std::array<double, 256> of{};
  std::array<double, 256> logarithm_in_any_case{};

  Shares() {
    constexpr std::string_view kByRank =
        "etaoinsrldcmpu0\\1\".,2fhgbvwy534-: 69_78k/\r\nx=%q{}z;j@$";
    of.fill(0.0005);
    double share = 0.06;
    for (const char c : kByRank) {
      of[static_cast<uint8_t>(c)] = std::max(share, 0.001);
      share *= 0.93;
    }
    for (uint8_t small = 'a'; small <= 'z'; ++small) of[small - 32U] = of[small] / 6;
    for (size_t byte = 0; byte < of.size(); ++byte) {
      const bool letter = IsSmallLetter(static_cast<uint8_t>(byte));
      logarithm_in_any_case[byte] = std::log(of[byte] + (letter ? of[byte - 32U] : 0));
    }
  }
};

const Shares& SharesOfBytes() {
  static const Shares kShares;
  return kShares;
}

}  // namespace

bool GramSieve::IsSupported() {
#if defined(__x86_64__)
  static const bool kSupported = __builtin_cpu_supports("avx2") != 0;
  return kSupported;
#else
  return false;
#endif
}

double GramSieve::Commonness(std::string_view text) {
  const Shares& shares = SharesOfBytes();
  double common = 0;
  for (const char c : text) common += shares.logarithm_in_any_case[static_cast<uint8_t>(c)];
  return common;
}

GramSieve::GramSieve(std::vector<std::string_view> grams) {
  // Each to the bucket that becomes only a little more common by it; the common ones first.
  std::sort(grams.begin(), grams.end(), [](std::string_view a, std::string_view b) {
    const double of_a = Commonness(a);
    const double of_b = Commonness(b);
    return of_a != of_b ? of_a > of_b : a < b;
  });
  std::array<Bucket, kBuckets> buckets;
  std::array<double, kBuckets> chances{};
  for (const std::string_view gram : grams) {
    size_t best = 0;
    double least = 2;
    for (size_t i = 0; i < kBuckets; ++i) {
      Bucket with = buckets[i];
      with.Add(gram);
      const double more = with.Chance() - chances[i];
      if (more >= least) continue;
      least = more;
      best = i;
    }
    buckets[best].Add(gram);
    chances[best] += least;
  }
  for (size_t bucket = 0; bucket < kBuckets; ++bucket) {
    by_chance_ += chances[bucket];
    for (size_t i = 0; i < kWidth; ++i) {
      for (size_t half = 0; half < 16; ++half) {
        low_[i][half] |= static_cast<uint8_t>((buckets[bucket].low[i] >> half & 1U) << bucket);
        high_[i][half] |= static_cast<uint8_t>((buckets[bucket].high[i] >> half & 1U) << bucket);
      }
    }
  }
}

void GramSieve::Bucket::Add(std::string_view gram) {
  for (size_t i = 0; i < kWidth; ++i) {
    if (i >= gram.size()) {  // whatever follows
      low[i] = high[i] = UINT16_MAX;
      continue;
    }
    const auto byte = static_cast<uint8_t>(gram[i]);
    low[i] = static_cast<uint16_t>(low[i] | 1U << (byte & 15U));
    high[i] = static_cast<uint16_t>(high[i] | 1U << (byte >> 4U));
    if (IsSmallLetter(byte)) {
      high[i] = static_cast<uint16_t>(high[i] | 1U << ((byte - 32U) >> 4U));
    }
  }
}

double GramSieve::Bucket::Chance() const {
  const Shares& shares = SharesOfBytes();
  double chance = 1;
  for (size_t i = 0; i < kWidth; ++i) {
    if (low[i] == UINT16_MAX && high[i] == UINT16_MAX) continue;
    double passing = 0;
    for (unsigned upper = high[i]; upper != 0; upper &= upper - 1) {
      for (unsigned lower = low[i]; lower != 0; lower &= lower - 1) {
        passing += shares.of[static_cast<size_t>(std::countr_zero(upper)) * 16 +
                             static_cast<size_t>(std::countr_zero(lower))];
      }
    }
    chance *= passing;
  }
  return chance;
}

#if defined(__x86_64__)

namespace {

constexpr size_t kBlock = 32;

struct Masks {
  __m256i low[GramSieve::kWidth];
  __m256i high[GramSieve::kWidth];
};

// Not 0 in the places of a block where a gram may begin, by bit. Reads kWidth - 1 bytes beyond it.
[[gnu::target("avx2")]] inline uint32_t SieveBlock(const char* at, const Masks& masks) {
  const __m256i half = _mm256_set1_epi8(15);
  __m256i buckets = _mm256_set1_epi8(-1);
  for (size_t i = 0; i < GramSieve::kWidth; ++i) {
    const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at + i));
    const __m256i low = _mm256_and_si256(bytes, half);
    const __m256i high = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), half);
    buckets = _mm256_and_si256(buckets, _mm256_and_si256(_mm256_shuffle_epi8(masks.low[i], low),
                                                         _mm256_shuffle_epi8(masks.high[i], high)));
  }
  const __m256i none = _mm256_cmpeq_epi8(buckets, _mm256_setzero_si256());
  return ~static_cast<uint32_t>(_mm256_movemask_epi8(none));
}

}  // namespace

[[gnu::target("avx2")]] size_t GramSieve::Scan(std::string_view text, size_t begin,
                                               uint32_t* places) const {
  Masks masks;
  for (size_t i = 0; i < kWidth; ++i) {
    masks.low[i] = _mm256_broadcastsi128_si256(
        _mm_load_si128(reinterpret_cast<const __m128i*>(low_[i].data())));
    masks.high[i] = _mm256_broadcastsi128_si256(
        _mm_load_si128(reinterpret_cast<const __m128i*>(high_[i].data())));
  }
  const size_t end = std::min(text.size(), begin + kChunk);
  size_t count = 0;
  const auto tell = [&](uint32_t found, size_t at) {
    for (; found != 0; found &= found - 1) {
      places[count++] = static_cast<uint32_t>(at + static_cast<size_t>(std::countr_zero(found)));
    }
  };
  size_t at = begin;
  for (; at + kBlock <= end && at + kBlock + kWidth - 1 <= text.size(); at += kBlock) {
    tell(SieveBlock(text.data() + at, masks), at);
  }
  for (; at < end; at += kBlock) {  // beyond the end of the text there is nothing to read
    alignas(kBlock) char rest[kBlock + kWidth] = {};
    std::memcpy(rest, text.data() + at, std::min(text.size() - at, kBlock + kWidth - 1));
    const size_t left = end - at;
    const uint32_t in_text = left >= kBlock ? UINT32_MAX : (1U << left) - 1;
    tell(SieveBlock(rest, masks) & in_text, at);
  }
  return count;
}

#else

size_t GramSieve::Scan(std::string_view /*text*/, size_t /*begin*/, uint32_t* /*places*/) const {
  return 0;
}

#endif

}  // namespace yagura::detection
