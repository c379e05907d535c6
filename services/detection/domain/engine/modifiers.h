#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "services/detection/domain/engine/matcher.h"

namespace yagura::detection {

// A field name with its modifiers, "CommandLine|contains|all".
struct Modifiers {
  // What the values are.
  enum class Type { kText, kRegex, kCidr, kExists, kCompare, kTimePart, kFieldReference };

  std::string field;  // empty: keywords
  Type type = Type::kText;
  Matcher::Placement placement = Matcher::Placement::kWhole;
  Matcher::Kind relation = Matcher::Kind::kEquals;  // of kCompare and kTimePart
  TimePart time_part = TimePart::kMinute;
  std::vector<Encoding> encodings;  // in order
  std::string regex_flags;          // of "ims"
  bool all = false;
  bool cased = false;
  bool windash = false;
  bool neq = false;
  bool expand = false;
};

// INVALID_ARGUMENT with a plain reason for a modifier that Sigma does not know, and for modifiers
// that make no sense together.
absl::StatusOr<Modifiers> ParseModifiers(std::string_view key);
// Of a value that stands without a field.
Modifiers KeywordModifiers();

}  // namespace yagura::detection
