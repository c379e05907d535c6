#include <atomic>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "fmt/format.h"

#include "benchmark/benchmark.h"
#include "common/redis/pool.h"
#include "common/store/projection.h"
#include "common/store/store.h"
#include "common/testing/redis_server.h"
#include "yagura/directory/v1/asset.pb.h"

// A tenant with 100,000 resources, and 300 tenants with 300 each, on a real redis-server.
namespace yagura::store {
namespace {

using directory::v1::Asset;
using directory::v1::Criticality;

constexpr int kResources = 100'000;
constexpr int kTenants = 300;
constexpr int kPerTenant = 300;
constexpr int kWriters = 8;

Kind AssetKind() {
  Kind kind;
  kind.area = "bench";
  kind.kind = "asset";
  kind.pattern = "tenants/{tenant}/assets/{asset}";
  kind.indexes = {{"by_create_time", {}, "create_time"},
                  {"by_host_name", {}, "host_name"},
                  {"by_criticality", {"criticality"}, "create_time"},
                  {"by_owner", {"owner", "exposure"}, "host_name"}};
  return kind;
}

[[noreturn]] void Die(const absl::Status& status) {
  fmt::print(stderr, "{}\n", status.ToString());
  std::abort();
}

WriteContext Bench() {
  WriteContext context;
  context.principal = "bench";
  context.method = "/bench";
  return context;
}

Asset MakeAsset(const std::string& tenant, int i) {
  std::minstd_rand random(static_cast<unsigned>(i) + 1);
  Asset asset;
  asset.set_name(fmt::format("tenants/{}/assets/a{}", tenant, i));
  asset.set_host_name(fmt::format("host-{}.example.test", random() % 50'000));
  asset.set_display_name("A server of the accounting department");
  asset.set_owner(fmt::format("owner-{}", random() % 100));
  asset.set_criticality(static_cast<Criticality>(random() % 5));
  asset.set_exposure(static_cast<directory::v1::Exposure>(random() % 4));
  for (int p = 0; p < 3; ++p) asset.add_products(fmt::format("vendor:product{}:{}", p, i % 17));
  return asset;
}

// Everything is filled once, before the first measurement.
struct World {
  World() {
    feed->Start();
    Fill(kResources, [](int i) { return MakeAsset("big", i); });
    Fill(kTenants * kPerTenant,
         [](int i) { return MakeAsset(fmt::format("t{}", i % kTenants), i / kTenants); });
    projection = std::make_unique<Projection<Asset>>(*assets, feed, [](const Asset& asset) {
      return !asset.name().starts_with("tenants/big/");
    });
  }

  template <typename Make>
  void Fill(int count, const Make& make) {
    std::atomic<int> next = 0;
    std::vector<std::thread> writers;
    for (int w = 0; w < kWriters; ++w) {
      writers.emplace_back([&] {
        for (int i = next++; i < count; i = next++) {
          if (const auto made = assets->Create(Bench(), make(i)); !made.ok()) Die(made.status());
        }
      });
    }
    for (auto& writer : writers) writer.join();
  }

  testing::RedisServer server;
  std::shared_ptr<redis::Pool> pool = server.NewPool();
  std::unique_ptr<Store<Asset>> assets =
      std::make_unique<Store<Asset>>(pool, AssetKind(), SystemClock());
  std::shared_ptr<FeedFollower> feed = std::make_shared<FeedFollower>(pool, Logger::Null());
  std::unique_ptr<Projection<Asset>> projection;
};

World& TheWorld() {
  static World world;
  return world;
}

ListQuery Query(const char* filter, const char* order_by, std::string token = "") {
  return {.parent = "tenants/big",
          .filter = filter,
          .order_by = order_by,
          .page_size = 50,
          .page_token = std::move(token)};
}

void BM_Page(benchmark::State& state, const char* filter, const char* order_by) {
  World& world = TheWorld();
  std::string token;
  for (auto _ : state) {
    auto page = world.assets->List(Query(filter, order_by, token));
    if (!page.ok()) Die(page.status());
    benchmark::DoNotOptimize(page->items);
    token = page->next_page_token;
  }
}

void BM_PageOverAllTenants(benchmark::State& state, const char* filter, const char* order_by) {
  World& world = TheWorld();
  for (auto _ : state) {
    auto page = world.projection->List(Query(filter, order_by), {.all = true, .tenants = {}});
    if (!page.ok()) Die(page.status());
    benchmark::DoNotOptimize(page->items);
  }
}

void BM_Get(benchmark::State& state) {
  World& world = TheWorld();
  int i = 0;
  for (auto _ : state) {
    auto asset = world.assets->Get(fmt::format("tenants/big/assets/a{}", i++ % kResources));
    if (!asset.ok()) Die(asset.status());
    benchmark::DoNotOptimize(asset);
  }
  state.SetItemsProcessed(state.iterations());
}

void BM_Mutate(benchmark::State& state) {
  World& world = TheWorld();
  int i = state.thread_index() * 1000;
  for (auto _ : state) {
    auto asset = world.assets->Mutate(
        Bench(), fmt::format("tenants/big/assets/a{}", i++ % kResources), [i](Asset& a) {
          a.set_note(std::to_string(i));
          return absl::OkStatus();
        });
    if (!asset.ok()) Die(asset.status());
  }
  state.SetItemsProcessed(state.iterations());
}

BENCHMARK_CAPTURE(BM_Page, by_name, "", "")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_Page, by_create_time_descending, "", "create_time desc")
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_Page, by_host_name, "", "host_name")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_Page, one_criticality, "criticality = CRITICALITY_HIGH", "create_time desc")
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_Page, two_equalities, "owner = \"owner-7\" AND exposure = EXPOSURE_INTERNET",
                  "host_name")
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_Page, residual_1_in_100, "owner = \"owner-7\"", "create_time")
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_PageOverAllTenants, by_create_time, "", "create_time desc")
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_PageOverAllTenants, residual_1_in_100, "owner = \"owner-7\"",
                  "create_time desc")
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_PageOverAllTenants, nothing_found, "owner = nobody", "create_time desc")
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_PageOverAllTenants, two_equalities_in_an_index,
                  "owner = \"owner-7\" AND exposure = EXPOSURE_INTERNET", "host_name")
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_PageOverAllTenants, nothing_found_in_an_index,
                  "owner = nobody AND exposure = EXPOSURE_INTERNET", "host_name")
    ->Unit(benchmark::kMillisecond);
BENCHMARK(BM_Get);
BENCHMARK(BM_Mutate)->UseRealTime();
BENCHMARK(BM_Mutate)->Threads(8)->UseRealTime();

}  // namespace
}  // namespace yagura::store

BENCHMARK_MAIN();
