#include "tests/unit/common/rpc/test_server.h"

namespace yagura::rpc {

TestServer::TestServer(const ServerOptions& options_in, std::shared_ptr<const Clock> clock)
    : options(options_in) {
  options.address = "127.0.0.1:0";
  platform.clock = clock ? std::move(clock) : SystemClock();
  platform.metrics = std::make_shared<MetricsRegistry>();
  platform.verifier = std::make_shared<auth::TokenVerifier>(platform.clock);
  platform.logger = Logger::Null();
  issuer =
      std::make_shared<auth::TokenIssuer>(auth::SigningKey::Generate(), "yagura", platform.clock);
  internal = std::make_shared<auth::TokenIssuer>(auth::SigningKey::Generate(), "yagura-internal",
                                                 platform.clock);
  platform.verifier->Trust("yagura", issuer->key().public_key());
  platform.verifier->Trust("yagura-internal", internal->key().public_key());
  platform.channels =
      std::make_shared<Channels>("echo", std::map<std::string, std::string>{}, internal);
}

TestServer::~TestServer() {
  probe->gate.Open();
  if (server) server->Stop();
}

absl::Status TestServer::Start(std::vector<std::unique_ptr<App>> apps) {
  if (apps.empty()) apps.push_back(std::make_unique<EchoApp>(probe));
  auto started = Server::Start(options, platform, std::move(apps));
  if (!started.ok()) return started.status();
  server = *std::move(started);
  platform.channels->SetAddress("*", "dns:///127.0.0.1:" + std::to_string(server->port()));
  return absl::OkStatus();
}

std::shared_ptr<grpc::Channel> TestServer::NewChannel() const {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetMaxReceiveMessageSize(-1);
  return grpc::CreateCustomChannel("127.0.0.1:" + std::to_string(server->port()),
                                   grpc::InsecureChannelCredentials(), arguments);
}

std::string TestServer::Token(const auth::Principal& principal,
                              std::chrono::seconds lifetime) const {
  return issuer->Issue(principal, lifetime);
}

std::string TestServer::Token(const std::string& role, const std::vector<std::string>& tenants,
                              const std::string& name) const {
  auth::Principal principal;
  principal.name = name;
  auth::Grant grant{role, false, {}};
  for (const std::string& tenant : tenants) {
    if (tenant == "*") {
      grant.all_tenants = true;
    } else {
      grant.tenants.insert(tenant);
    }
  }
  principal.grants.push_back(grant);
  return Token(principal);
}

absl::StatusOr<testing::v1::EchoResponse> TestServer::GetAs(
    const std::string& token, const testing::v1::EchoRequest& request) const {
  grpc::ClientContext context;
  Authorize(context, token);
  testing::v1::EchoResponse response;
  const grpc::Status status = stub()->GetEcho(&context, request, &response);
  if (!status.ok()) return FromGrpc(status);
  return response;
}

absl::StatusOr<testing::v1::EchoResponse> TestServer::Get(const std::string& text) const {
  return GetAs(Token("engineer", {"acme"}), Request("tenants/acme/echoes/e", text));
}

double TestServer::Metric(const std::string& name,
                          const std::map<std::string, std::string>& labels) {
  return platform.metrics->GetCounter(name, "", labels)->Value();
}

testing::v1::EchoRequest Request(const std::string& name, const std::string& text) {
  testing::v1::EchoRequest request;
  request.set_name(name);
  request.set_text(text);
  return request;
}

}  // namespace yagura::rpc
