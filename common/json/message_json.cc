#include "common/json/message_json.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <vector>

#include "fmt/format.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"
#include "google/protobuf/util/time_util.h"

#include "common/clock/proto_time.h"
#include "common/text/text.h"

namespace yagura {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

bool IsAddress(const FieldDescriptor& field) {
  return field.type() == FieldDescriptor::TYPE_BYTES &&
         (field.name() == "ip" || field.name().ends_with("_ip"));
}

bool IsDigest(const FieldDescriptor& field) {
  return field.type() == FieldDescriptor::TYPE_BYTES &&
         (field.name().ends_with("digest") || field.name().ends_with("hash"));
}

// Bytes that are text of somebody else's, mostly UTF-8: to be read, not to be computed with.
bool IsForeignText(const FieldDescriptor& field) {
  constexpr std::array<std::string_view, 7> kNames = {"raw",     "message", "value", "lines",
                                                      "samples", "path",    "chunk"};
  return std::ranges::find(kNames, field.name()) != kNames.end();
}

// Days since 1970 UTC.
bool IsDay(const FieldDescriptor& field) {
  return field.type() == FieldDescriptor::TYPE_INT64 && field.name() == "day";
}

std::string DayText(int64_t day) {
  constexpr int64_t kMaxDays = 100'000;  // what a TimePoint holds ends earlier than an int64
  constexpr size_t kDate = 10;
  if (day < -kMaxDays || day > kMaxDays) return fmt::to_string(day);
  return FormatTime(TimePoint{} + std::chrono::days(day)).substr(0, kDate);
}

std::string AddressText(std::string_view bytes) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (bytes.size() == 4 || bytes.size() == 16) {
    inet_ntop(bytes.size() == 4 ? AF_INET : AF_INET6, bytes.data(), text.data(), text.size());
    return text.data();
  }
  return HexEncode(bytes);
}

std::string BytesText(const FieldDescriptor& field, const std::string& bytes) {
  if (IsAddress(field)) return AddressText(bytes);
  if (IsDigest(field)) return HexEncode(bytes);
  const bool binary = field.type() == FieldDescriptor::TYPE_BYTES && !IsForeignText(field);
  return binary ? Base64Encode(bytes) : bytes;
}

}  // namespace

bool IsNameValue(const FieldDescriptor& field) {
  const Descriptor* type = field.message_type();
  return type != nullptr && type->field_count() == 2 && type->FindFieldByName("name") != nullptr &&
         type->FindFieldByName("value") != nullptr;
}

std::string ScalarToText(const Message& message, const FieldDescriptor& field, int index) {
  const Reflection& reflection = *message.GetReflection();
  const bool repeated = index >= 0;
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return fmt::to_string(repeated ? reflection.GetRepeatedInt32(message, &field, index)
                                     : reflection.GetInt32(message, &field));
    case FieldDescriptor::CPPTYPE_INT64: {
      const int64_t number = repeated ? reflection.GetRepeatedInt64(message, &field, index)
                                      : reflection.GetInt64(message, &field);
      return IsDay(field) ? DayText(number) : fmt::to_string(number);
    }
    case FieldDescriptor::CPPTYPE_UINT32:
      return fmt::to_string(repeated ? reflection.GetRepeatedUInt32(message, &field, index)
                                     : reflection.GetUInt32(message, &field));
    case FieldDescriptor::CPPTYPE_UINT64:
      return fmt::to_string(repeated ? reflection.GetRepeatedUInt64(message, &field, index)
                                     : reflection.GetUInt64(message, &field));
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return fmt::to_string(repeated ? reflection.GetRepeatedDouble(message, &field, index)
                                     : reflection.GetDouble(message, &field));
    case FieldDescriptor::CPPTYPE_FLOAT:
      return fmt::to_string(repeated ? reflection.GetRepeatedFloat(message, &field, index)
                                     : reflection.GetFloat(message, &field));
    case FieldDescriptor::CPPTYPE_BOOL:
      return (repeated ? reflection.GetRepeatedBool(message, &field, index)
                       : reflection.GetBool(message, &field))
                 ? "true"
                 : "false";
    case FieldDescriptor::CPPTYPE_ENUM: {
      const int number = repeated ? reflection.GetRepeatedEnumValue(message, &field, index)
                                  : reflection.GetEnumValue(message, &field);
      const auto* value = field.enum_type()->FindValueByNumber(number);
      return value != nullptr ? value->name() : fmt::to_string(number);
    }
    case FieldDescriptor::CPPTYPE_STRING:
      return BytesText(field, repeated ? reflection.GetRepeatedString(message, &field, index)
                                       : reflection.GetString(message, &field));
    case FieldDescriptor::CPPTYPE_MESSAGE:
      break;
  }
  return {};
}

