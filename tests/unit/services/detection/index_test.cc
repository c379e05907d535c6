// The parts of the index, each against the plainest way to say the same.
#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "re2/re2.h"
#include "services/detection/domain/engine/block_table.h"
#include "services/detection/domain/engine/case_fold.h"
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
