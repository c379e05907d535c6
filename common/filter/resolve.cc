#include "common/filter/resolve.h"

#include <charconv>

#include "fmt/format.h"
#include "google/protobuf/descriptor.h"

#include "common/filter/values.h"
#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::filter {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

template <typename... Args>
Status Bad(fmt::format_string<Args...> format, Args&&... args) {
  return absl::InvalidArgumentError(fmt::format(format, std::forward<Args>(args)...));
}

bool IsTextMap(const FieldDescriptor* field) {
  return field->is_map() &&
         field->message_type()->map_key()->cpp_type() == FieldDescriptor::CPPTYPE_STRING &&
         field->message_type()->map_value()->cpp_type() == FieldDescriptor::CPPTYPE_STRING;
}

ValueKind KindOf(const FieldDescriptor* field, bool is_ip) {
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
    case FieldDescriptor::CPPTYPE_INT64:
      return ValueKind::kSigned;
    case FieldDescriptor::CPPTYPE_UINT32:
    case FieldDescriptor::CPPTYPE_UINT64:
      return ValueKind::kUnsigned;
    case FieldDescriptor::CPPTYPE_FLOAT:
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return ValueKind::kFloat;
    case FieldDescriptor::CPPTYPE_BOOL:
      return ValueKind::kBool;
    case FieldDescriptor::CPPTYPE_ENUM:
      return ValueKind::kEnum;
    case FieldDescriptor::CPPTYPE_STRING:
      return is_ip ? ValueKind::kIp : ValueKind::kString;
    case FieldDescriptor::CPPTYPE_MESSAGE:
      break;
  }
  const std::string& type = field->message_type()->full_name();
  if (type == "google.protobuf.Timestamp") return ValueKind::kTime;
  if (type == "google.protobuf.Duration") return ValueKind::kDuration;
  return ValueKind::kOtherType;
}

Operator OperatorOf(Comparator comparator) {
  switch (comparator) {
    case Comparator::kLess:
      return Operator::kLess;
    case Comparator::kLessEqual:
      return Operator::kLessEqual;
    case Comparator::kGreater:
      return Operator::kGreater;
    case Comparator::kGreaterEqual:
      return Operator::kGreaterEqual;
    case Comparator::kEqual:
    case Comparator::kNotEqual:
    case Comparator::kHas:
    case Comparator::kEqualIgnoringCase:
      break;
  }
  return Operator::kEqual;
}

// Removes the escapes; the text must have no wildcard.
absl::StatusOr<std::string> PlainText(std::string_view value) {
  const auto pattern = Pattern::Parse(value, true, false);
  if (pattern.has_wildcards()) return Bad("a wildcard is possible with = != and : on text only");
  return pattern.literal();
}

Status SetText(Predicate& predicate, Comparator comparator, std::string_view value) {
  const bool ordering = predicate.op != Operator::kEqual;
  if (ordering && predicate.keyed) {
    const auto number = WholeNumber(value);
    if (!number)
      return Bad("{} is ordered as a number: \"{}\" is not a whole one", predicate.path, value);
    predicate.integer = *number;
    return absl::OkStatus();
  }
  if (ordering) {
    YAGURA_ASSIGN_OR_RETURN(predicate.text, PlainText(value));
    return absl::OkStatus();
  }
  const bool contains = comparator == Comparator::kHas && !predicate.repeated;
  if (contains) predicate.op = Operator::kContains;
  predicate.pattern =
      Pattern::Parse(value, !contains, contains || comparator == Comparator::kEqualIgnoringCase);
  predicate.folded = predicate.pattern.Folded();
  predicate.folds_to_ascii = predicate.folded.IsAscii() && !predicate.pattern.IsAscii();
  return absl::OkStatus();
}

Status SetEnum(Predicate& predicate, std::string_view value) {
  const auto* type = predicate.fields.back()->enum_type();
  std::vector<std::string_view> names;
  for (int i = 0; i < type->value_count(); ++i) {
    names.push_back(type->value(i)->name());
    if (!EqualsIgnoreCase(names.back(), value)) continue;
    predicate.integer = type->value(i)->number();
    predicate.text = type->value(i)->name();
    return absl::OkStatus();
  }
  return Bad("{} has no value \"{}\"; it has {}", predicate.path, value, Join(names, ", "));
}

Status SetIp(Predicate& predicate, std::string_view value) {
  const auto range = ParseIpRange(value);
  if (!range) return Bad("\"{}\" is not an address, CIDR block or range", value);
  if (predicate.op != Operator::kEqual && range->low != range->high) {
    return Bad("< <= > >= compare with a single address");
  }
  predicate.low = range->low;
  predicate.high = range->high;
  return absl::OkStatus();
}

template <typename Number>
Status SetNumber(Number& target, std::string_view value, std::string_view what) {
  const auto number = ParseNumber<Number>(value);
  if (!number) return Bad("\"{}\" is not {}", value, what);
  target = *number;
  return absl::OkStatus();
}

