#include "services/detection/domain/engine/pattern.h"

#include <array>
#include <optional>

#include "fmt/format.h"

#include "common/status/status.h"
#include "services/detection/domain/engine/case_fold.h"

namespace yagura::detection {
namespace {

constexpr size_t kMaxExpanded = 10'000;

void Append(std::string_view bytes, Pattern& pattern) {
  for (const char c : bytes) pattern.push_back(static_cast<uint8_t>(c));
}

bool IsByte(uint16_t element) { return element < 256; }

// A letter, a digit, an underscore or a part of a character beyond ASCII.
bool IsWord(uint16_t element) {
  return (element >= 'a' && element <= 'z') || (element >= 'A' && element <= 'Z') ||
         (element >= '0' && element <= '9') || element == '_' || (element >= 128 && element < 256);
}

// The bytes of a pattern that has no wildcards.
std::optional<std::string> PlainBytes(const Pattern& pattern) {
  std::string bytes;
  for (const uint16_t element : pattern) {
    if (!IsByte(element)) return std::nullopt;
    bytes += static_cast<char>(element);
  }
  return bytes;
}

void AppendUnit(uint32_t unit, bool big_endian, Pattern& out) {
  const auto high = static_cast<uint16_t>(unit >> 8U & 0xFFU);
  const auto low = static_cast<uint16_t>(unit & 0xFFU);
  out.push_back(big_endian ? high : low);
  out.push_back(big_endian ? low : high);
}

// `text` is valid UTF-8.
void AppendUtf16(std::string_view text, bool big_endian, Pattern& out) {
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<uint8_t>(text[i]);
    const size_t size = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
    uint32_t character = size == 1 ? lead : lead & (0x7FU >> size);
    for (size_t k = 1; k < size; ++k) {
      character = character << 6U | (static_cast<uint8_t>(text[i + k]) & 0x3FU);
    }
    i += size;
    if (character >= 0x10000) {
      AppendUnit(0xD800U + ((character - 0x10000U) >> 10U), big_endian, out);
      AppendUnit(0xDC00U + ((character - 0x10000U) & 0x3FFU), big_endian, out);
    } else {
      AppendUnit(character, big_endian, out);
    }
  }
}

absl::StatusOr<Pattern> ToUtf16(const Pattern& pattern, Encoding encoding) {
  Pattern out;
  if (encoding == Encoding::kUtf16) Append("\xFF\xFE", out);
  std::string run;
  for (size_t i = 0; i <= pattern.size(); ++i) {
    if (i < pattern.size() && IsByte(pattern[i])) {
      run += static_cast<char>(pattern[i]);
      continue;
    }
    if (!IsValidUtf8(run)) {
      return absl::InvalidArgumentError("what is no UTF-8 text has no UTF-16 form");
    }
    AppendUtf16(run, encoding == Encoding::kUtf16Be, out);
    run.clear();
    if (i == pattern.size()) break;
    if (pattern[i] != kAnyText) {
      return absl::InvalidArgumentError("\"?\" has no UTF-16 form");
    }
    out.push_back(kAnyText);
  }
  return out;
}

// What stays the same in Base64 of any text that has `bytes` at a place 0, 1 or 2 beyond a multiple
// of three: without the characters that bytes before and after have a part in.
absl::StatusOr<std::vector<Pattern>> ToBase64Offsets(const std::string& bytes) {
  constexpr std::array<size_t, 3> kFirst = {0, 2, 3};
  constexpr std::array<size_t, 3> kCut = {0, 3, 2};
  std::vector<Pattern> variants;
  for (size_t offset = 0; offset < 3; ++offset) {
    const std::string encoded = Base64Encode(std::string(offset, ' ') + bytes);
    const size_t end = encoded.size() - kCut[(bytes.size() + offset) % 3];
    if (end <= kFirst[offset]) {
      return absl::InvalidArgumentError("too short: nothing of it is fixed at every offset");
    }
    Append(std::string_view(encoded).substr(kFirst[offset], end - kFirst[offset]),
           variants.emplace_back());
  }
  return variants;
}

bool IsNameCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-' || c == '.';
}

// The name of the placeholder that begins at the percent sign at `at`; empty: there is none.
std::string_view PlaceholderAt(std::string_view text, size_t at) {
  size_t end = at + 1;
  while (end < text.size() && IsNameCharacter(text[end])) ++end;
  return end < text.size() && text[end] == '%' ? text.substr(at + 1, end - at - 1)
                                               : std::string_view();
}

// "; those that have: admin-names, servers".
std::string KnownNames(const Placeholders& values) {
  constexpr size_t kMost = 10;
  std::vector<std::string> names;
  for (const auto& [name, of_name] : values) {
    if (!name.empty() && !of_name.empty()) names.push_back(name);
  }
  if (names.empty()) return {};
  std::sort(names.begin(), names.end());
  const size_t more = names.size() - std::min(names.size(), kMost);
  names.resize(names.size() - more);
  return fmt::format("; those that have: {}{}", Join(names, ", "),
                     more == 0 ? "" : fmt::format(" and {} more", more));
}

}  // namespace

