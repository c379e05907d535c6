#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "common/rpc/call.h"
#include "common/store/projection.h"
#include "common/store/store.h"

namespace yagura::config {

// Who is behind a call: the person where a service calls for one.
std::string ActorOf(const rpc::Call& call);

// `id`, or a new ULID where it is empty. INVALID_ARGUMENT for `field`.
absl::StatusOr<std::string> IdOrNew(std::string_view field, const std::string& id);

// ABORTED (ETAG_MISMATCH) where an etag is given and is not the current one.
absl::Status CheckEtag(std::string_view given, std::string_view current);

template <typename Request>
store::ListQuery QueryOf(const Request& request) {
  store::ListQuery query;
  query.parent = request.parent();
  query.filter = request.filter();
  query.order_by = request.order_by();
  query.page_size = request.page_size();
  query.page_token = request.page_token();
  return query;
}

// One tenant's resources from the store, those of many from the projection.
template <typename M>
absl::StatusOr<store::Page<M>> ListOf(const rpc::Call& call, const store::Store<M>& kept,
                                      const store::Projection<M>& all,
                                      const store::ListQuery& query) {
  if (!call.all_tenants()) return kept.List(query);
  const auth::TenantSet scope = call.scope();
  return all.List(query, {.all = scope.all, .tenants = scope.tenants});
}

}  // namespace yagura::config
