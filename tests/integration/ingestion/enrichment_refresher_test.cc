#include "services/ingestion/workers/enrichment_refresher.h"

#include <atomic>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "gtest/gtest.h"

#include "common/auth/token.h"
#include "common/rpc/channels.h"
#include "common/testing/eventually.h"
#include "common/testing/process.h"
#include "tests/unit/services/ingestion/enrichment/mmdb_writer.h"
#include "yagura/directory/v1/directory_service.grpc.pb.h"

namespace yagura::ingestion {
namespace {

// A file that is written in place is read half-way: that it looks the same afterwards (a coarse
// clock, a length that was known before) must not keep it out for ever.
TEST(EnrichmentRefresherTest, AFileThatCouldNotBeReadIsTriedAgain) {
  const std::filesystem::path folder = testing::MakeTemporaryFolder();
  const auto file = folder / "countries.mmdb";
  MmdbWriter countries;
  countries.Add("203.0.113.0/24", {{"country", MmdbWriter::Map{{"iso_code", "JP"}}}});
  countries.Write(file);
  const auto size = std::filesystem::file_size(file);
  std::ofstream(file, std::ios::binary) << std::string(size, 'x');
  const auto time = std::filesystem::last_write_time(file);
  const auto current = std::make_shared<CurrentEnrichment>();
  EnrichmentRefresher refresher({.threat_lists = {}, .geo_files = {file}}, nullptr, current,
                                Logger::Null());
  refresher.RefreshFiles();
  ASSERT_TRUE(current->Get() == nullptr || current->Get()->geo.empty());
  countries.Write(file);
  std::filesystem::last_write_time(file, time);
  refresher.RefreshFiles();
  ASSERT_NE(current->Get(), nullptr);
  EXPECT_EQ(current->Get()->geo.size(), 1u);
  std::filesystem::remove_all(folder);
}

// Answers from the second call on, as a directory that starts together with its askers.
class LateDirectory final : public directory::v1::DirectoryService::Service {
 public:
  LateDirectory() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  ~LateDirectory() override { server_->Shutdown(std::chrono::system_clock::now()); }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  int calls() const { return calls_; }

 private:
  grpc::Status ListAssets(grpc::ServerContext*, const directory::v1::ListAssetsRequest*,
                          directory::v1::ListAssetsResponse*) override {
    if (calls_++ == 0) return {grpc::StatusCode::UNAVAILABLE, "too early"};
    return grpc::Status::OK;
  }

  std::atomic<int> calls_{0};
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

TEST(EnrichmentRefresherTest, ADirectoryThatStartsAtTheSameTimeIsNoWarning) {
  const std::filesystem::path folder = testing::MakeTemporaryFolder();
  LateDirectory directory;
  const auto issuer =
      std::make_shared<auth::TokenIssuer>(auth::SigningKey::Generate(), "yagura", SystemClock());
  const auto channels = std::make_shared<rpc::Channels>(
      "ingestion", std::map<std::string, std::string>{{"directory", directory.address()}}, issuer);
  {
    EnrichmentRefresher refresher({.threat_lists = {}, .geo_files = {}}, channels,
                                  std::make_shared<CurrentEnrichment>(),
                                  Logger::ToFile((folder / "log").string()));
    refresher.Start();
    EXPECT_TRUE(testing::Eventually([&] { return directory.calls() >= 2; }));
  }
  std::ifstream log(folder / "log");
  const std::string told((std::istreambuf_iterator<char>(log)), {});
  EXPECT_EQ(told.find("too early"), std::string::npos) << told;
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace yagura::ingestion
