#include <thread>

#include "gmock/gmock.h"
#include "grpcpp/generic/generic_stub.h"
#include "gtest/gtest.h"

#include "common/status/status.h"
#include "grpc/reflection/v1alpha/reflection.pb.h"
#include "tests/unit/common/rpc/grpc_raw.h"
#include "tests/unit/common/rpc/test_server.h"

namespace yagura::rpc {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using ::testing::ElementsAre;
using testing::v1::EchoResponse;

TEST(ServerStop, CallsInProgressFinishAndAppsStopLastInReverseOrder) {
  TestServer server;
  std::vector<std::unique_ptr<App>> apps;
  apps.push_back(std::make_unique<EchoApp>(server.probe, "first"));
  struct Quiet final : App {
    explicit Quiet(std::shared_ptr<EchoProbe> p) : probe(std::move(p)) {}
    std::string_view name() const override { return "second"; }
    void Register(ServiceRegistry&) override {}
    absl::Status Start() override {
      probe->Lived("start second");
      return absl::OkStatus();
    }
    void Stop() override { probe->Lived("stop second"); }
    std::shared_ptr<EchoProbe> probe;
  };
  apps.push_back(std::make_unique<Quiet>(server.probe));
  ASSERT_TRUE(server.Start(std::move(apps)).ok());
  absl::StatusOr<EchoResponse> answer = absl::UnknownError("");
  std::thread caller([&] { answer = server.Get("wait"); });
  ASSERT_TRUE(server.probe->gate.WaitFor(1));
  std::thread stopper([&] { server.server->Stop(); });
  // New calls are refused while the old one goes on.
  ASSERT_TRUE(Eventually([&] {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(1));
    EchoResponse response;
    return !server.stub()->Hello(&context, Request("x"), &response).ok();
  }));
  server.probe->gate.Open();
  caller.join();
  stopper.join();
  EXPECT_TRUE(answer.ok()) << answer.status();
  EXPECT_THAT(server.probe->life,
              ElementsAre("start first", "start second", "stop second", "stop first"));
}

TEST(ServerStop, CallsThatDoNotFinishAreCancelledAfterTheDrain) {
  ServerOptions options;
  options.drain = milliseconds(200);
  TestServer server(options);
  ASSERT_TRUE(server.Start().ok());
  absl::StatusOr<EchoResponse> answer = absl::UnknownError("");
  std::thread caller([&] { answer = server.Get("wait"); });
  ASSERT_TRUE(server.probe->gate.WaitFor(1));
  std::thread stopper([&] { server.server->Stop(); });
  caller.join();
  EXPECT_FALSE(answer.ok());
  EXPECT_TRUE(Eventually([&] { return server.probe->cancelled == 1; })) << "the handler is told";
  server.probe->gate.Open();
  stopper.join();
}

TEST(ServerStop, WatchesEndAtOnceWithAReasonToComeBack) {
  ServerOptions options;
  options.drain = std::chrono::seconds(30);
  TestServer server(options);
  ASSERT_TRUE(server.Start().ok());
  grpc::ClientContext context;
  server.Authorize(context, server.Token("engineer", {"acme"}));
  auto stub = server.stub();
  auto reader = stub->WatchEchoes(&context, Request("tenants/acme/echoes/e"));
  ASSERT_TRUE(Eventually([&] { return server.probe->watchers == 1; }));
  const auto begun = steady_clock::now();
  server.server->Stop();
  EXPECT_LT(steady_clock::now() - begun, std::chrono::seconds(10));
  EchoResponse response;
  EXPECT_FALSE(reader->Read(&response));
  EXPECT_EQ(ErrorReason(FromGrpc(reader->Finish())), "SERVER_STOPPING");
  EXPECT_EQ(server.probe->watchers, 0);
  server.server->Stop();
}

