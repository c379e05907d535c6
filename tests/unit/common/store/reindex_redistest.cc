#include <thread>

#include "tests/unit/common/store/fixture.h"

namespace yagura::store {
namespace {

using ::testing::IsEmpty;
using testing::IsOk;
using ::testing::SizeIs;

Kind NewKind() {
  Kind kind = AssetKind();
  kind.indexes = {{.name = "by_owner", .equality = {"owner"}, .order = "host_name"},
                  {.name = "by_create_time", .equality = {}, .order = "create_time"}};
  kind.index_version = 2;
  return kind;
}

ListQuery OfOwner(std::string_view owner) {
  return {.parent = "tenants/acme",
          .filter = fmt::format("owner = {}", owner),
          .order_by = "host_name",
          .page_size = 1000,
          .page_token = ""};
}

ListQuery ByHost() {
  return {.parent = "tenants/acme",
          .filter = "",
          .order_by = "host_name",
          .page_size = 1000,
          .page_token = ""};
}

class ReindexTest : public StoreTest {
 protected:
  void Fill(int count) {
    for (int i = 0; i < count; ++i) {
      auto asset = MakeAsset("acme", fmt::format("a{}", i), fmt::format("h{}", i));
      asset.set_owner(i % 2 == 0 ? "even" : "odd");
      ASSERT_THAT(assets_.Create(By("alice"), asset), IsOk());
    }
  }
  std::string Marker() { return pool_->Command({"GET", "y:{acme}:directory:asset#version"})->text; }
};

TEST_F(ReindexTest, ANewIndexVersionFindsWhatWasStoredBefore) {
  Fill(500);
  Store<Asset> upgraded(pool_, NewKind(), clock_);
  ASSERT_OK_AND_ASSIGN(const auto page, upgraded.List(OfOwner("odd")));
  EXPECT_THAT(page.items, SizeIs(250));
  EXPECT_EQ(Marker(), "2");
  EXPECT_THAT(pool_->Command({"KEYS", "*asset#*@1"})->items, IsEmpty())
      << "the old ones are dropped";
}

TEST_F(ReindexTest, TheJobAtStartDoesItForEveryTenant) {
  Fill(10);
  ASSERT_THAT(assets_.Create(By("alice"), MakeAsset("other", "a")), IsOk());
  Store<Asset> upgraded(pool_, NewKind(), clock_);
  ASSERT_THAT(upgraded.raw()->Reindex(), IsOk());
  EXPECT_EQ(Marker(), "2");
  EXPECT_EQ(pool_->Command({"GET", "y:{other}:directory:asset#version"})->text, "2");
  ASSERT_OK_AND_ASSIGN(const auto entries,
                       pool_->Command({"ZCARD", "y:{acme}:directory:asset#by_owner@2"}));
  EXPECT_EQ(entries.integer, 10);
}

TEST_F(ReindexTest, GoingBackOneReleaseWorks) {
  Fill(20);
  {
    Store<Asset> upgraded(pool_, NewKind(), clock_);
    ASSERT_THAT(upgraded.List(OfOwner("odd")), IsOk());
    auto asset = MakeAsset("acme", "new", "zz");
    ASSERT_THAT(upgraded.Create(By("alice"), asset), IsOk());
    ASSERT_THAT(upgraded.Delete(By("alice"), "tenants/acme/assets/a0"), IsOk());
    ASSERT_THAT(upgraded.Mutate(By("alice"), "tenants/acme/assets/a1",
                                [](Asset& a) {
                                  a.set_host_name("moved");
                                  return absl::OkStatus();
                                }),
                IsOk());
  }
  Store<Asset> old(pool_, AssetKind(), clock_);
  ASSERT_OK_AND_ASSIGN(const auto page, old.List(ByHost()));
  EXPECT_THAT(page.items, SizeIs(20));
  EXPECT_EQ(page.items.back().host_name(), "zz");
  ASSERT_OK_AND_ASSIGN(const auto entries,
                       pool_->Command({"ZCARD", "y:{acme}:directory:asset#by_host_name@1"}));
  EXPECT_EQ(entries.integer, 20) << "no stale entry is left";
}

TEST_F(ReindexTest, WritersOfTheOldReleaseAreSeenByTheNewOne) {
  Fill(20);
  Store<Asset> upgraded(pool_, NewKind(), clock_);
  ASSERT_THAT(upgraded.List(OfOwner("odd")), IsOk());
  // During a rolling upgrade the old release writes on.
  auto asset = MakeAsset("acme", "late", "late");
  asset.set_owner("odd");
  ASSERT_THAT(assets_.Create(By("alice"), asset), IsOk());
  EXPECT_EQ(Marker(), "dirty");
  ASSERT_OK_AND_ASSIGN(const auto page, upgraded.List(OfOwner("odd")));
  EXPECT_THAT(page.items, SizeIs(11));
  ASSERT_OK_AND_ASSIGN(const auto back, assets_.List(ByHost()));
  EXPECT_THAT(back.items, SizeIs(21));
}

TEST_F(ReindexTest, AJobThatDiedIsTakenUpAtItsCursor) {
  Fill(50);
  // As a job leaves it that died behind a3 (ids sort as text): entries up to there are made.
  ASSERT_THAT(pool_->Command({"SET", "y:{acme}:directory:asset#version", "2:token"}), IsOk());
  ASSERT_THAT(pool_->Command({"SET", "y:{acme}:directory:asset#reindex", "a3"}), IsOk());
  Store<Asset> upgraded(pool_, NewKind(), clock_);
  ASSERT_THAT(upgraded.raw()->Reindex(), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto entries,
                       pool_->Command({"ZCARD", "y:{acme}:directory:asset#by_create_time@2"}));
  EXPECT_EQ(entries.integer, 26) << "a30..a39, a4, a40..a49, a5..a9";
  EXPECT_EQ(Marker(), "2");
}

TEST_F(ReindexTest, WritesWhileItRunsAreNotLost) {
  Fill(1000);
  Store<Asset> upgraded(pool_, NewKind(), clock_);
  std::thread writer([&] {
    for (int i = 0; i < 300; ++i) {
      EXPECT_THAT(upgraded.Mutate(By("bob"), fmt::format("tenants/acme/assets/a{}", i),
                                  [](Asset& a) {
                                    a.set_owner("moved");
                                    return absl::OkStatus();
                                  }),
                  IsOk());
    }
  });
  EXPECT_THAT(upgraded.raw()->Reindex(), IsOk());
  writer.join();
  ASSERT_OK_AND_ASSIGN(const auto moved, upgraded.List(OfOwner("moved")));
  EXPECT_THAT(moved.items, SizeIs(300));
  ASSERT_OK_AND_ASSIGN(const auto odd, upgraded.List(OfOwner("odd")));
  EXPECT_THAT(odd.items, SizeIs(350));
}

}  // namespace
}  // namespace yagura::store
