#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/filter/pattern.h"

namespace google::protobuf {
class FieldDescriptor;
class Message;
}  // namespace google::protobuf

// What a filter is after parsing: every name resolved, every value converted, `!=` turned into NOT
// =. Private to common/filter.
namespace yagura::filter {

enum class Operator { kEqual, kLess, kLessEqual, kGreater, kGreaterEqual, kContains, kPresent };

enum class ValueKind {
  kString,     // pattern; `text` for orderings
  kSigned,     // integer
  kUnsigned,   // unsigned_integer
  kEnum,       // integer, text is the value's name
  kFloat,      // number
  kBool,       // integer 0 or 1
  kTime,       // integer: nanoseconds since 1970
  kDuration,   // integer: nanoseconds
  kIp,         // low..high
  kOtherType,  // a message: presence only
};

using IpBytes = std::array<uint8_t, 16>;

struct Predicate {
  std::string path;  // without the key
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  bool repeated = false;  // some field of the path is
  bool keyed = false;     // the last field is a repeated {name, value}; `key` says which
  std::string key;
  ValueKind kind = ValueKind::kString;
  Operator op = Operator::kEqual;

  Pattern pattern;
  // Where case and width do not count: the folded pattern, and whether it is ASCII though `pattern`
  // is not ("ＡＢ"), so that it is looked for in ASCII values, too.
  Pattern folded;
  bool folds_to_ascii = false;
  std::string text;
  int64_t integer = 0;
  uint64_t unsigned_integer = 0;
  double number = 0;
  IpBytes low{};
  IpBytes high{};
};

// A bare word, over all search fields, and over the folded text of the message.
struct SearchTerm {
  Pattern pattern;
  Pattern folded;
  // The word is not ASCII, but folded it is ("ＡＢ"): it is looked for in the search fields, too.
  bool folds_to_ascii = false;
  std::function<std::string(const google::protobuf::Message&)> folded_text;  // may be null
  std::vector<std::vector<const google::protobuf::FieldDescriptor*>> paths;
};

struct Node {
  enum class Type { kAnd, kOr, kNot, kPredicate, kSearch };
  Type type;
  std::vector<std::shared_ptr<const Node>> children;
  Predicate predicate;
  SearchTerm search;
};

}  // namespace yagura::filter
