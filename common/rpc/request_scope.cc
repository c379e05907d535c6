#include "common/rpc/request_scope.h"

#include <array>
#include <map>
#include <optional>

#include "fmt/format.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"

#include "common/status/status.h"
#include "yagura/options/v1/options.pb.h"

namespace yagura::rpc {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

constexpr std::string_view kTenants = "tenants/";
constexpr size_t kMaxResourceText = 256;

std::optional<std::string_view> TenantOf(std::string_view name) {
  if (!name.starts_with(kTenants)) return std::nullopt;
  name.remove_prefix(kTenants.size());
  return name.substr(0, name.find('/'));
}

bool IsText(const FieldDescriptor& field) { return field.type() == FieldDescriptor::TYPE_STRING; }

bool IsMarked(const FieldDescriptor& field) {
  return IsText(field) && field.options().GetExtension(options::v1::resource_reference);
}

bool IsReference(const FieldDescriptor& field) {
  if (!IsText(field)) return false;
  return field.name() == "name" || field.name() == "names" || field.name() == "parent" ||
         IsMarked(field);
}

bool OnlyLooks(std::string_view method) {
  constexpr std::array<std::string_view, 9> kVerbs = {
      "Get", "List", "Search", "Watch", "Count", "Tail", "Download", "Describe", "WhoAmI"};
  for (std::string_view verb : kVerbs) {
    if (method.starts_with(verb)) return true;
  }
  return false;
}

const FieldDescriptor* SingularText(const Descriptor& type, const char* name) {
  const FieldDescriptor* field = type.FindFieldByName(name);
  return field != nullptr && IsText(*field) && !field->is_repeated() ? field : nullptr;
}

}  // namespace

// The references in one message type, and where more of them may be found. Types form a graph, not
// a tree: a type may contain itself.
struct RequestScope::References {
  std::vector<const FieldDescriptor*> texts;
  std::vector<std::pair<const FieldDescriptor*, const References*>> inner;
};

struct RequestScope::Builder {
  using Types = std::map<const Descriptor*, bool>;  // whether a reference can be reached

  static void Collect(const Descriptor* type, Types& types) {
    if (types.contains(type)) return;
    bool direct = false;
    types[type] = false;
    for (int i = 0; i < type->field_count(); ++i) {
      const FieldDescriptor* field = type->field(i);
      direct = direct || IsReference(*field);
      if (field->message_type() != nullptr) Collect(field->message_type(), types);
    }
    types[type] = direct;
  }

  static void Propagate(Types& types) {
    for (bool changed = true; changed;) {
      changed = false;
      for (auto& [type, reaches] : types) {
        for (int i = 0; i < type->field_count() && !reaches; ++i) {
          const Descriptor* inner = type->field(i)->message_type();
          if (inner != nullptr && types.at(inner)) reaches = changed = true;
        }
      }
    }
  }

  static const References* Build(const Descriptor* type, const Types& types,
                                 std::map<const Descriptor*, References*>& made,
                                 std::vector<std::unique_ptr<References>>& nodes) {
    if (const auto found = made.find(type); found != made.end()) return found->second;
    nodes.push_back(std::make_unique<References>());
    References* node = made[type] = nodes.back().get();
    for (int i = 0; i < type->field_count(); ++i) {
      const FieldDescriptor* field = type->field(i);
      if (IsReference(*field)) node->texts.push_back(field);
      if (field->message_type() != nullptr && types.at(field->message_type())) {
        node->inner.emplace_back(field, Build(field->message_type(), types, made, nodes));
      }
    }
    return node;
  }
};

RequestScope::RequestScope(const google::protobuf::MethodDescriptor& method,
                           std::string_view permission)
    : permission_(permission) {
  const Descriptor& type = *method.input_type();
  writes_ = type.FindFieldByName("request_id") != nullptr;
  for_own_set_ = permission.starts_with("ingestion.") || (!writes_ && OnlyLooks(method.name()));

  for (const char* name : {"parent", "name"}) {
    if (const FieldDescriptor* field = SingularText(type, name)) {
      sources_.push_back({{field}, std::string_view(name) == "parent"});
      if (!tenant_required_) required_field_ = name;
      tenant_required_ = true;
    }
  }
  // What a new resource calls itself is not what the call is about.
  const bool creates = method.name().starts_with("Create");
  for (int i = 0; i < type.field_count() && !creates; ++i) {
    const FieldDescriptor* field = type.field(i);
    if (field->message_type() == nullptr || field->is_repeated()) continue;
    if (const FieldDescriptor* inner = SingularText(*field->message_type(), "name")) {
      sources_.push_back({{field, inner}, false});
      if (!tenant_required_ && method.name().starts_with("Update")) {
        tenant_required_ = true;
        required_field_ = field->name() + ".name";
      }
    }
  }
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor* field = type.field(i);
    if (IsMarked(*field) && !field->is_repeated() && field->name() != "parent" &&
        field->name() != "name") {
      sources_.push_back({{field}, false});
    }
  }

  Builder::Types types;
  Builder::Collect(&type, types);
  Builder::Propagate(types);
  std::map<const Descriptor*, References*> made;
  root_ = Builder::Build(&type, types, made, nodes_);
}

