#include "services/directory/storage/directory_store.h"

#include "fmt/format.h"

#include "common/status/status.h"
#include "services/directory/storage/source_claims.h"

namespace yagura::directory {
namespace {

using store::Index;
using store::Kind;

Kind MakeKind(std::string_view kind, std::string_view pattern, std::vector<Index> indexes) {
  Kind made;
  made.area = "directory";
  made.kind = kind;
  made.pattern = pattern;
  made.indexes = std::move(indexes);
  return made;
}

Kind SourceKind(std::vector<Index> indexes) {
  Kind kind = MakeKind("source", "tenants/{tenant}/sources/{source}", std::move(indexes));
  kind.index_version = 2;  // since there are claims
  kind.claims = [](const google::protobuf::Message& message) {
    return ClaimsOf(static_cast<const v1::Source&>(message));
  };
  return kind;
}

Index Ordered(std::string_view name, std::string_view order,
              std::vector<std::string> equality = {}) {
  return {std::string(name), std::move(equality), std::string(order)};
}

}  // namespace

DirectoryStore::DirectoryStore(const std::shared_ptr<redis::Pool>& state,
                               const std::shared_ptr<store::FeedFollower>& feed,
                               const std::shared_ptr<const Clock>& clock)
    : tenants(state, MakeKind("tenant", "tenants/{tenant}", {}), clock, feed),
      sites(state,
            MakeKind("site", "tenants/{tenant}/sites/{site}",
                     {Ordered("by_display_name", "display_name"),
                      Ordered("by_create_time", "create_time")}),
            clock, feed),
      users(state,
            MakeKind("user", "tenants/{tenant}/users/{user}",
                     {Ordered("by_email", "email"), Ordered("by_create_time", "create_time"),
                      Ordered("with_email", "", {"email"})}),
            clock, feed),
      api_keys(state,
               MakeKind("apikey", "tenants/{tenant}/apiKeys/{api_key}",
                        {Ordered("by_create_time", "create_time")}),
               clock, feed),
      assets(
          state,
          MakeKind(
              "asset", "tenants/{tenant}/assets/{asset}",
              {Ordered("by_host_name", "host_name"), Ordered("by_criticality", "criticality"),
               Ordered("by_create_time", "create_time"), Ordered("at_site", "", {"addresses.site"}),
               Ordered("with_address", "", {"addresses.address"}),
               Ordered("with_host_name", "", {"host_name"})}),
          clock, feed),
      sources(
          state,
          SourceKind({Ordered("by_create_time", "create_time"), Ordered("at_site", "", {"site"})}),
          clock, feed),
      passwords(state, MakeKind("password", "tenants/{tenant}/users/{user}", {}), clock),
      key_hashes(state, MakeKind("apikeyhash", "tenants/{tenant}/apiKeys/{api_key}", {}), clock) {}

absl::Status DirectoryStore::CheckSites(std::string_view tenant, const std::set<std::string>& ids,
                                        std::string_view field) const {
  std::vector<std::string> names;
  for (const auto& id : ids) names.push_back(fmt::format("tenants/{}/sites/{}", tenant, id));
  YAGURA_ASSIGN_OR_RETURN(const auto found, sites.store.GetMany(names));
  for (size_t i = 0; i < names.size(); ++i) {
    if (!found[i]) return InvalidField(field, fmt::format("{} does not exist", names[i]));
  }
  return absl::OkStatus();
}

absl::Status DirectoryStore::Reindex() const {
  for (const auto& raw : {tenants.store.raw(), sites.store.raw(), users.store.raw(),
                          api_keys.store.raw(), assets.store.raw(), sources.store.raw()}) {
    YAGURA_RETURN_IF_ERROR(raw->Reindex());
  }
  return absl::OkStatus();
}

}  // namespace yagura::directory
