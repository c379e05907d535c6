#include "services/config/storage/stores.h"

#include "common/store/resource_name.h"

namespace yagura::config {
namespace {

store::Kind KindOf(std::string kind, std::string pattern, std::vector<store::Index> indexes,
                   bool silent = false) {
  store::Kind result;
  result.area = "config";
  result.kind = std::move(kind);
  result.pattern = std::move(pattern);
  result.indexes = std::move(indexes);
  result.silent = silent;
  return result;
}

const store::Index kByCreateTime{.name = "by_create_time", .equality = {}, .order = "create_time"};
const store::Index kByUpdateTime{.name = "by_update_time", .equality = {}, .order = "update_time"};

constexpr const char* kDevice = "tenants/{tenant}/devices/{device}";
constexpr const char* kCredential = "tenants/{tenant}/credentials/{credential}";
constexpr const char* kSnapshot = "tenants/{tenant}/devices/{device}/snapshots/{snapshot}";
constexpr const char* kCandidate = "tenants/{tenant}/changes/{change}/candidates/{digest}";
constexpr const char* kChange = "tenants/{tenant}/changes/{change}";

}  // namespace

Stores::Stores(const std::shared_ptr<redis::Pool>& state, const std::shared_ptr<const Clock>& clock)
    : devices(state,
              KindOf("device", kDevice,
                     {kByCreateTime,
                      {.name = "by_credential", .equality = {"credential"}, .order = ""}}),
              clock),
      credentials(state, KindOf("credential", kCredential, {kByCreateTime}), clock),
      snapshots(state, KindOf("snapshot", kSnapshot, {kByCreateTime}), clock),
      changes(state,
              KindOf("change", kChange,
                     {kByCreateTime,
                      kByUpdateTime,
                      {.name = "by_state", .equality = {"state"}, .order = "create_time"},
                      {.name = "by_device", .equality = {"device"}, .order = "create_time"}}),
              clock),
      secrets(state, KindOf("sealed-secret", kCredential, {}, true), clock),
      snapshot_texts(state, KindOf("sealed-snapshot", kSnapshot, {}, true), clock),
      candidates(state, KindOf("sealed-candidate", kCandidate, {}, true), clock),
      data_keys(state, KindOf("data-key", "tenants/{tenant}/data-keys/{version}", {}, true),
                clock) {}

std::string TenantIdOf(std::string_view name) {
  return std::string(store::TenantOf(name).value_or(std::string_view()));
}

store::WriteContext ServiceContext(std::string_view method, std::string_view detail) {
  store::WriteContext context;
  context.principal = "services/config";
  context.method = std::string(method);
  context.detail = std::string(detail);
  return context;
}

}  // namespace yagura::config
