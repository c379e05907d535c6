#include "tests/integration/directory/fixture.h"

namespace yagura::directory {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class ImportTest : public DirectoryTest {
 protected:
  void SetUp() override {
    DirectoryTest::SetUp();
    AddTenant("acme");
    AddSite("acme", "tokyo");
  }

  absl::StatusOr<v1::ImportAssetsResponse> Import(const std::string& csv, bool dry_run = false) {
    v1::ImportAssetsRequest request;
    request.set_parent("tenants/acme");
    request.set_csv(csv);
    request.set_dry_run(dry_run);
    return Call(&Stub::ImportAssets, request);
  }
  int Count() {
    v1::ListAssetsRequest list;
    list.set_parent("tenants/acme");
    list.set_page_size(1000);
    const auto page = Call(&Stub::ListAssets, list);
    EXPECT_THAT(page, IsOk());
    return page.ok() ? page->assets_size() : -1;
  }
};

constexpr const char* kCsv =
    "asset_id,host_name,site,addresses,criticality\n"
    "web,web.acme.example,tokyo,10.0.0.1,high\n"
    "db,db.acme.example,tokyo,10.0.0.2,critical\n"
    "bad,bad.acme.example,kobe,10.0.0.3,low\n";

TEST_F(ImportTest, ADryRunTellsAndTheRealOneDoes) {
  const auto dry = Import(kCsv, true);
  ASSERT_THAT(dry, IsOk());
  EXPECT_EQ(dry->created(), 2);
  EXPECT_EQ(dry->failed(), 1);
  EXPECT_EQ(Count(), 0);
  const auto real = Import(kCsv);
  ASSERT_THAT(real, IsOk());
  EXPECT_EQ(real->SerializeAsString(), dry->SerializeAsString());
  EXPECT_EQ(Count(), 2);
  ASSERT_THAT(real->rows(), SizeIs(3));
  EXPECT_EQ(real->rows(2).line(), 4);
  EXPECT_EQ(real->rows(2).action(), v1::IMPORT_ERROR);
  EXPECT_THAT(real->rows(2).error(), HasSubstr("kobe"));
  v1::GetAssetRequest get;
  get.set_name("tenants/acme/assets/web");
  const auto web = Call(&Stub::GetAsset, get);
  ASSERT_THAT(web, IsOk());
  EXPECT_EQ(web->addresses(0).site(), "tokyo");
  EXPECT_EQ(web->criticality(), v1::CRITICALITY_HIGH);
}

TEST_F(ImportTest, ARepeatChangesNothingAndAChangeNamesItsFields) {
  ASSERT_THAT(Import(kCsv), IsOk());
  const auto again = Import(kCsv);
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(again->unchanged(), 2);
  EXPECT_EQ(again->created() + again->updated(), 0);
  const std::string change = "asset_id,criticality,owner\nweb,low,Sato\n";
  const auto dry = Import(change, true);
  ASSERT_THAT(dry, IsOk());
  EXPECT_THAT(dry->rows(0).changed_fields(), ElementsAre("criticality", "owner"));
  ASSERT_THAT(Import(change), IsOk());
  v1::GetAssetRequest get;
  get.set_name("tenants/acme/assets/web");
  const auto web = Call(&Stub::GetAsset, get);
  ASSERT_THAT(web, IsOk());
  EXPECT_EQ(web->owner(), "Sato");
  EXPECT_EQ(web->host_name(), "web.acme.example") << "no column, no change";
}

TEST_F(ImportTest, HostileTextIsRefusedOrHarmless) {
  for (const std::string& bad :
       {std::string(), std::string("\n\n\n"), std::string("asset_id\n\"open"),
        std::string("asset_id\n\"a\"b\n"), std::string("__proto__,asset_id\nx,y\n"),
        std::string("name\ntenants/beta/assets/x\n"), "asset_id\n" + std::string(9u << 20, 'a')}) {
    EXPECT_THAT(Import(bad), StatusIs(StatusCode::kInvalidArgument)) << bad.substr(0, 40);
  }
  const auto told = Import(
      "asset_id,host_name,note\n"
      "../../beta/assets/x,h,n\n"
      "=cmd|' /C calc'!A0,h,n\n"
      "a,<script>,n\n"
      "b,h,\"line one\nline two\"\n"
      "c,h,\x1b[2J\n");
  ASSERT_THAT(told, IsOk());
  EXPECT_EQ(told->failed(), 4);
  EXPECT_EQ(told->created(), 1);
  EXPECT_EQ(told->rows(4).line(), 7) << "a cell of two lines counts";
  EXPECT_EQ(Count(), 1);
}

TEST_F(ImportTest, ThousandsOfRowsTakeSeconds) {
  std::string csv = "asset_id,host_name,site,addresses\n";
  for (int i = 0; i < 5000; ++i) {
    csv += fmt::format("host-{},host-{}.acme.example,tokyo,10.{}.{}.{}\n", i, i, i / 65536,
                       i / 256 % 256, i % 256);
  }
  const auto done = Import(csv);
  ASSERT_THAT(done, IsOk());
  EXPECT_EQ(done->created(), 5000);
}

TEST_F(ImportTest, NeedsItsPermissionInTheTenant) {
  const std::string viewer = AddUser("acme", "sato", "customer-viewer");
  v1::ImportAssetsRequest request;
  request.set_parent("tenants/acme");
  request.set_csv(kCsv);
  EXPECT_THAT(CallAs(viewer, &Stub::ImportAssets, request),
              StatusIs(StatusCode::kPermissionDenied));
  request.set_parent("tenants/-");
  EXPECT_THAT(Call(&Stub::ImportAssets, request), StatusIs(StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace yagura::directory
