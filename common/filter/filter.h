#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"
#include "common/filter/schema.h"
#include "common/filter/sql.h"

namespace google::protobuf {
class Message;
}

// AIP-160 filter expressions over protobuf messages: parsed once, then evaluated on messages or
// compiled to ClickHouse SQL. Both back ends give the same answer; the rules:
//
//   a b, a AND b      both; a OR b binds tighter than AND, as AIP-160 has it: "a b OR c" is
//                     "a AND (b OR c)". NOT x and -x negate one term. AND, OR, NOT in capitals.
//   path = value      paths name fields by their proto names, "src.ip"; unknown ones are refused.
//                     = =~ != < <= > >= and : ("has"). path = (a OR b) distributes over the values.
//   a field not set   has the default of its type: "", 0, false, the enum's zero. A Timestamp not
//                     set (or the Unix epoch) and an address not set (or "::") are missing: every
//                     comparison is false. x != y is always exactly NOT x = y.
//   string, bytes     = is case-sensitive over bytes, `*` stands for any text; < and > compare
//                     bytes (no wildcards); `:` finds the text anywhere, and =~ is =, where case
//                     (of any script) and half or full width do not count. The values need not be
//                     UTF-8; the filter must be. raw:"text" of an event is the bare word "text".
//   numbers           integers only for integer fields; what does not fit the type is refused.
//   enums             by value name, ASCII case ignored, ordered by number. bool: true, false.
//   Timestamp         RFC 3339, a date (midnight UTC), or now, now-1h, now+30m where Parse knows
//                     the time. Duration: 30s, 1.5s, 250ms, 5m, 2h, 7d.
//   addresses         10.0.0.1, 10.0.0.0/8, 10.0.0.1-10.0.0.9, IPv6 alike; an IPv4 address equals
//                     its IPv4-mapped IPv6 form; < and > compare as numbers, single addresses only.
//   fields.NAME       the value of the first original field of that name, "" where there is none;
//                     dots belong to the name; fields."odd name". A string, except that < <= > >=
//                     compare it as a whole number (-?[0-9]{1,18}; else false) with an integer.
//   path:*            present: not the default of its type, not missing; a message field is set; a
//                     repeated one is not empty. fields:NAME is fields.NAME:*
//   repeated          only `:` reaches into repeated fields: some element equals the value.
//   bare words        some search field of the schema has the text, ASCII case ignored; `*` within
//                     stands for any text. Half and full width and the case of any script are
//                     the same, and what a line escapes as in JSON (\u6771) is what it means.
//   values            bare up to white space (also U+3000) or parenthesis, or in "double" or
//                     'single' quotes.
//                     Backslash escapes * \ " and '; before anything else it is itself.
namespace yagura::filter {

struct Node;

inline constexpr size_t kMaxLength = 8 * 1024;
inline constexpr int kMaxDepth = 64;

// A top-level conjunct `path = value` of a string without wildcards, an integer, enum or bool.
struct EqualityTerm {
  std::string path;
  std::string value;  // the text; decimal; the enum value's name; "true" or "false"
};

// Immutable, cheap to copy, thread-safe.
class Filter {
 public:
  // Matches everything; what empty text parses to.
  Filter();

  // `now` resolves "now-1h"; without it relative times are refused. INVALID_ARGUMENT names the
  // position (in bytes, from 1) and the reason: "filter: at position 7: unknown field \"sorce\"".
  static absl::StatusOr<Filter> Parse(std::string_view text, const Schema& schema,
                                      std::optional<TimePoint> now = std::nullopt);

  // `message` must be of the schema's type.
  bool Matches(const google::protobuf::Message& message) const;

  // A boolean SQL expression in parentheses, "(1)" for the empty filter; every value is a bound
  // parameter. INVALID_ARGUMENT (reason FILTER_NOT_SEARCHABLE) where the map lacks a path.
  absl::StatusOr<Sql> ToSql(const ColumnMap& columns) const;

  // What an index lookup may narrow to; the filter must still be evaluated on what it finds.
  std::vector<EqualityTerm> EqualityTerms() const;

  bool empty() const { return root_ == nullptr; }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
  std::shared_ptr<const Node> root_;  // null: everything
};

}  // namespace yagura::filter
