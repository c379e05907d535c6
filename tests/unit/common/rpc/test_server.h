#pragma once

#include <memory>
#include <string>
#include <vector>

#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"

#include "common/rpc/channels.h"
#include "common/rpc/server.h"
#include "tests/unit/common/rpc/echo_app.h"
#include "yagura/testing/v1/echo_service.grpc.pb.h"

namespace yagura::rpc {

// A clock that stands still until told otherwise.
class TestClock final : public Clock {
 public:
  TimePoint Now() const override { return TimePoint(std::chrono::nanoseconds(now_.load())); }
  SteadyTime SteadyNow() const override {
    return SteadyTime(std::chrono::nanoseconds(now_.load()));
  }
  void Advance(std::chrono::nanoseconds by) { now_ += by.count(); }

 private:
  std::atomic<int64_t> now_{1'800'000'000'000'000'000};
};

// A server with an EchoApp on a free port, and what is needed to call it.
class TestServer {
 public:
  explicit TestServer(const ServerOptions& options = {}, std::shared_ptr<const Clock> clock = {});
  ~TestServer();

  // Starts with the given apps; the EchoApp alone where there are none.
  absl::Status Start(std::vector<std::unique_ptr<App>> apps = {});

  std::shared_ptr<grpc::Channel> NewChannel() const;
  std::unique_ptr<testing::v1::EchoService::Stub> stub() const {
    return testing::v1::EchoService::NewStub(NewChannel());
  }
  std::string Token(const auth::Principal& principal,
                    std::chrono::seconds lifetime = std::chrono::hours(1)) const;
  // A person with one role in the given tenants; "*" is all.
  std::string Token(const std::string& role, const std::vector<std::string>& tenants,
                    const std::string& name = "tenants/acme/users/alice") const;
  void Authorize(grpc::ClientContext& context, const std::string& token) const {
    context.AddMetadata("authorization", "Bearer " + token);
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  }
  // GetEcho on behalf of an engineer of acme.
  absl::StatusOr<testing::v1::EchoResponse> Get(const std::string& text) const;
  absl::StatusOr<testing::v1::EchoResponse> GetAs(const std::string& token,
                                                  const testing::v1::EchoRequest& request) const;
  double Metric(const std::string& name, const std::map<std::string, std::string>& labels = {});

  ServerOptions options;
  Platform platform;
  std::shared_ptr<auth::TokenIssuer> issuer;
  std::shared_ptr<auth::TokenIssuer> internal;
  std::shared_ptr<EchoProbe> probe = std::make_shared<EchoProbe>();
  std::unique_ptr<Server> server;
};

testing::v1::EchoRequest Request(const std::string& name, const std::string& text = "hi");

}  // namespace yagura::rpc
