#pragma once

#include <memory>
#include <string>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/redis/pool.h"
#include "common/store/store.h"
#include "common/testing/fake_clock.h"
#include "common/testing/redis_server.h"
#include "common/testing/status_matchers.h"
#include "yagura/directory/v1/asset.pb.h"

namespace yagura::store {

using directory::v1::Asset;

inline Kind AssetKind() {
  return {
      .area = "directory",
      .kind = "asset",
      .pattern = "tenants/{tenant}/assets/{asset}",
      .indexes = {{.name = "by_create_time", .equality = {}, .order = "create_time"},
                  {.name = "by_host_name", .equality = {}, .order = "host_name"},
                  {.name = "by_criticality", .equality = {"criticality"}, .order = "create_time"},
                  {.name = "by_product", .equality = {"products"}, .order = ""}},
      .index_version = 1,
      .silent = false,
      .search = {},
      .addresses = {}};
}

inline Asset MakeAsset(std::string_view tenant, std::string_view id,
                       std::string_view host = "host") {
  Asset asset;
  asset.set_name(fmt::format("tenants/{}/assets/{}", tenant, id));
  asset.set_host_name(std::string(host));
  return asset;
}

inline WriteContext By(std::string_view principal, std::string_view request_id = "",
                       std::string_view digest = "digest-1") {
  WriteContext context;
  context.principal = principal;
  context.method = "/test/Write";
  context.request_id = request_id;
  context.request_digest = digest;
  return context;
}

inline std::vector<std::string> Ids(const Page<Asset>& page) {
  std::vector<std::string> ids;
  for (const auto& asset : page.items)
    ids.push_back(asset.name().substr(asset.name().rfind('/') + 1));
  return ids;
}

// A real redis-server and a store of assets on it.
class StoreTest : public ::testing::Test {
 protected:
  testing::RedisServer server_;
  std::shared_ptr<redis::Pool> pool_ = server_.NewPool();
  std::shared_ptr<testing::FakeClock> clock_ = std::make_shared<testing::FakeClock>();
  Store<Asset> assets_{pool_, AssetKind(), clock_};
};

}  // namespace yagura::store
