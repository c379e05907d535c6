// The parts of the index, each against the plainest way to say the same.
#include <algorithm>
#include <array>
#include <map>
#include <random>
#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/text/text.h"
#include "re2/re2.h"
#include "services/detection/domain/engine/block_table.h"
#include "services/detection/domain/engine/case_fold.h"
#include "services/detection/domain/engine/gram_sieve.h"
#include "services/detection/domain/engine/literal_index.h"
#include "services/detection/domain/engine/memory.h"
#include "services/detection/domain/engine/regex_literal.h"

namespace yagura::detection {
namespace {

std::vector<std::string> RequiredLiterals(std::string_view expression) {
  return NeedsOfRegex(expression).literals;
}

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

using Occurrences = std::multiset<std::pair<uint32_t, size_t>>;

Occurrences Found(const LiteralIndex& index, std::string_view text) {
  Occurrences found;
  index.Find(text, [&](uint32_t literal, size_t begin) { found.insert({literal, begin}); });
  return found;
}

Occurrences Expected(const std::vector<std::string>& literals, std::string_view text) {
  Occurrences expected;
  for (uint32_t i = 0; i < literals.size(); ++i) {
    for (size_t at = text.find(literals[i]); at != std::string_view::npos;
         at = text.find(literals[i], at + 1)) {
      expected.insert({i, at});
    }
  }
  return expected;
}

std::string RandomText(std::mt19937& random, size_t size, size_t letters) {
  std::string text;
  while (text.size() < size) text += static_cast<char>('a' + random() % letters);
  return text;
}

TEST(LiteralIndex, FindsEveryOccurrenceOnce) {
  for (uint32_t seed = 1; seed <= 400; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const size_t letters = 1 + random() % 4;
    std::set<std::string> literals;
    for (size_t count = random() % 40; count > 0; --count) {
      literals.insert(RandomText(random, 1 + random() % 12, letters));
    }
    const std::vector<std::string> list(literals.begin(), literals.end());
    const LiteralIndex index(list);
    for (int i = 0; i < 10; ++i) {
      const std::string text = RandomText(random, random() % 100, letters);
      ASSERT_EQ(Found(index, text), Expected(list, text)) << text;
    }
  }
}

TEST(LiteralIndex, FindsAmongThousandsAtEveryPlace) {
  std::mt19937 random(7);
  std::set<std::string> literals;
  while (literals.size() < 5000) literals.insert(RandomText(random, 4 + random() % 20, 26));
  const std::vector<std::string> list(literals.begin(), literals.end());
  const LiteralIndex index(list);
  for (uint32_t i = 0; i < list.size(); i += 7) {
    for (size_t before = 0; before < 5; ++before) {
      const std::string text = std::string(before, '#') + list[i] + std::string(random() % 3, '#');
      ASSERT_EQ(Found(index, text), Expected(list, text)) << text;
    }
  }
}

TEST(LiteralIndex, FindsInAnyCase) {
  for (uint32_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    static constexpr std::string_view kBytes = "ab@`[{_\x7fk";
    const auto make = [&](size_t size) {
      std::string text;
      while (text.size() < size) text += kBytes[random() % kBytes.size()];
      return text;
    };
    std::set<std::string> literals;
    for (size_t count = random() % 20; count > 0; --count) literals.insert(make(1 + random() % 9));
    const std::vector<std::string> list(literals.begin(), literals.end());
    const LiteralIndex index(list);
    for (int i = 0; i < 10; ++i) {
      const std::string small = make(random() % 80);
      std::string text = small;
      for (char& c : text) {
        if (c >= 'a' && c <= 'z' && random() % 2 == 0) c = static_cast<char>(c - 32);
      }
      Occurrences found;
      index.FindInAnyCase(text, [&](uint32_t literal, size_t at) { found.insert({literal, at}); });
      ASSERT_EQ(found, Expected(list, small)) << text;
      ASSERT_EQ(Found(index, small), Expected(list, small)) << small;
    }
  }
}

// Few literals of rare letters are looked for 32 places at a time, 1,024 a look.
TEST(LiteralIndex, FindsRareLiteralsAtEveryPlaceOfLongTexts) {
  for (uint32_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    static constexpr std::string_view kRare = ":~`^|<>\xc3\x89\x01qjz";
    std::set<std::string> literals;
    const size_t least = 1 + seed % 4;
    for (size_t count = 1 + random() % 30; count > 0; --count) {
      std::string literal;
      for (size_t size = least + random() % 9; size > 0; --size) {
        literal += kRare[random() % kRare.size()];
      }
      literals.insert(literal);
    }
    const std::vector<std::string> list(literals.begin(), literals.end());
    const LiteralIndex index(list);
    for (const size_t size : {0, 1, 3, 31, 33, 70, 1023, 1026, 2100}) {
      std::string text = RandomText(random, size, 26);
      for (size_t planted = size / 20; planted > 0; --planted) {
        const std::string& literal = list[random() % list.size()];
        const size_t at = random() % 4 == 0 ? 1024 - literal.size() / 2 : random() % size;
        if (at + literal.size() <= size) text.replace(at, literal.size(), literal);
      }
      const std::string& last = list[random() % list.size()];
      if (last.size() <= size) text.replace(size - last.size(), last.size(), last);
      ASSERT_EQ(Found(index, text), Expected(list, text)) << text;
      for (char& c : text) {
        if (c >= 'a' && c <= 'z' && random() % 2 == 0) c = static_cast<char>(c - 32);
      }
      Occurrences found;
      index.FindInAnyCase(text, [&](uint32_t literal, size_t at) { found.insert({literal, at}); });
      ASSERT_EQ(found, Expected(list, ToLower(text))) << text;
    }
  }
}

TEST(LiteralIndex, NeedNotTellWhatIsNotWanted) {
  const LiteralIndex index({"::one", "::two"});
  std::multiset<uint32_t> found;
  const auto hit = [&](uint32_t literal, size_t) { found.insert(literal); };
  index.Find("::one ::two ::one ::two", hit,
             [&](uint32_t literal) { return found.count(literal) == 0; });
  EXPECT_THAT(found, UnorderedElementsAre(0U, 1U));
}

TEST(GramSieve, TellsEveryPlaceWhereAGramBegins) {
  if (!GramSieve::IsSupported()) GTEST_SKIP() << "no AVX2";
  for (uint32_t seed = 1; seed <= 100; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    std::vector<std::string> grams;
    for (size_t count = 1 + random() % 40; count > 0; --count) {
      grams.push_back(RandomText(random, 1 + random() % 4, 26));
    }
    const GramSieve sieve({grams.begin(), grams.end()});
    const std::string text = RandomText(random, random() % 2500, 26);
    std::set<uint32_t> told;
    std::array<uint32_t, GramSieve::kChunk> places;
    for (size_t begin = 0; begin < text.size(); begin += GramSieve::kChunk) {
      const size_t count = sieve.Scan(text, begin, places.data());
      told.insert(places.begin(), places.begin() + count);
    }
    for (uint32_t at = 0; at < text.size(); ++at) {
      for (const auto& gram : grams) {
        if (std::string_view(text).substr(at).starts_with(gram)) {
          ASSERT_TRUE(told.contains(at)) << gram << " at " << at << " of " << text;
        }
      }
    }
  }
}

TEST(GramSieve, TellsFewPlacesByChanceForRareGrams) {
  EXPECT_LT(GramSieve({"a::l", "e::g", "kiwi", "\\mim"}).by_chance(), 1.0 / 500);
  EXPECT_GT(GramSieve({"e", "t", "a", "o"}).by_chance(), 1.0 / 10);
}

TEST(LiteralIndex, WithoutLiteralsFindsNothing) {
  EXPECT_THAT(Found(LiteralIndex(), "text"), IsEmpty());
  EXPECT_THAT(Found(LiteralIndex({"abcd"}), ""), IsEmpty());
}

TEST(RegexLiteral, NamesWhatEveryMatchHas) {
  EXPECT_THAT(RequiredLiterals("^C:\\\\Temp.*evil\\.exe$"), ElementsAre("evil.exe"));
  EXPECT_THAT(RequiredLiterals("(?i)PowerShell"), ElementsAre("powershell"));
  EXPECT_THAT(RequiredLiterals("(?:cmd|net)\\.e"), UnorderedElementsAre("cmd", "net"));
  EXPECT_THAT(RequiredLiterals("colou?r"), ElementsAre("colo"));
  EXPECT_THAT(RequiredLiterals("[a-z]+\\n\\tx[a-z]"), ElementsAre("\n\tx"));
  EXPECT_THAT(RequiredLiterals("\\w+`\\w"), ElementsAre("`"));
  EXPECT_THAT(RequiredLiterals("ab+cde"), ElementsAre("cde"));
  EXPECT_THAT(RequiredLiterals("ab{0,2}[xyz]{3}longer"), ElementsAre("longer"));
}

TEST(RegexLiteral, TellsTheLeastSize) {
  const auto least = [](std::string_view expression) {
    return NeedsOfRegex(expression).least_size;
  };
  EXPECT_EQ(least(".{1000,}"), 1000U);
  EXPECT_EQ(least("(?i)ab?c+[xyz]{3}"), 5U);
  EXPECT_EQ(least("(abc|de){2,5}f*"), 4U);
  EXPECT_EQ(least("^(?:a|bc)$"), 1U);
  EXPECT_EQ(least("((a{10}){10}){10}"), 1000U);
  EXPECT_EQ(least("a{,3}"), 0U);
  EXPECT_EQ(least("a{0}"), 0U);
  EXPECT_EQ(least("ä"), 0U);
  EXPECT_EQ(least("\\pL"), 0U);
}

TEST(RegexLiteral, NamesNothingWhereAMatchMayDoWithout) {
  for (const char* expression :
       {"abc|[0-9]+", "(abc)?", "(abc)*", "(?:abc){0,1}", "[abcdef]", "\\x61\\x62", "\\Qab|cd\\E",
        ".*", "a", "\\pL+", "(?:abc|d)", "\\141bc", ""}) {
    EXPECT_THAT(RequiredLiterals(expression), IsEmpty()) << expression;
  }
}

TEST(RegexLiteral, EveryMatchHasOneOfThem) {
  static constexpr std::string_view kParts[] = {
      "a", "b",   "ab",     "(ab|b)",  "(?:a|b)?", "[ab]", "a{1,2}", "b*", "a+",
      ".", "\\.", "(?i:A)", "(a(b)c)", "c|a",      "$",    "^",      "K",  "s"};
  std::mt19937 random(3);
  int literals_found = 0;
  for (int i = 0; i < 3000; ++i) {
    std::string expression = random() % 2 == 0 ? "(?i)" : "";
    for (size_t parts = 1 + random() % 6; parts > 0; --parts) {
      expression += kParts[random() % std::size(kParts)];
    }
    const re2::RE2 regex(expression, re2::RE2::Quiet);
    if (!regex.ok()) continue;
    const RegexNeeds needs = NeedsOfRegex(expression);
    const auto& literals = needs.literals;
    if (!literals.empty()) ++literals_found;
    for (int j = 0; j < 30; ++j) {
      static constexpr std::string_view kLetters[] = {"a", "b", "c", "A", "B",
                                                      ".", "K", "s", "ſ", "K"};
      std::string text;
      for (size_t size = random() % 10; size > 0; --size) {
        text += kLetters[random() % std::size(kLetters)];
      }
      if (!re2::RE2::PartialMatch(text, regex)) continue;
      const std::string folded = FoldCase(text);
      ASSERT_GE(text.size(), needs.least_size) << expression << " matches " << text;
      ASSERT_TRUE(literals.empty() || std::any_of(literals.begin(), literals.end(),
                                                  [&](const auto& literal) {
                                                    return folded.find(literal) !=
                                                           std::string::npos;
                                                  }))
          << expression << " matches " << text;
    }
  }
  EXPECT_GT(literals_found, 500);
}

TEST(AnyRun, IsReadOfExpressionsThatAreNothingElse) {
  const auto least = [](std::string_view expression) {
    const auto run = AnyRunOfRegex(expression);
    return run ? run->least : 0;
  };
  EXPECT_EQ(least(".{1000,}"), 1000U);
  EXPECT_EQ(least(".{150}"), 150U);
  EXPECT_EQ(least("(.){200,}"), 200U);
  EXPECT_EQ(least("(?i).{20,}"), 20U);
  EXPECT_TRUE(AnyRunOfRegex("(?s).{20,}")->with_newlines);
  EXPECT_FALSE(AnyRunOfRegex("(?im).{20,}")->with_newlines);
  for (const char* other :
       {".{2,5}", "^.{20,}", ".{20,}$", ".{20,}a", ".{20,}}", ".{020,}", ".{,20}", ".{20,}|a",
        "(.){20,}?", "[.]{20,}", "\\.{20,}", "(?-s).{20,}", ".{}"}) {
    EXPECT_EQ(least(other), 0U) << other;
  }
}

TEST(AnyRun, IsFoundWhereRe2FindsIt) {
  for (uint32_t seed = 1; seed <= 2000; ++seed) {
    std::mt19937 random(seed);
    std::string text;
    static constexpr std::string_view kPieces[] = {
        "a", "bc", "\n", "\r", std::string_view("\0", 1), " ", "xyz", "\xc3\xa4"};
    const size_t pieces = random() % 20;
    const size_t kinds = std::size(kPieces) - (random() % 2);
    while (text.size() < pieces) text += kPieces[random() % kinds];
    for (const char* expression : {".{5,}", "(.){9}", "(?s).{7,}"}) {
      const auto found = AnyRunOfRegex(expression)->IsIn(text);
      const bool ascii = text.find('\xc3') == std::string::npos;
      ASSERT_EQ(found.has_value(), ascii) << text;
      if (found) {
        ASSERT_EQ(*found, re2::RE2::PartialMatch(text, expression)) << expression << text;
      }
    }
  }
}

TEST(BlockTable, TellsAllBlocksOfAnAddress) {
  std::mt19937 random(5);
  std::vector<BlockTable::Block> blocks;
  for (uint32_t i = 0; i < 300; ++i) {
    BlockTable::Block block{};
    block.number = i;
    const unsigned prefix = random() % 129;
    for (size_t byte = 0; byte < 16; ++byte) {
      const auto bits = static_cast<uint8_t>(random() % 4 == 0 ? 255 : random() % 2);
      const int kept = std::clamp(static_cast<int>(prefix) - static_cast<int>(byte) * 8, 0, 8);
      const auto mask = static_cast<uint8_t>(0xFF00U >> kept);
      block.low[byte] = bits & mask;
      block.high[byte] = static_cast<uint8_t>((bits & mask) | static_cast<uint8_t>(~mask));
    }
    blocks.push_back(block);
  }
  const BlockTable table(blocks);
  for (const char* text :
       {"0.0.0.1", "255.255.255.255", "::", "::1", "1:1:1::", "ffff::1",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "100:ff01:1ff::", "10.0.0.1"}) {
    const auto address = ParseAddress(text);
    ASSERT_TRUE(address);
    std::vector<uint32_t> expected;
    for (const auto& block : blocks) {
      if (block.low <= address->bytes && address->bytes <= block.high) {
        expected.push_back(block.number);
      }
    }
    const auto found = table.Find(text);
    EXPECT_EQ(std::vector<uint32_t>(found.begin(), found.end()), expected) << text;
  }
  EXPECT_THAT(table.Find("no address"), IsEmpty());
  EXPECT_THAT(BlockTable().Find("10.0.0.1"), IsEmpty());
}

TEST(Memory, NumbersTheSameSequenceAlike) {
  SequenceTable table(42);
  std::mt19937 random(1);
  std::map<std::vector<uint32_t>, uint32_t> numbers = {{{}, 0}};
  for (int i = 0; i < 20'000; ++i) {
    std::vector<uint32_t> sequence(random() % 4);
    for (auto& item : sequence) item = random() % 20;
    const auto [found, is_new] = numbers.try_emplace(sequence, numbers.size());
    ASSERT_EQ(table.Number(sequence), found->second);
    const auto kept = table[found->second];
    ASSERT_TRUE(std::equal(kept.begin(), kept.end(), sequence.begin(), sequence.end()));
  }
  EXPECT_EQ(table.size(), numbers.size());
}

TEST(Memory, RemembersAValueForItsFieldAlone) {
  ValueTable table(42);
  for (uint32_t i = 0; i < 5000; ++i) {
    const std::string text(i % 3, 'x');
    uint64_t hash = 0;
    const std::string value = text + std::to_string(i) + std::string(i % 900, 'y');
    ASSERT_EQ(table.Find(i % 7, value, hash), nullptr);
    table.Add(i % 7, value, hash, i);
    ASSERT_EQ(table.Find(8, value, hash), nullptr);
  }
  for (uint32_t i = 0; i < 5000; ++i) {
    uint64_t hash = 0;
    const std::string value =
        std::string(i % 3, 'x') + std::to_string(i) + std::string(i % 900, 'y');
    const uint32_t* found = table.Find(i % 7, value, hash);
    ASSERT_NE(found, nullptr);
    EXPECT_EQ(*found, i);
  }
}

}  // namespace
}  // namespace yagura::detection
