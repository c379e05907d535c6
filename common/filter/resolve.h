#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"
#include "common/filter/node.h"
#include "common/filter/schema.h"

// From the words of a restriction to a typed predicate. Private to common/filter.
namespace yagura::filter {

enum class Comparator {
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kHas,
  kEqualIgnoringCase
};

// A field path as written. What stood in quotes is one component whatever it contains.
struct WrittenPath {
  std::string text;         // up to the quotes
  std::string quoted_tail;  // text in quotes after the last dot
  bool has_quoted_tail = false;
};

// Finds the field; errors are plain messages that the parser gives a position.
absl::StatusOr<Predicate> ResolvePath(const WrittenPath& path, const Schema& schema);

// Fills operator and value into a copy of the resolved path. kNotEqual is the caller's to negate:
// it gives the same as kEqual. `value` still has its escapes.
absl::StatusOr<Predicate> ResolveValue(const Predicate& path, Comparator comparator,
                                       std::string_view value, std::optional<TimePoint> now);

}  // namespace yagura::filter