std::optional<std::string> WellKnownToText(const Message& message) {
  if (const auto* time = dynamic_cast<const google::protobuf::Timestamp*>(&message)) {
    return FormatTime(FromProto(*time));
  }
  if (const auto* duration = dynamic_cast<const google::protobuf::Duration*>(&message)) {
    return google::protobuf::util::TimeUtil::ToString(*duration);
  }
  return std::nullopt;
}

namespace {

const Message& SubMessage(const Message& message, const FieldDescriptor& field, int index) {
  const Reflection& reflection = *message.GetReflection();
  return index >= 0 ? reflection.GetRepeatedMessage(message, &field, index)
                    : reflection.GetMessage(message, &field);
}

void AppendObject(std::string& out, const Message& message, bool with_zeros);

void AppendValue(std::string& out, const Message& message, const FieldDescriptor& field, int index,
                 bool with_zeros) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_MESSAGE: {
      const Message& inner = SubMessage(message, field, index);
      if (auto text = WellKnownToText(inner)) {
        out += QuoteJson(*text);
      } else {
        AppendObject(out, inner, with_zeros);
      }
      return;
    }
    case FieldDescriptor::CPPTYPE_STRING:
    case FieldDescriptor::CPPTYPE_ENUM:
      out += QuoteJson(ScalarToText(message, field, index));
      return;
    default:
      out += IsDay(field) ? QuoteJson(ScalarToText(message, field, index))
                          : ScalarToText(message, field, index);
  }
}

// name/value pairs as an object; a name that comes again gets all its values as an array.
void AppendNameValues(std::string& out, const Message& message, const FieldDescriptor& field) {
  std::vector<std::pair<std::string, std::vector<std::string>>> values;
  const auto* name = field.message_type()->FindFieldByName("name");
  const auto* value = field.message_type()->FindFieldByName("value");
  for (int i = 0; i < message.GetReflection()->FieldSize(message, &field); ++i) {
    const Message& pair = SubMessage(message, field, i);
    const std::string key = ScalarToText(pair, *name, -1);
    auto at = std::ranges::find(values, key, [](const auto& entry) { return entry.first; });
    if (at == values.end()) at = values.insert(values.end(), {key, {}});
    at->second.push_back(QuoteJson(ScalarToText(pair, *value, -1)));
  }
  out += '{';
  for (size_t i = 0; i < values.size(); ++i) {
    out += fmt::format("{}{}:", i == 0 ? "" : ",", QuoteJson(values[i].first));
    out += values[i].second.size() == 1 ? values[i].second.front()
                                        : "[" + Join(values[i].second, ",") + "]";
  }
  out += '}';
}

// The fields to write, in order of their numbers.
std::vector<const FieldDescriptor*> FieldsOf(const Message& message, bool with_zeros) {
  std::vector<const FieldDescriptor*> fields;
  if (!with_zeros) {
    message.GetReflection()->ListFields(message, &fields);
    return fields;
  }
  for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
    const auto* field = message.GetDescriptor()->field(i);
    const bool absent = field->has_presence() && !message.GetReflection()->HasField(message, field);
    if (!absent) fields.push_back(field);
  }
  return fields;
}

void AppendObject(std::string& out, const Message& message, bool with_zeros) {
  out += '{';
  bool first = true;
  for (const auto* field : FieldsOf(message, with_zeros)) {
    if (!first) out += ',';
    first = false;
    out += QuoteJson(field->name()) + ":";
    if (!field->is_repeated()) {
      AppendValue(out, message, *field, -1, with_zeros);
    } else if (IsNameValue(*field)) {
      AppendNameValues(out, message, *field);
    } else {
      out += '[';
      for (int i = 0; i < message.GetReflection()->FieldSize(message, field); ++i) {
        if (i > 0) out += ',';
        AppendValue(out, message, *field, i, with_zeros);
      }
      out += ']';
    }
  }
  out += '}';
}

}  // namespace

std::string MessageToJson(const Message& message, bool with_zeros) {
  std::string out;
  AppendObject(out, message, with_zeros);
  return out;
}

}  // namespace yagura
