#include "services/store/statement_text.h"

#include "gtest/gtest.h"

namespace yagura::storeserver {
namespace {

TEST(SplitInsert, TakesTheFormatOff) {
  const InsertText insert =
      SplitInsert(" insert INTO t (a, b)\nSETTINGS x = 1 format RowBinary ; ");
  EXPECT_EQ(insert.statement, "insert INTO t (a, b)\nSETTINGS x = 1");
  EXPECT_EQ(insert.format, "RowBinary");
  EXPECT_EQ(SplitInsert("SELECT 1 FORMAT JSON").format, "");
  EXPECT_EQ(SplitInsert("INSERT INTO t SELECT 1").format, "");
  EXPECT_EQ(SplitInsert("INSERT INTO tFORMAT x").format, "");
  EXPECT_EQ(SplitInsert("").format, "");
}

TEST(ShapeOf, StreamsOnlyWhatGoesTogether) {
  EXPECT_EQ(ShapeOf("SELECT 1", "TabSeparated"), PieceShape::kPlain);
  EXPECT_EQ(ShapeOf("SELECT 1", "RowBinaryWithNamesAndTypes"), PieceShape::kHeadered);
  EXPECT_EQ(ShapeOf("SELECT 1 FORMAT JSON;", "TabSeparated"), PieceShape::kWhole);
  EXPECT_EQ(ShapeOf("SELECT 1 format JSONEachRow", "JSON"), PieceShape::kPlain);
  EXPECT_EQ(ShapeOf("SELECT 1 FORMAT TSV SETTINGS max_threads = 1", "TSV"), PieceShape::kWhole);
  EXPECT_EQ(ShapeOf("SELECT ' FORMAT JSON'", "TSV"), PieceShape::kWhole);
}

TEST(HeaderStripper, KeepsTheFirstHeaderAlone) {
  const std::string header(
      "\x02\x01"
      "a\x01"
      "b\x06UInt64\x06String",
      19);
  HeaderStripper stripper;
  EXPECT_EQ(stripper.Strip(header + "rows"), header + "rows");
  EXPECT_EQ(stripper.Strip(header + "more"), "more");
  EXPECT_EQ(stripper.Strip("odd"), "odd");
}

TEST(HeaderStripper, EndsWithSizesThatWrapAround) {
  // 2^62 columns, and a name so long that one past its end comes before its beginning.
  const std::string piece =
      "\x80\x80\x80\x80\x80\x80\x80\x80\x40\xf6\xff\xff\xff\xff\xff\xff\xff\xff\x01"
      "abc";
  HeaderStripper stripper;
  EXPECT_EQ(stripper.Strip(piece), piece);
  EXPECT_EQ(stripper.Strip(piece), "");
}

}  // namespace
}  // namespace yagura::storeserver
