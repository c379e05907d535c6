#pragma once

#include <string>
#include <vector>

#include "common/rpc/service_registry.h"

namespace yagura::rpc {

// Answers grpc.reflection.v1alpha.ServerReflection, for grpcurl and the like, from the descriptors
// that the program links. `services` may be filled in until the server serves.
void RegisterReflection(ServiceRegistry& registry,
                        std::shared_ptr<const std::vector<std::string>> services);

}  // namespace yagura::rpc
