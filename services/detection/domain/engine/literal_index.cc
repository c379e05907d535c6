#include "services/detection/domain/engine/literal_index.h"

#include <algorithm>
#include <bit>
#include <tuple>
#include <unordered_map>

namespace yagura::detection {
namespace {

using Counts = std::unordered_map<uint32_t, uint32_t>;

// A wide stride looks at fewer places of a text, but keeps more grams: the more literals, the more
// of those places would meet one by chance.
constexpr size_t kWideStride = 4;  // at least
constexpr size_t kWidestStride = 8;
constexpr size_t kMostWide = 2048;
constexpr size_t kPlacesPerGram = 64;
constexpr unsigned kMaxFilterBits = 18;
// More literals than this share too many bytes for a sieve, and a place that it tells by chance
// costs as much as looking at some twenty.
constexpr size_t kMostSieved = 256;
constexpr double kMostByChance = 1.0 / 128;
// Short ones are dear otherwise.
constexpr double kMostByChanceOfShort = 1.0 / 24;

uint32_t GramAt(std::string_view text, size_t at) {
  uint32_t gram = 0;
  std::memcpy(&gram, text.data() + at, sizeof(gram));
  return gram | 0x20202020U;
}

// How common the bytes of a gram are in what computers write: 0 to 100.
uint32_t Commonness(uint32_t gram) {
  constexpr std::string_view kLetters = "etaoinsrldcmpu\\.0";
  uint32_t common = 0;
  for (unsigned shift = 0; shift < 32; shift += 8) {
    const size_t place = kLetters.find(static_cast<char>(gram >> shift & 0xFFU));
    if (place != std::string_view::npos) common += static_cast<uint32_t>(25 - place);
  }
  return common;
}

// Where the `stride` neighbouring grams begin that other literals share least, and then those of
// rare letters.
size_t RarestGrams(std::string_view literal, size_t stride, const Counts& counts) {
  size_t best = 0;
  uint64_t best_price = UINT64_MAX;
  for (size_t begin = 0; begin + stride + sizeof(uint32_t) - 1 <= literal.size(); ++begin) {
    uint64_t price = 0;
    for (size_t i = 0; i < stride; ++i) {
      const uint32_t gram = GramAt(literal, begin + i);
      price += uint64_t{counts.at(gram)} * 25 + Commonness(gram);
    }
    if (price < best_price) {
      best = begin;
      best_price = price;
    }
  }
  return best;
}

}  // namespace

LiteralIndex::LiteralIndex(const std::vector<std::string>& literals) {
  Members members;
  for (const auto& literal : literals) {
    const auto number = static_cast<uint32_t>(literals_.size());
    literals_.push_back(
        {static_cast<uint32_t>(text_.size()), static_cast<uint32_t>(literal.size())});
    text_ += literal;
    if (literal.size() < kGram) {
      members.shorts.push_back(number);
    } else if (literal.size() < kGram + kWideStride - 1) {
      members.narrow.push_back(number);
    } else {
      members.wide.push_back(number);
    }
  }
  if (members.wide.size() > kMostWide) {
    members.narrow.insert(members.narrow.end(), members.wide.begin(), members.wide.end());
    members.wide.clear();
  }
  MakeShorts(members.shorts);
  plain_shorts_ = !members.shorts.empty();
  if (GramSieve::IsSupported()) MakeSieves(members);
  if (!members.narrow.empty()) grams_.push_back(MakeGrams(members.narrow, 1));
  if (!members.wide.empty()) {
    size_t shortest = SIZE_MAX;
    for (const uint32_t member : members.wide)
      shortest = std::min<size_t>(shortest, literals_[member].size);
    grams_.push_back(MakeGrams(members.wide, std::min(shortest - kGram + 1, kWidestStride)));
  }
}

// The more literals the sieve takes, the fewer passes; those that it takes are no members any more.
void LiteralIndex::MakeSieves(Members& members) {
  std::vector<uint32_t> long_ones = members.narrow;
  long_ones.insert(long_ones.end(), members.wide.begin(), members.wide.end());
  const auto attempt = [&](const std::vector<uint32_t>& of, const std::vector<uint32_t>& shorts) {
    auto grams = MakeSieve(of, shorts);
    if (!grams) return false;
    grams_.push_back(*std::move(grams));
    if (!shorts.empty()) plain_shorts_ = false;
    return true;
  };
  if (attempt(long_ones, members.shorts) || attempt(long_ones, {})) {
    members.narrow.clear();
    members.wide.clear();
    if (plain_shorts_) attempt({}, members.shorts);
  } else if (attempt(members.narrow, members.shorts) || attempt(members.narrow, {})) {
    members.narrow.clear();
    if (plain_shorts_) attempt({}, members.shorts);
  } else {
    attempt({}, members.shorts);
  }
}

std::optional<LiteralIndex::Grams> LiteralIndex::MakeSieve(
    const std::vector<uint32_t>& members, const std::vector<uint32_t>& shorts) const {
  const size_t size = members.size() + shorts.size();
  if (size == 0 || size > kMostSieved) return std::nullopt;
  std::vector<std::string_view> texts;
  std::vector<std::pair<uint32_t, Entry>> chosen;
  for (const uint32_t member : members) {
    const std::string_view literal = TextOf(member);
    size_t best = 0;
    double least = 0;
    for (size_t at = 0; at + kGram <= literal.size(); ++at) {
      const double common = GramSieve::Commonness(literal.substr(at, kGram));
      if (common >= least) continue;
      least = common;
      best = at;
    }
    texts.push_back(literal.substr(best, kGram));
    chosen.push_back({GramAt(literal, best), Entry{member, static_cast<uint32_t>(best)}});
  }
  for (const uint32_t member : shorts) texts.push_back(TextOf(member));
  GramSieve sieve(std::move(texts));
  if (sieve.by_chance() > (shorts.empty() ? kMostByChance : kMostByChanceOfShort)) {
    return std::nullopt;
  }
  Grams grams;
  grams.sieve = sieve;
  grams.shorts = !shorts.empty();
  FillBuckets(std::move(chosen), grams);
  return grams;
}

LiteralIndex::Grams LiteralIndex::MakeGrams(const std::vector<uint32_t>& members,
                                            size_t stride) const {
  Counts counts;
  for (const uint32_t member : members) {
    const std::string_view literal = TextOf(member);
    for (size_t at = 0; at + kGram <= literal.size(); ++at) ++counts[GramAt(literal, at)];
  }
  std::vector<std::pair<uint32_t, Entry>> chosen;
  for (const uint32_t member : members) {
    const std::string_view literal = TextOf(member);
    const size_t begin = RarestGrams(literal, stride, counts);
    for (size_t i = 0; i < stride; ++i) {
      chosen.push_back(
          {GramAt(literal, begin + i), Entry{member, static_cast<uint32_t>(begin + i)}});
    }
  }
  Grams grams;
  grams.stride = stride;
  const unsigned filter_bits = std::clamp(
      static_cast<unsigned>(std::bit_width(chosen.size() * kPlacesPerGram)), 10U, kMaxFilterBits);
  grams.filter_shift = 32 - filter_bits;
  grams.filter.resize((size_t{1} << filter_bits) / 64, 0);
  for (const auto& [gram, entry] : chosen) {
    const uint32_t place = Mix(gram) >> grams.filter_shift;
    grams.filter[place / 64] |= uint64_t{1} << (place % 64);
  }
  FillBuckets(std::move(chosen), grams);
  return grams;
}

void LiteralIndex::FillBuckets(std::vector<std::pair<uint32_t, Entry>> chosen, Grams& grams) {
  std::sort(chosen.begin(), chosen.end(), [](const auto& a, const auto& b) {
    return std::tie(a.first, a.second.literal, a.second.offset) <
           std::tie(b.first, b.second.literal, b.second.offset);
  });
  const auto bucket_bits = static_cast<unsigned>(std::bit_width(chosen.size() * 2 + 1));
  grams.bucket_shift = 32 - bucket_bits;
  grams.buckets.resize(size_t{1} << bucket_bits, Bucket{0, 0, 0});
  for (size_t i = 0; i < chosen.size();) {
    const uint32_t gram = chosen[i].first;
    Bucket bucket{gram, static_cast<uint32_t>(i), 0};
    for (; i < chosen.size() && chosen[i].first == gram; ++i) {
      grams.entries.push_back(chosen[i].second);
      ++bucket.count;
    }
    size_t slot = Mix(gram) >> grams.bucket_shift;
    while (grams.buckets[slot].count != 0) slot = (slot + 1) & (grams.buckets.size() - 1);
    grams.buckets[slot] = bucket;
  }
}

void LiteralIndex::MakeShorts(const std::vector<uint32_t>& members) {
  for (size_t byte = 0; byte < 256; ++byte) {
    short_begin_[byte] = static_cast<uint32_t>(shorts_.size());
    for (const uint32_t member : members) {
      const auto first = static_cast<uint8_t>(TextOf(member).front());
      const bool letter = first >= 'a' && first <= 'z';
      if (byte == first || (letter && byte == first - 0x20U)) shorts_.push_back(member);
    }
  }
  short_begin_[256] = static_cast<uint32_t>(shorts_.size());
}

size_t LiteralIndex::bytes() const {
  size_t bytes = text_.capacity() + literals_.capacity() * sizeof(Literal) +
                 shorts_.capacity() * sizeof(uint32_t);
  for (const Grams& grams : grams_) {
    bytes += grams.filter.capacity() * 8 + grams.buckets.capacity() * sizeof(Bucket) +
             grams.entries.capacity() * sizeof(Entry);
  }
  return bytes;
}

}  // namespace yagura::detection
