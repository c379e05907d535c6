#include "cli/event_json.h"

#include <arpa/inet.h>

#include <array>
#include <memory>
#include <optional>
#include <string>

#include "fmt/format.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/util/time_util.h"

#include "common/json/message_json.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "simdjson.h"

namespace yagura::cli {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::util::TimeUtil;
using simdjson::dom::element;

void AddField(event::v1::Event& event, std::string_view name, element value) {
  auto& field = *event.add_fields();
  field.set_name(std::string(name));
  std::string_view text;
  field.set_value(value.get(text) == simdjson::SUCCESS ? std::string(text)
                                                       : std::string(simdjson::minify(value)));
}

// {"name": value, ...} as original fields, nested names joined by dots.
void AddFields(event::v1::Event& event, const std::string& prefix, element value) {
  simdjson::dom::object object;
  if (value.get(object) != simdjson::SUCCESS) {
    AddField(event, prefix, value);
    return;
  }
  for (const auto& [key, inner] : object) {
    AddFields(event, prefix.empty() ? std::string(key) : fmt::format("{}.{}", prefix, key), inner);
  }
}

// One that comes again has all its values in a list.
void AddFieldObject(event::v1::Event& event, simdjson::dom::object fields) {
  for (const auto& [key, value] : fields) {
    simdjson::dom::array values;
    if (value.get(values) != simdjson::SUCCESS) {
      AddFields(event, std::string(key), value);
      continue;
    }
    for (const element each : values) AddField(event, key, each);
  }
}

void AddFieldList(event::v1::Event& event, simdjson::dom::array fields) {
  for (const element each : fields) {
    std::string_view name;
    element value;
    if (each["name"].get(name) != simdjson::SUCCESS) continue;
    if (each["value"].get(value) == simdjson::SUCCESS) AddField(event, name, value);
  }
}

std::optional<std::string> AddressBytes(const std::string& text) {
  std::array<char, 16> bytes{};
  if (inet_pton(AF_INET, text.c_str(), bytes.data()) == 1) return std::string(bytes.data(), 4);
  if (inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1) return std::string(bytes.data(), 16);
  return std::nullopt;
}

bool SetText(Message& message, const FieldDescriptor& field, const std::string& text) {
  const auto& reflection = *message.GetReflection();
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_ENUM) {
    const auto* value = field.enum_type()->FindValueByName(text);
    if (value == nullptr) return false;
    field.is_repeated() ? reflection.AddEnum(&message, &field, value)
                        : reflection.SetEnum(&message, &field, value);
    return true;
  }
  if (field.is_repeated()) return false;
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
    const bool address = field.name() == "ip" || field.name().ends_with("_ip");
    const auto value = address ? AddressBytes(text) : std::optional(text);
    if (value) reflection.SetString(&message, &field, *value);
    return value.has_value();
  }
  if (field.message_type() == nullptr) return false;
  Message& inner = *reflection.MutableMessage(&message, &field);
  if (auto* time = dynamic_cast<google::protobuf::Timestamp*>(&inner)) {
    return TimeUtil::FromString(text, time);
  }
  auto* duration = dynamic_cast<google::protobuf::Duration*>(&inner);
  return duration != nullptr && TimeUtil::FromString(text, duration);
}

bool SetNumber(Message& message, const FieldDescriptor& field, uint64_t number) {
  const auto& reflection = *message.GetReflection();
  if (field.is_repeated()) return false;
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_UINT64) {
    reflection.SetUInt64(&message, &field, number);
    return true;
  }
  if (field.cpp_type() != FieldDescriptor::CPPTYPE_UINT32 || number > UINT32_MAX) return false;
  reflection.SetUInt32(&message, &field, static_cast<uint32_t>(number));
  return true;
}

// False where the message has no such field, or the value does not fit it.
bool Set(Message& message, std::string_view name, element value) {
  const auto* field = message.GetDescriptor()->FindFieldByName(std::string(name));
  if (field == nullptr) return false;
  std::string_view text;
  if (value.get(text) == simdjson::SUCCESS) return SetText(message, *field, std::string(text));
  uint64_t number = 0;
  if (value.get(number) == simdjson::SUCCESS) return SetNumber(message, *field, number);
  simdjson::dom::array list;
  if (value.get(list) == simdjson::SUCCESS) {
    bool all = field->is_repeated();
    for (const element each : list) all = all && Set(message, name, each);
    return all;
  }
  simdjson::dom::object object;
  if (field->message_type() == nullptr || field->is_repeated() ||
      value.get(object) != simdjson::SUCCESS) {
    return false;
  }
  const std::unique_ptr<Message> copy(message.New());
  bool all = true;
  Message& inner = *copy->GetReflection()->MutableMessage(copy.get(), field);
  for (const auto& [key, each] : object) all = all && Set(inner, key, each);
  if (all) message.MergeFrom(*copy);
  return all;
}

}  // namespace

std::string EventToJson(const event::v1::Event& event) {
  std::string line = MessageToJson(event);
  if (!IsValidUtf8(event.raw()) && line.ends_with('}')) {
    line.pop_back();
    line += fmt::format(",\"raw_base64\":\"{}\"}}", Base64Encode(event.raw()));
  }
  return line;
}

bool IsEventJson(std::string_view json) {
  simdjson::dom::parser parser;
  simdjson::dom::object object;
  element fields;
  if (parser.parse(json.data(), json.size(), true).get(object) != simdjson::SUCCESS ||
      object["fields"].get(fields) != simdjson::SUCCESS) {
    return false;
  }
  return fields.is_object() || fields.is_array();
}

absl::Status ReadEvent(std::string_view json, event::v1::Event& event) {
  simdjson::dom::parser parser;
  simdjson::dom::object object;
  if (parser.parse(json.data(), json.size(), true).get(object) != simdjson::SUCCESS) {
    return InvalidField("event", "is not a JSON object");
  }
  element fields;
  simdjson::dom::object by_name;
  simdjson::dom::array list;
  const bool has = object["fields"].get(fields) == simdjson::SUCCESS;
  const bool is_object = has && fields.get(by_name) == simdjson::SUCCESS;
  const bool is_list = has && fields.get(list) == simdjson::SUCCESS;
  if (is_object) AddFieldObject(event, by_name);
  if (is_list) AddFieldList(event, list);
  for (const auto& [key, value] : object) {
    const bool in_core = (is_object || is_list) &&
                         (key == "fields" || key == "raw_base64" || Set(event, key, value));
    if (!in_core) AddFields(event, std::string(key), value);
  }
  std::string_view encoded;
  if ((is_object || is_list) && object["raw_base64"].get(encoded) == simdjson::SUCCESS) {
    auto raw = Base64Decode(encoded);
    if (!raw) return InvalidField("raw_base64", "is not base64");
    event.set_raw(*std::move(raw));
  }
  if (event.raw().empty()) event.set_raw(std::string(json));
  return absl::OkStatus();
}

}  // namespace yagura::cli
