// Records are trimmed from the change feeds by whoever has sealed them, at any moment: what follows
// a feed must come to know every change all the same.
#include <atomic>
#include <map>
#include <mutex>
#include <random>
#include <thread>

#include "common/store/keys.h"
#include "common/store/projection.h"
#include "common/text/text.h"
#include "tests/unit/common/store/fixture.h"

namespace yagura::store {
namespace {

using ::testing::ContainerEq;
using testing::IsOk;

using Texts = std::map<std::string, std::string>;  // serialized resources by name

// What a watcher knows that started with a list and heard of every change since.
class Replica {
 public:
  void Hear(const audit::v1::Record& record, const Asset* asset) {
    const std::lock_guard lock(mutex_);
    if (asset == nullptr) {
      known_.erase(record.resource());
    } else {
      known_[record.resource()] = asset->SerializeAsString();
    }
    ++heard_;
  }
  Texts known() {
    const std::lock_guard lock(mutex_);
    return known_;
  }
  int heard() {
    const std::lock_guard lock(mutex_);
    return heard_;
  }

 private:
  std::mutex mutex_;
  Texts known_;
  int heard_ = 0;
};

class TrimTest : public StoreTest {
 protected:
  Texts Stored() {
    Texts texts;
    const auto tenants = ListTenants(*pool_);
    EXPECT_THAT(tenants, IsOk());
    for (const auto& tenant : *tenants) {
      EXPECT_THAT(assets_.ForEach(tenant,
                                  [&texts](const Asset& asset) {
                                    texts[asset.name()] = asset.SerializeAsString();
                                    return absl::OkStatus();
                                  }),
                  IsOk());
    }
    return texts;
  }
  static Texts Listed(const Projection<Asset>& projection) {
    Texts texts;
    const auto page = projection.List(
        {.parent = "tenants/-", .filter = "", .order_by = "", .page_size = 1000, .page_token = ""},
        {.all = true, .tenants = {}});
    EXPECT_THAT(page, IsOk());
    if (!page.ok()) return texts;
    for (const auto& asset : page->items) texts[asset.name()] = asset.SerializeAsString();
    return texts;
  }
  auto Watch(Projection<Asset>& projection, Replica& replica) {
    return projection.Watch({.all = true, .tenants = {}},
                            [&replica](const audit::v1::Record& record, const Asset* asset) {
                              replica.Hear(record, asset);
                            });
  }
  // Creates, changes or deletes something of one tenant; any of it may lose a race.
  void WriteSomething(std::mt19937& random, const std::string& tenant) {
    const std::string id = fmt::format("a{}", random() % 12);
    const std::string name = fmt::format("tenants/{}/assets/{}", tenant, id);
    switch (random() % 4) {
      case 0:
        static_cast<void>(assets_.Delete(By("w"), name));
        break;
      case 1:
        static_cast<void>(assets_.Create(By("w"), MakeAsset(tenant, id)));
        break;
      default:
        static_cast<void>(assets_.Mutate(By("w"), name, [&](Asset& asset) {
          asset.set_host_name(fmt::format("h{}", random()));
          return absl::OkStatus();
        }));
    }
  }
  // Everything that is there, or all but the last few records.
  void TrimSomething(std::mt19937& random, const std::string& tenant) {
    const std::string key = SequenceKey(tenant);
    const auto last = pool_->Command({"GET", key});
    const uint64_t sequence = last.ok() ? ParseNumber<uint64_t>(last->text).value_or(0) : 0;
    const uint64_t kept = random() % 4;
    if (sequence > kept) static_cast<void>(TrimRecords(*pool_, tenant, sequence - kept));
  }

  std::shared_ptr<FeedFollower> feed_ = std::make_shared<FeedFollower>(pool_, Logger::Null());
};

TEST_F(TrimTest, AWatcherHearsWhatChangedWhileItsRecordsWereTrimmed) {
  for (const char* id : {"changed", "gone", "same"}) {
    ASSERT_THAT(assets_.Create(By("alice"), MakeAsset("acme", id)), IsOk());
  }
  feed_->Start();
  Projection<Asset> projection(assets_, feed_);
  Replica replica;
  const auto handle = Watch(projection, replica);
  ASSERT_EQ(Listed(projection).size(), 3u);
  EXPECT_EQ(replica.heard(), 0) << "what was there before is nobody's news";
  feed_->Stop();
  ASSERT_THAT(assets_.Update(By("alice"), MakeAsset("acme", "changed", "another")), IsOk());
  ASSERT_THAT(assets_.Delete(By("alice"), "tenants/acme/assets/gone"), IsOk());
  ASSERT_THAT(assets_.Create(By("alice"), MakeAsset("acme", "new")), IsOk());
  ASSERT_THAT(assets_.Create(By("alice"), MakeAsset("beta", "first")), IsOk());
  ASSERT_THAT(TrimRecords(*pool_, "acme", 100), IsOk());
  ASSERT_THAT(TrimRecords(*pool_, "beta", 100), IsOk());
  feed_->Start();
  EXPECT_THAT(Listed(projection), ContainerEq(Stored()));
  Texts expected = Stored();
  expected.erase("tenants/acme/assets/same");
  EXPECT_THAT(replica.known(), ContainerEq(expected));
  EXPECT_EQ(replica.heard(), 4);
}

TEST_F(TrimTest, WhateverIsTrimmedWhileManyWriteNothingIsMissed) {
  const auto seed = std::random_device()();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  const std::vector<std::string> tenants = {"acme", "acme2", "beta"};
  feed_->Start();
  Projection<Asset> projection(assets_, feed_);
  Replica replica;
  const auto handle = Watch(projection, replica);
  std::atomic<bool> done = false;
  std::vector<std::thread> threads;
  for (uint32_t w = 0; w < 4; ++w) {
    threads.emplace_back([&, w] {
      std::mt19937 random(seed + w);
      for (int i = 0; i < 400; ++i) WriteSomething(random, tenants[random() % tenants.size()]);
    });
  }
  std::thread trimmer([&] {
    std::mt19937 random(seed);
    while (!done) {
      TrimSomething(random, tenants[random() % tenants.size()]);
      if (random() % 50 == 0) {  // a follower that falls behind
        feed_->Stop();
        for (int i = 0; i < 20; ++i) WriteSomething(random, tenants[random() % tenants.size()]);
        for (const auto& tenant : tenants) TrimSomething(random, tenant);
        feed_->Start();
      }
    }
  });
  for (auto& thread : threads) thread.join();
  done = true;
  trimmer.join();
  for (const auto& tenant : tenants) {
    std::mt19937 random(seed);
    TrimSomething(random, tenant);
  }
  const Texts stored = Stored();
  EXPECT_THAT(Listed(projection), ContainerEq(stored));
  EXPECT_THAT(replica.known(), ContainerEq(stored));
}

}  // namespace
}  // namespace yagura::store
