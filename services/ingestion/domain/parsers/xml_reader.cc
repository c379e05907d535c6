#include "services/ingestion/domain/parsers/xml_reader.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>

#include "common/text/text.h"

namespace yagura::ingestion {
namespace {

constexpr std::string_view kSpaces = " \t\r\n";

std::string_view WithoutPrefix(std::string_view name) {
  const size_t colon = name.find(':');
  return colon == name.npos ? name : name.substr(colon + 1);
}

// As UTF-8; answers how many bytes, 0 where it is no character that XML allows.
size_t PutUtf8(uint32_t code, char* out) {
  const auto byte = [](uint32_t value) { return static_cast<char>(value); };
  const bool control = code < 0x20 && code != '\t' && code != '\n' && code != '\r';
  if (control || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return 0;
  if (code < 0x80) {
    out[0] = byte(code);
    return 1;
  }
  if (code < 0x800) {
    out[0] = byte(0xc0 | code >> 6);
    out[1] = byte(0x80 | (code & 0x3f));
    return 2;
  }
  if (code < 0x10000) {
    out[0] = byte(0xe0 | code >> 12);
    out[1] = byte(0x80 | (code >> 6 & 0x3f));
    out[2] = byte(0x80 | (code & 0x3f));
    return 3;
  }
  out[0] = byte(0xf0 | code >> 18);
  out[1] = byte(0x80 | (code >> 12 & 0x3f));
  out[2] = byte(0x80 | (code >> 6 & 0x3f));
  out[3] = byte(0x80 | (code & 0x3f));
  return 4;
}

std::optional<uint32_t> CodeOf(std::string_view entity) {
  constexpr std::array<std::pair<std::string_view, char>, 5> kEntities{
      {{"lt", '<'}, {"gt", '>'}, {"amp", '&'}, {"quot", '"'}, {"apos", '\''}}};
  for (const auto& [name, c] : kEntities) {
    if (name == entity) return static_cast<uint32_t>(c);
  }
  if (!entity.starts_with('#')) return std::nullopt;
  entity.remove_prefix(1);
  const bool hex = entity.starts_with('x') || entity.starts_with('X');
  if (hex) entity.remove_prefix(1);
  constexpr size_t kMostDigits = 7;
  if (entity.empty() || entity.size() > kMostDigits) return std::nullopt;
  uint32_t code = 0;
  for (const char c : entity) {
    uint32_t digit = 16;
    if (c >= '0' && c <= '9') digit = static_cast<uint32_t>(c - '0');
    if (hex && c >= 'a' && c <= 'f') digit = static_cast<uint32_t>(c - 'a' + 10);
    if (hex && c >= 'A' && c <= 'F') digit = static_cast<uint32_t>(c - 'A' + 10);
    if (digit >= (hex ? 16U : 10U)) return std::nullopt;
    code = code * (hex ? 16 : 10) + digit;
  }
  return code;
}

}  // namespace

XmlReader::Piece XmlReader::Fail(std::string_view why) {
  error_ = why;
  return Piece::kError;
}

void XmlReader::SkipSpace() {
  rest_.remove_prefix(std::min(rest_.find_first_not_of(kSpaces), rest_.size()));
}

bool XmlReader::SkipPast(std::string_view end) {
  const size_t found = rest_.find(end);
  if (found == rest_.npos) return false;
  rest_.remove_prefix(found + end.size());
  return true;
}

std::string_view XmlReader::TakeName() {
  const size_t end = std::min(rest_.find_first_of(" \t\r\n=/><\"'&"), rest_.size());
  const std::string_view name = rest_.substr(0, end);
  rest_.remove_prefix(end);
  return name;
}

// What is no entity stays as it is.
std::string_view XmlReader::Unescape(std::string_view text) {
  if (text.find('&') == text.npos) return text;
  char* const start = arena_.Reserve(text.size());
  char* out = start;
  for (size_t i = 0; i < text.size();) {
    constexpr size_t kLongest = 10;
    if (text[i] == '&') {
      const size_t end = text.substr(i, kLongest).find(';');
      const auto code = end == text.npos ? std::nullopt : CodeOf(text.substr(i + 1, end - 1));
      const size_t size = code ? PutUtf8(*code, out) : 0;  // never longer than its entity
      if (size > 0) {
        out += size;
        i += end + 1;
        continue;
      }
    }
    *out++ = text[i++];
  }
  const auto used = static_cast<size_t>(out - start);
  arena_.Shrink(text.size(), used);
  return {start, used};
}

XmlReader::Piece XmlReader::Next() {
  if (!error_.empty()) return Piece::kError;
  if (ended_) return Piece::kEnd;
  return in_tag_ ? NextInTag() : NextOutside();
}

XmlReader::Piece XmlReader::Open() {
  if (depth_ == kMaxDepth) return Fail("elements are nested too deeply");
  const std::string_view name = TakeName();
  if (name.empty()) return Fail("an element has no name");
  open_[depth_++] = name;
  name_ = WithoutPrefix(name);
  in_tag_ = true;
  return Piece::kOpen;
}

XmlReader::Piece XmlReader::Close() {
  name_ = WithoutPrefix(open_[--depth_]);
  ended_ = depth_ == 0;
  return Piece::kClose;
}

XmlReader::Piece XmlReader::NextInTag() {
  SkipSpace();
  if (rest_.starts_with("/>")) {
    rest_.remove_prefix(2);
    in_tag_ = false;
    return Close();
  }
  if (rest_.starts_with('>')) {
    rest_.remove_prefix(1);
    in_tag_ = false;
    return NextOutside();
  }
  const std::string_view name = TakeName();
  SkipSpace();
  if (name.empty() || !rest_.starts_with('=')) return Fail("an attribute is broken");
  rest_.remove_prefix(1);
  SkipSpace();
  const char quote = rest_.empty() ? '\0' : rest_.front();
  if (quote != '"' && quote != '\'') return Fail("an attribute has no quotes");
  const size_t end = rest_.find(quote, 1);
  if (end == rest_.npos) return Fail("an attribute has no end");
  name_ = WithoutPrefix(name);
  if (name == "xmlns" || name.starts_with("xmlns:")) name_ = "xmlns";
  value_ = Unescape(rest_.substr(1, end - 1));
  rest_.remove_prefix(end + 1);
  return Piece::kAttribute;
}

XmlReader::Piece XmlReader::NextOutside() {
  for (;;) {
    if (depth_ == 0) SkipSpace();
    if (rest_.empty()) return Fail("the document has no end");
    if (rest_.front() != '<') {
      if (depth_ == 0) return Fail("text before the first element");
      const size_t end = std::min(rest_.find('<'), rest_.size());
      value_ = Unescape(rest_.substr(0, end));
      rest_.remove_prefix(end);
      return Piece::kText;
    }
    if (rest_.starts_with("<![CDATA[")) {
      constexpr size_t kSize = 9;
      const size_t end = rest_.find("]]>", kSize);
      if (depth_ == 0 || end == rest_.npos) return Fail("a CDATA section is broken");
      value_ = rest_.substr(kSize, end - kSize);
      rest_.remove_prefix(end + 3);
      return Piece::kText;
    }
    if (rest_.starts_with("<!--")) {
      if (!SkipPast("-->")) return Fail("a comment has no end");
      continue;
    }
    if (rest_.starts_with("<?")) {
      if (!SkipPast("?>")) return Fail("an instruction has no end");
      continue;
    }
    if (rest_.starts_with("<!")) return Fail("a document type is not read");
    if (!rest_.starts_with("</")) {
      rest_.remove_prefix(1);
      return Open();
    }
    rest_.remove_prefix(2);
    const std::string_view name = TakeName();
    SkipSpace();
    if (depth_ == 0 || name != open_[depth_ - 1] || !rest_.starts_with('>')) {
      return Fail("an element is closed that is not open");
    }
    rest_.remove_prefix(1);
    return Close();
  }
}

}  // namespace yagura::ingestion
