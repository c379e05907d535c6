#include "services/store/statement_text.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>

#include "common/text/text.h"

namespace yagura::storeserver {
namespace {

constexpr std::string_view kFormat = "FORMAT";
constexpr std::string_view kHeadered = "RowBinaryWithNamesAndTypes";
constexpr std::array<std::string_view, 9> kPlain = {
    "RowBinary",   "TabSeparated",       "TSV", "TabSeparatedRaw", "TSVRaw",
    "JSONEachRow", "JSONCompactEachRow", "CSV", "Native"};

bool IsWord(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

// The text without white space and semicolons at its ends.
std::string_view Bare(std::string_view sql) {
  std::string_view text = Trim(sql);
  while (!text.empty() && text.back() == ';') text = Trim(text.substr(0, text.size() - 1));
  return text;
}

// Where "FORMAT name" at the end of the text begins, and the name; npos where it does not end so.
size_t FindFormat(std::string_view text, std::string_view* name) {
  size_t begin = text.size();
  while (begin > 0 && IsWord(text[begin - 1])) --begin;
  const std::string_view before = Trim(text.substr(0, begin));
  if (begin == text.size() || before.size() == begin || before.size() <= kFormat.size()) {
    return std::string_view::npos;
  }
  const size_t at = before.size() - kFormat.size();
  if (!EqualsIgnoreCase(before.substr(at), kFormat) || IsWord(before[at - 1])) {
    return std::string_view::npos;
  }
  *name = text.substr(begin);
  return at;
}

size_t SkipText(std::string_view bytes, size_t at) {
  uint64_t size = 0;
  for (int shift = 0; at < bytes.size() && shift < 64; shift += 7) {
    const auto byte = static_cast<uint8_t>(bytes[at++]);
    size |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) break;
  }
  return size > bytes.size() - at ? bytes.size() : at + size;
}

// Length of the header of RowBinaryWithNamesAndTypes: a count, so many names, so many types.
size_t HeaderSize(std::string_view piece) {
  uint64_t columns = 0;
  size_t at = 0;
  for (int shift = 0; at < piece.size() && shift < 64; shift += 7) {
    const auto byte = static_cast<uint8_t>(piece[at++]);
    columns |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) break;
  }
  for (uint64_t i = 0; i < 2 * columns && at < piece.size(); ++i) at = SkipText(piece, at);
  return at;
}

}  // namespace

InsertText SplitInsert(std::string_view sql) {
  const std::string_view text = Bare(sql);
  std::string_view format;
  const size_t at = FindFormat(text, &format);
  if (at == std::string_view::npos || !EqualsIgnoreCase(text.substr(0, 6), "INSERT")) {
    return {std::string(sql), ""};
  }
  return {std::string(Trim(text.substr(0, at))), std::string(format)};
}

PieceShape ShapeOf(std::string_view sql, std::string_view fallback) {
  const std::string_view text = Bare(sql);
  std::string_view format = fallback;
  const size_t at = FindFormat(text, &format);
  // The word elsewhere may be a format followed by settings, or a text: we cannot tell.
  if (ToUpper(text.substr(0, at)).find(kFormat) != std::string::npos) return PieceShape::kWhole;
  if (format == kHeadered) return PieceShape::kHeadered;
  const bool plain = std::find(kPlain.begin(), kPlain.end(), format) != kPlain.end();
  return plain ? PieceShape::kPlain : PieceShape::kWhole;
}

std::string_view HeaderStripper::Strip(std::string_view piece) {
  if (header_.empty()) {
    header_ = piece.substr(0, HeaderSize(piece));
    return piece;
  }
  if (piece.starts_with(header_)) piece.remove_prefix(header_.size());
  return piece;
}

}  // namespace yagura::storeserver
