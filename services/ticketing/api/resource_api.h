#pragma once

#include <memory>
#include <string>

#include "common/rpc/call.h"
#include "common/status/status.h"
#include "common/store/projection.h"
#include "common/store/store.h"

// What every handler does alike.
namespace yagura::ticketing {

inline store::TenantScope ScopeOf(const rpc::Call& call) {
  auth::TenantSet set = call.scope();
  store::TenantScope scope;
  scope.all = set.all;
  scope.tenants = std::move(set.tenants);
  return scope;
}

// A page of one tenant from the store, of all tenants from the projection.
template <typename M, typename Request>
absl::StatusOr<store::Page<M>> ListPage(const rpc::Call& call, const Request& request,
                                        const char* default_order, const store::Store<M>& store,
                                        const store::Projection<M>& projection) {
  store::ListQuery query;
  query.parent = request.parent();
  query.filter = request.filter();
  query.order_by = request.order_by().empty() ? default_order : request.order_by();
  query.page_size = request.page_size();
  query.page_token = request.page_token();
  if (call.all_tenants()) return projection.List(query, ScopeOf(call));
  return store.List(query);
}

// For use inside Store::Mutate, where `message` is the current one.
template <typename M>
absl::Status CheckEtag(const std::string& etag, const M& message) {
  if (etag.empty() || etag == message.etag()) return absl::OkStatus();
  return MakeError(absl::StatusCode::kAborted, "ETAG_MISMATCH",
                   message.name() + " has changed since it was read",
                   {{"resource", message.name()}, {"etag", message.etag()}});
}

}  // namespace yagura::ticketing