// grpc.health.v1.HealthCheckRequest and Response are one field each: written by hand, so that the
// contract of somebody else need not be carried along.
int HealthOf(int port, const std::string& service) {
  std::string request;
  if (!service.empty()) request = "\x0a" + std::string(1, char(service.size())) + service;
  const auto answer = CallRaw(port, "/grpc.health.v1.Health/Check", request);
  if (!answer.ok()) return -static_cast<int>(answer.status().code());
  return answer->size() == 2 ? (*answer)[1] : 0;
}

constexpr int kServing = 1;
constexpr int kNotServing = 2;

TEST(ServerHealth, TellsOfEveryPartOnBothPorts) {
  ServerOptions options;
  options.health_address = "127.0.0.1:0";
  TestServer server(options);
  ASSERT_TRUE(server.Start().ok());
  for (int port : {server.server->port(), server.server->health_port()}) {
    for (const char* name : {"", "echo", "echo/voice", "echo/ears"}) {
      EXPECT_EQ(HealthOf(port, name), kServing) << name;
    }
    EXPECT_EQ(HealthOf(port, "no such part"), -static_cast<int>(absl::StatusCode::kNotFound));
  }
  server.probe->well = false;
  ASSERT_TRUE(Eventually(
      [&] { return HealthOf(server.server->health_port(), "echo/voice") == kNotServing; }));
  EXPECT_EQ(HealthOf(server.server->port(), "echo"), kNotServing);
  EXPECT_EQ(HealthOf(server.server->port(), "echo/ears"), kServing);
  EXPECT_EQ(HealthOf(server.server->port(), ""), kServing);
}

TEST(ServerHealth, TheSecondPortOffersNothingElse) {
  ServerOptions options;
  options.health_address = "127.0.0.1:0";
  TestServer server(options);
  ASSERT_TRUE(server.Start().ok());
  const auto answer =
      CallRaw(server.server->health_port(), "/yagura.testing.v1.EchoService/Hello", "");
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kUnimplemented);
}

TEST(ServerReflection, ListsServicesAndDescribesThemWhereItIsOn) {
  using grpc::reflection::v1alpha::ServerReflectionRequest;
  using grpc::reflection::v1alpha::ServerReflectionResponse;
  const std::string method = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
  ServerReflectionRequest list;
  list.set_list_services("");
  {
    TestServer closed;
    ASSERT_TRUE(closed.Start().ok());
    EXPECT_EQ(CallRaw(closed.server->port(), method, list.SerializeAsString()).status().code(),
              absl::StatusCode::kUnimplemented);
  }
  ServerOptions options;
  options.reflection = true;
  TestServer server(options);
  ASSERT_TRUE(server.Start().ok());
  const auto ask = [&](const ServerReflectionRequest& request) {
    const auto answer = CallRaw(server.server->port(), method, request.SerializeAsString());
    EXPECT_TRUE(answer.ok()) << answer.status();
    ServerReflectionResponse response;
    EXPECT_TRUE(response.ParseFromString(answer.value_or("")));
    return response;
  };
  const auto listed = ask(list);
  std::vector<std::string> names;
  for (const auto& s : listed.list_services_response().service()) names.push_back(s.name());
  EXPECT_THAT(names, ElementsAre("grpc.reflection.v1alpha.ServerReflection",
                                 "yagura.testing.v1.EchoService", "grpc.health.v1.Health"));
  ServerReflectionRequest symbol;
  symbol.set_file_containing_symbol("yagura.testing.v1.EchoService");
  EXPECT_GE(ask(symbol).file_descriptor_response().file_descriptor_proto_size(), 3);
  symbol.set_file_containing_symbol("no.such.Thing");
  EXPECT_EQ(ask(symbol).error_response().error_code(), 5);
  ServerReflectionRequest extension;
  extension.mutable_file_containing_extension()->set_containing_type(
      "google.protobuf.MethodOptions");
  extension.mutable_file_containing_extension()->set_extension_number(51001);
  EXPECT_GE(ask(extension).file_descriptor_response().file_descriptor_proto_size(), 1);
}

}  // namespace
}  // namespace yagura::rpc
