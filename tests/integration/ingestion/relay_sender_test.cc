// What a relay sends, and tells, where the suite takes batches and does not say so.
#include "services/ingestion/relay/relay_sender.h"

#include <atomic>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <string>
#include <vector>

#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "gtest/gtest.h"

#include "common/clock/proto_time.h"
#include "common/metrics/metrics.h"
#include "common/testing/eventually.h"
#include "common/testing/fake_clock.h"
#include "common/testing/process.h"
#include "common/testing/status_matchers.h"
#include "services/ingestion/relay/relay.h"
#include "yagura/directory/v1/directory_service.grpc.pb.h"
#include "yagura/ingestion/v1/ingestion_service.grpc.pb.h"

namespace yagura::ingestion {
namespace {

using testing::Eventually;
using testing::IsOk;
using testing::StatusIs;

// Takes what is pushed; answers only where it is told to.
class Suite final : public v1::IngestionService::Service,
                    public directory::v1::DirectoryService::Service {
 public:
  Suite() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(static_cast<v1::IngestionService::Service*>(this));
    builder.RegisterService(static_cast<directory::v1::DirectoryService::Service*>(this));
    server_ = builder.BuildAndStart();
  }
  ~Suite() override { server_->Shutdown(std::chrono::system_clock::now()); }

  grpc::Status refusal{grpc::StatusCode::UNAVAILABLE, "away"};  // set before anything comes

  std::string endpoint() const { return "127.0.0.1:" + std::to_string(port_); }
  void Answer(bool answers) { answers_ = answers; }
  // First lines, in order.
  std::vector<std::string> taken() const {
    const std::lock_guard lock(mutex_);
    return taken_;
  }

 private:
  grpc::Status ExchangeApiKey(grpc::ServerContext*, const directory::v1::ExchangeApiKeyRequest*,
                              directory::v1::TokenResponse* response) override {
    response->set_token("token");
    return grpc::Status::OK;
  }
  grpc::Status Push(grpc::ServerContext*,
                    grpc::ServerReaderWriter<v1::PushResponse, v1::PushRequest>* stream) override {
    v1::PushRequest request;
    while (stream->Read(&request)) {
      {
        const std::lock_guard lock(mutex_);
        taken_.push_back(request.lines(0));
      }
      if (!answers_) return refusal;
      v1::PushResponse response;
      response.set_batch_id(request.batch_id());
      stream->Write(response);
    }
    return grpc::Status::OK;
  }

  std::atomic<bool> answers_{false};
  mutable std::mutex mutex_;
  std::vector<std::string> taken_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

class RelaySenderTest : public ::testing::Test {
 protected:
  RelaySenderTest() {
    std::ofstream(folder_ / "key") << "ygr_acme_relay_secret";
    OpenSpool();
  }
  ~RelaySenderTest() override {
    sender_.reset();
    spool_.reset();
    std::filesystem::remove_all(folder_);
  }
  void OpenSpool() {
    sender_.reset();
    spool_.reset();
    RelaySpool::Options options;
    options.folder = folder_ / "spool";
    options.site = "hq";
    options.parent = "tenants/acme";
    spool_ = RelaySpool::Open(options, clock_, Logger::Null()).value();
  }
  void StartSender() {
    sender_.reset();
    RelaySender::Options options;
    options.endpoint = suite_.endpoint();
    options.api_key_file = folder_ / "key";
    options.least_pause = options.longest_pause = std::chrono::milliseconds(20);
    sender_ = std::make_unique<RelaySender>(options, spool_, std::make_shared<MetricsRegistry>(),
                                            clock_, Logger::Null());
    sender_->Start();
  }
  void Append(const std::string& line) {
    v1::PushRequest batch;
    batch.add_lines(line);
    auto& relay = *batch.mutable_relay();
    relay.add_senders();
    relay.add_line_senders(0);
    *relay.add_line_receive_times() = ToProto(clock_->Now());
    ASSERT_THAT(spool_->Append(batch), IsOk());
  }
  // Batches that tell of lines which may be there twice.
  size_t Told() const {
    size_t told = 0;
    for (const std::string& line : suite_.taken())
      told += line.find("may be there twice") != line.npos;
    return told;
  }

