#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/status/status.h"
#include "tests/unit/common/rpc/test_server.h"

namespace yagura::rpc {
namespace {

using testing::v1::EchoRequest;
using testing::v1::EchoResponse;

class StreamTest : public ::testing::Test {
 protected:
  void StartWith(const ServerOptions& options, std::shared_ptr<const Clock> clock = {}) {
    server = std::make_unique<TestServer>(options, std::move(clock));
    ASSERT_TRUE(server->Start().ok());
    stub = server->stub();
    server->Authorize(context, server->Token("engineer", {"acme"}));
  }
  void SetUp() override { StartWith({}); }

  std::unique_ptr<TestServer> server;
  std::unique_ptr<testing::v1::EchoService::Stub> stub;
  grpc::ClientContext context;
};

TEST_F(StreamTest, AServerStreamSendsAllInOrderThenItsStatus) {
  EchoRequest request = Request("tenants/acme/echoes/e", "error");
  request.set_count(2000);
  request.set_padding(100);
  auto reader = stub->SearchEchoes(&context, request);
  EchoResponse response;
  int count = 0;
  while (reader->Read(&response)) EXPECT_EQ(response.text(), std::to_string(count++));
  EXPECT_EQ(count, 2000);
  EXPECT_EQ(FromGrpc(reader->Finish()), NotFound("tenants/acme/echoes/last"));
}

TEST_F(StreamTest, AServerStreamWaitsForItsReader) {
  EchoRequest request = Request("tenants/acme/echoes/e");
  request.set_count(200);
  request.set_padding(1 << 20);
  auto reader = stub->SearchEchoes(&context, request);
  EchoResponse response;
  ASSERT_TRUE(reader->Read(&response));
  // The outbox holds 8 MiB; what the transport buffers comes on top of that.
  EXPECT_LT(server->probe->messages, 60);
  int count = 1;
  while (reader->Read(&response)) ++count;
  EXPECT_EQ(count, 200);
  EXPECT_TRUE(reader->Finish().ok());
}

TEST_F(StreamTest, AServerStreamWhoseReaderTakesNothingFreesItsThread) {
  ServerOptions options;
  options.streams_per_app = 1;
  options.reader_patience = std::chrono::milliseconds(100);
  StartWith(options);
  const std::string token = server->Token("engineer", {"acme"});
  EchoRequest request = Request("tenants/acme/echoes/e");
  request.set_count(100'000);
  request.set_padding(100'000);
  grpc::ClientContext idle;
  idle.set_deadline(std::chrono::system_clock::now() + std::chrono::hours(1));
  server->Authorize(idle, token);
  auto never_read = stub->SearchEchoes(&idle, request);
  ASSERT_TRUE(Eventually([&] { return server->probe->cancelled == 1; }));
  EXPECT_EQ(server->Metric("yagura_rpc_slow_readers_total"), 1);

  request.set_count(3);
  grpc::ClientContext mine;
  server->Authorize(mine, token);
  auto reader = stub->SearchEchoes(&mine, request);
  EchoResponse response;
  int count = 0;
  while (reader->Read(&response)) ++count;
  EXPECT_EQ(count, 3);
  EXPECT_TRUE(reader->Finish().ok());
  idle.TryCancel();
  never_read->Finish();
}

TEST_F(StreamTest, CancellingAServerStreamFreesItsThread) {
  EchoRequest request = Request("tenants/acme/echoes/e");
  request.set_count(100'000);
  request.set_padding(100'000);
  auto reader = stub->SearchEchoes(&context, request);
  EchoResponse response;
  ASSERT_TRUE(reader->Read(&response));
  context.TryCancel();
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(Eventually([&] { return server->probe->cancelled == 1; }));
}

TEST_F(StreamTest, AWatchGetsWhatIsPublishedAndIsForgottenWhenItGoes) {
  auto reader = stub->WatchEchoes(&context, Request("tenants/acme/echoes/e"));
  ASSERT_TRUE(Eventually([&] { return server->probe->watchers == 1; }));
  EchoResponse sent;
  for (int i = 0; i < 100; ++i) {
    sent.set_text(std::to_string(i));
    ASSERT_EQ(server->probe->Publish(sent), 1);
    EchoResponse got;
    ASSERT_TRUE(reader->Read(&got));
    EXPECT_EQ(got.text(), sent.text());
  }
  context.TryCancel();
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(Eventually([&] { return server->probe->watchers == 0; }));
  EXPECT_EQ(server->probe->Publish(sent), 0) << "an outbox outlives its call and refuses";
}

TEST_F(StreamTest, AWatchThatIsRefusedEndsWithTheReason) {
  auto reader = stub->WatchEchoes(&context, Request("tenants/acme/echoes/e", "error"));
  EchoResponse response;
  EXPECT_FALSE(reader->Read(&response));
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(StreamTest, ManyWatchesHoldNoThread) {
  constexpr int kWatches = 200;
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientReader<EchoResponse>>> readers;
  const std::string token = server->Token("engineer", {"acme"});
  for (int i = 0; i < kWatches; ++i) {
    contexts.push_back(std::make_unique<grpc::ClientContext>());
    server->Authorize(*contexts.back(), token);
    readers.push_back(stub->WatchEchoes(contexts.back().get(), Request("tenants/acme/echoes/e")));
  }
  ASSERT_TRUE(Eventually([&] { return server->probe->watchers == kWatches; }));
  EXPECT_TRUE(server->Get("still served").ok());
  EXPECT_EQ(server->probe->Publish(EchoResponse()), kWatches);
  EchoResponse response;
  for (auto& reader : readers) EXPECT_TRUE(reader->Read(&response));
  for (auto& each : contexts) each->TryCancel();
  for (auto& reader : readers) reader->Finish();
}

TEST_F(StreamTest, ASlowReaderIsCutOffWithAReason) {
  ServerOptions options;
  options.outbox_messages = 8;
  StartWith(options);
  grpc::ClientContext mine;
  server->Authorize(mine, server->Token("engineer", {"acme"}));
  auto reader = stub->WatchEchoes(&mine, Request("tenants/acme/echoes/e"));
  ASSERT_TRUE(Eventually([&] { return server->probe->watchers == 1; }));
  EchoResponse large;
  large.set_padding(std::string(1 << 20, 'x'));
  int sent = 0;
  while (sent < 1000 && server->probe->Publish(large) == 1) ++sent;
  ASSERT_LT(sent, 1000);
  EchoResponse response;
  while (reader->Read(&response)) {
  }
  const absl::Status status = FromGrpc(reader->Finish());
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ErrorReason(status), "SLOW_READER");
  EXPECT_EQ(server->Metric("yagura_rpc_slow_readers_total"), 1);
}

TEST_F(StreamTest, AReaderThatNeverReadsIsCutOffAfterTheGrace) {
  ServerOptions options;
  options.outbox_messages = 8;
  options.slow_reader_grace = std::chrono::milliseconds(100);
  StartWith(options);
  grpc::ClientContext mine;
  server->Authorize(mine, server->Token("engineer", {"acme"}));
  auto reader = stub->WatchEchoes(&mine, Request("tenants/acme/echoes/e"));
  ASSERT_TRUE(Eventually([&] { return server->probe->watchers == 1; }));
  EchoResponse large;
  large.set_padding(std::string(1 << 20, 'x'));
  while (server->probe->Publish(large) == 1) {
  }
  EXPECT_TRUE(Eventually([&] { return server->probe->watchers == 0; }));
  mine.TryCancel();
  reader->Finish();
}

TEST_F(StreamTest, ABidirectionalStreamAnswersEachMessageInOrder) {
  auto stream = stub->Chat(&context);
  for (int i = 0; i < 500; ++i) {
    ASSERT_TRUE(stream->Write(Request("tenants/acme/echoes/e", std::to_string(i))));
    EchoResponse response;
    ASSERT_TRUE(stream->Read(&response));
    EXPECT_EQ(response.text(), std::to_string(i));
    EXPECT_EQ(response.tenant(), "acme");
  }
  stream->WritesDone();
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_TRUE(Eventually([&] { return server->probe->sessions_ended == 1; }));
}

TEST_F(StreamTest, AClientStreamIsAnsweredOnceAtItsEnd) {
  EchoResponse response;
  auto writer = stub->Collect(&context, &response);
  for (int i = 0; i < 5000; ++i) {
    ASSERT_TRUE(writer->Write(Request("tenants/acme/echoes/e", "x")));
  }
  writer->WritesDone();
  ASSERT_TRUE(writer->Finish().ok());
  EXPECT_EQ(response.text(), "5000");
}

TEST_F(StreamTest, AnErrorOfAMessageEndsTheStreamWithIt) {
  auto stream = stub->Chat(&context);
  stream->Write(Request("tenants/acme/echoes/e", "error"));
  EchoResponse response;
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(FromGrpc(stream->Finish()), InvalidField("text", "must not be error"));
  EXPECT_TRUE(Eventually([&] { return server->probe->sessions_ended == 1; }));
}

TEST_F(StreamTest, EveryMessageOfAStreamIsCheckedForItsTenant) {
  auto stream = stub->Chat(&context);
  ASSERT_TRUE(stream->Write(Request("tenants/acme/echoes/e", "fine")));
  EchoResponse response;
  ASSERT_TRUE(stream->Read(&response));
  stream->Write(Request("tenants/globex/echoes/e", "not fine"));
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(server->probe->messages, 1);
}

TEST_F(StreamTest, AClientThatVanishesEndsItsSessionOnceAfterTheMessageInHand) {
  auto stream = stub->Chat(&context);
  ASSERT_TRUE(stream->Write(Request("tenants/acme/echoes/e", "wait")));
  ASSERT_TRUE(server->probe->gate.WaitFor(1));
  context.TryCancel();
  stream->Finish();
  EXPECT_EQ(server->probe->sessions_ended, 0);
  server->probe->gate.Open();
  EXPECT_TRUE(Eventually([&] { return server->probe->sessions_ended == 1; }));
}

TEST_F(StreamTest, TheRightToAWatchEndsWithItsToken) {
  auto clock = std::make_shared<TestClock>();
  StartWith({}, clock);
  grpc::ClientContext mine;
  auth::Principal alice{"tenants/acme/users/alice", {{"viewer", false, {"acme"}}}, "", {}};
  mine.AddMetadata("authorization", "Bearer " + server->Token(alice, std::chrono::seconds(90)));
  auto reader = stub->WatchEchoes(&mine, Request("tenants/acme/echoes/e"));
  ASSERT_TRUE(Eventually([&] { return server->probe->watchers == 1; }));
  clock->Advance(std::chrono::seconds(61));
  EchoResponse sent;
  EchoResponse got;
  ASSERT_EQ(server->probe->Publish(sent), 1);
  ASSERT_TRUE(reader->Read(&got)) << "still valid after the first check";
  ASSERT_TRUE(Eventually([&] {  // each advance is one more minute for the next check
    clock->Advance(std::chrono::seconds(61));
    return server->probe->watchers == 0;
  }));
  EXPECT_FALSE(reader->Read(&got));
  EXPECT_EQ(ErrorReason(FromGrpc(reader->Finish())), "TOKEN_EXPIRED");
}

TEST_F(StreamTest, WhoMayNotWatchIsToldBeforeAnythingIsRead) {
  grpc::ClientContext mine;
  server->Authorize(mine, server->Token("no-such-role", {"acme"}));
  auto stream = stub->Chat(&mine);
  EchoResponse response;
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::PERMISSION_DENIED);
}

}  // namespace
}  // namespace yagura::rpc
