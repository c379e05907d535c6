#include "common/store/compiled_kind.h"

#include <cstdlib>

#include "fmt/format.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"

#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::store {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// A message with several repeated equality fields has the product of their values; more than this
// are left out of the index rather than let one resource fill the memory.
constexpr size_t kMaxMembers = 1000;

[[noreturn]] void Malformed(const Kind& kind, std::string_view what) {
  fmt::print(stderr, "kind {}.{}: {}\n", kind.area, kind.kind, what);
  std::abort();
}

const FieldDescriptor* StringField(const Kind& kind, const Descriptor& type, const char* name) {
  const auto* field = type.FindFieldByName(name);
  if (field == nullptr || field->is_repeated() ||
      field->cpp_type() != FieldDescriptor::CPPTYPE_STRING) {
    Malformed(kind, fmt::format("{} lacks the string field {}", type.full_name(), name));
  }
  return field;
}

const FieldDescriptor* TimestampField(const Descriptor& type, const char* name) {
  const auto* field = type.FindFieldByName(name);
  const bool fits = field != nullptr && !field->is_repeated() &&
                    field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE &&
                    field->message_type()->full_name() == "google.protobuf.Timestamp";
  return fits ? field : nullptr;
}

FieldPath ResolveOrAbort(const Kind& kind, const Descriptor* type, std::string_view path) {
  auto resolved = FieldPath::Resolve(type, path);
  if (!resolved.ok()) Malformed(kind, yagura::Message(resolved.status()));
  return *std::move(resolved);
}

std::vector<CompiledIndex> CompileIndexes(const Kind& kind, const Descriptor* type) {
  std::vector<CompiledIndex> indexes;
  for (const Index& declared : kind.indexes) {
    CompiledIndex index{.name = declared.name, .equality = {}, .order = std::nullopt};
    if (declared.name.empty()) Malformed(kind, "an index needs a name");
    if (declared.name == "claims") Malformed(kind, "\"claims\" is not an index's name");
    for (const auto& path : declared.equality) {
      index.equality.push_back(ResolveOrAbort(kind, type, path));
    }
    if (!declared.order.empty() && declared.order != "name") {
      index.order = ResolveOrAbort(kind, type, declared.order);
      if (index.order->repeated()) Malformed(kind, "an order field cannot be repeated");
    }
    indexes.push_back(std::move(index));
  }
  return indexes;
}

filter::Schema MakeSchema(const Kind& kind, const Descriptor* type) {
  filter::Schema schema(type);
  for (const auto& path : kind.addresses) schema.Ip(path);
  for (const auto& path : kind.search) schema.Search(path);
  if (!kind.search.empty()) return schema;
  for (int i = 0; i < type->field_count(); ++i) {
    const auto* field = type->field(i);
    const bool text = !field->is_repeated() && field->type() == FieldDescriptor::TYPE_STRING;
    if (text && field->name() != "etag") schema.Search(field->name());
  }
  return schema;
}

void SetText(Message& message, const FieldDescriptor* field, std::string_view value) {
  message.GetReflection()->SetString(&message, field, std::string(value));
}

}  // namespace

std::optional<std::string> CompiledIndex::Prefix(
    const std::vector<filter::EqualityTerm>& terms) const {
  std::string prefix;
  for (const FieldPath& path : equality) {
    const auto term = std::find_if(terms.begin(), terms.end(), [&path](const auto& candidate) {
      return candidate.path == path.text();
    });
    if (term == terms.end()) return std::nullopt;
    const auto value = path.EncodeText(term->value);
    if (!value) return std::nullopt;
    prefix += *value;
  }
  return prefix;
}

std::vector<std::string> CompiledIndex::Members(const Message& message,
                                                std::string_view id_path) const {
  std::vector<std::string> members(1);
  for (const FieldPath& path : equality) {
    const auto values = path.Encode(message);
    std::vector<std::string> longer;
    for (const auto& member : members) {
      for (const auto& value : values) {
        if (longer.size() < kMaxMembers) longer.push_back(member + value);
      }
    }
    members = std::move(longer);
  }
  std::string tail = order ? order->Encode(message).front() : std::string();
  tail += '\0';
  tail += id_path;
  for (auto& member : members) member += tail;
  return members;
}

std::string_view IdPathOf(std::string_view member) {
  const size_t zero = member.rfind('\0');
  return zero == std::string_view::npos ? member : member.substr(zero + 1);
}

std::string PrefixEnd(std::string prefix) {
  while (!prefix.empty()) {
    const auto last = static_cast<unsigned char>(prefix.back());
    if (last < 0xff) {
      prefix.back() = static_cast<char>(last + 1);
      return prefix;
    }
    prefix.pop_back();
  }
  return prefix;
}

CompiledKind::CompiledKind(Kind kind, const Message& prototype)
    : kind_(std::move(kind)),
      pattern_(kind_.pattern),
      prototype_(prototype),
      name_(StringField(kind_, *prototype.GetDescriptor(), "name")),
      etag_(StringField(kind_, *prototype.GetDescriptor(), "etag")),
      create_time_(TimestampField(*prototype.GetDescriptor(), "create_time")),
      update_time_(TimestampField(*prototype.GetDescriptor(), "update_time")),
      indexes_(CompileIndexes(kind_, prototype.GetDescriptor())),
      schema_(MakeSchema(kind_, prototype.GetDescriptor())) {
  if (kind_.area.empty() || kind_.kind.empty()) Malformed(kind_, "area and kind must be set");
  if (!kind_.pattern.starts_with("tenants/{tenant}")) {
    Malformed(kind_, "the pattern must begin with tenants/{tenant}");
  }
  if (kind_.index_version < 1 || kind_.index_version > 0xffff) {
    Malformed(kind_, "index_version must be 1 to 65535");
  }
}

absl::StatusOr<Location> CompiledKind::Locate(std::string_view name) const {
  YAGURA_ASSIGN_OR_RETURN(const auto ids, pattern_.Parse(name, "name"));
  // Behind "tenants/{tenant}/": "tickets/{ticket}" becomes "{ticket}".
  Location location{.tenant = ids.front(), .id_path = {}};
  for (size_t i = 1; i < ids.size(); ++i) {
    if (i > 1) location.id_path += '/';
    location.id_path += ids[i];
  }
  return location;
}

std::string CompiledKind::NameOf(const Location& location) const {
  std::vector<std::string> ids = {location.tenant};
  for (const auto part : Split(location.id_path, '/')) ids.emplace_back(part);
  return ids.size() * 2 == pattern_.segments().size() ? pattern_.Format(ids) : location.id_path;
}

std::string CompiledKind::Name(const Message& message) const {
  return message.GetReflection()->GetString(message, name_);
}
std::string CompiledKind::Etag(const Message& message) const {
  return message.GetReflection()->GetString(message, etag_);
}
void CompiledKind::SetName(Message& message, std::string_view name) const {
  SetText(message, name_, name);
}
void CompiledKind::SetEtag(Message& message, std::string_view etag) const {
  SetText(message, etag_, etag);
}

}  // namespace yagura::store
