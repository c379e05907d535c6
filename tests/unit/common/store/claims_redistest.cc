#include <atomic>
#include <thread>

#include "tests/unit/common/store/fixture.h"

namespace yagura::store {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOk;
using testing::StatusIs;

// A host name belongs to one asset alone, and an owner's note to one criticality; an asset without
// products claims nothing.
Kind ClaimingKind() {
  Kind kind = AssetKind();
  kind.index_version = 2;
  kind.claims = [](const google::protobuf::Message& message) {
    const auto& asset = static_cast<const Asset&>(message);
    std::vector<Claim> claims;
    if (asset.products_size() == 0) return claims;
    claims.push_back({.what = "host " + asset.host_name(),
                      .group = std::nullopt,
                      .field = "asset.host_name",
                      .refusal = "is another's"});
    if (asset.owner().empty()) return claims;
    claims.push_back({.what = "owner " + asset.owner(),
                      .group = std::to_string(asset.criticality()),
                      .field = "asset.owner",
                      .refusal = "is of another criticality"});
    return claims;
  };
  return kind;
}

Asset Claiming(std::string_view id, std::string_view host, std::string_view tenant = "acme") {
  Asset asset = MakeAsset(tenant, id, host);
  asset.add_products("os");
  return asset;
}

class ClaimsTest : public StoreTest {
 protected:
  absl::StatusOr<Asset> Create(const Asset& asset) { return claiming_.Create(By("alice"), asset); }
  absl::StatusOr<Asset> Change(std::string_view id, const std::function<void(Asset&)>& change) {
    return claiming_.Mutate(By("alice"), fmt::format("tenants/acme/assets/{}", id), [&](Asset& a) {
      change(a);
      return absl::OkStatus();
    });
  }
  std::vector<redis::Reply> Claims() {
    return pool_->Command({"ZRANGE", "y:{acme}:directory:asset#claims@2", "0", "-1"})->items;
  }

