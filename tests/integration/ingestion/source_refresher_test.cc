#include "services/ingestion/workers/source_refresher.h"

#include <filesystem>
#include <mutex>

#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "gtest/gtest.h"

#include "common/rpc/channels.h"
#include "common/testing/eventually.h"
#include "common/testing/process.h"
#include "services/ingestion/workers/current_sources.h"
#include "yagura/directory/v1/directory_service.grpc.pb.h"

namespace yagura::ingestion {
namespace {

namespace dv1 = directory::v1;

using testing::Eventually;

// Lists what a test wants, and fails where it is told to.
class Directory final : public dv1::DirectoryService::Service {
 public:
  explicit Directory(const std::string& address) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort(address, grpc::InsecureServerCredentials());
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  ~Directory() override { server_->Shutdown(std::chrono::system_clock::now()); }

  void AddSource(const std::string& name) {
    const std::lock_guard lock(mutex_);
    dv1::Source& source = *sources_.add_sources();
    source.set_name(name);
    source.mutable_match()->set_cidr("192.0.2.0/24");
  }
  void FailSites(bool fail) {
    const std::lock_guard lock(mutex_);
    fail_sites_ = fail;
  }
  void FailKeys(bool fail) {
    const std::lock_guard lock(mutex_);
    fail_keys_ = fail;
  }
  void HasRelays(bool has) {
    const std::lock_guard lock(mutex_);
    has_relays_ = has;
  }
  std::string KeyFilter() const {
    const std::lock_guard lock(mutex_);
    return key_filter_;
  }

 private:
  static grpc::Status Answer(bool fails) {
    return fails ? grpc::Status(grpc::StatusCode::INTERNAL, "no") : grpc::Status::OK;
  }
  grpc::Status ListTenants(grpc::ServerContext*, const dv1::ListTenantsRequest*,
                           dv1::ListTenantsResponse* response) override {
    dv1::Tenant& tenant = *response->add_tenants();
    tenant.set_name("tenants/acme");
    tenant.set_time_zone("Asia/Tokyo");
    return grpc::Status::OK;
  }
  grpc::Status ListSites(grpc::ServerContext*, const dv1::ListSitesRequest*,
                         dv1::ListSitesResponse*) override {
    const std::lock_guard lock(mutex_);
    return Answer(fail_sites_);
  }
  grpc::Status ListSources(grpc::ServerContext*, const dv1::ListSourcesRequest*,
                           dv1::ListSourcesResponse* response) override {
    const std::lock_guard lock(mutex_);
    *response = sources_;
    return grpc::Status::OK;
  }
  grpc::Status ListApiKeys(grpc::ServerContext*, const dv1::ListApiKeysRequest* request,
                           dv1::ListApiKeysResponse* response) override {
    const std::lock_guard lock(mutex_);
    key_filter_ = request->filter();
    if (has_relays_) {
      dv1::ApiKey& key = *response->add_api_keys();
      key.set_name("tenants/acme/apiKeys/relay");
      key.add_relay_sites("tenants/acme/sites/hq");
    }
    return Answer(fail_keys_);
  }

  mutable std::mutex mutex_;
  dv1::ListSourcesResponse sources_;
  bool fail_sites_ = false;
  bool fail_keys_ = false;
  bool has_relays_ = true;
  std::string key_filter_;
  std::unique_ptr<grpc::Server> server_;
};

class SourceRefresherTest : public ::testing::Test {
 protected:
  ~SourceRefresherTest() override {
    refresher_.Stop();
    std::filesystem::remove_all(folder_);
  }

  size_t Sources() const {
    const auto map = sources_->Get();
    return map == nullptr ? 0 : map->size();
  }
  bool MayRelay() const {
    const auto map = sources_->Get();
    return map != nullptr && map->MayRelay("tenants/acme/apiKeys/relay", "tenants/acme/sites/hq");
  }

