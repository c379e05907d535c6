#include "common/rpc/method.h"

#include <array>
#include <set>
#include <utility>

#include "fmt/format.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"

#include "common/status/status.h"
#include "common/text/text.h"
#include "yagura/options/v1/options.pb.h"

namespace yagura::rpc {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::DescriptorPool;
using google::protobuf::FieldDescriptor;
using google::protobuf::MethodDescriptor;

// Permissions of methods whose protos are not ours.
constexpr std::array<std::pair<std::string_view, std::string_view>, 2> kForeignPermissions = {{
    {"/opentelemetry.proto.collector.logs.v1.LogsService/Export", "ingestion.events.push"},
    {"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", "PUBLIC"},
}};

std::string PermissionOf(const Method& method, const MethodDescriptor& descriptor) {
  for (const auto& [name, permission] : kForeignPermissions) {
    if (name == method.name) return std::string(permission);
  }
  return descriptor.options().GetExtension(options::v1::permission);
}

// "/package.Service/Method" -> {"package.Service", "Method"}.
std::pair<std::string, std::string> SplitName(std::string_view name) {
  const size_t slash = name.rfind('/');
  if (slash == std::string_view::npos || slash < 2 || name[0] != '/') return {};
  return {std::string(name.substr(1, slash - 1)), std::string(name.substr(slash + 1))};
}

const FieldDescriptor* TextField(const Descriptor& type, const char* name) {
  const FieldDescriptor* field = type.FindFieldByName(name);
  const bool text = field != nullptr && field->type() == FieldDescriptor::TYPE_STRING &&
                    !field->is_repeated() && !field->options().GetExtension(options::v1::sensitive);
  return text ? field : nullptr;
}

audit::v1::Action AuditedAs(std::string_view method, bool has_request_id) {
  if (has_request_id) return audit::v1::ACTION_UNSPECIFIED;
  if (method == "WhoAmI") return audit::v1::ACTION_UNSPECIFIED;
  constexpr std::array<std::pair<std::string_view, audit::v1::Action>, 13> kVerbs = {{
      {"Get", audit::v1::READ},
      {"List", audit::v1::READ},
      {"Watch", audit::v1::READ},
      {"Diff", audit::v1::READ},
      {"Reveal", audit::v1::READ},
      {"Describe", audit::v1::READ},
      {"Verify", audit::v1::READ},
      {"Search", audit::v1::SEARCHED},
      {"Tail", audit::v1::SEARCHED},
      {"Count", audit::v1::SEARCHED},
      {"Export", audit::v1::EXPORTED},
      {"Download", audit::v1::EXPORTED},
      {"DeleteDeadLetter", audit::v1::DELETED},  // is no resource of the store
  }};
  for (const auto& [verb, action] : kVerbs) {
    if (method.starts_with(verb)) return action;
  }
  return audit::v1::ACTION_UNSPECIFIED;
}

bool KindFits(Method::Kind kind, const MethodDescriptor& descriptor) {
  switch (kind) {
    case Method::Kind::kUnary:
      return !descriptor.client_streaming() && !descriptor.server_streaming();
    case Method::Kind::kServerStream:
    case Method::Kind::kWatch:
      return !descriptor.client_streaming() && descriptor.server_streaming();
    case Method::Kind::kSession:
      break;
  }
  return descriptor.client_streaming();
}

}  // namespace

class MethodTable::Registry final : public ServiceRegistry {
 public:
  Registry(MethodTable& table, AppSlot* app, std::shared_ptr<TenantQuotas> quotas)
      : table_(table), app_(app), quotas_(std::move(quotas)) {}

  std::shared_ptr<TenantQuotas> quotas() const override { return quotas_; }

