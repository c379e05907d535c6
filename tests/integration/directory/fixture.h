#pragma once

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "gtest/gtest.h"

#include "common/redis/pool.h"
#include "common/rpc/channels.h"
#include "common/rpc/server.h"
#include "common/store/change_feed.h"
#include "common/store/known_tenants.h"
#include "common/testing/redis_server.h"
#include "common/testing/status_matchers.h"
#include "common/text/text.h"
#include "services/directory/app.h"
#include "yagura/directory/v1/directory_service.grpc.pb.h"

namespace yagura::directory {

using absl::StatusCode;
using testing::IsOk;
using testing::StatusIs;
using Stub = v1::DirectoryService::Stub;

// The directory behind a real gRPC server, on a real Redis, asked as clients ask.
class DirectoryTest : public ::testing::Test {
 protected:
  DirectoryTest() {
    std::string folder = (std::filesystem::temp_directory_path() / "directory-XXXXXX").string();
    data_dir_ = mkdtemp(folder.data());
    settings_.password_operations = 1;
    settings_.password_memory_bytes = 1u << 20;
    settings_.throttle.per_user_and_address = 3;
  }
  ~DirectoryTest() override {
    StopServer();
    std::filesystem::remove_all(data_dir_);
  }

  void SetUp() override {
    StartServer();
    admin_ = Exchange(AdminSecret());
  }

  void StartServer() {
    rpc::Platform platform{.state = redis_.NewPool(),
                           .flow = redis_.NewPool(),
                           .feed = nullptr,
                           .clock = SystemClock(),
                           .metrics = std::make_shared<MetricsRegistry>(),
                           .channels = nullptr,
                           .verifier = std::make_shared<auth::TokenVerifier>(SystemClock()),
                           .data_dir = data_dir_,
                           .logger = Logger::ToFile((data_dir_ / "log").string())};
    platform.verifier->Trust("yagura-internal", internal_.key().public_key());
    feed_ = std::make_shared<store::FeedFollower>(platform.state, platform.logger);
    feed_->Start();
    platform.feed = feed_;
    platform.channels = std::make_shared<rpc::Channels>(
        "directory", std::map<std::string, std::string>{},
        std::make_shared<auth::TokenIssuer>(auth::SigningKey::Generate(), "yagura-internal",
                                            platform.clock));
    state_ = platform.state;
    platform.tenants = std::make_shared<store::KnownTenants>(platform.state);
    auto app = NewApp(settings_, platform);
    ASSERT_THAT(app, IsOk());
    std::vector<std::unique_ptr<rpc::App>> apps;
    apps.push_back(*std::move(app));
    rpc::ServerOptions options;
    options.address = "127.0.0.1:0";
    auto server = rpc::Server::Start(options, platform, std::move(apps));
    ASSERT_THAT(server, IsOk());
    server_ = *std::move(server);
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    stub_ = v1::DirectoryService::NewStub(
        grpc::CreateCustomChannel(fmt::format("127.0.0.1:{}", server_->port()),
                                  grpc::InsecureChannelCredentials(), arguments));
  }
  void StopServer() {
    stub_.reset();
    if (server_) server_->Stop();
    server_.reset();
    feed_.reset();
  }

  std::string AdminSecret() const {
    std::ifstream file(data_dir_ / "admin.key");
    std::string secret;
    std::getline(file, secret);
    return secret;
  }

  // The token of a service that acts by itself.
  std::string ServiceToken(const std::string& service) const {
    auth::Principal principal;
    principal.name = "services/" + service;
    principal.grants = {{"service", true, {}}};
    return internal_.Issue(principal, std::chrono::seconds(60));
  }

