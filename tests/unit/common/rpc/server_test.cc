#include "common/rpc/server.h"

#include <future>
#include <thread>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "google/rpc/error_details.pb.h"
#include "grpcpp/generic/generic_stub.h"
#include "gtest/gtest.h"

#include "common/status/status.h"
#include "tests/unit/common/rpc/test_server.h"

namespace yagura::rpc {
namespace {

using ::testing::HasSubstr;
using testing::v1::CreateWorldRequest;
using testing::v1::EchoRequest;
using testing::v1::EchoResponse;
using testing::v1::ListEchoesRequest;
using testing::v1::UpdateEchoRequest;
using testing::v1::WhoAmIRequest;

TEST(Server, ListensNowhereElseThanAsked) {
  for (const char* address : {"127.0.0.1:99999", "127.0.0.1:http", "127.0.0.1:"}) {
    for (const bool is_health : {false, true}) {
      TestServer test;
      (is_health ? test.options.health_address : test.options.address) = address;
      const auto status = test.Start();
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << address << ": " << status;
    }
  }
}

TEST(ServerUnary, AnswersWhoMayAsk) {
  TestServer server;
  ASSERT_TRUE(server.Start().ok());
  const auto response = server.Get("hello");
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->text(), "hello");
  EXPECT_EQ(response->tenant(), "acme");
  EXPECT_EQ(response->principal(), "tenants/acme/users/alice");
  EXPECT_TRUE(Eventually([&] {
    return server.Metric("yagura_rpc_calls_total",
                         {{"method", "/yagura.testing.v1.EchoService/GetEcho"}, {"code", "OK"}}) ==
           1;
  }));
}

TEST(ServerUnary, ErrorsKeepCodeReasonAndDetails) {
  TestServer server;
  ASSERT_TRUE(server.Start().ok());
  const absl::Status status = server.Get("error").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
  EXPECT_EQ(Message(status), "somebody else");
  EXPECT_EQ(ErrorReason(status), "ETAG_MISMATCH");
  EXPECT_EQ(GetErrorMetadata(status).at("etag"), "e2");
  const auto payload = status.GetPayload("type.googleapis.com/google.rpc.RetryInfo");
  ASSERT_TRUE(payload.has_value());
  google::rpc::RetryInfo retry;
  ASSERT_TRUE(retry.ParseFromString(std::string(*payload)));
  EXPECT_EQ(retry.retry_delay().nanos(), 500'000'000);
}

TEST(ServerUnary, AHandlerThatThrowsTellsTheCallerNothing) {
  TestServer server;
  ASSERT_TRUE(server.Start().ok());
  const absl::Status status = server.Get("throw").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_EQ(Message(status), "the service failed");
  EXPECT_TRUE(server.Get("still there").ok());
}

TEST(ServerUnary, WithoutAGoodTokenNothingIsServed) {
  TestServer server;
  ASSERT_TRUE(server.Start().ok());
  const auto request = Request("tenants/acme/echoes/e");
  const TestServer stranger;
  for (const std::string& token :
       {std::string("nonsense"), stranger.Token("admin", {"*"}), std::string()}) {
    EXPECT_EQ(server.GetAs(token, request).status().code(), absl::StatusCode::kUnauthenticated);
  }
  grpc::ClientContext context;
  EchoResponse response;
  const auto status = FromGrpc(server.stub()->GetEcho(&context, request, &response));
  EXPECT_EQ(ErrorReason(status), "TOKEN_MISSING");
  EXPECT_EQ(server.probe->calls, 0);
}

// The token with a signature that is not its own.
std::string Forged(std::string token) {
  token[token.size() - 10] = token[token.size() - 10] == 'A' ? 'B' : 'A';
  return token;
}

TEST(ServerUnary, AFloodOfBadTokensCostsFewChecksOfSignatures) {
  const auto clock = std::make_shared<TestClock>();
  TestServer server({}, clock);
  ASSERT_TRUE(server.Start().ok());
  const auto request = Request("tenants/acme/echoes/e");
  const std::string known = server.Token("engineer", {"acme"});
  ASSERT_TRUE(server.GetAs(known, request).ok());
  std::map<std::string, int> reasons;
  for (int i = 0; i < 300; ++i) {
    const auto token = Forged(server.Token("admin", {"*"}, fmt::format("tenants/a/users/{}", i)));
    ++reasons[std::string(ErrorReason(server.GetAs(token, request).status()))];
  }
  EXPECT_EQ(reasons["TOKEN_INVALID"], 40);
  EXPECT_EQ(reasons["TOO_MANY_BAD_TOKENS"], 260);
  EXPECT_EQ(server.Metric("yagura_rpc_token_checks_total"), 41);

  const std::string stranger = "tenants/acme/users/bob";
  const auto told = server.GetAs(server.Token("viewer", {"acme"}, stranger), request).status();
  EXPECT_TRUE(told.GetPayload("type.googleapis.com/google.rpc.RetryInfo").has_value());
  EXPECT_TRUE(server.GetAs(known, request).ok()) << "a token seen in the last minute goes on";
  auth::Principal service{"services/detection", {{"service", true, {}}}, "", {}};
  EXPECT_TRUE(server.GetAs(server.internal->Issue(service, std::chrono::seconds(60)), request).ok())
      << "services are counted by themselves";
  EXPECT_TRUE(server.GetAs(server.Token("viewer", {"acme"}), request).ok())
      << "who was seen good lately is counted alone";
  clock->Advance(std::chrono::seconds(1));
  EXPECT_TRUE(server.GetAs(server.Token("engineer", {"acme"}, stranger), request).ok());
}

TEST(ServerUnary, WhoTakesTheNameOfOneSeenGoodHasChecksForThatNameAlone) {
  TestServer server({}, std::make_shared<TestClock>());
  ASSERT_TRUE(server.Start().ok());
  const auto request = Request("tenants/acme/echoes/e");
  ASSERT_TRUE(server.GetAs(server.Token("engineer", {"acme"}), request).ok());
  std::map<std::string, int> reasons;
  for (int i = 0; i < 100; ++i) {
    const auto token = Forged(server.Token("admin", {fmt::format("t{}", i)}));
    ++reasons[std::string(ErrorReason(server.GetAs(token, request).status()))];
  }
  EXPECT_EQ(reasons["TOKEN_INVALID"], 80) << "40 of the name, 40 of the address";
  EXPECT_EQ(reasons["TOO_MANY_BAD_TOKENS"], 20);
}

// Each has its signature checked, and nothing is remembered of it.
TEST(ServerUnary, AFloodOfExpiredTokensIsBoundedLikeOneOfForgedOnes) {
  const auto clock = std::make_shared<TestClock>();
  ServerOptions options;
  options.bad_tokens_per_second = 5;
  options.bad_tokens_burst = 7;
  TestServer server(options, clock);
  ASSERT_TRUE(server.Start().ok());
  const auto token = server.Token("engineer", {"acme"});
  clock->Advance(std::chrono::hours(3));
  std::map<std::string, int> reasons;
  const auto ask = [&] {
    const auto status = server.GetAs(token, Request("tenants/acme/echoes/e")).status();
    ++reasons[std::string(ErrorReason(status))];
  };
  for (int i = 0; i < 20; ++i) ask();
  EXPECT_EQ(reasons["TOKEN_EXPIRED"], 7);
  EXPECT_EQ(reasons["TOO_MANY_BAD_TOKENS"], 13);
  clock->Advance(std::chrono::seconds(1));
  for (int i = 0; i < 20; ++i) ask();
  EXPECT_EQ(reasons["TOKEN_EXPIRED"], 12);
}

TEST(ServerUnary, ATokenOfAKeyThatIsNotKnownYetIsServedOnceTheKeyIsFetched) {
  ServerOptions options;
  int asked = 0;
  bool there = false;
  std::shared_ptr<auth::TokenVerifier> verifier;
  const TestServer other;  // has the new key
  options.find_new_keys = [&] {
    ++asked;
    if (there) verifier->Trust("yagura", other.issuer->key().public_key());
    return there;
  };
  TestServer server(options);
  verifier = server.platform.verifier;
  ASSERT_TRUE(server.Start().ok());
  const auto request = Request("tenants/acme/echoes/e");
  const auto token = other.Token("engineer", {"acme"});
  EXPECT_EQ(ErrorReason(server.GetAs(token, request).status()), "TOKEN_INVALID");
  there = true;
  EXPECT_TRUE(server.GetAs(token, request).ok());
  EXPECT_TRUE(server.GetAs(other.Token("viewer", {"acme"}), request).ok());
  EXPECT_FALSE(server.GetAs(Forged(other.Token("admin", {"*"})), request).ok());
  EXPECT_EQ(asked, 2) << "no more than there were tokens of an unknown key";
}

TEST(ServerUnary, ATokenThatIsRememberedIsRefusedOnceItOrItsKeyIsRevoked) {
  TestServer server;
  ASSERT_TRUE(server.Start().ok());
  const auto request = Request("tenants/acme/echoes/e");
  const auto token = server.Token("engineer", {"acme"});
  ASSERT_TRUE(server.GetAs(token, request).ok());
  server.platform.verifier->Revoke("tenants/acme/users/alice", SystemClock()->Now());
  EXPECT_EQ(ErrorReason(server.GetAs(token, request).status()), "TOKEN_REVOKED");
  const auto later = server.Token("engineer", {"acme"});
  ASSERT_TRUE(server.GetAs(later, request).ok());
  server.platform.verifier->TrustOnly("yagura", {auth::SigningKey::Generate().public_key()});
  EXPECT_EQ(ErrorReason(server.GetAs(later, request).status()), "TOKEN_INVALID");
}

TEST(ServerUnary, GoodTokensAreNotCounted) {
  TestServer server({}, std::make_shared<TestClock>());
  ASSERT_TRUE(server.Start().ok());
  for (int i = 0; i < 100; ++i) {
    const auto token = server.Token("engineer", {"acme"}, fmt::format("tenants/acme/users/{}", i));
    EXPECT_TRUE(server.GetAs(token, Request("tenants/acme/echoes/e")).ok()) << i;
  }
}

TEST(ServerUnary, APublicMethodNeedsNobody) {
  TestServer server;
  ASSERT_TRUE(server.Start().ok());
  grpc::ClientContext context;
  EchoResponse response;
  ASSERT_TRUE(server.stub()->Hello(&context, Request("anything"), &response).ok());
  EXPECT_EQ(response.tenant(), "");
  EXPECT_EQ(response.principal(), "");
}

TEST(ServerUnary, APublicMethodKnowsServicesAndNobodyElse) {
  TestServer server;
  ASSERT_TRUE(server.Start().ok());
  auth::Principal service;
  service.name = "services/ingestion";
  service.grants = {{"service", true, {}}};
  const std::string internal = server.internal->Issue(service, std::chrono::seconds(60));
  const auto who = [&](const std::string& token) {
    grpc::ClientContext context;
    server.Authorize(context, token);
    EchoResponse response;
    EXPECT_TRUE(server.stub()->Hello(&context, Request("anything"), &response).ok());
    return response.principal();
  };
  EXPECT_EQ(who(internal), "services/ingestion");
  EXPECT_EQ(who(server.Token("engineer", {"acme"})), "") << "people are nobody there";
  EXPECT_EQ(who(internal + "x"), "") << "a bad token keeps nobody from logging in";
}

// A foreign tenant, one that does not exist and a permission that the role lacks look the same.
TEST(ServerScope, AForeignTenantAnswersTheSameWhetherOrNotItExists) {
  TestServer server;
  ASSERT_TRUE(server.Start().ok());
  const std::string engineer = server.Token("engineer", {"acme"});
  std::vector<absl::Status> refusals;
  for (const char* name : {"tenants/globex/echoes/e", "tenants/no-such-tenant/echoes/e",
                           "tenants/provider/echoes/e", "tenants/acme2/echoes/e"}) {
    refusals.push_back(server.GetAs(engineer, Request(name)).status());
  }
  for (const auto& status : refusals) {
    EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
    EXPECT_EQ(status, refusals.front());
  }
  EXPECT_EQ(server.probe->calls, 0);
}

TEST(ServerScope, ReferencesToOtherTenantsAreRefusedWhereverTheyHide) {
  TestServer server;
  ASSERT_TRUE(server.Start().ok());
  const std::string staff = server.Token("engineer", {"acme", "globex"});
  const auto refused = [&](const std::function<void(EchoRequest&)>& change) {
    EchoRequest request = Request("tenants/acme/echoes/e");
    change(request);
    return server.GetAs(staff, request).status().code() == absl::StatusCode::kPermissionDenied;
  };
  EXPECT_FALSE(refused([](EchoRequest&) {}));
  EXPECT_FALSE(refused([](EchoRequest& r) { r.set_ticket("tenants/acme/tickets/t"); }));
  EXPECT_FALSE(refused([](EchoRequest& r) { r.add_things()->set_title("tenants/globex/x"); }));
  EXPECT_TRUE(refused([](EchoRequest& r) { r.set_ticket("tenants/globex/tickets/t"); }));
  EXPECT_TRUE(refused([](EchoRequest& r) { r.add_things()->set_name("tenants/globex/x"); }));
  EXPECT_TRUE(refused([](EchoRequest& r) {
    r.add_things();
    r.add_things()->add_things()->add_things()->set_name("tenants/globex/x");
  }));
  EXPECT_TRUE(refused([](EchoRequest& r) { (*r.mutable_by_key())["k"].set_name("tenants/x/y"); }));
}

TEST(ServerScope, TheWildcardStandsForTheCallersOwnSet) {
  TestServer server;
  ASSERT_TRUE(server.Start().ok());
  const auto list = [&](const std::string& token) -> std::string {
    grpc::ClientContext context;
    server.Authorize(context, token);
    ListEchoesRequest request;
    request.set_parent("tenants/-");
    EchoResponse response;
    const auto status = server.stub()->ListEchoes(&context, request, &response);
    return status.ok() ? response.text() : ErrorReason(FromGrpc(status));
  };
  EXPECT_EQ(list(server.Token("viewer", {"globex", "acme"})), "acme globex ");
  EXPECT_EQ(list(server.Token("viewer", {"*"})), "all");
  EXPECT_EQ(list(server.Token("no-such-role", {"*"})), "PERMISSION_DENIED");
  // In a name it means nothing.
  EXPECT_EQ(
      server.GetAs(server.Token("viewer", {"*"}), Request("tenants/-/echoes/e")).status().code(),
      absl::StatusCode::kInvalidArgument);
}

TEST(ServerScope, UpdatesAreInTheTenantOfTheirResource) {
  TestServer server;
  ASSERT_TRUE(server.Start().ok());
  const auto update = [&](const std::string& role, const std::string& name) {
    grpc::ClientContext context;
    server.Authorize(context, server.Token(role, {"acme"}));
    UpdateEchoRequest request;
    request.mutable_echo()->set_name(name);
    request.set_request_id("r1");
    EchoResponse response;
    const auto status = FromGrpc(server.stub()->UpdateEcho(&context, request, &response));
    if (status.ok()) {
      EXPECT_EQ(response.tenant(), "acme");
      EXPECT_EQ(response.digest().size(), 32u);
    }
    return status.code();
  };
  EXPECT_EQ(update("engineer", "tenants/acme/echoes/e"), absl::StatusCode::kOk);
  EXPECT_EQ(update("viewer", "tenants/acme/echoes/e"), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(update("engineer", "tenants/globex/echoes/e"), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(update("engineer", ""), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(update("engineer", "echoes/e"), absl::StatusCode::kInvalidArgument);
}

TEST(ServerScope, WhatIsAboutNoTenantNeedsTheProviderUnlessItOnlyLooks) {
  TestServer server;
  ASSERT_TRUE(server.Start().ok());
  const auto create = [&](const std::vector<std::string>& tenants, const std::string& name = "") {
    grpc::ClientContext context;
    server.Authorize(context, server.Token("admin", tenants));
    CreateWorldRequest request;
    request.set_world_id("earth");
    request.mutable_world()->set_name(name);
    EchoResponse response;
    return FromGrpc(server.stub()->CreateWorld(&context, request, &response)).code();
  };
  EXPECT_EQ(create({"acme"}), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(create({"acme", "globex"}), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(create({"acme"}, "tenants/acme/worlds/w"), absl::StatusCode::kPermissionDenied)
      << "what a new resource calls itself is not what the call is about";
  EXPECT_EQ(create({"*"}), absl::StatusCode::kOk);
  EXPECT_EQ(create({"*"}, "tenants/earth"), absl::StatusCode::kOk);
  EXPECT_EQ(create({"provider"}), absl::StatusCode::kOk);
  EXPECT_EQ(create({"provider"}, "tenants/earth"), absl::StatusCode::kPermissionDenied);
  grpc::ClientContext context;
  server.Authorize(context, server.Token("viewer", {"acme", "globex"}));
  EchoResponse response;
  ASSERT_TRUE(server.stub()->WhoAmI(&context, WhoAmIRequest(), &response).ok());
  EXPECT_EQ(response.tenant(), "-");
}

TEST(ServerStart, RefusesMethodsWithoutPermission) {
  struct Unguarded final : App {
    std::string_view name() const override { return "unguarded"; }
    void Register(ServiceRegistry& registry) override {
      registry.Unary<EchoRequest, EchoResponse>(
          "/yagura.testing.v1.UnguardedService/GetSecret",
          [](const Call&, const EchoRequest&) -> absl::StatusOr<EchoResponse> {
            return EchoResponse();
          });
    }
    absl::Status Start() override { return absl::OkStatus(); }
    void Stop() override {}
  };
  TestServer server;
  std::vector<std::unique_ptr<App>> apps;
  apps.push_back(std::make_unique<Unguarded>());
  const absl::Status status = server.Start(std::move(apps));
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(Message(status)),
              HasSubstr("UnguardedService/GetSecret declares no permission"));
}

TEST(ServerStart, RefusesAServiceWithAMissingHandlerBeforeAnythingStarts) {
  TestServer server;
  std::vector<std::unique_ptr<App>> apps;
  apps.push_back(std::make_unique<EchoApp>(server.probe, "echo", "GetEcho"));
  const absl::Status status = server.Start(std::move(apps));
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(Message(status)), HasSubstr("EchoService/GetEcho has no handler"));
  EXPECT_TRUE(server.probe->life.empty());
}

TEST(ServerStart, RefusesTwoHandlersOfOneMethodAndHandlersOfTheWrongKind) {
  struct Wrong final : App {
    std::string_view name() const override { return "wrong"; }
    void Register(ServiceRegistry& registry) override {
      registry.Unary<EchoRequest, EchoResponse>(
          "/yagura.testing.v1.EchoService/WatchEchoes",
          [](const Call&, const EchoRequest&) -> absl::StatusOr<EchoResponse> {
            return EchoResponse();
          });
    }
    absl::Status Start() override { return absl::OkStatus(); }
    void Stop() override {}
  };
  TestServer server;
  std::vector<std::unique_ptr<App>> apps;
  apps.push_back(std::make_unique<Wrong>());
  apps.push_back(std::make_unique<EchoApp>(server.probe));
  const std::string message(Message(server.Start(std::move(apps))));
  EXPECT_THAT(message, HasSubstr("WatchEchoes has two handlers"));
  EXPECT_THAT(message, HasSubstr("WatchEchoes has a handler of other types"));
}

TEST(ServerStart, RefusesAPortInUse) {
  TestServer first;
  ASSERT_TRUE(first.Start().ok());
  auto probe = std::make_shared<EchoProbe>();
  ServerOptions options;
  options.address = "127.0.0.1:" + std::to_string(first.server->port());
  std::vector<std::unique_ptr<App>> apps;
  apps.push_back(std::make_unique<EchoApp>(probe));
  EXPECT_EQ(ErrorReason(Server::Start(options, first.platform, std::move(apps)).status()),
            "CANNOT_LISTEN");
  EXPECT_EQ(probe->life, (std::vector<std::string>{"start echo", "stop echo"}));
}

TEST(ServerLimits, AnUnknownMethodIsUnimplemented) {
  TestServer server;
  ASSERT_TRUE(server.Start().ok());
  grpc::GenericStub stub(server.NewChannel());
  grpc::ClientContext context;
  server.Authorize(context, server.Token("admin", {"*"}));
  grpc::Slice slice("", 0);
  grpc::ByteBuffer request(&slice, 1);
  grpc::ByteBuffer response;
  std::promise<grpc::Status> done;
  stub.UnaryCall(&context, "/yagura.testing.v1.EchoService/DropTables", grpc::StubOptions(),
                 &request, &response, [&done](grpc::Status s) { done.set_value(std::move(s)); });
  EXPECT_EQ(done.get_future().get().error_code(), grpc::StatusCode::UNIMPLEMENTED);
}

TEST(ServerLimits, ARequestThatIsNoMessageIsRefused) {
  TestServer server;
  ASSERT_TRUE(server.Start().ok());
  grpc::GenericStub stub(server.NewChannel());
  grpc::ClientContext context;
  server.Authorize(context, server.Token("engineer", {"acme"}));
  grpc::Slice slice("\xff\xff\xff\xff", 4);
  grpc::ByteBuffer request(&slice, 1);
  grpc::ByteBuffer response;
  std::promise<grpc::Status> done;
  stub.UnaryCall(&context, "/yagura.testing.v1.EchoService/GetEcho", grpc::StubOptions(), &request,
                 &response, [&done](grpc::Status s) { done.set_value(std::move(s)); });
  EXPECT_EQ(ErrorReason(FromGrpc(done.get_future().get())), "REQUEST_MALFORMED");
}

TEST(ServerLimits, MessagesAreCappedBothWays) {
  ServerOptions options;
  options.max_receive_bytes = 10'000;
  options.max_send_bytes = 10'000;
  TestServer server(options);
  ASSERT_TRUE(server.Start().ok());
  EXPECT_EQ(server.Get(std::string(20'000, 'x')).status().code(),
            absl::StatusCode::kResourceExhausted);
  EchoRequest request = Request("tenants/acme/echoes/e");
  request.set_padding(20'000);
  EXPECT_EQ(ErrorReason(server.GetAs(server.Token("engineer", {"acme"}), request).status()),
            "RESPONSE_TOO_LARGE");
  EXPECT_TRUE(server.Get("small").ok());
}

TEST(ServerLimits, MetadataIsCapped) {
  TestServer server;
  ASSERT_TRUE(server.Start().ok());
  grpc::ClientContext context;
  server.Authorize(context, server.Token("engineer", {"acme"}));
  context.AddMetadata("x-flood", std::string(64 << 10, 'x'));
  EchoResponse response;
  EXPECT_FALSE(server.stub()->GetEcho(&context, Request("tenants/acme/echoes/e"), &response).ok());
  EXPECT_EQ(server.probe->calls, 0);
}

TEST(ServerLimits, ATenantOverItsQuotaWaitsAndOthersDoNot) {
  ServerOptions options;
  options.calls_per_second_per_tenant = 2;
  auto clock = std::make_shared<TestClock>();
  TestServer server(options, clock);
  ASSERT_TRUE(server.Start().ok());
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(server.Get("x").ok()) << i;
  const absl::Status refused = server.Get("x").status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ErrorReason(refused), "QUOTA_EXCEEDED");
  EXPECT_TRUE(refused.GetPayload("type.googleapis.com/google.rpc.RetryInfo").has_value());
  const std::string other = server.Token("engineer", {"globex"}, "tenants/globex/users/bob");
  EXPECT_TRUE(server.GetAs(other, Request("tenants/globex/echoes/e")).ok());
  clock->Advance(std::chrono::seconds(1));
  EXPECT_TRUE(server.Get("x").ok());
}

TEST(ServerOverload, AFullQueueAnswersResourceExhausted) {
  ServerOptions options;
  options.threads_per_app = 1;
  options.queue_per_app = 2;
  TestServer server(options);
  ASSERT_TRUE(server.Start().ok());
  std::vector<std::thread> callers;
  std::atomic<int> good{0};
  const auto call = [&] { callers.emplace_back([&] { good += server.Get("wait").ok() ? 1 : 0; }); };
  call();
  ASSERT_TRUE(server.probe->gate.WaitFor(1));
  call();
  call();
  absl::Status refused;
  // The two above may not have arrived yet: calls are refused once they have.
  ASSERT_TRUE(Eventually([&] {
    grpc::ClientContext context;
    context.AddMetadata("authorization", "Bearer " + server.Token("engineer", {"acme"}));
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(100));
    EchoResponse response;
    refused =
        FromGrpc(server.stub()->GetEcho(&context, Request("tenants/acme/echoes/e"), &response));
    return refused.code() == absl::StatusCode::kResourceExhausted;
  })) << refused;
  EXPECT_EQ(ErrorReason(refused), "SERVICE_BUSY");
  EXPECT_TRUE(refused.GetPayload("type.googleapis.com/google.rpc.RetryInfo").has_value());
  server.probe->gate.Open();
  for (auto& thread : callers) thread.join();
  EXPECT_GE(good, 1);
}

TEST(ServerOverload, WorkPastItsDeadlineIsDroppedUnrun) {
  ServerOptions options;
  options.threads_per_app = 1;
  TestServer server(options);
  ASSERT_TRUE(server.Start().ok());
  std::thread first([&] { EXPECT_TRUE(server.Get("wait").ok()); });
  ASSERT_TRUE(server.probe->gate.WaitFor(1));
  grpc::ClientContext context;
  context.AddMetadata("authorization", "Bearer " + server.Token("engineer", {"acme"}));
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(200));
  EchoResponse response;
  EXPECT_EQ(
      server.stub()->GetEcho(&context, Request("tenants/acme/echoes/e"), &response).error_code(),
      grpc::StatusCode::DEADLINE_EXCEEDED);
  // The caller gives up before the server does: until then the work is still wanted.
  EXPECT_TRUE(Eventually([&] {
    const auto ended = [&](const char* code) {
      return server.Metric("yagura_rpc_calls_total",
                           {{"method", "/yagura.testing.v1.EchoService/GetEcho"}, {"code", code}});
    };
    return ended("DEADLINE_EXCEEDED") + ended("CANCELLED") == 1;
  }));
  server.probe->gate.Open();
  first.join();
  EXPECT_TRUE(server.Get("after").ok());
  EXPECT_EQ(server.probe->calls, 2) << "the one whose deadline passed never ran";
}

TEST(ServerOverload, CallersWithoutADeadlineGetTheDefault) {
  ServerOptions options;
  options.default_deadline = std::chrono::milliseconds(200);
  TestServer server(options);
  ASSERT_TRUE(server.Start().ok());
  grpc::ClientContext context;
  context.AddMetadata("authorization", "Bearer " + server.Token("engineer", {"acme"}));
  EchoResponse response;
  const auto status = FromGrpc(
      server.stub()->GetEcho(&context, Request("tenants/acme/echoes/e", "wait"), &response));
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(server.probe->cancelled, 1) << "the handler was told";
}

TEST(ServerOverload, ACallerThatGoesAwaySetsTheStopToken) {
  TestServer server;
  ASSERT_TRUE(server.Start().ok());
  grpc::ClientContext context;
  server.Authorize(context, server.Token("engineer", {"acme"}));
  std::thread caller([&] {
    EchoResponse response;
    EXPECT_EQ(server.stub()
                  ->GetEcho(&context, Request("tenants/acme/echoes/e", "wait"), &response)
                  .error_code(),
              grpc::StatusCode::CANCELLED);
  });
  ASSERT_TRUE(server.probe->gate.WaitFor(1));
  context.TryCancel();
  caller.join();
  EXPECT_TRUE(Eventually([&] { return server.probe->cancelled == 1; }));
}

}  // namespace
}  // namespace yagura::rpc