RequestScope::~RequestScope() = default;

const std::string* RequestScope::Value(const Message& request, const Source& source) const {
  const Message* message = &request;
  if (source.path.size() == 2) {
    if (!message->GetReflection()->HasField(*message, source.path[0])) return nullptr;
    message = &message->GetReflection()->GetMessage(*message, source.path[0]);
  }
  std::string unused;  // generated messages keep a std::string and answer a reference to it
  return &message->GetReflection()->GetStringReference(*message, source.path.back(), &unused);
}

const RequestScope::Source* RequestScope::Find(const Message& request) const {
  for (const Source& source : sources_) {
    const std::string* value = Value(request, source);
    if (value != nullptr && !value->empty()) return &source;
  }
  return nullptr;
}

absl::Status RequestScope::Denied() const {
  return MakeError(absl::StatusCode::kPermissionDenied, "PERMISSION_DENIED",
                   fmt::format("the permission {} is not granted for this", permission_),
                   {{"permission", permission_}});
}

std::string RequestScope::ResourceOf(const Message& request) const {
  const Source* source = Find(request);
  return source == nullptr ? "" : Value(request, *source)->substr(0, kMaxResourceText);
}

absl::StatusOr<RequestScope::Target> RequestScope::WithoutTenant(
    const auth::TenantSet& granted) const {
  if (for_own_set_) {
    const bool single = !granted.all && granted.tenants.size() == 1;
    return Target{single ? *granted.tenants.begin() : "-", ""};
  }
  if (!granted.Contains("provider")) return Denied();
  return Target{"provider", ""};
}

absl::StatusOr<RequestScope::Target> RequestScope::CheckOpening(
    const auth::Principal& principal) const {
  const auth::TenantSet granted = principal.TenantsFor(permission_);
  if (granted.empty()) return Denied();
  const bool single = !granted.all && granted.tenants.size() == 1;
  return Target{single ? *granted.tenants.begin() : "-", ""};
}

absl::StatusOr<RequestScope::Target> RequestScope::Check(const Message& request,
                                                         const auth::Principal& principal) const {
  const auth::TenantSet granted = principal.TenantsFor(permission_);
  if (granted.empty()) return Denied();
  Target target;
  const Source* source = Find(request);
  if (source == nullptr) {
    if (tenant_required_) return InvalidField(required_field_, "is required");
    YAGURA_ASSIGN_OR_RETURN(target, WithoutTenant(granted));
  } else {
    const std::string& value = *Value(request, *source);
    const auto tenant = TenantOf(value);
    if (!tenant || tenant->empty()) {
      return InvalidField(source->path.size() == 2 ? fmt::format("{}.name", source->path[0]->name())
                                                   : source->path[0]->name(),
                          "begins with \"tenants/{tenant}\"");
    }
    target = {std::string(*tenant), value.substr(0, kMaxResourceText)};
    if (target.tenant == "-" && (!source->is_parent || writes_)) {
      return InvalidField(source->path[0]->name(), "names one tenant here, not \"tenants/-\"");
    }
    if (target.tenant != "-" && !granted.Contains(target.tenant)) return Denied();
  }
  auth::TenantSet set = granted;
  if (source != nullptr && target.tenant != "-") set = {false, {target.tenant}};
  YAGURA_RETURN_IF_ERROR(CheckReferences(request, *root_, set, true));
  return target;
}

absl::Status RequestScope::CheckReferences(const Message& message, const References& references,
                                           const auth::TenantSet& set, bool top) const {
  const auto* reflection = message.GetReflection();
  std::string scratch;
  for (const FieldDescriptor* field : references.texts) {
    const int count = field->is_repeated() ? reflection->FieldSize(message, field) : 1;
    for (int i = 0; i < count; ++i) {
      const std::string& value =
          field->is_repeated() ? reflection->GetRepeatedStringReference(message, field, i, &scratch)
                               : reflection->GetStringReference(message, field, &scratch);
      const auto tenant = TenantOf(value);
      if (!tenant) continue;
      if (*tenant == "-") {
        if (top && field->name() == "parent") continue;  // Check has looked at it
        return InvalidField(field->name(), "names one tenant here, not \"tenants/-\"");
      }
      if (!set.Contains(*tenant)) return Denied();
    }
  }
  for (const auto& [field, inner] : references.inner) {
    if (!field->is_repeated()) {
      if (!reflection->HasField(message, field)) continue;
      YAGURA_RETURN_IF_ERROR(
          CheckReferences(reflection->GetMessage(message, field), *inner, set, false));
      continue;
    }
    const int count = reflection->FieldSize(message, field);
    for (int i = 0; i < count; ++i) {
      YAGURA_RETURN_IF_ERROR(
          CheckReferences(reflection->GetRepeatedMessage(message, field, i), *inner, set, false));
    }
  }
  return absl::OkStatus();
}

}  // namespace yagura::rpc