  // Calls as whoever `token` speaks for; empty: as nobody.
  template <typename Request, typename Response>
  absl::StatusOr<Response> CallAs(const std::string& token,
                                  grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                               Response*),
                                  const Request& request) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    if (!token.empty()) context.AddMetadata("authorization", "Bearer " + token);
    Response response;
    const grpc::Status status = (stub_.get()->*method)(&context, request, &response);
    if (!status.ok()) return rpc::FromGrpc(status);
    return response;
  }
  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                             Response*),
                                const Request& request) {
    return CallAs(admin_, method, request);
  }

  std::string Exchange(const std::string& secret) {
    v1::ExchangeApiKeyRequest request;
    request.set_secret(secret);
    const auto token = CallAs("", &Stub::ExchangeApiKey, request);
    EXPECT_THAT(token, IsOk());
    return token.ok() ? token->token() : "";
  }
  absl::StatusOr<v1::TokenResponse> Login(std::string_view tenant, std::string_view user,
                                          std::string_view password) {
    v1::LoginRequest request;
    request.set_tenant(std::string(tenant));
    request.set_user(std::string(user));
    request.set_password(std::string(password));
    return CallAs("", &Stub::Login, request);
  }

  void AddTenant(const std::string& id) {
    v1::CreateTenantRequest request;
    request.set_tenant_id(id);
    request.mutable_tenant()->set_display_name("Tenant " + id);
    ASSERT_THAT(Call(&Stub::CreateTenant, request), IsOk());
  }
  void AddSite(const std::string& tenant, const std::string& id) {
    v1::CreateSiteRequest request;
    request.set_parent("tenants/" + tenant);
    request.set_site_id(id);
    request.mutable_site()->set_display_name("Site " + id);
    ASSERT_THAT(Call(&Stub::CreateSite, request), IsOk());
  }
  absl::StatusOr<v1::Asset> AddAsset(const std::string& tenant, const std::string& id,
                                     const std::string& host, const std::string& site = "",
                                     const std::string& address = "") {
    v1::CreateAssetRequest request;
    request.set_parent("tenants/" + tenant);
    request.set_asset_id(id);
    request.mutable_asset()->set_host_name(host);
    if (!address.empty()) {
      auto& added = *request.mutable_asset()->add_addresses();
      added.set_site(site);
      added.set_address(address);
    }
    return Call(&Stub::CreateAsset, request);
  }
  // The key "relay" of a collector.
  auto AddRelayKey(const std::string& tenant) {
    v1::CreateApiKeyRequest request;
    request.set_parent("tenants/" + tenant);
    request.set_api_key_id("relay");
    request.mutable_api_key()->add_roles()->set_role("collector");
    return Call(&Stub::CreateApiKey, request);
  }
  // A user with a password; the token of its log-in.
  std::string AddUser(const std::string& tenant, const std::string& id, const std::string& role,
                      const std::vector<std::string>& tenants = {}) {
    v1::CreateUserRequest request;
    request.set_parent("tenants/" + tenant);
    request.set_user_id(id);
    request.mutable_user()->set_email(id + "@example.test");
    auto& grant = *request.mutable_user()->add_roles();
    grant.set_role(role);
    for (const auto& extended : tenants) grant.add_tenants(extended);
    EXPECT_THAT(Call(&Stub::CreateUser, request), IsOk());
    EXPECT_THAT(SetPassword(tenant, id, kPassword), IsOk());
    const auto token = Login(tenant, id, kPassword);
    EXPECT_THAT(token, IsOk());
    return token.ok() ? token->token() : "";
  }
  absl::Status SetPassword(const std::string& tenant, const std::string& user,
                           std::string_view password) {
    v1::SetPasswordRequest request;
    request.set_name(fmt::format("tenants/{}/users/{}", tenant, user));
    request.set_password(std::string(password));
    return Call(&Stub::SetPassword, request).status();
  }

  static constexpr const char* kPassword = "correct horse battery";
  testing::RedisServer redis_;
  Settings settings_;
  std::filesystem::path data_dir_;
  std::shared_ptr<redis::Pool> state_;
  std::shared_ptr<store::FeedFollower> feed_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<Stub> stub_;
  std::string admin_;
  const auth::TokenIssuer internal_{auth::SigningKey::Generate(), "yagura-internal", SystemClock()};
};

}  // namespace yagura::directory
