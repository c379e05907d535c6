#include "common/filter/evaluate.h"

#include <algorithm>
#include <span>

#include "google/protobuf/descriptor.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/message.h"
#include "google/protobuf/timestamp.pb.h"

#include "common/clock/proto_time.h"
#include "common/filter/values.h"
#include "common/text/ascii.h"
#include "common/text/fold.h"
#include "common/text/text.h"

namespace yagura::filter {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using Fields = std::span<const FieldDescriptor* const>;

template <typename T>
bool Compare(Operator op, const T& value, const T& wanted) {
  switch (op) {
    case Operator::kEqual:
      return value == wanted;
    case Operator::kLess:
      return value < wanted;
    case Operator::kLessEqual:
      return value <= wanted;
    case Operator::kGreater:
      return value > wanted;
    case Operator::kGreaterEqual:
      return value >= wanted;
    case Operator::kContains:
    case Operator::kPresent:
      break;
  }
  return false;
}

template <typename T>
bool CompareOrPresent(Operator op, const T& value, const T& wanted) {
  return op == Operator::kPresent ? value != T{} : Compare(op, value, wanted);
}

// Case and width do not count.
bool MatchesFolded(const Predicate& predicate, const std::string& value) {
  return predicate.pattern.Matches(value) ||
         (predicate.folds_to_ascii && predicate.folded.Matches(ToLower(value))) ||
         (!IsAscii(value) && predicate.folded.Matches(Fold(value)));
}

bool TestText(const Predicate& predicate, const std::string& value) {
  switch (predicate.op) {
    case Operator::kPresent:
      return !value.empty();
    case Operator::kEqual:
    case Operator::kContains:
      return predicate.pattern.ignore_case() ? MatchesFolded(predicate, value)
                                             : predicate.pattern.Matches(value);
    default:
      break;
  }
  if (!predicate.keyed) return Compare(predicate.op, value, predicate.text);
  const auto number = WholeNumber(value);
  return number && Compare(predicate.op, *number, predicate.integer);
}

bool TestIp(const Predicate& predicate, const std::string& value) {
  const IpBytes ip = ToIpBytes(value);
  if (ip == IpBytes{}) return false;
  if (predicate.op == Operator::kPresent) return true;
  if (predicate.op == Operator::kEqual) return predicate.low <= ip && ip <= predicate.high;
  return Compare(predicate.op, ip, predicate.low);
}

bool TestTime(const Predicate& predicate, int64_t nanos) {
  return nanos != 0 &&
         (predicate.op == Operator::kPresent || Compare(predicate.op, nanos, predicate.integer));
}

// One value of the last field: the singular one, or element `index` of a repeated one.
class Value {
 public:
  Value(const Message& message, const FieldDescriptor* field, int index)
      : message_(message), reflection_(*message.GetReflection()), field_(field), index_(index) {}

  bool Test(const Predicate& predicate) const {
    switch (predicate.kind) {
      case ValueKind::kString:
        return TestText(predicate, Text());
      case ValueKind::kIp:
        return TestIp(predicate, Text());
      case ValueKind::kSigned:
      case ValueKind::kEnum:
      case ValueKind::kBool:
        return CompareOrPresent(predicate.op, Signed(), predicate.integer);
      case ValueKind::kUnsigned:
        return CompareOrPresent(predicate.op, Unsigned(), predicate.unsigned_integer);
      case ValueKind::kFloat:
        return CompareOrPresent(predicate.op, Float(), predicate.number);
      case ValueKind::kTime:
        return TestTime(predicate, TimeNanos());
      case ValueKind::kDuration:
        return CompareOrPresent(predicate.op, DurationNanos(), predicate.integer);
      case ValueKind::kOtherType:
        return index_ >= 0 || reflection_.HasField(message_, field_);
    }
    return false;
  }

  const std::string& Text() const {
    return index_ < 0 ? reflection_.GetStringReference(message_, field_, &scratch_)
                      : reflection_.GetRepeatedStringReference(message_, field_, index_, &scratch_);
  }
  const Message& Sub() const {
    return index_ < 0 ? reflection_.GetMessage(message_, field_)
                      : reflection_.GetRepeatedMessage(message_, field_, index_);
  }

