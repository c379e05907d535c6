#include "services/detection/domain/engine/modifiers.h"

#include <algorithm>
#include <array>
#include <utility>

#include "fmt/format.h"

#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::detection {
namespace {

using Placement = Matcher::Placement;
using Type = Modifiers::Type;

template <typename Value, size_t kSize>
using Names = std::array<std::pair<std::string_view, Value>, kSize>;

constexpr Names<Placement, 3> kPlacements{{{"contains", Placement::kAnywhere},
                                           {"startswith", Placement::kStart},
                                           {"endswith", Placement::kEnd}}};
constexpr Names<Matcher::Kind, 4> kRelations{{{"lt", Matcher::Kind::kLess},
                                              {"lte", Matcher::Kind::kLessEqual},
                                              {"gt", Matcher::Kind::kGreater},
                                              {"gte", Matcher::Kind::kGreaterEqual}}};
constexpr Names<Encoding, 6> kEncodings{{{"base64", Encoding::kBase64},
                                         {"base64offset", Encoding::kBase64Offset},
                                         {"utf16le", Encoding::kUtf16Le},
                                         {"wide", Encoding::kUtf16Le},
                                         {"utf16be", Encoding::kUtf16Be},
                                         {"utf16", Encoding::kUtf16}}};
constexpr Names<bool Modifiers::*, 5> kFlags{{{"all", &Modifiers::all},
                                              {"cased", &Modifiers::cased},
                                              {"windash", &Modifiers::windash},
                                              {"neq", &Modifiers::neq},
                                              {"expand", &Modifiers::expand}}};
constexpr Names<Type, 4> kTypes{{{"re", Type::kRegex},
                                 {"cidr", Type::kCidr},
                                 {"exists", Type::kExists},
                                 {"fieldref", Type::kFieldReference}}};

template <typename Value, size_t kSize>
const Value* Find(const Names<Value, kSize>& names, std::string_view name) {
  const auto* const found = std::find_if(names.begin(), names.end(),
                                         [name](const auto& row) { return row.first == name; });
  return found == names.end() ? nullptr : &found->second;
}

Status Clash(std::string_view key) {
  return absl::InvalidArgumentError(fmt::format("modifiers of \"{}\" do not go together", key));
}

// What the parts say together; `placed` where one of them is a placement.
bool GoTogether(const Modifiers& modifiers, bool placed) {
  const bool text = modifiers.type == Type::kText;
  const bool reference = modifiers.type == Type::kFieldReference;
  const bool regex = modifiers.type == Type::kRegex;
  if (placed && !text && !reference && !regex) return false;
  if (modifiers.cased && !text && !reference) return false;
  if (modifiers.windash && (!text || !modifiers.encodings.empty())) return false;
  if (!modifiers.encodings.empty() && !text) return false;
  if (modifiers.expand && (regex || reference || modifiers.type == Type::kExists)) return false;
  if (modifiers.type == Type::kExists && (modifiers.all || modifiers.neq)) return false;
  // A keyword is a text.
  return !modifiers.field.empty() || ((text || regex) && !modifiers.neq);
}

}  // namespace

absl::StatusOr<Modifiers> ParseModifiers(std::string_view key) {
  const auto parts = Split(key, '|');
  Modifiers modifiers;
  modifiers.field = parts.front();
  bool placed = false;
  bool typed = false;
  bool compared = false;
  for (size_t i = 1; i < parts.size(); ++i) {
    const std::string_view name = parts[i];
    if (std::count(parts.begin() + 1, parts.end(), name) > 1) {
      return absl::InvalidArgumentError(fmt::format("modifier \"{}\" stands twice", name));
    }
    if (const auto* placement = Find(kPlacements, name)) {
      if (std::exchange(placed, true)) return Clash(key);
      modifiers.placement = *placement;
    } else if (const auto* relation = Find(kRelations, name)) {
      if (std::exchange(compared, true)) return Clash(key);
      modifiers.relation = *relation;
    } else if (const auto part = TimePartByName(name)) {
      if (std::exchange(typed, true)) return Clash(key);
      modifiers.type = Type::kTimePart;
      modifiers.time_part = *part;
    } else if (const auto* type = Find(kTypes, name)) {
      if (std::exchange(typed, true)) return Clash(key);
      modifiers.type = *type;
    } else if (const auto* encoding = Find(kEncodings, name)) {
      // They change the value, in their order; `contains` before them would be encoded, too.
      if (placed) return Clash(key);
      modifiers.encodings.push_back(*encoding);
    } else if (const auto* flag = Find(kFlags, name)) {
      modifiers.*(*flag) = true;
    } else if (name == "i" || name == "m" || name == "s") {
      if (modifiers.type != Type::kRegex) {
        return absl::InvalidArgumentError(fmt::format("modifier \"{}\" is not after re", name));
      }
      modifiers.regex_flags += name;
    } else {
      return absl::InvalidArgumentError(fmt::format("modifier \"{}\" is not known", name));
    }
  }
  if (compared && modifiers.type != Type::kTimePart) {
    if (typed) return Clash(key);
    modifiers.type = Type::kCompare;
  }
  if (!GoTogether(modifiers, placed)) return Clash(key);
  // A keyword is looked for anywhere.
  if (modifiers.field.empty() && !placed) modifiers.placement = Placement::kAnywhere;
  return modifiers;
}

Modifiers KeywordModifiers() {
  Modifiers modifiers;
  modifiers.placement = Placement::kAnywhere;
  return modifiers;
}

}  // namespace yagura::detection
