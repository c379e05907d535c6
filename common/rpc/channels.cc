#include "common/rpc/channels.h"

#include <grpc/grpc.h>

#include <optional>
#include <utility>

#include "fmt/format.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"

#include "common/rpc/credentials.h"
#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::rpc {
namespace {

using std::chrono::steady_clock;

constexpr std::chrono::seconds kTokenLifetime{60};
constexpr std::chrono::seconds kTokenReuse{20};  // leaves 40 s for the call itself
constexpr size_t kMaxTokens = 1024;
constexpr int kMaxMessageBytes = 16 << 20;

// Retries of UNAVAILABLE alone, at most five attempts, and none at all while most calls fail.
constexpr const char* kServiceConfig = R"({
  "loadBalancingConfig": [{"round_robin": {}}],
  "methodConfig": [{
    "name": [{}],
    "retryPolicy": {
      "maxAttempts": 5, "initialBackoff": "0.05s", "maxBackoff": "1s", "backoffMultiplier": 2,
      "retryableStatusCodes": ["UNAVAILABLE"]
    }
  }],
  "retryThrottling": {"maxTokens": 100, "tokenRatio": 0.1}
})";

grpc::ChannelArguments Arguments() {
  grpc::ChannelArguments arguments;
  arguments.SetServiceConfigJSON(kServiceConfig);
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  arguments.SetMaxSendMessageSize(kMaxMessageBytes);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_MAX_METADATA_SIZE, 16 << 10);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2'000);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1'000);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);  // never by way of the environment's proxy
  return arguments;
}

// Cancels the call when the token says so. gRPC has no hook for that, but it lets call credentials,
// which belong to the ClientContext, see the call when it begins.
class CancelWith final : public grpc::CallCredentials {
 public:
  explicit CancelWith(std::stop_token token) : token_(std::move(token)) {}
  ~CancelWith() override {
    callback_.reset();
    if (call_ != nullptr) grpc_call_unref(call_);
  }
  bool ApplyToCall(grpc_call* call) override {
    if (call_ != nullptr) return false;
    call_ = call;
    grpc_call_ref(call_);
    callback_.emplace(token_, Cancel{call_});
    return true;
  }

 private:
  struct Cancel {
    grpc_call* call;
    void operator()() const { grpc_call_cancel(call, nullptr); }
  };
  grpc::SecureCallCredentials* AsSecureCredentials() override { return nullptr; }

  const std::stop_token token_;
  grpc_call* call_ = nullptr;
  std::optional<std::stop_callback<Cancel>> callback_;
};

void SetToken(grpc::ClientContext& context, const std::string& token) {
  context.AddMetadata("authorization", "Bearer " + token);
}

// What of the principal's rights concerns the call.
std::vector<auth::Grant> Narrowed(const Call& call) {
  std::vector<auth::Grant> grants;
  for (const auth::Grant& grant : call.principal().grants) {
    if (call.all_tenants()) {
      grants.push_back(grant);
    } else if (!call.tenant().empty() && grant.Covers(call.tenant())) {
      grants.push_back({grant.role, false, {call.tenant()}});
    }
  }
  return grants;
}

}  // namespace

struct Channels::Impl {
  struct Token {
    std::string text;
    SteadyTime until;
  };
  std::string service;
  std::shared_ptr<auth::TokenIssuer> issuer;
  std::mutex mutex;
  std::map<std::string, std::string> addresses;
  std::map<std::string, std::shared_ptr<grpc::Channel>> channels;  // by address
  std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::InsecureChannelCredentials();
  StringMap<Token> tokens;  // of the service by itself, by tenant
};

Channels::Channels(std::string service, std::map<std::string, std::string> addresses,
                   std::shared_ptr<auth::TokenIssuer> internal_issuer)
    : impl_(std::make_unique<Impl>()) {
  impl_->service = std::move(service);
  impl_->addresses = std::move(addresses);
  impl_->issuer = std::move(internal_issuer);
}

Channels::~Channels() = default;

absl::Status Channels::UseTls(const ChannelTls& tls) {
  YAGURA_ASSIGN_OR_RETURN(auto credentials, ChannelCredentialsOf(tls));
  const std::lock_guard lock(impl_->mutex);
  impl_->credentials = std::move(credentials);
  impl_->channels.clear();
  return absl::OkStatus();
}

std::shared_ptr<grpc::Channel> Channels::Get(std::string_view service) {
  const std::lock_guard lock(impl_->mutex);
  auto address = impl_->addresses.find(std::string(service));
  if (address == impl_->addresses.end()) address = impl_->addresses.find("*");
  // An address that is not known is a channel that answers UNAVAILABLE, as one that is down.
  const std::string target =
      address == impl_->addresses.end() ? "unix:/nonexistent/yagura" : address->second;
  auto& channel = impl_->channels[target];
  if (!channel) channel = grpc::CreateCustomChannel(target, impl_->credentials, Arguments());
  return channel;
}

void Channels::SetAddress(std::string_view service, std::string address) {
  const std::lock_guard lock(impl_->mutex);
  impl_->addresses[std::string(service)] = std::move(address);
}

void Channels::Prepare(grpc::ClientContext& context, const Call& call) const {
  auth::Principal principal;
  principal.name = fmt::format("services/{}", impl_->service);
  const auth::Principal& caller = call.principal();
  principal.on_behalf_of = caller.on_behalf_of.empty() ? caller.name : caller.on_behalf_of;
  principal.grants = Narrowed(call);
  SetToken(context, impl_->issuer->Issue(principal, kTokenLifetime));
  if (call.deadline() != SteadyTime::max()) {
    context.set_deadline(std::chrono::system_clock::now() +
                         std::chrono::duration_cast<std::chrono::system_clock::duration>(
                             call.deadline() - steady_clock::now()));
  }
  if (call.cancelled().stop_possible()) {
    context.set_credentials(std::make_shared<CancelWith>(call.cancelled()));
  }
}

void Channels::PrepareAs(grpc::ClientContext& context, std::string_view tenant,
                         std::chrono::milliseconds timeout) const {
  context.set_deadline(std::chrono::system_clock::now() + timeout);
  const SteadyTime now = steady_clock::now();
  {
    const std::lock_guard lock(impl_->mutex);
    const auto found = impl_->tokens.find(tenant);
    if (found != impl_->tokens.end() && now < found->second.until) {
      SetToken(context, found->second.text);
      return;
    }
  }
  auth::Principal principal;
  principal.name = fmt::format("services/{}", impl_->service);
  principal.grants = {tenant == "-" ? auth::Grant{"service", true, {}}
                                    : auth::Grant{"service", false, {std::string(tenant)}}};
  std::string token = impl_->issuer->Issue(principal, kTokenLifetime);
  SetToken(context, token);
  const std::lock_guard lock(impl_->mutex);
  if (impl_->tokens.size() >= kMaxTokens) impl_->tokens.clear();
  impl_->tokens[std::string(tenant)] = {std::move(token), now + kTokenReuse};
}

}  // namespace yagura::rpc
