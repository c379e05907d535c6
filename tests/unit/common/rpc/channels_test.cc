#include "common/rpc/channels.h"

#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/status/status.h"
#include "common/testing/call_builder.h"
#include "tests/unit/common/rpc/test_server.h"

namespace yagura::rpc {
namespace {

using testing::v1::EchoResponse;
using testing::v1::EchoService;

class ChannelsTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(server.Start().ok()); }

  absl::StatusOr<EchoResponse> GetFor(const Call& call, const std::string& name,
                                      const std::string& text = "hi") {
    grpc::ClientContext context;
    server.platform.channels->Prepare(context, call);
    EchoResponse response;
    const auto status = EchoService::NewStub(server.platform.channels->Get("echo"))
                            ->GetEcho(&context, Request(name, text), &response);
    if (!status.ok()) return FromGrpc(status);
    return response;
  }

  TestServer server;
};

TEST_F(ChannelsTest, ACallOnBehalfOfSomebodyHasTheirRightsInThatTenantAlone) {
  const Call call = testing::CallBuilder("ticketing.tickets.get")
                        .Tenant("acme")
                        .Name("tenants/acme/users/bob")
                        .Role("viewer", {"acme", "globex"})
                        .Build();
  const auto response = GetFor(call, "tenants/acme/echoes/e");
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->principal(), "services/echo");
  EXPECT_EQ(response->on_behalf_of(), "tenants/acme/users/bob");
  EXPECT_TRUE(response->has_deadline());
  EXPECT_EQ(GetFor(call, "tenants/globex/echoes/e").status().code(),
            absl::StatusCode::kPermissionDenied);
}

TEST_F(ChannelsTest, AServiceByItselfActsInOneTenantOrInAll) {
  const auto get = [&](std::string_view tenant, const std::string& name) {
    grpc::ClientContext context;
    server.platform.channels->PrepareAs(context, tenant, std::chrono::seconds(5));
    EchoResponse response;
    return EchoService::NewStub(server.platform.channels->Get("echo"))
        ->GetEcho(&context, Request(name), &response)
        .error_code();
  };
  EXPECT_EQ(get("acme", "tenants/acme/echoes/e"), grpc::StatusCode::OK);
  EXPECT_EQ(get("acme", "tenants/globex/echoes/e"), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(get("-", "tenants/globex/echoes/e"), grpc::StatusCode::OK);
}

TEST_F(ChannelsTest, TheDeadlineOfTheCallGoesAlong) {
  const Call call = testing::CallBuilder("ticketing.tickets.get")
                        .Deadline(std::chrono::steady_clock::now() + std::chrono::milliseconds(150))
                        .Build();
  EXPECT_EQ(GetFor(call, "tenants/acme/echoes/e", "wait").status().code(),
            absl::StatusCode::kDeadlineExceeded);
}

TEST_F(ChannelsTest, CancellingTheCallCancelsWhatItCalled) {
  std::stop_source stop;
  const Call call =
      testing::CallBuilder("ticketing.tickets.get").Cancelled(stop.get_token()).Build();
  std::thread canceller([&] {
    ASSERT_TRUE(server.probe->gate.WaitFor(1));
    stop.request_stop();
  });
  EXPECT_EQ(GetFor(call, "tenants/acme/echoes/e", "wait").status().code(),
            absl::StatusCode::kCancelled);
  canceller.join();
  EXPECT_TRUE(Eventually([&] { return server.probe->cancelled == 1; }));
  EXPECT_EQ(GetFor(call, "tenants/acme/echoes/e").status().code(), absl::StatusCode::kCancelled)
      << "cancelled before it began";
}

TEST_F(ChannelsTest, AServiceThatIsAwayIsUnavailable) {
  Channels channels("echo", {}, server.internal);
  grpc::ClientContext context;
  channels.PrepareAs(context, "acme", std::chrono::seconds(5));
  EchoResponse response;
  EXPECT_EQ(EchoService::NewStub(channels.Get("nowhere"))
                ->GetEcho(&context, Request("tenants/acme/echoes/e"), &response)
                .error_code(),
            grpc::StatusCode::UNAVAILABLE);
}

TEST_F(ChannelsTest, UnavailableIsTriedAgain) {
  std::atomic<int> tries{0};
  server.probe->hook = [&](const Call&) -> absl::StatusOr<EchoResponse> {
    if (++tries < 3) return Unavailable("REDIS_UNREACHABLE", "for a moment");
    return EchoResponse();
  };
  const Call call = testing::CallBuilder("ticketing.tickets.get").Build();
  EXPECT_TRUE(GetFor(call, "tenants/acme/echoes/e", "hook").ok());
  EXPECT_EQ(tries, 3);
  tries = -100;
  EXPECT_EQ(GetFor(call, "tenants/acme/echoes/e", "hook").status().code(),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ(tries, -95) << "five attempts at most";
}

// Serves one method by calling the other App, which calls back: as services of one process do.
class ForwardApp final : public App {
 public:
  ForwardApp(std::string name, const Platform& platform)
      : name_(std::move(name)), platform_(platform) {}
  std::string_view name() const override { return name_; }
  void Register(ServiceRegistry& registry) override {
    using testing::v1::EchoRequest;
    registry.Unary<EchoRequest, EchoResponse>(
        "/yagura.testing.v1.ForwardService/GetForwarded",
        [this](const Call& call, const EchoRequest& request) -> absl::StatusOr<EchoResponse> {
          grpc::ClientContext context;
          platform_.channels->Prepare(context, call);
          EchoResponse response;
          const auto status = EchoService::NewStub(platform_.channels->Get("echo"))
                                  ->GetEcho(&context, request, &response);
          if (!status.ok()) return FromGrpc(status);
          return response;
        });
  }
  absl::Status Start() override { return absl::OkStatus(); }
  void Stop() override {}

 private:
  const std::string name_;
  const Platform platform_;
};

TEST(TwoApps, CallEachOtherFortyWaysWithoutWaitingForEachOthersThreads) {
  ServerOptions options;
  options.threads_per_app = 2;
  TestServer server(options);
  std::vector<std::unique_ptr<App>> apps;
  apps.push_back(std::make_unique<EchoApp>(server.probe));
  apps.push_back(std::make_unique<ForwardApp>("forward", server.platform));
  ASSERT_TRUE(server.Start(std::move(apps)).ok());
  const auto stub = testing::v1::ForwardService::NewStub(server.NewChannel());
  std::vector<std::thread> callers;
  std::atomic<int> good{0};
  for (int i = 0; i < 40; ++i) {
    callers.emplace_back([&] {
      grpc::ClientContext context;
      server.Authorize(context, server.Token("engineer", {"acme"}));
      EchoResponse response;
      const auto status = stub->GetForwarded(&context, Request("tenants/acme/echoes/e"), &response);
      good += status.ok() && response.on_behalf_of() == "tenants/acme/users/alice" ? 1 : 0;
    });
  }
  for (auto& caller : callers) caller.join();
  EXPECT_EQ(good, 40);
}

}  // namespace
}  // namespace yagura::rpc
