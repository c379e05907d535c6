#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace google::protobuf {
class Descriptor;
class FieldDescriptor;
class Message;
}  // namespace google::protobuf

namespace yagura::store {

// A field reached from a message by its names, "src.port", and an encoding of its values whose
// bytes compare as the values do. Strings are cut after 200 bytes: what an index finds is checked
// again on the message. Immutable, thread-safe.
class FieldPath {
 public:
  // INVALID_ARGUMENT where the path names no field, or one that has no order (maps, messages other
  // than Timestamp and Duration).
  static absl::StatusOr<FieldPath> Resolve(const google::protobuf::Descriptor* descriptor,
                                           std::string_view path);

  // Exactly one value where the path is not repeated (a default where not set); else the distinct
  // values.
  std::vector<std::string> Encode(const google::protobuf::Message& message) const;
  // A value as filter::EqualityTerm writes it; nothing where it does not fit the type.
  std::optional<std::string> EncodeText(std::string_view text) const;

  bool repeated() const { return repeated_; }
  const std::string& text() const { return text_; }

 private:
  void Collect(const google::protobuf::Message& message, size_t depth,
               std::vector<std::string>& out) const;

  std::string text_;
  std::vector<const google::protobuf::FieldDescriptor*> fields_;
  bool repeated_ = false;
};

}  // namespace yagura::store
