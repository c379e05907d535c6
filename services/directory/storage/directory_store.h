#pragma once

#include <memory>
#include <set>
#include <string>

#include "common/store/projection.h"
#include "common/store/store.h"
#include "yagura/directory/internal/v1/secret.pb.h"
#include "yagura/directory/v1/api_key.pb.h"
#include "yagura/directory/v1/asset.pb.h"
#include "yagura/directory/v1/site.pb.h"
#include "yagura/directory/v1/source.pb.h"
#include "yagura/directory/v1/tenant.pb.h"
#include "yagura/directory/v1/user.pb.h"

namespace yagura::directory {

// One kind of resource: in Redis, and over all tenants in memory.
template <typename M>
struct Collection {
  Collection(const std::shared_ptr<redis::Pool>& state, store::Kind kind,
             const std::shared_ptr<const Clock>& clock,
             const std::shared_ptr<store::FeedFollower>& feed)
      : store(state, std::move(kind), clock), everywhere(store, feed) {}
  store::Store<M> store;
  store::Projection<M> everywhere;
};

// All that the directory keeps. Thread-safe.
struct DirectoryStore {
  DirectoryStore(const std::shared_ptr<redis::Pool>& state,
                 const std::shared_ptr<store::FeedFollower>& feed,
                 const std::shared_ptr<const Clock>& clock);

  // INVALID_ARGUMENT naming `field` where one of the tenant's sites does not exist.
  absl::Status CheckSites(std::string_view tenant, const std::set<std::string>& sites,
                          std::string_view field) const;
  // Brings every index to this release's version.
  absl::Status Reindex() const;

  Collection<v1::Tenant> tenants;
  Collection<v1::Site> sites;
  Collection<v1::User> users;
  Collection<v1::ApiKey> api_keys;
  Collection<v1::Asset> assets;
  Collection<v1::Source> sources;
  // Beside the user or key of the same name; never in a list.
  store::Store<internal::v1::PasswordHash> passwords;
  store::Store<internal::v1::ApiKeyHash> key_hashes;
};

}  // namespace yagura::directory