  const std::filesystem::path folder_ = testing::MakeTemporaryFolder();
  const std::string address_ = "unix:" + (folder_ / "directory.sock").string();
  Directory directory_{address_};
  const std::shared_ptr<CurrentSources> sources_ = std::make_shared<CurrentSources>();
  const std::shared_ptr<rpc::Channels> channels_ = std::make_shared<rpc::Channels>(
      "ingestion", std::map<std::string, std::string>{{"directory", address_}},
      std::make_shared<auth::TokenIssuer>(auth::SigningKey::Generate(), "yagura-internal",
                                          SystemClock()));
  SourceRefresher refresher_{{std::chrono::milliseconds(20), folder_ / "sources.pb", nullptr},
                             channels_,
                             sources_,
                             Logger::Null()};
};

TEST_F(SourceRefresherTest, NewSourcesCountThoughKeysOrZonesCannotBeRead) {
  directory_.AddSource("tenants/acme/sources/one");
  refresher_.Start();
  ASSERT_TRUE(Eventually([&] { return Sources() == 1 && refresher_.health().ok(); }));
  EXPECT_TRUE(MayRelay());
  directory_.FailKeys(true);
  directory_.AddSource("tenants/acme/sources/two");
  EXPECT_TRUE(Eventually([&] { return Sources() == 2; }));
  EXPECT_TRUE(Eventually([&] { return !refresher_.health().ok(); })) << "and it is told";
  EXPECT_TRUE(MayRelay()) << "what was said last stays in force";
  directory_.FailSites(true);
  directory_.AddSource("tenants/acme/sources/three");
  EXPECT_TRUE(Eventually([&] { return Sources() == 3; }));
  // Of a new tenant it is not known in which time zone its devices write.
  directory_.AddSource("tenants/fresh/sources/one");
  directory_.AddSource("tenants/acme/sources/four");
  EXPECT_TRUE(Eventually([&] { return Sources() == 4; }));
  directory_.FailKeys(false);
  directory_.FailSites(false);
  EXPECT_TRUE(Eventually([&] { return Sources() == 5 && refresher_.health().ok(); }));
}

TEST_F(SourceRefresherTest, ThatThereAreNoRelaysIsNotThatNobodyCouldBeAsked) {
  directory_.FailKeys(true);
  directory_.HasRelays(false);
  directory_.AddSource("tenants/acme/sources/one");
  refresher_.Start();
  ASSERT_TRUE(Eventually([&] { return Sources() == 1 && !refresher_.health().ok(); }));
  EXPECT_FALSE(sources_->Get()->KnowsRelays());
  EXPECT_FALSE(MayRelay());
  directory_.FailKeys(false);
  EXPECT_TRUE(Eventually([&] { return sources_->Get()->KnowsRelays(); }));
  EXPECT_FALSE(MayRelay());
  // Nor after a restart, while the directory is away.
  refresher_.Stop();
  directory_.FailKeys(true);
  const auto sources = std::make_shared<CurrentSources>();
  SourceRefresher again({std::chrono::milliseconds(20), folder_ / "sources.pb", nullptr}, channels_,
                        sources, Logger::Null());
  again.Start();
  EXPECT_TRUE(Eventually([&] { return sources->Get() != nullptr; }));
  EXPECT_TRUE(sources->Get()->KnowsRelays());
}

TEST_F(SourceRefresherTest, WithoutAnyZonesNoTimesAreMisread) {
  directory_.FailSites(true);
  directory_.AddSource("tenants/acme/sources/one");
  refresher_.Start();
  EXPECT_TRUE(Eventually([&] { return !refresher_.health().ok(); }));
  EXPECT_EQ(sources_->Get(), nullptr);
  directory_.FailSites(false);
  EXPECT_TRUE(Eventually([&] { return Sources() == 1; }));
}

TEST_F(SourceRefresherTest, OnlyKeysOfRelaysAreAskedFor) {
  refresher_.Start();
  EXPECT_TRUE(Eventually([&] { return MayRelay(); }));
  EXPECT_EQ(directory_.KeyFilter(), "relay_sites:*");
}

}  // namespace
}  // namespace yagura::ingestion