 private:
  int64_t Signed() const {
    const bool one = index_ < 0;
    switch (field_->cpp_type()) {
      case FieldDescriptor::CPPTYPE_INT32:
        return one ? reflection_.GetInt32(message_, field_)
                   : reflection_.GetRepeatedInt32(message_, field_, index_);
      case FieldDescriptor::CPPTYPE_BOOL:
        return one ? reflection_.GetBool(message_, field_)
                   : reflection_.GetRepeatedBool(message_, field_, index_);
      case FieldDescriptor::CPPTYPE_ENUM:
        return one ? reflection_.GetEnumValue(message_, field_)
                   : reflection_.GetRepeatedEnumValue(message_, field_, index_);
      default:
        return one ? reflection_.GetInt64(message_, field_)
                   : reflection_.GetRepeatedInt64(message_, field_, index_);
    }
  }
  uint64_t Unsigned() const {
    const bool one = index_ < 0;
    if (field_->cpp_type() == FieldDescriptor::CPPTYPE_UINT32) {
      return one ? reflection_.GetUInt32(message_, field_)
                 : reflection_.GetRepeatedUInt32(message_, field_, index_);
    }
    return one ? reflection_.GetUInt64(message_, field_)
               : reflection_.GetRepeatedUInt64(message_, field_, index_);
  }
  double Float() const {
    const bool one = index_ < 0;
    if (field_->cpp_type() == FieldDescriptor::CPPTYPE_FLOAT) {
      return one ? reflection_.GetFloat(message_, field_)
                 : reflection_.GetRepeatedFloat(message_, field_, index_);
    }
    return one ? reflection_.GetDouble(message_, field_)
               : reflection_.GetRepeatedDouble(message_, field_, index_);
  }
  int64_t TimeNanos() const {
    google::protobuf::Timestamp time;
    time.MergeFrom(Sub());
    return FromProto(time).time_since_epoch().count();
  }
  int64_t DurationNanos() const {
    google::protobuf::Duration duration;
    duration.MergeFrom(Sub());
    return FromProto(duration).count();
  }

  const Message& message_;
  const google::protobuf::Reflection& reflection_;
  const FieldDescriptor* field_;
  int index_;
  mutable std::string scratch_;
};

// The first value of that name, the empty text where there is none.
bool TestKeyed(const Predicate& predicate, const Message& message, const FieldDescriptor* field) {
  const auto* reflection = message.GetReflection();
  const auto* type = field->message_type();
  const auto* name = type->FindFieldByName(field->is_map() ? "key" : "name");
  const auto* value = type->FindFieldByName("value");
  const int size = reflection->FieldSize(message, field);
  for (int i = 0; i < size; ++i) {
    const Message& entry = reflection->GetRepeatedMessage(message, field, i);
    if (Value(entry, name, -1).Text() != predicate.key) continue;
    return TestText(predicate, Value(entry, value, -1).Text());
  }
  return TestText(predicate, std::string());
}

bool TestPath(const Predicate& predicate, const Message& message, Fields fields) {
  const auto* field = fields.front();
  const bool last = fields.size() == 1;
  if (last && predicate.keyed) return TestKeyed(predicate, message, field);
  const auto test_one = [&](int index) {
    const Value value(message, field, index);
    return last ? value.Test(predicate) : TestPath(predicate, value.Sub(), fields.subspan(1));
  };
  if (!field->is_repeated()) return test_one(-1);
  const int size = message.GetReflection()->FieldSize(message, field);
  // A repeated field is present when it has elements, whatever they are.
  if (last && predicate.op == Operator::kPresent) return size > 0;
  for (int i = 0; i < size; ++i) {
    if (test_one(i)) return true;
  }
  return false;
}

bool TestSearch(const SearchTerm& search, const Message& message) {
  const bool found = std::any_of(search.paths.begin(), search.paths.end(), [&](const auto& path) {
    const Message* at = &message;
    for (size_t i = 0; i + 1 < path.size(); ++i) at = &Value(*at, path[i], -1).Sub();
    const std::string& text = Value(*at, path.back(), -1).Text();
    return search.pattern.Matches(text) ||
           (search.folds_to_ascii && search.folded.Matches(ToLower(text)));
  });
  if (found || !search.folded_text) return found;
  const std::string folded = search.folded_text(message);
  return !folded.empty() && search.folded.Matches(folded);
}

}  // namespace

bool Evaluate(const Node& node, const Message& message) {
  const auto evaluate = [&message](const auto& child) { return Evaluate(*child, message); };
  switch (node.type) {
    case Node::Type::kAnd:
      return std::all_of(node.children.begin(), node.children.end(), evaluate);
    case Node::Type::kOr:
      return std::any_of(node.children.begin(), node.children.end(), evaluate);
    case Node::Type::kNot:
      return !evaluate(node.children.front());
    case Node::Type::kPredicate:
      return TestPath(node.predicate, message, node.predicate.fields);
    case Node::Type::kSearch:
      return TestSearch(node.search, message);
  }
  return false;
}

}  // namespace yagura::filter