  const std::filesystem::path folder_ = testing::MakeTemporaryFolder();
  const std::shared_ptr<testing::FakeClock> clock_ = std::make_shared<testing::FakeClock>();
  Suite suite_;
  std::shared_ptr<RelaySpool> spool_;
  std::unique_ptr<RelaySender> sender_;
};

TEST_F(RelaySenderTest, WhatGoesAgainSoonIsKnownToTheSuiteAndNotToldOf) {
  Append("one");
  StartSender();
  ASSERT_TRUE(Eventually([&] { return suite_.taken().size() >= 2; })) << "it tries again";
  clock_->Advance(std::chrono::hours(23));
  suite_.Answer(true);
  ASSERT_TRUE(Eventually([&] { return sender_->stats().acknowledged_lines == 1; }));
  Append("two");
  ASSERT_TRUE(Eventually([&] { return sender_->stats().acknowledged_lines == 2; }));
  EXPECT_EQ(Told(), 0u);
  EXPECT_EQ(spool_->stats().doubtful_lines, 0u);
}

TEST_F(RelaySenderTest, AKeyOfAnotherTenantIsToldSo) {
  suite_.refusal = {grpc::StatusCode::PERMISSION_DENIED, "it is not granted"};
  Append("one");
  StartSender();
  ASSERT_TRUE(Eventually([&] { return suite_.taken().size() >= 5; })) << "it tries again";
  EXPECT_EQ(sender_->stats().last_error,
            "the key may not push for the tenant of this relay: it is not granted");
}

TEST_F(RelaySenderTest, WhatMayBeDoubledIsTold) {
  Append("one");
  StartSender();
  ASSERT_TRUE(Eventually([&] { return !suite_.taken().empty(); }));
  clock_->Advance(std::chrono::hours(25));
  suite_.Answer(true);
  ASSERT_TRUE(Eventually([&] { return sender_->stats().acknowledged_lines == 2; }));
  EXPECT_EQ(Told(), 1u);
  EXPECT_EQ(spool_->stats().doubtful_lines, 1u);
  Append("two");  // was never sent
  ASSERT_TRUE(Eventually([&] { return sender_->stats().acknowledged_lines == 3; }));
  EXPECT_EQ(Told(), 1u);
}

TEST_F(RelaySenderTest, WhatAnEarlierRunMayHaveSentIsToldToo) {
  Append("one");
  StartSender();
  ASSERT_TRUE(Eventually([&] { return !suite_.taken().empty(); }));
  OpenSpool();
  clock_->Advance(std::chrono::hours(25));
  Append("two");
  suite_.Answer(true);
  StartSender();
  ASSERT_TRUE(Eventually([&] { return sender_->stats().acknowledged_lines == 3; }));
  EXPECT_EQ(Told(), 1u) << "of the first alone";
}

TEST_F(RelaySenderTest, LinesGoInTheClearToThisHostAloneUnlessToldSo) {
  RelayOptions options;
  options.data_dir = folder_ / "relay";
  options.tenant = "acme";
  options.site = "hq";
  options.api_key_file = folder_ / "key";
  options.syslog_tcp = "127.0.0.1:0";
  for (const char* remote :
       {"soc.example:7070", "192.0.2.1:7070", "dns:///localhost.example:7070"}) {
    options.endpoint = remote;
    const auto refused = Relay::Start(options, Logger::Null());
    EXPECT_THAT(refused, StatusIs(absl::StatusCode::kInvalidArgument)) << remote;
    EXPECT_NE(refused.status().message().find("insecure"), std::string::npos);
  }
  for (const char* own : {"127.0.0.1:1", "localhost:1", "[::1]:1", "unix:/nowhere"}) {
    options.endpoint = own;
    EXPECT_THAT(Relay::Start(options, Logger::Null()), IsOk()) << own;
  }
  options.endpoint = "192.0.2.1:7070";
  options.insecure = true;
  EXPECT_THAT(Relay::Start(options, Logger::Null()), IsOk());
}

}  // namespace
}  // namespace yagura::ingestion
