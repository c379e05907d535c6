#include "services/directory/domain/asset_import.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/testing/status_matchers.h"

namespace yagura::directory {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using testing::StatusIs;

AssetTable Read(std::string_view csv) {
  auto table = ReadAssetTable(csv, "acme");
  EXPECT_THAT(table, testing::IsOk());
  return table.ok() ? *table : AssetTable();
}

TEST(AssetImportTest, ARowBecomesAnAsset) {
  const auto table = Read(
      "asset_id,display_name,host_name,site,addresses,products,exposure,criticality,owner,note\n"
      "web-1,Web,WEB1.Acme.example,tokyo,10.0.0.1; osaka/10.0.0.1 ;192.0.2.0/24,"
      "nginx; openssl,internet,CRITICALITY_HIGH,Sato,\"a, b\"\n");
  ASSERT_THAT(table.rows, SizeIs(1));
  const auto& row = table.rows.front();
  EXPECT_THAT(row.error, IsEmpty());
  EXPECT_EQ(row.line, 2);
  EXPECT_EQ(row.asset.name(), "tenants/acme/assets/web-1");
  EXPECT_EQ(row.asset.host_name(), "web1.acme.example");
  ASSERT_EQ(row.asset.addresses_size(), 3);
  EXPECT_EQ(row.asset.addresses(0).site(), "tokyo");
  EXPECT_EQ(row.asset.addresses(1).site(), "osaka");
  EXPECT_EQ(row.asset.addresses(1).address(), "10.0.0.1");
  EXPECT_EQ(row.asset.addresses(2).site(), "tokyo");
  EXPECT_EQ(row.asset.addresses(2).address(), "192.0.2.0/24");
  EXPECT_THAT(row.asset.products(), ElementsAre("nginx", "openssl"));
  EXPECT_EQ(row.asset.exposure(), v1::EXPOSURE_INTERNET);
  EXPECT_EQ(row.asset.criticality(), v1::CRITICALITY_HIGH);
  EXPECT_EQ(row.asset.note(), "a, b");
}

TEST(AssetImportTest, WithoutAnIdTheHostNameGivesOne) {
  const auto table = Read("host_name\nMail.acme.example\n,\n");
  ASSERT_THAT(table.rows, SizeIs(2));
  EXPECT_EQ(table.rows[0].asset.name(), "tenants/acme/assets/mail");
  EXPECT_THAT(table.rows[1].error, HasSubstr("2 cells"));
}

TEST(AssetImportTest, ABadRowIsToldAndTheOthersStand) {
  const auto table = Read(
      "asset_id,addresses,criticality\n"
      "good,10.0.0.1,low\n"
      "Bad Id,10.0.0.1,low\n"
      "a,10.0.0.999,low\n"
      "b,10.0.0.1,enormous\n"
      "good,10.0.0.2,low\n"
      "c,10.0.0.1\n"
      "../../x,,\n"
      "fine,,\n");
  std::vector<bool> good;
  for (const auto& row : table.rows) good.push_back(row.error.empty());
  EXPECT_THAT(good, ElementsAre(true, false, false, false, false, false, false, true));
  EXPECT_THAT(table.rows[4].error, HasSubstr("line 2"));
  EXPECT_THAT(table.rows[3].error, HasSubstr("enormous"));
}

TEST(AssetImportTest, ATableThatCannotBeUsedIsRefused) {
  for (const char* bad : {"", "\n", "colour\nred\n", "asset_id,asset_id\na,b\n", "owner\nx\n"}) {
    EXPECT_THAT(ReadAssetTable(bad, "acme"), StatusIs(absl::StatusCode::kInvalidArgument)) << bad;
  }
}

TEST(AssetImportTest, OnlyFieldsWithAColumnChange) {
  const auto table = Read("asset_id,owner,products\na,Sato,\n");
  v1::Asset asset;
  asset.set_name("tenants/acme/assets/a");
  asset.set_note("keep");
  asset.set_owner("Suzuki");
  asset.add_products("nginx");
  EXPECT_THAT(ApplyRow(table, table.rows.front(), asset), ElementsAre("owner", "products"));
  EXPECT_EQ(asset.note(), "keep");
  EXPECT_EQ(asset.owner(), "Sato");
  EXPECT_EQ(asset.products_size(), 0) << "an empty cell clears";
  EXPECT_THAT(ApplyRow(table, table.rows.front(), asset), IsEmpty()) << "nothing more to change";
}

TEST(AssetImportTest, WhatIsShownOfABadCellIsHarmless) {
  const auto table = Read("asset_id,criticality\na,\"\x1b[31m" + std::string(5000, 'x') + "\"\n");
  const std::string& error = table.rows.front().error;
  EXPECT_LT(error.size(), 200u);
  EXPECT_EQ(error.find('\x1b'), std::string::npos);
}

}  // namespace
}  // namespace yagura::directory
