#pragma once

#include <string>
#include <string_view>

// What must be known of a statement's text, and of the format of its data, to pass it to libchdb.
namespace yagura::storeserver {

// "INSERT INTO t (a) FORMAT RowBinary" in two: the statement and the format's name, which is empty
// where the text is no INSERT that ends with FORMAT.
struct InsertText {
  std::string statement;
  std::string format;
};
InsertText SplitInsert(std::string_view sql);

// How the pieces of a streamed result go together. libchdb formats every piece by itself.
enum class PieceShape {
  kPlain,     // as they come: RowBinary, TabSeparated, JSONEachRow...
  kHeadered,  // RowBinaryWithNamesAndTypes: each piece begins with the same header
  kWhole,     // any other format, or one that we cannot tell: it must be made in one piece
};
// Of a SELECT's text; `fallback` is the format where it names none.
PieceShape ShapeOf(std::string_view sql, std::string_view fallback);

// Takes the header off every piece of RowBinaryWithNamesAndTypes but the first.
class HeaderStripper {
 public:
  // What of the piece is to be sent.
  std::string_view Strip(std::string_view piece);

 private:
  std::string header_;
};

}  // namespace yagura::storeserver
