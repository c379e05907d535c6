#include "services/ingestion/domain/framing.h"

#include <random>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace yagura::ingestion {
namespace {

using Lines = std::vector<std::pair<std::string, bool>>;
using ::testing::ElementsAre;
using ::testing::Pair;

Lines Cut(std::string_view bytes, size_t chunk) {
  Lines lines;
  const auto sink = [&](std::string_view line, bool truncated) {
    lines.emplace_back(line, truncated);
  };
  Framer framer;
  for (size_t at = 0; at < bytes.size(); at += chunk) framer.Feed(bytes.substr(at, chunk), sink);
  framer.Finish(sink);
  return lines;
}
Lines Cut(std::string_view bytes) { return Cut(bytes, bytes.size() + 1); }

TEST(FramingTest, LineFeedsEndLines) {
  EXPECT_THAT(Cut("<1>a\n<1>b\r\n\n\r\nc\0\n<2>rest"),
              ElementsAre(Pair("<1>a", false), Pair("<1>b", false), Pair("c", false)));
  EXPECT_THAT(Cut(std::string("a\nb\0\nlast", 9)),
              ElementsAre(Pair("a", false), Pair("b", false), Pair("last", false)));
}

TEST(FramingTest, ANulEndsALineThatBeginsWithAPriority) {
  using std::string_literals::operator""s;
  for (const size_t chunk : {1, 2, 3, 100}) {
    EXPECT_THAT(Cut("<1>a\0<13>b\0<2>c\nd\0e\n<3\0>f\n"s, chunk),
                ElementsAre(Pair("<1>a", false), Pair("<13>b", false), Pair("<2>c", false),
                            Pair("d\0e"s, false), Pair("<3\0>f"s, false)));
  }
  const std::string big = "<1>" + std::string(kMaxLineBytes, 'x');
  EXPECT_THAT(Cut(big + "y\0<1>next\0"s),
              ElementsAre(Pair(big.substr(0, kMaxLineBytes), true), Pair("<1>next", false)));
  EXPECT_THAT(Cut("9 <1>c\0ount<1>d\0"s),
              ElementsAre(Pair("<1>c\0ount"s, false), Pair("<1>d", false)));
}

TEST(FramingTest, AMessageThatANulEndsIsNotWaitedFor) {
  using std::string_literals::operator""s;
  Lines lines;
  Framer framer;
  framer.Feed("<1>a\0"s,
              [&](std::string_view line, bool truncated) { lines.emplace_back(line, truncated); });
  EXPECT_THAT(lines, ElementsAre(Pair("<1>a", false)));
}

TEST(FramingTest, OctetCountsEndLines) {
  EXPECT_THAT(Cut("5 <1>ab8 <1>c\nd e5 <2>xy"),
              ElementsAre(Pair("<1>ab", false), Pair("<1>c\nd e", false), Pair("<2>xy", false)));
}

TEST(FramingTest, BothMayBeMixedOnOneConnection) {
  EXPECT_THAT(Cut("<1>one\n6 <1>two<1>three\n7 <1>four\n<1>five\n"),
              ElementsAre(Pair("<1>one", false), Pair("<1>two", false), Pair("<1>three", false),
                          Pair("<1>four", false), Pair("<1>five", false)));
}

TEST(FramingTest, ALineThatBeginsWithANumberIsNoCount) {
  EXPECT_THAT(Cut("2026 was a year\n10.1.1.1 is an address\n123456789 <x\n0 <1>a\n"),
              ElementsAre(Pair("2026 was a year", false), Pair("10.1.1.1 is an address", false),
                          Pair("123456789 <x", false), Pair("0 <1>a", false)));
}

TEST(FramingTest, OversizedLinesAreCutAndTheNextIsWhole) {
  const std::string big(kMaxLineBytes + 1000, 'x');
  EXPECT_THAT(Cut(big + "\nnext\n"),
              ElementsAre(Pair(big.substr(0, kMaxLineBytes), true), Pair("next", false)));
  const std::string counted = "<1>" + big;
  EXPECT_THAT(Cut(std::to_string(counted.size()) + " " + counted + "4 <1>n"),
              ElementsAre(Pair(counted.substr(0, kMaxLineBytes), true), Pair("<1>n", false)));
  const std::string exact(kMaxLineBytes, 'y');
  EXPECT_THAT(Cut(exact + "\r\n"), ElementsAre(Pair(exact, false)));
}

TEST(FramingTest, NoMoreIsHeldThanTheLineThatIsBegunNeeds) {
  const auto ignore = [](std::string_view, bool) {};
  Framer framer;
  framer.Feed("<1>begun" + std::string(100, 'x'), ignore);
  EXPECT_EQ(framer.pending_bytes(), 108u);
  std::string many = "\n";
  while (many.size() < 256 * 1024) many += "<1>a whole line\n";
  framer.Feed(many, ignore);
  EXPECT_EQ(framer.held_bytes(), 0u) << "all lines were whole";
  for (int i = 0; i < 1000; ++i) {
    framer.Feed(std::string(1000, 'y'), ignore);
    ASSERT_LE(framer.held_bytes(), 2 * kMaxLineBytes + 4096);
  }
}

TEST(FramingTest, ABrokenOffCountedLineIsMarked) {
  EXPECT_THAT(Cut("50 <1>only this"), ElementsAre(Pair("<1>only this", true)));
}

TEST(FramingTest, AnyCutOfTheBytesGivesTheSameLines) {
  std::string bytes;
  std::mt19937 random(7);
  for (int i = 0; i < 300; ++i) {
    std::string line = "<13>" + std::string(random() % 200, static_cast<char>('a' + i % 26));
    if (i == 150) line += std::string(kMaxLineBytes + 5, 'z');
    bytes += i % 3 == 0 ? std::to_string(line.size()) + " " + line : line + "\n";
  }
  const Lines whole = Cut(bytes);
  EXPECT_EQ(whole.size(), 300u);
  for (const size_t chunk : {1, 2, 3, 7, 64, 1000, 65536, 100000}) {
    EXPECT_EQ(Cut(bytes, chunk), whole) << chunk;
  }
}

TEST(FramingTest, MemoryIsBounded) {
  Framer framer;
  const std::string chunk(10'000, 'x');
  for (int i = 0; i < 1000; ++i) {
    framer.Feed(chunk, [](std::string_view, bool) {});
    ASSERT_LE(framer.pending_bytes(), 2 * kMaxLineBytes);
  }
}

}  // namespace
}  // namespace yagura::ingestion
