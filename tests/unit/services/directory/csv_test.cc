#include "services/directory/domain/csv.h"

#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/testing/status_matchers.h"

namespace yagura::directory {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using testing::StatusIs;

std::vector<std::vector<std::string>> Cells(std::string_view text) {
  const auto rows = ParseCsv(text);
  EXPECT_THAT(rows, testing::IsOk()) << text;
  std::vector<std::vector<std::string>> cells;
  if (rows.ok()) {
    for (const auto& row : *rows) cells.push_back(row.cells);
  }
  return cells;
}

TEST(CsvTest, CellsAreSplitTrimmedAndUnquoted) {
  EXPECT_THAT(Cells("a, b ,\"c,d\"\r\n\"say \"\"hi\"\"\",,\n"),
              ElementsAre(ElementsAre("a", "b", "c,d"), ElementsAre("say \"hi\"", "", "")));
  EXPECT_THAT(Cells("\xef\xbb\xbfname\nx"), ElementsAre(ElementsAre("name"), ElementsAre("x")));
  EXPECT_THAT(Cells(""), IsEmpty());
  EXPECT_THAT(Cells("\n\r\n  \n"), IsEmpty());
  EXPECT_THAT(Cells("a,"), ElementsAre(ElementsAre("a", "")));
  EXPECT_THAT(Cells("日本,語"), ElementsAre(ElementsAre("日本", "語")));
}

TEST(CsvTest, RowsKnowTheLineOnWhichTheyBegin) {
  const auto rows = ParseCsv("h\n\n\"two\nlines\"\nlast");
  ASSERT_THAT(rows, testing::IsOk());
  ASSERT_THAT(*rows, SizeIs(3));
  EXPECT_EQ((*rows)[1].line, 3);
  EXPECT_EQ((*rows)[1].cells.front(), "two\nlines");
  EXPECT_EQ((*rows)[2].line, 5);
}

TEST(CsvTest, BadTextIsRefusedWithItsLine) {
  const auto message = [](std::string_view text) {
    const auto rows = ParseCsv(text);
    EXPECT_THAT(rows, StatusIs(absl::StatusCode::kInvalidArgument)) << text;
    return std::string(rows.status().message());
  };
  EXPECT_THAT(message("a\nb\n\"open\nand so on"), HasSubstr("line 3"));
  EXPECT_THAT(message("a\n\"b\"c"), HasSubstr("line 2"));
  EXPECT_THAT(message("a\nb\"c"), HasSubstr("line 2"));
  EXPECT_THAT(message("a\xff"), HasSubstr("UTF-8"));
  EXPECT_THAT(message(std::string_view("a\0b", 3)), HasSubstr("zero"));
}

TEST(CsvTest, SizesAreBounded) {
  const CsvLimits limits{.bytes = 100, .rows = 3, .columns = 4, .cell_bytes = 10};
  EXPECT_THAT(ParseCsv("a\nb\nc\n", limits), testing::IsOk());
  for (const std::string& bad :
       {std::string("a\nb\nc\nd"), std::string("1,2,3,4,5"), std::string("12345678901"),
        std::string("\"12345678901\""), std::string(101, 'a')}) {
    EXPECT_THAT(ParseCsv(bad, limits), StatusIs(absl::StatusCode::kInvalidArgument)) << bad;
  }
}

TEST(CsvTest, RandomTextNeverBreaksIt) {
  std::mt19937 random(7);
  const std::string alphabet = "a,\"\r\n \t;";
  for (int i = 0; i < 20'000; ++i) {
    std::string text;
    for (size_t n = random() % 30; n > 0; --n) text += alphabet[random() % alphabet.size()];
    const auto rows = ParseCsv(text);
    if (!rows.ok()) continue;
    for (const auto& row : *rows) EXPECT_FALSE(row.cells.empty());
  }
}

}  // namespace
}  // namespace yagura::directory
