#pragma once

#include <memory>

#include "absl/status/statusor.h"

#include "common/rpc/channels.h"
#include "common/rpc/server.h"

namespace grpc {
class ChannelCredentials;
class ServerCredentials;
}  // namespace grpc

namespace yagura::rpc {

// Insecure, TLS or mTLS, as the options say. INVALID_ARGUMENT where a file cannot be read or only
// one of key and certificate is given.
absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> ServerCredentialsOf(
    const ServerOptions& options);
absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> ChannelCredentialsOf(
    const ChannelTls& tls);

}  // namespace yagura::rpc
