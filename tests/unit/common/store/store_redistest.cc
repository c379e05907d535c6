#include <atomic>
#include <thread>

#include "common/clock/proto_time.h"
#include "common/store/change_feed.h"
#include "common/store/keys.h"
#include "tests/unit/common/store/fixture.h"

namespace yagura::store {
namespace {

using absl::StatusCode;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOk;
using ::testing::SizeIs;
using testing::StatusIs;

TEST_F(StoreTest, WhatIsCreatedCanBeReadWithEtagAndTimes) {
  ASSERT_OK_AND_ASSIGN(const Asset created, assets_.Create(By("alice"), MakeAsset("acme", "a")));
  EXPECT_FALSE(created.etag().empty());
  EXPECT_EQ(FromProto(created.create_time()), clock_->Now());
  EXPECT_EQ(FromProto(created.update_time()), clock_->Now());
  ASSERT_OK_AND_ASSIGN(const Asset read, assets_.Get("tenants/acme/assets/a"));
  EXPECT_EQ(read.SerializeAsString(), created.SerializeAsString());
  EXPECT_THAT(assets_.Get("tenants/acme/assets/b"), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(assets_.Get("tenants/acme/assets/"), StatusIs(StatusCode::kInvalidArgument));
}

TEST_F(StoreTest, ANameIsTakenOnce) {
  ASSERT_THAT(assets_.Create(By("alice"), MakeAsset("acme", "a")), IsOk());
  EXPECT_THAT(assets_.Create(By("bob"), MakeAsset("acme", "a", "other")),
              StatusIs(StatusCode::kAlreadyExists));
  EXPECT_THAT(assets_.Create(By("bob"), MakeAsset("other", "a")), IsOk());
  EXPECT_EQ(assets_.Get("tenants/acme/assets/a")->host_name(), "host");
}

TEST_F(StoreTest, AnUpdateNeedsTheCurrentEtag) {
  ASSERT_OK_AND_ASSIGN(Asset first, assets_.Create(By("alice"), MakeAsset("acme", "a")));
  clock_->Advance(std::chrono::hours(1));
  first.set_host_name("second");
  first.clear_create_time();
  ASSERT_OK_AND_ASSIGN(const Asset second, assets_.Update(By("alice"), first));
  EXPECT_NE(second.etag(), first.etag());
  EXPECT_EQ(FromProto(second.create_time()), clock_->Now() - std::chrono::hours(1));
  EXPECT_EQ(FromProto(second.update_time()), clock_->Now());

  first.set_host_name("third");
  const auto stale = assets_.Update(By("alice"), first);
  ASSERT_THAT(stale, StatusIs(StatusCode::kAborted, "ETAG_MISMATCH"));
  EXPECT_EQ(GetErrorMetadata(stale.status())["etag"], second.etag());
  EXPECT_EQ(assets_.Get(first.name())->host_name(), "second");

  first.clear_etag();
  EXPECT_THAT(assets_.Update(By("alice"), first), IsOk());
  EXPECT_EQ(assets_.Get(first.name())->host_name(), "third");
  EXPECT_THAT(assets_.Update(By("alice"), MakeAsset("acme", "b")), StatusIs(StatusCode::kNotFound));
}

TEST_F(StoreTest, WhatIsDeletedIsGoneFromListsToo) {
  ASSERT_OK_AND_ASSIGN(const Asset asset, assets_.Create(By("alice"), MakeAsset("acme", "a")));
  EXPECT_THAT(assets_.Delete(By("alice"), asset.name(), "0000000000000000"),
              StatusIs(StatusCode::kAborted, "ETAG_MISMATCH"));
  ASSERT_THAT(assets_.Delete(By("alice"), asset.name(), asset.etag()), IsOk());
  EXPECT_THAT(assets_.Get(asset.name()), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(assets_.Delete(By("alice"), asset.name()), StatusIs(StatusCode::kNotFound));
  for (const char* order : {"", "create_time", "host_name desc"}) {
    ASSERT_OK_AND_ASSIGN(const auto page, assets_.List({.parent = "tenants/acme",
                                                        .filter = "",
                                                        .order_by = order,
                                                        .page_size = 10,
                                                        .page_token = ""}));
    EXPECT_THAT(page.items, IsEmpty()) << order;
  }
  // Nothing of it is left in Redis but the feed and the numbers.
  ASSERT_OK_AND_ASSIGN(const auto keys, pool_->Command({"KEYS", "*asset*"}));
  EXPECT_THAT(keys.items, SizeIs(2)) << "only the index marker and the list of indexes";
}

TEST_F(StoreTest, EveryWriteIsOnRecordInOrder) {
  ASSERT_OK_AND_ASSIGN(Asset asset, assets_.Create(By("alice"), MakeAsset("acme", "a")));
  asset.set_host_name("b");
  WriteContext context = By("services/config");
  context.on_behalf_of = "tenants/provider/users/bob";
  context.detail = "why";
  ASSERT_OK_AND_ASSIGN(asset, assets_.Update(context, asset));
  ASSERT_THAT(assets_.Delete(By("carol"), asset.name()), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto records, ReadRecords(*pool_, "acme", 0, 100));
  ASSERT_THAT(records, SizeIs(3));
  EXPECT_EQ(records[0].action(), audit::v1::CREATED);
  EXPECT_EQ(records[1].action(), audit::v1::UPDATED);
  EXPECT_EQ(records[1].principal(), "services/config");
  EXPECT_EQ(records[1].on_behalf_of(), "tenants/provider/users/bob");
  EXPECT_EQ(records[1].detail(), "why");
  EXPECT_EQ(records[1].etag(), asset.etag());
  EXPECT_EQ(records[1].digest().size(), 32u);
  EXPECT_EQ(records[2].action(), audit::v1::DELETED);
  for (size_t i = 0; i < records.size(); ++i) {
    EXPECT_EQ(records[i].sequence(), i + 1);
    EXPECT_EQ(records[i].kind(), "directory.asset");
    EXPECT_EQ(records[i].resource(), "tenants/acme/assets/a");
    EXPECT_EQ(records[i].tenant(), "acme");
  }
}

TEST_F(StoreTest, ASilentKindLeavesNoRecord) {
  Kind kind = AssetKind();
  kind.silent = true;
  Store<Asset> silent(pool_, kind, clock_);
  ASSERT_THAT(silent.Create(By("alice"), MakeAsset("acme", "a")), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto records, ReadRecords(*pool_, "acme", 0, 100));
  EXPECT_THAT(records, IsEmpty());
}

TEST_F(StoreTest, ARepeatedRequestGetsTheFirstAnswer) {
  ASSERT_OK_AND_ASSIGN(const Asset first,
                       assets_.Create(By("alice", "r1"), MakeAsset("acme", "made-1")));
  // The server makes another id the second time.
  ASSERT_OK_AND_ASSIGN(const Asset again,
                       assets_.Create(By("alice", "r1"), MakeAsset("acme", "made-2")));
  EXPECT_EQ(again.SerializeAsString(), first.SerializeAsString());
  EXPECT_THAT(assets_.Get("tenants/acme/assets/made-2"), StatusIs(StatusCode::kNotFound));

  Asset change = first;
  change.set_host_name("changed");
  ASSERT_OK_AND_ASSIGN(const Asset updated, assets_.Update(By("alice", "r2"), change));
  // Its etag is stale by now.
  ASSERT_OK_AND_ASSIGN(const Asset updated_again, assets_.Update(By("alice", "r2"), change));
  EXPECT_EQ(updated_again.SerializeAsString(), updated.SerializeAsString());

  ASSERT_THAT(assets_.Delete(By("alice", "r3"), first.name()), IsOk());
  EXPECT_THAT(assets_.Delete(By("alice", "r3"), first.name()), IsOk()) << "it is gone already";
  ASSERT_OK_AND_ASSIGN(const auto records, ReadRecords(*pool_, "acme", 0, 100));
  EXPECT_THAT(records, SizeIs(3)) << "repeats are not on record";
}

TEST_F(StoreTest, ARepeatOfAMutationDoesNotRunTheChangeAgain) {
  ASSERT_THAT(assets_.Create(By("alice"), MakeAsset("acme", "a")), IsOk());
  int runs = 0;
  const auto change = [&runs](Asset& asset) -> absl::Status {
    if (++runs > 1) return absl::FailedPreconditionError("already so");
    asset.set_note("done");
    return absl::OkStatus();
  };
  ASSERT_THAT(assets_.Mutate(By("alice", "r1"), "tenants/acme/assets/a", change), IsOk());
  ASSERT_OK_AND_ASSIGN(const Asset again,
                       assets_.Mutate(By("alice", "r1"), "tenants/acme/assets/a", change));
  EXPECT_EQ(again.note(), "done");
  EXPECT_EQ(runs, 1);
}

TEST_F(StoreTest, ALateRepeatOfAMutationThatChangedNothingChangesNothing) {
  ASSERT_THAT(assets_.Create(By("alice"), MakeAsset("acme", "a", "web")), IsOk());
  const auto call_it = [this](const char* who, const char* request, const char* host) {
    return assets_.Mutate(By(who, request), "tenants/acme/assets/a", [host](Asset& asset) {
      asset.set_host_name(host);
      return absl::OkStatus();
    });
  };
  ASSERT_OK_AND_ASSIGN(const Asset first, call_it("alice", "r1", "web"));
  ASSERT_THAT(call_it("bob", "r2", "mail"), IsOk());
  ASSERT_OK_AND_ASSIGN(const Asset again, call_it("alice", "r1", "web"));
  EXPECT_EQ(again.SerializeAsString(), first.SerializeAsString());
  EXPECT_EQ(assets_.Get("tenants/acme/assets/a")->host_name(), "mail");
  EXPECT_THAT(assets_.Mutate(By("alice", "r1", "two"), "tenants/acme/assets/a",
                             [](Asset&) { return absl::OkStatus(); }),
              StatusIs(StatusCode::kInvalidArgument, "REQUEST_ID_REUSED"));
}

TEST_F(StoreTest, ALateRepeatOfADeletionThatFoundNothingTakesNothing) {
  const std::string name = "tenants/acme/assets/a";
  const auto nothing = StatusIs(StatusCode::kNotFound, "RESOURCE_NOT_FOUND");
  EXPECT_THAT(assets_.Delete(By("alice", "r1"), name), nothing);
  ASSERT_THAT(assets_.Create(By("bob"), MakeAsset("acme", "a")), IsOk());
  EXPECT_THAT(assets_.Delete(By("alice", "r1"), name), nothing);
  EXPECT_THAT(assets_.Get(name), IsOk());
  EXPECT_THAT(assets_.Delete(By("alice", "r1", "two"), name),
              StatusIs(StatusCode::kInvalidArgument, "REQUEST_ID_REUSED"));
  EXPECT_THAT(assets_.Delete(By("alice", "r2"), name), IsOk());
}

TEST_F(StoreTest, ARequestIdWithAnotherBodyIsRefused) {
  ASSERT_THAT(assets_.Create(By("alice", "r1", "one"), MakeAsset("acme", "a")), IsOk());
  EXPECT_THAT(assets_.Create(By("alice", "r1", "two"), MakeAsset("acme", "b")),
              StatusIs(StatusCode::kInvalidArgument, "REQUEST_ID_REUSED"));
  EXPECT_THAT(assets_.Delete(By("alice", "r1", "two"), "tenants/acme/assets/a"),
              StatusIs(StatusCode::kInvalidArgument, "REQUEST_ID_REUSED"));
}

TEST_F(StoreTest, RequestIdsOfOthersAreOthers) {
  ASSERT_THAT(assets_.Create(By("alice", "r1"), MakeAsset("acme", "a")), IsOk());
  EXPECT_THAT(assets_.Create(By("bob", "r1", "two"), MakeAsset("acme", "b")), IsOk());
  EXPECT_THAT(assets_.Create(By("alice", "r1", "two"), MakeAsset("other", "b")), IsOk());
  WriteContext other_method = By("alice", "r1", "two");
  other_method.method = "/test/Other";
  EXPECT_THAT(assets_.Create(other_method, MakeAsset("acme", "c")), IsOk());
}

TEST_F(StoreTest, RequestIdsAreKeptForADay) {
  ASSERT_THAT(assets_.Create(By("alice", "r1"), MakeAsset("acme", "a")), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto keys, pool_->Command({"KEYS", "*:requests:*"}));
  ASSERT_THAT(keys.items, SizeIs(1));
  ASSERT_OK_AND_ASSIGN(const auto left, pool_->Command({"TTL", keys.items[0].text}));
  EXPECT_GT(left.integer, 86'000);
  EXPECT_LE(left.integer, 86'400);
}

TEST_F(StoreTest, AMutationThatFailsOrChangesNothingWritesNothing) {
  ASSERT_OK_AND_ASSIGN(const Asset asset, assets_.Create(By("alice"), MakeAsset("acme", "a")));
  EXPECT_THAT(assets_.Mutate(By("alice"), asset.name(),
                             [](Asset& a) -> absl::Status {
                               a.set_note("x");
                               return absl::FailedPreconditionError("no");
                             }),
              StatusIs(StatusCode::kFailedPrecondition));
  ASSERT_OK_AND_ASSIGN(const Asset same, assets_.Mutate(By("alice"), asset.name(),
                                                        [](Asset&) { return absl::OkStatus(); }));
  EXPECT_EQ(same.etag(), asset.etag());
  ASSERT_OK_AND_ASSIGN(const auto records, ReadRecords(*pool_, "acme", 0, 100));
  EXPECT_THAT(records, SizeIs(1));
}

TEST_F(StoreTest, AMutationCannotRenameOrForgeWhatTheStoreSets) {
  ASSERT_OK_AND_ASSIGN(const Asset asset, assets_.Create(By("alice"), MakeAsset("acme", "a")));
  ASSERT_OK_AND_ASSIGN(const Asset changed, assets_.Mutate(By("alice"), asset.name(), [](Asset& a) {
    a.set_name("tenants/other/assets/b");
    a.set_etag("forged");
    a.clear_create_time();
    a.set_note("x");
    return absl::OkStatus();
  }));
  EXPECT_EQ(changed.name(), asset.name());
  EXPECT_EQ(FromProto(changed.create_time()), FromProto(asset.create_time()));
  EXPECT_NE(changed.etag(), "forged");
}

TEST_F(StoreTest, AHundredWritersOnOneResourceLoseNoUpdate) {
  ASSERT_OK_AND_ASSIGN(const Asset asset, assets_.Create(By("alice"), MakeAsset("acme", "a")));
  constexpr int kWriters = 100;
  constexpr int kUpdates = 5;
  std::atomic<int> failures = 0;
  std::vector<std::thread> writers;
  for (int w = 0; w < kWriters; ++w) {
    writers.emplace_back([this, w, &failures, &asset] {
      for (int i = 0; i < kUpdates; ++i) {
        const auto done = assets_.Mutate(By("alice"), asset.name(), [&](Asset& a) {
          a.add_products(fmt::format("{}-{}", w, i));
          return absl::OkStatus();
        });
        if (!done.ok()) {
          ADD_FAILURE() << done.status();
          ++failures;
        }
      }
    });
  }
  for (auto& writer : writers) writer.join();
  EXPECT_EQ(failures, 0);
  ASSERT_OK_AND_ASSIGN(const Asset last, assets_.Get(asset.name()));
  const std::set<std::string> products(last.products().begin(), last.products().end());
  EXPECT_EQ(products.size(), size_t{kWriters * kUpdates});
  ASSERT_OK_AND_ASSIGN(const auto records, ReadRecords(*pool_, "acme", 0, 10'000));
  EXPECT_EQ(records.size(), size_t{kWriters * kUpdates + 1});
}

TEST_F(StoreTest, ManyAreReadAtOnceInTheOrderOfTheirNames) {
  ASSERT_THAT(assets_.Create(By("alice"), MakeAsset("acme", "a", "first")), IsOk());
  ASSERT_THAT(assets_.Create(By("alice"), MakeAsset("other", "b", "second")), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto found,
                       assets_.GetMany({"tenants/other/assets/b", "tenants/acme/assets/none",
                                        "tenants/acme/assets/a"}));
  ASSERT_THAT(found, SizeIs(3));
  EXPECT_EQ(found[0]->host_name(), "second");
  EXPECT_EQ(found[1], std::nullopt);
  EXPECT_EQ(found[2]->host_name(), "first");
}

TEST_F(StoreTest, ForEachVisitsEveryResourceOfTheTenant) {
  std::set<std::string> expected;
  for (int i = 0; i < 2100; ++i) {
    const auto asset = MakeAsset("acme", fmt::format("a{}", i));
    expected.insert(asset.name());
    ASSERT_THAT(assets_.Create(By("alice"), asset), IsOk());
  }
  ASSERT_THAT(assets_.Create(By("alice"), MakeAsset("other", "x")), IsOk());
  std::set<std::string> seen;
  ASSERT_THAT(assets_.ForEach("acme",
                              [&seen](const Asset& asset) {
                                seen.insert(asset.name());
                                return absl::OkStatus();
                              }),
              IsOk());
  EXPECT_EQ(seen, expected);
}

TEST_F(StoreTest, WhatCannotBeReadIsPassedOverWhereThatIsAskedFor) {
  for (const char* id : {"a", "b", "c"}) {
    ASSERT_THAT(assets_.Create(By("alice"), MakeAsset("acme", id)), IsOk());
  }
  ASSERT_THAT(pool_->Command({"SET", DataKey(AssetKind(), "acme", "b"), "broken"}), IsOk());
  std::vector<std::string> read;
  const auto visit = [&read](const Asset& asset) {
    read.push_back(asset.name());
    return absl::OkStatus();
  };
  const auto ended = assets_.ForEach("acme", visit);
  EXPECT_THAT(ended, StatusIs(StatusCode::kDataLoss, "STORED_RESOURCE_UNREADABLE"));
  EXPECT_THAT(std::string(Message(ended)), HasSubstr("tenants/acme/assets/b"));
  read.clear();
  std::vector<std::string> unreadable;
  ASSERT_THAT(
      assets_.ForEach("acme", visit,
                      [&unreadable](const std::string& name) { unreadable.push_back(name); }),
      IsOk());
  EXPECT_THAT(read, ElementsAre("tenants/acme/assets/a", "tenants/acme/assets/c"));
  EXPECT_THAT(unreadable, ElementsAre("tenants/acme/assets/b"));

  ListQuery list;
  list.parent = "tenants/acme";
  EXPECT_THAT(assets_.List(list), StatusIs(StatusCode::kDataLoss, "STORED_RESOURCE_UNREADABLE"));
  list.pass_over_unreadable = true;
  ASSERT_OK_AND_ASSIGN(const auto page, assets_.List(list));
  EXPECT_THAT(Ids(page), ElementsAre("a", "c"));
}

TEST_F(StoreTest, TenantsAreRegisteredByHandOrWithTheirFirstResource) {
  ASSERT_THAT(RegisterTenant(*pool_, "beta"), IsOk());
  ASSERT_THAT(RegisterTenant(*pool_, "beta"), IsOk());
  ASSERT_THAT(assets_.Create(By("alice"), MakeAsset("acme", "a")), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto tenants, ListTenants(*pool_));
  EXPECT_THAT(tenants, ElementsAre("acme", "beta"));
  EXPECT_THAT(RegisterTenant(*pool_, "-"), StatusIs(StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace yagura::store