  Store<Asset> claiming_{pool_, ClaimingKind(), clock_};
  const ::testing::Matcher<const absl::StatusOr<Asset>&> taken_ =
      StatusIs(absl::StatusCode::kAlreadyExists, "CLAIMED_BY_ANOTHER");
};

TEST_F(ClaimsTest, WhatOneHasNoOtherOfTheTenantGets) {
  ASSERT_THAT(Create(Claiming("a", "web")), IsOk());
  const auto refused = Create(Claiming("b", "web"));
  ASSERT_THAT(refused, taken_);
  EXPECT_THAT(std::string(Message(refused.status())),
              HasSubstr("asset.host_name: is another's (tenants/acme/assets/a)"));
  EXPECT_EQ(GetErrorMetadata(refused.status()),
            (ErrorMetadata{{"field", "asset.host_name"}, {"resource", "tenants/acme/assets/a"}}));
  EXPECT_THAT(claiming_.Get("tenants/acme/assets/b"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(Create(Claiming("b", "we")), IsOk());
  EXPECT_THAT(Create(Claiming("b", "web", "beta")), IsOk()) << "another tenant";
  EXPECT_THAT(Create(MakeAsset("acme", "c", "web")), IsOk()) << "claims nothing";
}

TEST_F(ClaimsTest, WhoAgreesSharesAClaim) {
  const auto owned = [](std::string_view id, directory::v1::Criticality criticality) {
    Asset asset = Claiming(id, id);
    asset.set_owner("it");
    asset.set_criticality(criticality);
    return asset;
  };
  ASSERT_THAT(Create(owned("a", directory::v1::CRITICALITY_LOW)), IsOk());
  ASSERT_THAT(Create(owned("b", directory::v1::CRITICALITY_LOW)), IsOk());
  EXPECT_THAT(Create(owned("c", directory::v1::CRITICALITY_HIGH)), taken_);
  EXPECT_THAT(Change("a", [](Asset& a) { a.set_criticality(directory::v1::CRITICALITY_HIGH); }),
              taken_);
  ASSERT_THAT(claiming_.Delete(By("alice"), "tenants/acme/assets/b"), IsOk());
  EXPECT_THAT(Change("a", [](Asset& a) { a.set_criticality(directory::v1::CRITICALITY_HIGH); }),
              IsOk());
}

TEST_F(ClaimsTest, AClaimGoesWithWhatMadeIt) {
  ASSERT_THAT(Create(Claiming("a", "web")), IsOk());
  ASSERT_THAT(Create(Claiming("b", "db")), IsOk());
  EXPECT_THAT(Change("b", [](Asset& a) { a.set_host_name("web"); }), taken_);
  ASSERT_THAT(Change("a", [](Asset& a) { a.set_host_name("mail"); }), IsOk());
  EXPECT_THAT(Change("b", [](Asset& a) { a.set_host_name("web"); }), IsOk());
  ASSERT_THAT(Change("b", [](Asset& a) { a.clear_products(); }), IsOk());
  EXPECT_THAT(Change("a", [](Asset& a) { a.set_host_name("web"); }), IsOk());
  EXPECT_THAT(Change("b", [](Asset& a) { a.add_products("os"); }), taken_);
  ASSERT_THAT(claiming_.Delete(By("alice"), "tenants/acme/assets/a"), IsOk());
  EXPECT_THAT(Change("b", [](Asset& a) { a.add_products("os"); }), IsOk());
  ASSERT_THAT(claiming_.Delete(By("alice"), "tenants/acme/assets/b"), IsOk());
  EXPECT_THAT(Claims(), IsEmpty());
}

TEST_F(ClaimsTest, ARepeatGetsItsAnswerThoughAnotherHasTheClaimNow) {
  ASSERT_THAT(claiming_.Create(By("alice", "r1"), Claiming("a", "web")), IsOk());
  ASSERT_THAT(Change("a", [](Asset& a) { a.set_host_name("mail"); }), IsOk());
  ASSERT_THAT(Create(Claiming("b", "web")), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto again, claiming_.Create(By("alice", "r1"), Claiming("a", "web")));
  EXPECT_EQ(again.host_name(), "web");
}

TEST_F(ClaimsTest, WhatWasStoredBeforeThereWereClaimsHasThem) {
  ASSERT_THAT(assets_.Create(By("alice"), Claiming("a", "web")), IsOk());
  ASSERT_THAT(assets_.Create(By("alice"), Claiming("b", "web")), IsOk());
  EXPECT_THAT(Create(Claiming("c", "web")), taken_);
  // Two that have it already keep it, and may change otherwise.
  EXPECT_THAT(Change("a", [](Asset& a) { a.set_note("moved"); }), IsOk());
  EXPECT_THAT(Change("a", [](Asset& a) { a.set_host_name("db"); }), IsOk());
  EXPECT_THAT(Change("a", [](Asset& a) { a.set_host_name("web"); }), taken_);
}

TEST_F(ClaimsTest, AWriterOfTheReleaseBeforeIsHeeded) {
  ASSERT_THAT(Create(Claiming("a", "web")), IsOk());
  // During a rolling upgrade the old release writes on.
  ASSERT_THAT(assets_.Create(By("alice"), Claiming("b", "db")), IsOk());
  EXPECT_THAT(Create(Claiming("c", "db")), taken_);
}

TEST_F(ClaimsTest, OfManyAtOnceOneGetsIt) {
  std::atomic<int> made = 0;
  std::vector<std::thread> writers;
  for (int i = 0; i < 8; ++i) {
    writers.emplace_back([&, i] {
      const std::string id = fmt::format("a{}", i);
      if (i % 2 == 0) {
        if (Create(Claiming(id, "web")).ok()) ++made;
        return;
      }
      EXPECT_THAT(Create(Claiming(id, id)), IsOk());
      if (Change(id, [](Asset& a) { a.set_host_name("web"); }).ok()) ++made;
    });
  }
  for (auto& writer : writers) writer.join();
  EXPECT_EQ(made, 1);
}

}  // namespace
}  // namespace yagura::store
