#pragma once

#include <optional>
#include <string>

namespace google::protobuf {
class FieldDescriptor;
class Message;
}  // namespace google::protobuf

// Protobuf messages as JSON for people and for files: unlike the canonical mapping, numbers of 64
// bits stay numbers and log lines are text.
namespace yagura {

// One JSON object with proto field names. Addresses (`ip` fields of 4 or 16 bytes) are text,
// digests hex, log lines and other foreign texts are text (what is not UTF-8 becomes U+FFFD), all
// other bytes (signatures, keys) base64, enums are names, times RFC 3339, `day`s since 1970 dates,
// lists of name and value become an object. Unset fields are left out, except that
// `with_zeros` writes scalars that are zero.
std::string MessageToJson(const google::protobuf::Message& message, bool with_zeros = false);

// A scalar field (element `index` of a repeated one, -1 otherwise) as plain text.
std::string ScalarToText(const google::protobuf::Message& message,
                         const google::protobuf::FieldDescriptor& field, int index);
// The text of a Timestamp or Duration; nothing for any other message.
std::optional<std::string> WellKnownToText(const google::protobuf::Message& message);
// A message of just `name` and `value`.
bool IsNameValue(const google::protobuf::FieldDescriptor& field);

}  // namespace yagura