Status SetOptional(int64_t& target, std::optional<int64_t> number, std::string_view value,
                   std::string_view what) {
  if (!number) return Bad("\"{}\" is not {}", value, what);
  target = *number;
  return absl::OkStatus();
}

Status SetValue(Predicate& predicate, Comparator comparator, std::string_view raw_value,
                std::optional<TimePoint> now) {
  if (predicate.kind == ValueKind::kString) return SetText(predicate, comparator, raw_value);
  if (comparator == Comparator::kEqualIgnoringCase) return Bad("=~ is possible on text only");
  YAGURA_ASSIGN_OR_RETURN(const std::string value, PlainText(raw_value));
  switch (predicate.kind) {
    case ValueKind::kSigned:
      return SetNumber(predicate.integer, value, "a whole number");
    case ValueKind::kUnsigned:
      return SetNumber(predicate.unsigned_integer, value, "a whole number from 0 on");
    case ValueKind::kFloat:
      return SetNumber(predicate.number, value, "a number");
    case ValueKind::kEnum:
      return SetEnum(predicate, value);
    case ValueKind::kBool:
      if (predicate.op != Operator::kEqual) return Bad("true and false have no order");
      if (value != "true" && value != "false")
        return Bad("\"{}\" is neither true nor false", value);
      predicate.integer = value == "true" ? 1 : 0;
      return absl::OkStatus();
    case ValueKind::kTime:
      return SetOptional(
          predicate.integer, ParseTimeNanos(value, now), value,
          now ? "a time: RFC 3339, a date, or now-1h" : "a time: RFC 3339 or a date");
    case ValueKind::kDuration:
      return SetOptional(predicate.integer, ParseDurationNanos(value), value,
                         "a duration such as 30s");
    case ValueKind::kIp:
      return SetIp(predicate, value);
    case ValueKind::kString:
    case ValueKind::kOtherType:
      break;
  }
  return Bad("{} is a message: only {}:* is possible", predicate.path, predicate.path);
}

// Adds the field `name` of `type` to the path.
Status Step(Predicate& predicate, const Descriptor* type, std::string_view name) {
  const auto* field = type == nullptr ? nullptr : type->FindFieldByName(std::string(name));
  const std::string path =
      predicate.path.empty() ? std::string(name) : fmt::format("{}.{}", predicate.path, name);
  if (field == nullptr) return Bad("unknown field \"{}\"", path);
  predicate.path = path;
  predicate.fields.push_back(field);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Predicate> ResolvePath(const WrittenPath& path, const Schema& schema) {
  Predicate predicate;
  const Descriptor* type = schema.descriptor();
  std::string_view rest = path.text;
  bool more = true;
  while (more) {
    const size_t dot = rest.find('.');
    YAGURA_RETURN_IF_ERROR(Step(predicate, type, rest.substr(0, dot)));
    const auto* field = predicate.fields.back();
    more = dot != std::string_view::npos;
    rest = more ? rest.substr(dot + 1) : std::string_view();
    if (schema.IsKeyed(predicate.path) || IsTextMap(field)) {
      predicate.keyed = true;
      predicate.key = std::string(rest) + path.quoted_tail;
      predicate.kind = ValueKind::kString;
      if (more && predicate.key.empty()) return Bad("a name is missing after \"{}.\"", path.text);
      return predicate;
    }
    predicate.repeated = predicate.repeated || field->is_repeated();
    predicate.kind = KindOf(field, schema.IsIp(predicate.path));
    type = predicate.kind == ValueKind::kOtherType ? field->message_type() : nullptr;
  }
  if (path.has_quoted_tail) return Bad("unknown field \"{}{}\"", path.text, path.quoted_tail);
  return predicate;
}

absl::StatusOr<Predicate> ResolveValue(const Predicate& path, Comparator comparator,
                                       std::string_view value, std::optional<TimePoint> now) {
  Predicate predicate = path;
  predicate.op = OperatorOf(comparator);
  if (path.keyed && path.key.empty()) {
    if (comparator != Comparator::kHas)
      return Bad("{} needs a name: {}.NAME", path.path, path.path);
    predicate.op = Operator::kPresent;
    if (value == "*") {
      predicate.keyed = false;
      predicate.repeated = true;
      predicate.kind = ValueKind::kOtherType;
      return predicate;
    }
    YAGURA_ASSIGN_OR_RETURN(predicate.key, PlainText(value));
    return predicate;
  }
  if (predicate.repeated && comparator != Comparator::kHas) {
    return Bad("{} is repeated: use {}:value", path.path, path.path);
  }
  if (comparator == Comparator::kHas && value == "*") {
    predicate.op = Operator::kPresent;
    return predicate;
  }
  YAGURA_RETURN_IF_ERROR(SetValue(predicate, comparator, value, now));
  return predicate;
}

}  // namespace yagura::filter
