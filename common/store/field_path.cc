#include "common/store/field_path.h"

#include <algorithm>
#include <bit>
#include <cstdint>

#include "fmt/format.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/message.h"
#include "google/protobuf/timestamp.pb.h"

#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::store {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr size_t kMaxIndexedBytes = 200;

template <typename Unsigned>
std::string BigEndian(Unsigned value) {
  std::string out(sizeof(value), '\0');
  for (size_t i = sizeof(value); i-- > 0; value >>= 8) out[i] = static_cast<char>(value & 0xff);
  return out;
}

// Two's complement with the sign bit turned compares as unsigned.
std::string EncodeInteger(int64_t value) {
  return BigEndian(static_cast<uint64_t>(value) ^ (uint64_t{1} << 63));
}

std::string EncodeDouble(double value) {
  if (value == 0) value = 0;  // -0.0 equals 0.0
  const auto bits = std::bit_cast<uint64_t>(value);
  const uint64_t sign = uint64_t{1} << 63;
  return BigEndian((bits & sign) != 0 ? ~bits : bits | sign);
}

// Ends with a zero byte; zero and one bytes within become two bytes, which keeps the order.
std::string EncodeString(std::string_view value) {
  std::string out;
  for (const char c : value.substr(0, kMaxIndexedBytes)) {
    if (c == '\0' || c == '\1') {
      out += '\1';
      out += c == '\0' ? '\1' : '\2';
    } else {
      out += c;
    }
  }
  out += '\0';
  return out;
}

bool IsTime(const FieldDescriptor& field) {
  return field.message_type()->full_name() == "google.protobuf.Timestamp" ||
         field.message_type()->full_name() == "google.protobuf.Duration";
}

// Timestamp and Duration have the same two fields; works for generated and dynamic messages.
std::string EncodeTime(const Message& time) {
  const auto* descriptor = time.GetDescriptor();
  const auto* reflection = time.GetReflection();
  const int64_t seconds = reflection->GetInt64(time, descriptor->FindFieldByNumber(1));
  const int32_t nanos = reflection->GetInt32(time, descriptor->FindFieldByNumber(2));
  return EncodeInteger(seconds) + BigEndian(static_cast<uint32_t>(nanos) ^ (uint32_t{1} << 31));
}

bool HasOrder(const FieldDescriptor& field) {
  return field.cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE || IsTime(field);
}

std::string EncodeScalar(const Message& message, const FieldDescriptor& field) {
  const auto& reflection = *message.GetReflection();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return EncodeInteger(reflection.GetInt32(message, &field));
    case FieldDescriptor::CPPTYPE_INT64:
      return EncodeInteger(reflection.GetInt64(message, &field));
    case FieldDescriptor::CPPTYPE_UINT32:
      return EncodeInteger(reflection.GetUInt32(message, &field));
    case FieldDescriptor::CPPTYPE_UINT64:
      return BigEndian(reflection.GetUInt64(message, &field));
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return EncodeDouble(reflection.GetDouble(message, &field));
    case FieldDescriptor::CPPTYPE_FLOAT:
      return EncodeDouble(reflection.GetFloat(message, &field));
    case FieldDescriptor::CPPTYPE_BOOL:
      return EncodeInteger(reflection.GetBool(message, &field) ? 1 : 0);
    case FieldDescriptor::CPPTYPE_ENUM:
      return EncodeInteger(reflection.GetEnumValue(message, &field));
    case FieldDescriptor::CPPTYPE_STRING: {
      std::string scratch;
      return EncodeString(reflection.GetStringReference(message, &field, &scratch));
    }
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return EncodeTime(reflection.GetMessage(message, &field));
  }
  return {};
}

