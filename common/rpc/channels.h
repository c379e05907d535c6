#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "common/auth/token.h"
#include "common/rpc/call.h"

namespace grpc {
class Channel;
class ClientContext;
class Status;
}  // namespace grpc

namespace yagura::rpc {

// Between hosts. Empty ca_file: no TLS.
struct ChannelTls {
  std::string ca_file;
  std::string certificate_file;  // shown to servers that ask for one (mTLS)
  std::string key_file;
};

// Ways to the other services, and the credentials to use them: a 60-second token {service, on
// behalf of, tenants}. Thread-safe.
class Channels {
 public:
  // `addresses`: service name -> "dns:///host:port", "unix:path"; "*" for any other service.
  Channels(std::string service, std::map<std::string, std::string> addresses,
           std::shared_ptr<auth::TokenIssuer> internal_issuer);
  ~Channels();
  // For channels made from now on. INVALID_ARGUMENT where a file cannot be read.
  absl::Status UseTls(const ChannelTls& tls);

  // Round robin, keep-alive, retries of UNAVAILABLE with a budget; made once a service.
  std::shared_ptr<grpc::Channel> Get(std::string_view service);
  // Replaces the address of a service; "*" for any other. For ports that are known only later.
  void SetAddress(std::string_view service, std::string address);

  // Deadline, cancellation and rights of `call` (no more than its tenant's), whose principal stays
  // on record as on_behalf_of. `context` is good for one call, as ever.
  void Prepare(grpc::ClientContext& context, const Call& call) const;
  // For a worker: the service acts by itself, in one tenant, or in all of them with "-".
  void PrepareAs(grpc::ClientContext& context, std::string_view tenant,
                 std::chrono::milliseconds timeout) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Keeps code, message and details (ErrorInfo, BadRequest, RetryInfo).
absl::Status FromGrpc(const grpc::Status& status);
grpc::Status ToGrpc(const absl::Status& status);

}  // namespace yagura::rpc
