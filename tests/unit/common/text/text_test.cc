#include "common/text/text.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/text/ascii.h"
#include "common/text/characters.h"

namespace yagura {
namespace {

using ::testing::ElementsAre;
using ::testing::Eq;
using ::testing::Optional;

TEST(Characters, AreCodePointsAndNeverCutInTwo) {
  const std::string text = "櫓a望楼";
  EXPECT_EQ(CountCharacters(text), 4u);
  EXPECT_EQ(CountCharacters(""), 0u);
  EXPECT_EQ(FirstCharacters(text, 0), "");
  EXPECT_EQ(FirstCharacters(text, 1), "櫓");
  EXPECT_EQ(FirstCharacters(text, 3), "櫓a望");
  EXPECT_EQ(FirstCharacters(text, 4), text);
  EXPECT_EQ(FirstCharacters(text, 9), text);
  EXPECT_EQ(CharactersWithin(text, 2), "");
  EXPECT_EQ(CharactersWithin(text, 3), "櫓");
  EXPECT_EQ(CharactersWithin(text, 6), "櫓a");
  EXPECT_EQ(CharactersWithin(text, 99), text);
}

TEST(Split, KeepsEmptyParts) {
  EXPECT_THAT(Split("a,,b", ','), ElementsAre("a", "", "b"));
  EXPECT_THAT(Split("", ','), ElementsAre(""));
  EXPECT_THAT(Split(",", ','), ElementsAre("", ""));
}

TEST(Trim, RemovesWhiteSpaceAtBothEndsOnly) {
  EXPECT_EQ(Trim(" \ta b\r\n"), "a b");
  EXPECT_EQ(Trim(" \t"), "");
}

TEST(ParseNumber, WantsTheWholeTextToBeANumberThatFits) {
  EXPECT_THAT(ParseNumber<int>("-12"), Optional(Eq(-12)));
  EXPECT_EQ(ParseNumber<int>("12x"), std::nullopt);
  EXPECT_EQ(ParseNumber<int>(""), std::nullopt);
  EXPECT_EQ(ParseNumber<uint8_t>("256"), std::nullopt);
}

TEST(Hex, RoundTripsEveryByteAndRefusesTheRest) {
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  EXPECT_THAT(HexDecode(HexEncode(all)), Optional(Eq(all)));
  EXPECT_EQ(HexDecode("0"), std::nullopt);
  EXPECT_EQ(HexDecode("zz"), std::nullopt);
}

TEST(Base64, RoundTripsAndMatchesTheRfc) {
  EXPECT_EQ(Base64Encode("foob"), "Zm9vYg==");
  EXPECT_EQ(Base64UrlEncode("\xfb\xff"), "-_8");
  EXPECT_THAT(Base64Decode("Zm9vYg=="), Optional(Eq("foob")));
  EXPECT_THAT(Base64UrlDecode("-_8"), Optional(Eq("\xfb\xff")));
  EXPECT_EQ(Base64Decode("Zm9v!g=="), std::nullopt);
}

TEST(Utf8, RefusesOverlongSurrogatesAndBeyondTheEnd) {
  EXPECT_TRUE(IsValidUtf8("櫓 é 😀"));
  EXPECT_FALSE(IsValidUtf8("\xc0\x80"));
  EXPECT_FALSE(IsValidUtf8("\xed\xa0\x80"));
  EXPECT_FALSE(IsValidUtf8("\xf4\x90\x80\x80"));
  EXPECT_FALSE(IsValidUtf8("\xe6\xab"));
  EXPECT_EQ(ToValidUtf8("a\xff"
                        "b"),
            "a\xef\xbf\xbd"
            "b");
}

TEST(Escape, MakesHostileTextHarmless) {
  EXPECT_EQ(EscapeHtml("<script>'\"&"), "&lt;script&gt;&#39;&quot;&amp;");
  EXPECT_EQ(QuoteJson("a\"b\\\n\x01\xff"), "\"a\\\"b\\\\\\n\\u0001\xef\xbf\xbd\"");
  EXPECT_EQ(EscapeForTerminal("\x1b[2J櫓\xc2\x9b"), "\\x1b[2J櫓\\xc2\\x9b");
}

TEST(QuoteJson, LeavesATerminalNothingToObey) {
  EXPECT_EQ(QuoteJson("a\u009b2J\u202eb\u2066\u061c\x7f"),
            R"("a\u009b2J\u202eb\u2066\u061c\u007f")");
  EXPECT_EQ(QuoteJson("櫓\u00a0\U0001f600\u05d0"), "\"櫓\u00a0\U0001f600\u05d0\"");
}

TEST(Escape, ShowsWhatTurnsTheDirectionOfText) {
  EXPECT_EQ(EscapeForTerminal("a\u202eb"), "a\\xe2\\x80\\xaeb");
  EXPECT_EQ(EscapeForTerminal("\u200e\u2066\u2069\u061c"),
            "\\xe2\\x80\\x8e\\xe2\\x81\\xa6\\xe2\\x81\\xa9\\xd8\\x9c");
  EXPECT_EQ(EscapeForTerminal("\u2026\u2070\u05d0"), "\u2026\u2070\u05d0");  // "…", "⁰", "א"
}

TEST(EscapeHtml, LeavesNoControlCharacterButWhiteSpace) {
  using namespace std::string_view_literals;
  EXPECT_EQ(EscapeHtml("a\0b\x1b\x7f\u0085\u202e"sv), "a\ufffdb\ufffd\ufffd\ufffd\ufffd");
  EXPECT_EQ(EscapeHtml("a\tb\r\n"), "a\tb\r\n");
}

TEST(EqualsIgnoreCase, FoldsAsciiAlone) {
  EXPECT_TRUE(EqualsIgnoreCase("TCP", "tcp"));
  EXPECT_FALSE(EqualsIgnoreCase("tcp", "tcp6"));
  EXPECT_EQ(ToLower("É"), "É");
}

TEST(IsAscii, FindsAByteAbove7fAtAnyPlaceOfAnyLength) {
  EXPECT_TRUE(IsAscii({}));
  for (size_t size = 0; size < 100; ++size) {
    std::string text(size, '\x7f');
    EXPECT_TRUE(IsAscii(text)) << size;
    for (size_t at = 0; at < size; ++at) {
      text[at] = '\x80';
      EXPECT_FALSE(IsAscii(text)) << size << " at " << at;
      text[at] = '\0';
    }
  }
}

}  // namespace
}  // namespace yagura
