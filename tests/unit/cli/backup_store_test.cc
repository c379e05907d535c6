// The tables of an event store as of a moment, and back in another one.
#include <filesystem>
#include <string>
#include <vector>

#include "cli/backup/store_copy.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/testing/event_store.h"
#include "common/testing/status_matchers.h"
#include "services/archive/domain/event_table.h"
#include "services/archive/storage/migrations.h"
#include "services/archive/storage/tiering.h"
#include "yagura/backup/v1/manifest.pb.h"

namespace yagura::cli {
namespace {

namespace fs = std::filesystem;
using testing::IsOk;

constexpr char kId[] = "01abc";
constexpr int kDays = 3;
constexpr int kNever = 10'000;  // days after which events move by themselves

constexpr std::string_view kTwoVolumes = R"(<clickhouse><storage_configuration>
<disks><cold_disk><type>local</type><path>{folder}/cold/</path></cold_disk></disks>
<policies><tiered><volumes><default><disk>default</disk></default>
<cold><disk>cold_disk</disk></cold></volumes></tiered></policies>
</storage_configuration></clickhouse>)";

// With an event a day.
absl::Status Fill(testing::EventStore& store) {
  const archive::EventTable table;
  YAGURA_RETURN_IF_ERROR(archive::Migrate(store.client(), table, Logger::Null()));
  YAGURA_RETURN_IF_ERROR(
      archive::ApplyTiering(store.client(), {"tiered", "cold", kNever}, Logger::Null()));
  return store.client().Execute(
      {.sql = "INSERT INTO yagura.events (tenant, id, receive_time, expires) SELECT 'acme', "
              "toString(number), toDateTime64('2026-03-01 12:00:00', 9, 'UTC') + "
              "toIntervalDay(number), '2100-01-01' FROM numbers({days:UInt32})",
       .parameters = {{"days", std::to_string(kDays)}},
       .settings = {{"throw_on_max_partitions_per_insert_block", "0"}}});
}

const backup::v1::Table* Find(const std::vector<backup::v1::Table>& tables,
                              const std::string& name) {
  for (const auto& table : tables) {
    if (table.name() == name) return &table;
  }
  return nullptr;
}

// A disk is used for the first time after the copy was prepared.
TEST(StoreCopy, HoldsWhatHasComeToAnyDiskByTheMoment) {
  testing::EventStore store({.config = std::string(kTwoVolumes)});
  ASSERT_THAT(Fill(store), IsOk());
  ASSERT_OK_AND_ASSIGN(auto copy, StoreCopy::Look(store.client()));
  ASSERT_THAT(store.client().Execute(
                  {.sql = "ALTER TABLE yagura.events MOVE PARTITION ID '20260301' TO VOLUME "
                          "'cold'"}),
              IsOk());
  ASSERT_THAT(copy.Freeze(kId), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto parts, copy.FindParts());
  const auto* events = Find(copy.tables(), "events");
  ASSERT_NE(events, nullptr);
  EXPECT_EQ(events->rows(), uint64_t{kDays});

  // What is done to the table later changes nothing. Back in an empty store:
  ASSERT_THAT(store.client().Execute({.sql = "TRUNCATE TABLE yagura.events"}), IsOk());
  testing::EventStore other({.config = std::string(kTwoVolumes)});
  const fs::path taken = other.folder() / "taken";
  for (const auto& part : parts) {
    fs::create_directories(taken / part.table);
    fs::copy(part.folder, taken / part.table / part.name, fs::copy_options::recursive);
  }
  backup::v1::Manifest manifest;
  manifest.mutable_tables()->Assign(copy.tables().begin(), copy.tables().end());
  ASSERT_OK_AND_ASSIGN(const auto folders, RestoreStore(other.client(), manifest, taken));
  ASSERT_OK_AND_ASSIGN(const auto count,
                       other.client().Select({.sql = "SELECT count() FROM yagura.events"}));
  EXPECT_EQ(count.rows.at(0).at(0).AsUnsigned(), uint64_t{kDays});
  // All that must be made durable.
  EXPECT_THAT(folders, ::testing::Contains(::testing::Truly([&other](const fs::path& folder) {
                return folder.string().starts_with((other.folder() / "cold" / "").string());
              })));

  copy.Release(kId);
  for (const auto& part : parts) EXPECT_FALSE(fs::exists(part.folder)) << part.folder;
}

}  // namespace
}  // namespace yagura::cli
