#pragma once

#include <string>

#include "common/rpc/call.h"
#include "common/store/projection.h"
#include "common/store/store.h"

namespace yagura::detection {

// The query of an AIP-132 list request.
template <typename Request>
store::ListQuery QueryOf(const Request& request, std::string_view default_order) {
  return {.parent = request.parent(),
          .filter = request.filter(),
          .order_by = request.order_by().empty() ? std::string(default_order) : request.order_by(),
          .page_size = request.page_size(),
          .page_token = request.page_token()};
}

inline store::TenantScope ScopeOf(const rpc::Call& call) {
  const auth::TenantSet set = call.scope();
  return {set.all, set.tenants};
}

}  // namespace yagura::detection