Pattern ReadPattern(std::string_view text) {
  Pattern pattern;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const char next = i + 1 < text.size() ? text[i + 1] : '\0';
    if (c == '\\' && (next == '*' || next == '?' || next == '\\')) {
      pattern.push_back(static_cast<uint8_t>(text[++i]));
    } else if (c == '*') {
      pattern.push_back(kAnyText);
    } else if (c == '?') {
      pattern.push_back(kOneCharacter);
    } else {
      pattern.push_back(static_cast<uint8_t>(c));
    }
  }
  return pattern;
}

Pattern FoldPattern(const Pattern& pattern) {
  Pattern folded;
  std::string run;
  for (const uint16_t element : pattern) {
    if (IsByte(element)) {
      run += static_cast<char>(element);
      continue;
    }
    Append(FoldCase(run), folded);
    run.clear();
    folded.push_back(element);
  }
  Append(FoldCase(run), folded);
  return folded;
}

size_t DashSize(std::string_view text) {
  if (text.empty()) return 0;
  if (text.front() == '-' || text.front() == '/') return 1;
  const std::string_view three = text.substr(0, 3);
  return three == "\u2013" || three == "\u2014" || three == "\u2015" ? 3 : 0;
}

Pattern WithAnyDash(const Pattern& pattern) {
  Pattern out;
  for (size_t i = 0; i < pattern.size();) {
    std::string ahead;
    for (size_t k = i; k < pattern.size() && k < i + 3 && IsByte(pattern[k]); ++k) {
      ahead += static_cast<char>(pattern[k]);
    }
    const size_t size = DashSize(ahead);
    const bool begins_word = size > 0 && i + size < pattern.size() && IsWord(pattern[i + size]) &&
                             (out.empty() || !IsWord(out.back()));
    out.push_back(begins_word ? kAnyDash : pattern[i]);
    i += begins_word ? size : 1;
  }
  return out;
}

std::string PlaceholderId(std::string_view name) {
  std::string id = ToLower(name);
  for (char& c : id) {
    if ((c < 'a' || c > 'z') && (c < '0' || c > '9')) c = '-';
  }
  return id;
}

absl::StatusOr<std::vector<Pattern>> Encode(const Pattern& pattern, Encoding encoding) {
  if (encoding != Encoding::kBase64 && encoding != Encoding::kBase64Offset) {
    YAGURA_ASSIGN_OR_RETURN(Pattern encoded, ToUtf16(pattern, encoding));
    return std::vector<Pattern>{std::move(encoded)};
  }
  const auto bytes = PlainBytes(pattern);
  if (!bytes) return absl::InvalidArgumentError("a text with wildcards has no Base64 form");
  if (encoding == Encoding::kBase64Offset) return ToBase64Offsets(*bytes);
  std::vector<Pattern> encoded(1);
  Append(Base64Encode(*bytes), encoded.front());
  return encoded;
}

const std::vector<std::string>* FindPlaceholder(const Placeholders& values, std::string_view name) {
  auto found = values.find(name);
  if (found == values.end()) found = values.find(PlaceholderId(name));
  if (found == values.end()) found = values.find(std::string_view());
  return found == values.end() || found->second.empty() ? nullptr : &found->second;
}

absl::StatusOr<std::vector<std::string>> ExpandPlaceholders(std::string_view text,
                                                            const Placeholders& values,
                                                            StringSet* used) {
  std::vector<std::string> texts(1);
  bool any = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool escaped = text[i] == '\\' && i + 1 < text.size() && text[i + 1] == '%';
    const std::string_view name = text[i] == '%' ? PlaceholderAt(text, i) : std::string_view();
    if (name.empty()) {
      if (escaped) ++i;
      for (auto& one : texts) one += text[i];
      continue;
    }
    any = true;
    if (used != nullptr) used->emplace(name);
    const auto* found = FindPlaceholder(values, name);
    if (found == nullptr) {
      return absl::InvalidArgumentError(
          fmt::format("placeholder %{}% has no value{}", name, KnownNames(values)));
    }
    if (texts.size() * found->size() > kMaxExpanded) {
      return absl::InvalidArgumentError("placeholders give too many values");
    }
    std::vector<std::string> longer;
    for (const auto& begin : texts) {
      for (const auto& value : *found) {
        if (value != kAnyValue) longer.push_back(begin + value);
      }
    }
    texts = std::move(longer);
    i += name.size() + 1;
  }
  if (!any) return absl::InvalidArgumentError("expand: there is no placeholder in the value");
  return texts;
}

}  // namespace yagura::detection
