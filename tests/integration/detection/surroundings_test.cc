// Assets and languages as a directory tells them, and the catalogue's file: read at start, when
// something has changed, and again where they could not be had.
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <mutex>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"

#include "common/auth/token.h"
#include "common/rpc/channels.h"
#include "common/testing/eventually.h"
#include "services/detection/workers/surroundings_reader.h"
#include "yagura/directory/v1/directory_service.grpc.pb.h"

namespace yagura::detection {
namespace {

using testing::Eventually;

// A directory with assets of tenants, two a page.
struct Directory final : directory::v1::DirectoryService::Service {
  Directory() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(this);
    server = builder.BuildAndStart();
  }
  ~Directory() override { server->Shutdown(); }

  grpc::Status ListAssets(grpc::ServerContext*, const directory::v1::ListAssetsRequest* request,
                          directory::v1::ListAssetsResponse* response) override {
    const std::lock_guard lock(mutex);
    asked.push_back(request->parent());
    if (failing) return {grpc::StatusCode::UNAVAILABLE, "away"};
    std::vector<directory::v1::Asset> fitting;
    for (const auto& asset : assets) {
      const bool all = request->parent() == "tenants/-";
      if (all || asset.name().starts_with(request->parent() + "/")) fitting.push_back(asset);
    }
    const size_t first = request->page_token().empty() ? 0 : std::stoul(request->page_token());
    for (size_t i = first; i < std::min(first + 2, fitting.size()); ++i) {
      *response->add_assets() = fitting[i];
    }
    if (first + 2 < fitting.size()) response->set_next_page_token(std::to_string(first + 2));
    return grpc::Status::OK;
  }
  grpc::Status ListTenants(grpc::ServerContext*, const directory::v1::ListTenantsRequest*,
                           directory::v1::ListTenantsResponse* response) override {
    auto* tenant = response->add_tenants();
    tenant->set_name("tenants/acme");
    tenant->set_language("ja");
    return grpc::Status::OK;
  }

  void Add(std::string_view tenant, std::string_view id) {
    const std::lock_guard lock(mutex);
    auto& asset = assets.emplace_back();
    asset.set_name(fmt::format("tenants/{}/assets/{}", tenant, id));
  }
  void Fail(bool now) {
    const std::lock_guard lock(mutex);
    failing = now;
  }
  size_t Asked(std::string_view parent) {
    const std::lock_guard lock(mutex);
    return static_cast<size_t>(std::ranges::count(asked, parent));
  }

  std::mutex mutex;
  std::vector<directory::v1::Asset> assets;
  std::vector<std::string> asked;
  bool failing = false;
  int port = 0;
  std::unique_ptr<grpc::Server> server;
};

class SurroundingsReaderTest : public ::testing::Test {
 protected:
  SurroundingsReaderTest()
      : channels_(std::make_shared<rpc::Channels>(
            "detection",
            std::map<std::string, std::string>{
                {"*", fmt::format("dns:///127.0.0.1:{}", directory_.port)}},
            std::make_shared<auth::TokenIssuer>(auth::SigningKey::Generate(), "yagura-internal",
                                                SystemClock()))) {
    options_.retry = std::chrono::milliseconds(20);
    options_.look_at_files = std::chrono::milliseconds(20);
  }

  void Start() {
    reader_ =
        std::make_unique<SurroundingsReader>(options_, channels_, surroundings_, Logger::Null());
    reader_->Start();
  }
  bool Knows(std::string_view tenant, std::string_view asset) const {
    const auto inventory = surroundings_->InventoryOf(tenant);
    return inventory != nullptr && inventory->ById(asset).asset != nullptr;
  }
  void Changed(const std::string& tenant) {
    audit::v1::Record record;
    record.set_tenant(tenant);
    record.set_kind("directory.asset");
    reader_->OnRecord(record);
  }

  Directory directory_;
  std::shared_ptr<rpc::Channels> channels_;
  SurroundingsReader::Options options_;
  std::shared_ptr<Surroundings> surroundings_ = std::make_shared<Surroundings>();
  std::unique_ptr<SurroundingsReader> reader_;
};

TEST_F(SurroundingsReaderTest, ReadsAllAtStartThenWhatHasChanged) {
  for (const char* id : {"a", "b", "c", "d", "e"}) directory_.Add("acme", id);
  directory_.Add("globex", "x");
  Start();
  ASSERT_TRUE(Eventually([&] { return Knows("acme", "e") && Knows("globex", "x"); }));
  ASSERT_TRUE(Eventually([&] { return surroundings_->LanguageOf("acme") == "ja"; }));
  EXPECT_FALSE(Knows("acme", "x"));
  ASSERT_NE(surroundings_->InventoryOf("initech"), nullptr);
  EXPECT_TRUE(surroundings_->InventoryOf("initech")->empty());
  const size_t all = directory_.Asked("tenants/-");
  directory_.Add("globex", "y");
  Changed("globex");
  ASSERT_TRUE(Eventually([&] { return Knows("globex", "y"); }));
  EXPECT_TRUE(Knows("acme", "e"));
  EXPECT_EQ(directory_.Asked("tenants/-"), all);
  EXPECT_EQ(directory_.Asked("tenants/acme"), 0U);
}

TEST_F(SurroundingsReaderTest, WhatCannotBeHadStaysAndIsAskedForAgain) {
  directory_.Fail(true);
  directory_.Add("acme", "a");
  Start();
  ASSERT_TRUE(Eventually([&] { return directory_.Asked("tenants/-") > 2; }));
  EXPECT_EQ(surroundings_->InventoryOf("acme"), nullptr);
  directory_.Fail(false);
  ASSERT_TRUE(Eventually([&] { return Knows("acme", "a"); }));
  directory_.Fail(true);
  directory_.Add("acme", "b");
  Changed("acme");
  ASSERT_TRUE(Eventually([&] { return directory_.Asked("tenants/acme") > 2; }));
  EXPECT_TRUE(Knows("acme", "a"));
  directory_.Fail(false);
  ASSERT_TRUE(Eventually([&] { return Knows("acme", "b"); }));
}

TEST_F(SurroundingsReaderTest, TheCatalogueIsReadAtStartAndWhenItHasChanged) {
  const auto file = std::filesystem::temp_directory_path() / fmt::format("yagura-kev-{}", getpid());
  const auto write = [&file](std::string_view entries) {
    std::ofstream(file) << R"({"vulnerabilities": [)" << entries << "]}";
  };
  write(R"({"cveID": "CVE-2021-44228", "vendorProject": "Apache", "product": "Log4j2"})");
  options_.kev_file = file;
  Start();
  ASSERT_NE(surroundings_->kev(), nullptr);
  EXPECT_EQ(surroundings_->kev()->size(), 1U);
  write("broken");
  write(R"({"cveID": "CVE-2021-44228"}, {"cveID": "CVE-2014-6271"})");
  EXPECT_TRUE(Eventually([&] { return surroundings_->kev()->size() == 2; }));
  std::filesystem::remove(file);
}

}  // namespace
}  // namespace yagura::detection
