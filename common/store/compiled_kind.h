#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/filter/filter.h"
#include "common/filter/schema.h"
#include "common/store/field_path.h"
#include "common/store/kind.h"
#include "common/store/resource_name.h"

namespace google::protobuf {
class FieldDescriptor;
class Message;
}  // namespace google::protobuf

namespace yagura::store {

// An index with its paths resolved.
struct CompiledIndex {
  std::string name;
  std::vector<FieldPath> equality;
  std::optional<FieldPath> order;  // nothing: by id

  // What the members begin with where the filter says `field = value` of every equality field;
  // nothing where it leaves one open. What follows is the order value, a zero byte, the id path.
  std::optional<std::string> Prefix(const std::vector<filter::EqualityTerm>& terms) const;
  // The index's members for a message: equality values, order value, zero byte, id path.
  std::vector<std::string> Members(const google::protobuf::Message& message,
                                   std::string_view id_path) const;
};

// The id path that ends an index member.
std::string_view IdPathOf(std::string_view member);

// The smallest text greater than everything that begins with `prefix`; empty: there is none.
std::string PrefixEnd(std::string prefix);

// Where a resource is.
struct Location {
  std::string tenant;
  std::string id_path;
};

// A kind and its message type with all that can be worked out once. Aborts where the declaration is
// wrong (unknown fields, fields that have no order): declarations are constants. Immutable.
class CompiledKind {
 public:
  CompiledKind(Kind kind, const google::protobuf::Message& prototype);

  const Kind& kind() const { return kind_; }
  const NamePattern& pattern() const { return pattern_; }
  const std::vector<CompiledIndex>& indexes() const { return indexes_; }
  const filter::Schema& schema() const { return schema_; }
  const google::protobuf::Message& prototype() const { return prototype_; }
  std::string full_kind() const { return kind_.area + "." + kind_.kind; }

  // INVALID_ARGUMENT where the name does not fit the pattern.
  absl::StatusOr<Location> Locate(std::string_view name) const;

  // The other way round; the ids alone where they are not as many as the pattern has.
  std::string NameOf(const Location& location) const;

  std::string Name(const google::protobuf::Message& message) const;
  std::string Etag(const google::protobuf::Message& message) const;
  void SetName(google::protobuf::Message& message, std::string_view name) const;
  void SetEtag(google::protobuf::Message& message, std::string_view etag) const;
  // Null where the message has no such Timestamp.
  const google::protobuf::FieldDescriptor* create_time() const { return create_time_; }
  const google::protobuf::FieldDescriptor* update_time() const { return update_time_; }

 private:
  Kind kind_;
  NamePattern pattern_;
  const google::protobuf::Message& prototype_;
  const google::protobuf::FieldDescriptor* name_;
  const google::protobuf::FieldDescriptor* etag_;
  const google::protobuf::FieldDescriptor* create_time_;
  const google::protobuf::FieldDescriptor* update_time_;
  std::vector<CompiledIndex> indexes_;
  filter::Schema schema_;
};

}  // namespace yagura::store