std::string EncodeElement(const Message& message, const FieldDescriptor& field, int i) {
  const auto& reflection = *message.GetReflection();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return EncodeInteger(reflection.GetRepeatedInt32(message, &field, i));
    case FieldDescriptor::CPPTYPE_INT64:
      return EncodeInteger(reflection.GetRepeatedInt64(message, &field, i));
    case FieldDescriptor::CPPTYPE_UINT32:
      return EncodeInteger(reflection.GetRepeatedUInt32(message, &field, i));
    case FieldDescriptor::CPPTYPE_UINT64:
      return BigEndian(reflection.GetRepeatedUInt64(message, &field, i));
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return EncodeDouble(reflection.GetRepeatedDouble(message, &field, i));
    case FieldDescriptor::CPPTYPE_FLOAT:
      return EncodeDouble(reflection.GetRepeatedFloat(message, &field, i));
    case FieldDescriptor::CPPTYPE_BOOL:
      return EncodeInteger(reflection.GetRepeatedBool(message, &field, i) ? 1 : 0);
    case FieldDescriptor::CPPTYPE_ENUM:
      return EncodeInteger(reflection.GetRepeatedEnumValue(message, &field, i));
    case FieldDescriptor::CPPTYPE_STRING: {
      std::string scratch;
      return EncodeString(reflection.GetRepeatedStringReference(message, &field, i, &scratch));
    }
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return EncodeTime(reflection.GetRepeatedMessage(message, &field, i));
  }
  return {};
}

}  // namespace

absl::StatusOr<FieldPath> FieldPath::Resolve(const google::protobuf::Descriptor* descriptor,
                                             std::string_view path) {
  FieldPath resolved;
  resolved.text_ = path;
  const auto* current = descriptor;
  for (const std::string_view part : Split(path, '.')) {
    const FieldDescriptor* field =
        current == nullptr ? nullptr : current->FindFieldByName(std::string(part));
    if (field == nullptr || field->is_map()) {
      return InvalidField(path, fmt::format("{} has no such field", descriptor->name()));
    }
    resolved.fields_.push_back(field);
    resolved.repeated_ = resolved.repeated_ || field->is_repeated();
    const bool message = field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
    current = message && !IsTime(*field) ? field->message_type() : nullptr;
  }
  if (!HasOrder(*resolved.fields_.back())) {
    return InvalidField(path, "a message field has no order");
  }
  return resolved;
}

std::vector<std::string> FieldPath::Encode(const Message& message) const {
  std::vector<std::string> values;
  Collect(message, 0, values);
  if (repeated_) {
    std::sort(values.begin(), values.end());
    values.erase(std::unique(values.begin(), values.end()), values.end());
  }
  return values;
}

void FieldPath::Collect(const Message& message, size_t depth, std::vector<std::string>& out) const {
  const FieldDescriptor& field = *fields_[depth];
  const auto& reflection = *message.GetReflection();
  const bool last = depth + 1 == fields_.size();
  if (!field.is_repeated()) {
    if (last) {
      out.push_back(EncodeScalar(message, field));
    } else {
      Collect(reflection.GetMessage(message, &field), depth + 1, out);
    }
    return;
  }
  for (int i = 0; i < reflection.FieldSize(message, &field); ++i) {
    if (last) {
      out.push_back(EncodeElement(message, field, i));
    } else {
      Collect(reflection.GetRepeatedMessage(message, &field, i), depth + 1, out);
    }
  }
}

std::optional<std::string> FieldPath::EncodeText(std::string_view text) const {
  const FieldDescriptor& field = *fields_.back();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
    case FieldDescriptor::CPPTYPE_INT64:
    case FieldDescriptor::CPPTYPE_UINT32: {
      const auto value = ParseNumber<int64_t>(text);
      return value ? std::optional(EncodeInteger(*value)) : std::nullopt;
    }
    case FieldDescriptor::CPPTYPE_UINT64: {
      const auto value = ParseNumber<uint64_t>(text);
      return value ? std::optional(BigEndian(*value)) : std::nullopt;
    }
    case FieldDescriptor::CPPTYPE_BOOL:
      if (text != "true" && text != "false") return std::nullopt;
      return EncodeInteger(text == "true" ? 1 : 0);
    case FieldDescriptor::CPPTYPE_ENUM: {
      const auto* value = field.enum_type()->FindValueByName(std::string(text));
      return value != nullptr ? std::optional(EncodeInteger(value->number())) : std::nullopt;
    }
    case FieldDescriptor::CPPTYPE_STRING:
      return EncodeString(text);
    default:
      return std::nullopt;
  }
}

}  // namespace yagura::store
