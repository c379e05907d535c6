#include "services/ingestion/domain/described/key_values.h"

#include <algorithm>

#include "common/text/text.h"
#include "services/ingestion/domain/parsers/fields.h"

namespace yagura::ingestion {
namespace {

// The text with `\c` read as c wherever `unescapes` holds c; \n and \r are line ends.
std::string_view Unescape(std::string_view text, std::string_view unescapes, TextArena& arena) {
  if (text.find('\\') == text.npos) return text;
  char* const start = arena.Reserve(text.size());
  char* out = start;
  for (size_t i = 0; i < text.size(); ++i) {
    const char next = text[i] == '\\' && i + 1 < text.size() ? text[i + 1] : '\0';
    if (next == '\0' || unescapes.find(next) == unescapes.npos) {
      *out++ = text[i];
      continue;
    }
    ++i;
    *out++ = next == 'n' ? '\n' : next == 'r' ? '\r' : next;
  }
  const auto used = static_cast<size_t>(out - start);
  arena.Shrink(text.size(), used);
  return {start, used};
}

// `""` as `"`.
std::string_view Undouble(std::string_view text, char quote, TextArena& arena) {
  char* const start = arena.Reserve(text.size());
  char* out = start;
  for (size_t i = 0; i < text.size(); ++i) {
    *out++ = text[i];
    if (text[i] == quote && i + 1 < text.size() && text[i + 1] == quote) ++i;
  }
  const auto used = static_cast<size_t>(out - start);
  arena.Shrink(text.size(), used);
  return {start, used};
}

class Reader {
 public:
  Reader(std::string_view text, const KeyValueFormat& format, TextArena& arena)
      : text_(text), format_(format), arena_(arena) {}

  // The next pair; false at the end.
  bool Next(event::FieldView* field) {
    for (;;) {
      const size_t assign = FindAssign(at_);
      if (assign == text_.npos) return false;
      const std::string_view name = NameBefore(assign);
      const size_t value = assign + format_.assign.size();
      if (name.empty() || !IsName(name)) {
        at_ = value;
        continue;
      }
      field->name = name;
      field->value = ReadValue(value);
      return true;
    }
  }

 private:
  bool IsEscaped(size_t at) const {
    size_t slashes = 0;
    while (slashes < at && text_[at - slashes - 1] == '\\') ++slashes;
    return slashes % 2 != 0;
  }

  // A bare value of CEF may hold a link with "?action=" in it.
  bool IsName(std::string_view name) const {
    if (!format_.greedy || !format_.escaped) return true;
    constexpr size_t kLongest = 128;
    return name.size() <= kLongest && std::all_of(name.begin(), name.end(), [](char c) {
             return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '_' || c == '.' || c == '-' || c == '[' || c == ']' ||
                    (static_cast<unsigned char>(c) & 0x80) != 0;
           });
  }

  size_t FindAssign(size_t from) const {
    size_t found = text_.find(format_.assign, from);
    while (format_.escaped && found != text_.npos && IsEscaped(found)) {
      found = text_.find(format_.assign, found + 1);
    }
    return found;
  }

  std::string_view NameBefore(size_t assign) const {
    std::string_view name = text_.substr(at_, assign - at_);
    const size_t separator = name.rfind(format_.separator);
    if (separator != name.npos) name.remove_prefix(separator + format_.separator.size());
    return Trim(name);
  }

  // The value at `start`; moves on to what follows it.
  std::string_view ReadValue(size_t start) {
    const char quote = start < text_.size() ? text_[start] : '\0';
    if (!format_.escaped && (quote == '"' || quote == '\'')) {
      size_t end = start + 1;
      bool doubled = false;
      while (end < text_.size()) {
        if (text_[end] == quote) {
          if (end + 1 == text_.size() || text_[end + 1] != quote) break;
          doubled = true;
          ++end;
        }
        end += text_[end] == '\\' ? 2 : 1;
      }
      const std::string_view rest = text_.substr(std::min(end + 1, text_.size()));
      if (end < text_.size() && (rest.empty() || rest.starts_with(format_.separator))) {
        at_ = end + 1;
        const std::string_view value = text_.substr(start + 1, end - start - 1);
        return Unescape(doubled ? Undouble(value, quote, arena_) : value, "\"\\'", arena_);
      }
    }
    const size_t end = EndOfBareValue(start);
    at_ = end;
    std::string_view value = text_.substr(start, end - start);
    if (format_.greedy) value = Trim(value);
    return format_.escaped ? Unescape(value, "=|\\nr", arena_) : value;
  }

  size_t EndOfBareValue(size_t start) const {
    const std::string_view separator = format_.separator;
    if (!format_.greedy) {
      size_t end = text_.find(separator, start);
      while (format_.escaped && end != text_.npos && IsEscaped(end)) {
        end = text_.find(separator, end + 1);
      }
      return std::min(end, text_.size());
    }
    // One pass: what was looked at for one sign is not looked at again for the next.
    size_t last_separator = text_.npos;
    size_t looked = start;
    for (size_t next = FindAssign(start); next != text_.npos; next = FindAssign(next + 1)) {
      const size_t from = looked > start ? std::max(start, looked - (separator.size() - 1)) : start;
      const size_t found = text_.substr(from, next - from).rfind(separator);
      if (found != text_.npos) last_separator = from + found;
      looked = next;
      if (last_separator == text_.npos) continue;
      // "a = b": nothing stands before the sign.
      const size_t name = last_separator + separator.size();
      if (name == next || !IsName(text_.substr(name, next - name))) continue;
      return last_separator;
    }
    return text_.size();
  }

  const std::string_view text_;
  const KeyValueFormat& format_;
  TextArena& arena_;
  size_t at_ = 0;
};

}  // namespace

bool ReadKeyValues(std::string_view text, const KeyValueFormat& format, TextArena& arena,
                   std::vector<event::FieldView>* fields) {
  Reader reader(text, format, arena);
  event::FieldView field;
  while (reader.Next(&field)) {
    if (fields->size() >= kMaxFields) return false;
    fields->push_back(field);
  }
  return true;
}

}  // namespace yagura::ingestion
