// The sending half of `yagura send` against a service that answers as the test says.
#include "cli/send/pusher.h"

#include <functional>
#include <mutex>
#include <set>

#include "cli/client.h"
#include "gmock/gmock.h"
#include "google/rpc/error_details.pb.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"

#include "common/clock/proto_time.h"
#include "yagura/directory/v1/directory_service.grpc.pb.h"

namespace yagura::cli {
namespace {

using ingestion::v1::PushRequest;
using ingestion::v1::PushResponse;
using ::testing::ElementsAre;
using Steady = std::chrono::steady_clock;

class Directory final : public directory::v1::DirectoryService::Service {
  grpc::Status ExchangeApiKey(grpc::ServerContext* /*context*/,
                              const directory::v1::ExchangeApiKeyRequest* /*request*/,
                              directory::v1::TokenResponse* response) override {
    response->set_token("token");
    *response->mutable_expire_time() = ToProto(SystemClock()->Now() + std::chrono::hours(1));
    return grpc::Status::OK;
  }
};

class Ingestion final : public ingestion::v1::IngestionService::Service {
 public:
  // What to answer; nullopt ends the stream.
  std::function<std::optional<PushResponse>(const PushRequest&)> answer;
  int streams = 0;
  std::vector<std::string> seen;

 private:
  grpc::Status Push(grpc::ServerContext* /*context*/,
                    grpc::ServerReaderWriter<PushResponse, PushRequest>* stream) override {
    ++streams;
    PushRequest request;
    while (stream->Read(&request)) {
      seen.push_back(request.batch_id());
      auto response = answer(request);
      if (!response) return {grpc::StatusCode::UNAVAILABLE, "gone"};
      response->set_batch_id(request.batch_id());
      stream->Write(*response);
    }
    return grpc::Status::OK;
  }
};

PushResponse Later(grpc::StatusCode code, std::chrono::milliseconds delay) {
  PushResponse response;
  response.mutable_status()->set_code(static_cast<int>(code));
  google::rpc::RetryInfo info;
  info.mutable_retry_delay()->set_nanos(static_cast<int32_t>(delay.count()) * 1'000'000);
  response.mutable_status()->add_details()->PackFrom(info);
  return response;
}

class PusherTest : public ::testing::Test {
 protected:
  PusherTest() {
    int port = 0;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&directory_);
    builder.RegisterService(&ingestion_);
    server_ = builder.BuildAndStart();
    ConnectionOptions options;
    options.endpoint = "127.0.0.1:" + std::to_string(port);
    options.api_key = "key";
    client_ = std::make_unique<Client>(Client::Connect(options).value());
  }
  ~PusherTest() override { server_->Shutdown(); }

  // Sends batches "0", "1", ...
  void SendAll(int count) {
    Pusher pusher(*client_, {.window = 4}, [this](uint64_t lines, uint64_t) { lines_ += lines; });
    for (int i = 0; i < count; ++i) {
      PushRequest batch;
      batch.set_batch_id(std::to_string(i));
      batch.add_lines("line");
      ASSERT_TRUE(pusher.Send(std::move(batch)).ok());
    }
    ASSERT_TRUE(pusher.Finish().ok());
    reconnects_ = pusher.reconnects();
    postponed_ = pusher.postponed();
  }

  Directory directory_;
  Ingestion ingestion_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<Client> client_;
  uint64_t lines_ = 0;
  int reconnects_ = 0;
  int postponed_ = 0;
};

TEST_F(PusherTest, WhatIsPostponedIsSentAgainInItsOrderOverTheSameStreamAfterTheDelay) {
  constexpr std::chrono::milliseconds kDelay(300);
  Steady::time_point refused;
  ingestion_.answer = [&](const PushRequest& request) {
    const int number = std::stoi(request.batch_id());
    const auto times = std::ranges::count(ingestion_.seen, request.batch_id());
    if (number >= 2 && number <= 3 && times == 1) {
      refused = Steady::now();
      return Later(grpc::StatusCode::RESOURCE_EXHAUSTED, kDelay);
    }
    if (times == 2 && number == 2) {
      EXPECT_GE(Steady::now() - refused, kDelay);
    }
    return PushResponse();
  };
  SendAll(10);
  EXPECT_EQ(lines_, 10u);
  EXPECT_EQ(ingestion_.streams, 1);
  EXPECT_EQ(reconnects_, 0);
  EXPECT_EQ(postponed_, 2);
  std::vector<std::string> again;
  std::set<std::string> once;
  for (const std::string& id : ingestion_.seen) {
    if (!once.insert(id).second) again.push_back(id);
  }
  EXPECT_THAT(again, ElementsAre("2", "3"));
}

TEST_F(PusherTest, OverANewStreamGoesWhatTheBrokenOneDidNotAcknowledge) {
  ingestion_.answer = [&](const PushRequest& request) -> std::optional<PushResponse> {
    if (request.batch_id() == "2" && ingestion_.streams == 1) return std::nullopt;
    return PushResponse();
  };
  SendAll(10);
  EXPECT_EQ(lines_, 10u);
  EXPECT_EQ(ingestion_.streams, 2);
  EXPECT_EQ(reconnects_, 1);
  EXPECT_EQ(std::ranges::count(ingestion_.seen, "0"), 1) << "it had been acknowledged";
}

}  // namespace
}  // namespace yagura::cli