 protected:
  void AddUnary(std::string_view method, const Message& request, const Message& response,
                UnaryFn handler) override {
    if (Method* entry = Add(method, Method::Kind::kUnary, request, response)) {
      entry->unary = std::move(handler);
    }
  }
  void AddServerStream(std::string_view method, const Message& request, const Message& response,
                       ServerStreamFn handler) override {
    if (Method* entry = Add(method, Method::Kind::kServerStream, request, response)) {
      entry->server_stream = std::move(handler);
    }
  }
  void AddWatch(std::string_view method, const Message& request, const Message& response,
                WatchFn handler) override {
    if (Method* entry = Add(method, Method::Kind::kWatch, request, response)) {
      entry->watch = std::move(handler);
    }
  }
  void AddStream(std::string_view method, const Message& request, const Message& response,
                 SessionFn make) override {
    if (Method* entry = Add(method, Method::Kind::kSession, request, response)) {
      entry->session = std::move(make);
    }
  }

 private:
  Method* Add(std::string_view name, Method::Kind kind, const Message& request,
              const Message& response) {
    const auto [item, added] = table_.methods_.try_emplace(std::string(name));
    if (!added) {
      table_.problems_.push_back(fmt::format("{} has two handlers", name));
      return nullptr;
    }
    Method& entry = item->second;
    entry.name = name;
    entry.kind = kind;
    entry.request = &request;
    entry.response = &response;
    entry.app = app_;
    return &entry;
  }

  MethodTable& table_;
  AppSlot* app_;
  const std::shared_ptr<TenantQuotas> quotas_;
};

std::unique_ptr<ServiceRegistry> MethodTable::RegistryFor(AppSlot* app,
                                                          std::shared_ptr<TenantQuotas> quotas) {
  return std::make_unique<Registry>(*this, app, std::move(quotas));
}

const Method* MethodTable::Find(std::string_view name) const {
  const auto found = methods_.find(name);
  return found == methods_.end() ? nullptr : &found->second;
}

std::vector<std::string> MethodTable::Services() const {
  std::set<std::string> services;
  for (const auto& [name, method] : methods_) services.insert(SplitName(name).first);
  return {services.begin(), services.end()};
}

void MethodTable::CompleteMethod(Method& method) {
  const auto [service_name, method_name] = SplitName(method.name);
  const auto* service = DescriptorPool::generated_pool()->FindServiceByName(service_name);
  const MethodDescriptor* descriptor =
      service == nullptr ? nullptr : service->FindMethodByName(method_name);
  if (descriptor == nullptr) {
    problems_.push_back(fmt::format("{} is in no proto that this program links", method.name));
    return;
  }
  if (descriptor->input_type() != method.request->GetDescriptor() ||
      descriptor->output_type() != method.response->GetDescriptor() ||
      !KindFits(method.kind, *descriptor)) {
    problems_.push_back(
        fmt::format("{} has a handler of other types than in the proto", method.name));
    return;
  }
  method.permission = PermissionOf(method, *descriptor);
  if (method.permission.empty()) {
    problems_.push_back(fmt::format("{} declares no permission", method.name));
    return;
  }
  const Descriptor& type = *descriptor->input_type();
  method.request_id = TextField(type, "request_id");
  method.filter = TextField(type, "filter");
  if (method.permission == "PUBLIC") return;
  method.scope = std::make_unique<RequestScope>(*descriptor, method.permission);
  method.audited = AuditedAs(method_name, method.request_id != nullptr);
}

void MethodTable::FindMissing() {
  for (const std::string& name : Services()) {
    const auto* service = DescriptorPool::generated_pool()->FindServiceByName(name);
    for (int i = 0; service != nullptr && i < service->method_count(); ++i) {
      const std::string full = fmt::format("/{}/{}", name, service->method(i)->name());
      if (!methods_.contains(full)) problems_.push_back(fmt::format("{} has no handler", full));
    }
  }
}

absl::Status MethodTable::Complete() {
  for (auto& [name, method] : methods_) CompleteMethod(method);
  FindMissing();
  if (problems_.empty()) return absl::OkStatus();
  return MakeError(absl::StatusCode::kFailedPrecondition, "METHODS_INCOMPLETE",
                   Join(problems_, "; "));
}

}  // namespace yagura::rpc
