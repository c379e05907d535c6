#include <atomic>
#include <thread>

#include "common/store/change_feed.h"
#include "tests/unit/common/store/fixture.h"

namespace yagura::store {
namespace {

using absl::StatusCode;
using testing::IsOk;
using ::testing::SizeIs;
using testing::StatusIs;

TEST_F(StoreTest, WhileRedisIsGoneWritesSayUnavailableAndAfterwardsWorkAgain) {
  ASSERT_THAT(assets_.Create(By("alice"), MakeAsset("acme", "a")), IsOk());
  server_.KillHard();
  EXPECT_THAT(assets_.Create(By("alice"), MakeAsset("acme", "b")),
              StatusIs(StatusCode::kUnavailable));
  EXPECT_THAT(assets_.Get("tenants/acme/assets/a"), StatusIs(StatusCode::kUnavailable));
  server_.Restart();
  EXPECT_THAT(assets_.Get("tenants/acme/assets/a"), IsOk());
  EXPECT_THAT(assets_.Create(By("alice"), MakeAsset("acme", "b")), IsOk());
}

// Writers repeat with the same request id whatever they could not get an answer to, while Redis is
// killed again and again: each write takes effect once, and the feed tells of it once.
TEST_F(StoreTest, RepeatsAcrossKillsOfRedisTakeEffectOnce) {
  constexpr int kWriters = 4;
  constexpr int kKills = 5;
  ASSERT_THAT(assets_.Create(By("alice"), MakeAsset("acme", "counter")), IsOk());
  std::atomic<bool> stop = false;
  std::atomic<int> acknowledged = 0;
  std::vector<std::thread> writers;
  for (int w = 0; w < kWriters; ++w) {
    writers.emplace_back([&, w] {
      for (int i = 0; !stop; ++i) {
        const std::string token = fmt::format("{}-{}", w, i);
        while (true) {
          const auto done = assets_.Mutate(By("alice", token, token), "tenants/acme/assets/counter",
                                           [&token](Asset& asset) {
                                             asset.add_products(token);
                                             return absl::OkStatus();
                                           });
          if (done.ok()) break;
          EXPECT_THAT(done, ::testing::AnyOf(StatusIs(StatusCode::kUnavailable),
                                             StatusIs(StatusCode::kAborted)));
        }
        ++acknowledged;
      }
    });
  }
  for (int kill = 0; kill < kKills; ++kill) {
    const int before = acknowledged;
    while (acknowledged < before + 50) std::this_thread::yield();
    server_.KillHard();
    server_.Restart();
  }
  stop = true;
  for (auto& writer : writers) writer.join();

  ASSERT_OK_AND_ASSIGN(const Asset counter, assets_.Get("tenants/acme/assets/counter"));
  const std::set<std::string> distinct(counter.products().begin(), counter.products().end());
  EXPECT_EQ(counter.products_size(), acknowledged) << "nothing acknowledged is lost or doubled";
  EXPECT_EQ(distinct.size(), static_cast<size_t>(counter.products_size()));
  ASSERT_OK_AND_ASSIGN(const auto records, ReadRecords(*pool_, "acme", 0, 10'000));
  EXPECT_THAT(records, SizeIs(acknowledged + 1));
  // The index by product has one entry a value.
  ASSERT_OK_AND_ASSIGN(const auto entries,
                       pool_->Command({"ZCARD", "y:{acme}:directory:asset#by_product@1"}));
  EXPECT_EQ(entries.integer, std::min<int64_t>(acknowledged, 1000));
}

}  // namespace
}  // namespace yagura::store
