#include "services/config/api/common.h"

#include "common/status/status.h"
#include "common/store/resource_name.h"

namespace yagura::config {

std::string ActorOf(const rpc::Call& call) {
  const auth::Principal& principal = call.principal();
  return principal.on_behalf_of.empty() ? principal.name : principal.on_behalf_of;
}

StatusOr<std::string> IdOrNew(std::string_view field, const std::string& id) {
  if (id.empty()) return store::NewUlid();
  if (!store::IsValidId(id)) {
    return InvalidField(field, "must be 1 to 63 lower-case letters, digits and inner hyphens");
  }
  return id;
}

}  // namespace yagura::config
