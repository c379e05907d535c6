#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "common/rpc/call.h"
#include "common/store/projection.h"
#include "common/store/store.h"

// What the standard methods (AIP-131 to 135) of all services do alike.
namespace yagura::rpc {

// The tenants that a list over many of them may show.
store::TenantScope ScopeOf(const Call& call);

// The query of a list request.
template <typename Request>
store::ListQuery QueryOf(const Request& request, std::string_view default_order = "") {
  return {.parent = request.parent(),
          .filter = request.filter(),
          .order_by = request.order_by().empty() ? std::string(default_order) : request.order_by(),
          .page_size = request.page_size(),
          .page_token = request.page_token()};
}

// A page of one tenant from the store, of all tenants from the projection.
template <typename M>
absl::StatusOr<store::Page<M>> ListPage(const Call& call, const store::ListQuery& query,
                                        const store::Store<M>& store,
                                        const store::Projection<M>& projection) {
  if (call.all_tenants()) return projection.List(query, ScopeOf(call));
  return store.List(query);
}

template <typename M, typename Request>
absl::StatusOr<store::Page<M>> ListPage(const Call& call, const Request& request,
                                        std::string_view default_order,
                                        const store::Store<M>& store,
                                        const store::Projection<M>& projection) {
  return ListPage(call, QueryOf(request, default_order), store, projection);
}

// ABORTED (ETAG_MISMATCH, with "resource" and the current "etag") where `wanted` is set and is not
// the current one.
absl::Status CheckEtag(std::string_view name, std::string_view wanted, std::string_view current);

// For use inside Store::Mutate, where `message` is the current one.
template <typename M>
absl::Status CheckEtag(std::string_view wanted, const M& message) {
  return CheckEtag(message.name(), wanted, message.etag());
}

}  // namespace yagura::rpc
