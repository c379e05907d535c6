// Hot and cold volumes, as far as an event store with one disk can show them.
#include "services/archive/storage/tiering.h"

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/clock/clock.h"
#include "common/clock/proto_time.h"
#include "common/eventstore/client.h"
#include "common/testing/event_store.h"
#include "common/testing/status_matchers.h"
#include "services/archive/domain/event_table.h"
#include "services/archive/storage/migrations.h"

namespace yagura::archive {
namespace {

using ::testing::HasSubstr;
using testing::IsOk;
using testing::StatusIs;

std::string Engine(testing::EventStore& store) {
  const auto found = store.client().Select(
      {.sql = "SELECT engine_full FROM system.tables WHERE database = 'yagura' AND name = "
              "'events'"});
  return found.ok() ? found->rows.at(0).at(0).AsText() : "";
}

TEST(Tiering, MovesOlderEventsToTheVolumeOfTheSettings) {
  testing::EventStore store;
  const EventTable table;
  ASSERT_THAT(Migrate(store.client(), table, Logger::Null()), IsOk());
  const std::string before = Engine(store);
  ASSERT_THAT(ApplyTiering(store.client(), {.recompress = false}, Logger::Null()), IsOk());
  EXPECT_EQ(Engine(store), before);

  ASSERT_THAT(ApplyTiering(store.client(), {"default", "default", 9}, Logger::Null()), IsOk());
  EXPECT_THAT(Engine(store), HasSubstr("TTL expires, toDateTime(receive_time) + toIntervalDay(9) "
                                       "TO VOLUME 'default'"));
  // Again, and otherwise.
  ASSERT_THAT(ApplyTiering(store.client(), {"default", "default", 9}, Logger::Null()), IsOk());
  ASSERT_THAT(ApplyTiering(store.client(), {"default", "default", 3}, Logger::Null()), IsOk());
  EXPECT_THAT(Engine(store), HasSubstr("toIntervalDay(3) TO VOLUME 'default'"));
}

TEST(Tiering, LeavesWhatIsNotOfItsSettingsInTheTablesTtl) {
  testing::EventStore store;
  const EventTable table;
  ASSERT_THAT(Migrate(store.client(), table, Logger::Null()), IsOk());
  const auto ttl = [&store](const Tiering& tiering) {
    EXPECT_THAT(ApplyTiering(store.client(), tiering, Logger::Null()), IsOk());
    const std::string engine = Engine(store);
    const size_t from = engine.find(" TTL ");
    return engine.substr(from, engine.find(" SETTINGS ") - from);
  };
  constexpr std::string_view kAgain =
      ", toStartOfDay(toDateTime(receive_time, 'UTC')) + toIntervalDay(1) RECOMPRESS "
      "CODEC(ZSTD(9))";
  constexpr std::string_view kMove =
      ", toDateTime(receive_time) + toIntervalDay(3) TO VOLUME 'default'";
  EXPECT_EQ(ttl({}), fmt::format(" TTL expires{}", kAgain));
  EXPECT_EQ(PlaceOf({}).ttl, fmt::format("expires{}", kAgain));
  EXPECT_EQ(ttl({"default", "default", 3}), fmt::format(" TTL expires{}{}", kMove, kAgain));
  EXPECT_EQ(ttl({.recompress = false}), fmt::format(" TTL expires{}", kMove));
  EXPECT_EQ(ttl({}), fmt::format(" TTL expires{}{}", kMove, kAgain));
  const auto version = [&store] {
    const auto found = store.client().Select(
        {.sql = "SELECT metadata_modification_time::String FROM system.tables WHERE name = "
                "'events'"});
    return found.ok() ? found->rows.at(0).at(0).AsText() : found.status().ToString();
  };
  const std::string before = version();
  EXPECT_EQ(ttl({}), fmt::format(" TTL expires{}{}", kMove, kAgain));
  EXPECT_EQ(version(), before);
}

// A policy can follow another one only if it has all its volumes.
constexpr std::string_view kTwoVolumes = R"(<clickhouse><storage_configuration>
<disks><cold_disk><type>local</type><path>{folder}/cold/</path></cold_disk></disks>
<policies><tiered><volumes><default><disk>default</disk></default>
<cold><disk>cold_disk</disk></cold></volumes></tiered></policies>
</storage_configuration></clickhouse>)";

// The days whose events lie on the cold volume.
std::string ColdDays(testing::EventStore& store) {
  const auto found = store.client().Select(
      {.sql = "SELECT arrayStringConcat(arraySort(groupUniqArray(partition_id)), ' ') FROM "
              "system.parts WHERE database = 'yagura' AND table = 'events' AND active AND "
              "disk_name = 'cold_disk'"});
  return found.ok() ? found->rows.at(0).at(0).AsText() : found.status().ToString();
}

std::string Moved(eventstore::Client& client, const Tiering& tiering, TimePoint now) {
  const auto moved = MoveOneDay(client, tiering, now);
  return moved.ok() ? *moved : moved.status().ToString();
}

TEST(Tiering, BringsWhatWasStoredBeforeToItsVolumeADayAtATime) {
  testing::EventStore store({.config = std::string(kTwoVolumes)});
  const EventTable table;
  ASSERT_THAT(Migrate(store.client(), table, Logger::Null()), IsOk());
  ASSERT_THAT(store.client().Execute(
                  {.sql = "INSERT INTO yagura.events (tenant, id, receive_time, expires) SELECT "
                          "'acme', toString(number), toDateTime64('2026-03-01 12:00:00', 9, 'UTC') "
                          "+ toIntervalDay(number), '2100-01-01' FROM numbers(5)",
                   .settings = {{"throw_on_max_partitions_per_insert_block", "0"}}}),
              IsOk());
  const TimePoint now = *ParseTime("2026-03-06T01:00:00Z");
  Tiering tiering{"tiered", "cold", 2};
  EXPECT_EQ(Moved(store.client(), {}, now), "");
  ASSERT_THAT(ApplyTiering(store.client(), tiering, Logger::Null()), IsOk());
  EXPECT_EQ(Moved(store.client(), tiering, now), "20260301");
  EXPECT_EQ(ColdDays(store), "20260301");
  EXPECT_EQ(Moved(store.client(), tiering, now), "20260302");
  EXPECT_EQ(Moved(store.client(), tiering, now), "20260303");
  EXPECT_EQ(Moved(store.client(), tiering, now), "");
  EXPECT_EQ(ColdDays(store), "20260301 20260302 20260303") << "the 4th is not two days old";

  // Another setting: back, where there is room for it, however full this machine's disk is.
  tiering.cold_after_days = 4;
  ASSERT_THAT(ApplyTiering(store.client(), tiering, Logger::Null()), IsOk());
  tiering.free_share_to_return = 1.1;
  EXPECT_EQ(Moved(store.client(), tiering, now), "");
  tiering.free_share_to_return = 0;
  EXPECT_EQ(Moved(store.client(), tiering, now), "20260302");
  EXPECT_EQ(Moved(store.client(), tiering, now), "20260303");
  EXPECT_EQ(Moved(store.client(), tiering, now), "");
  EXPECT_EQ(ColdDays(store), "20260301");
  const auto count = store.client().Select({.sql = "SELECT count() FROM yagura.events"});
  ASSERT_THAT(count, IsOk());
  EXPECT_EQ(count->rows[0][0].AsUnsigned(), 5u);
}

// What this release knows, and what a later one that it can still read leaves.
TEST(Migrations, AReleaseGoesBackAsFarAsTheSchemaSaysThatItCanRead) {
  testing::EventStore store;
  const EventTable table;
  ASSERT_THAT(Migrate(store.client(), table, Logger::Null()), IsOk());
  const auto later = [&store](unsigned version, unsigned oldest) {
    return store.client().Execute(
        {.sql = "INSERT INTO yagura.schema_version (version, description, oldest_reader) SELECT "
                "{version:UInt32}, 'later', {oldest:UInt32}",
         .parameters = {{"version", std::to_string(version)}, {"oldest", std::to_string(oldest)}}});
  };
  ASSERT_THAT(later(kSchemaVersion + 4, kSchemaVersion), IsOk());
  EXPECT_THAT(Migrate(store.client(), table, Logger::Null()), IsOk());
  ASSERT_THAT(later(kSchemaVersion + 5, kSchemaVersion + 1), IsOk());
  EXPECT_THAT(Migrate(store.client(), table, Logger::Null()),
              StatusIs(absl::StatusCode::kFailedPrecondition, "SCHEMA_TOO_NEW"));
}

TEST(Migrations, AStoreOfAReleaseThatDidNotSayWhoCanReadItIsBroughtUp) {
  testing::EventStore store;
  const EventTable table;
  ASSERT_THAT(Migrate(store.client(), table, Logger::Null()), IsOk());
  ASSERT_THAT(store.client().Execute(
                  {.sql = "ALTER TABLE yagura.schema_version DROP COLUMN oldest_reader"}),
              IsOk());
  EXPECT_THAT(Migrate(store.client(), table, Logger::Null()), IsOk());
}

TEST(Tiering, RefusesWhatTheStoreDoesNotKnow) {
  testing::EventStore store;
  const EventTable table;
  ASSERT_THAT(Migrate(store.client(), table, Logger::Null()), IsOk());
  EXPECT_THAT(ApplyTiering(store.client(), {"nosuch", "cold", 7}, Logger::Null()),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(ApplyTiering(store.client(), {"default", "nosuch", 7}, Logger::Null()),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(ValidateTiering({"x' --", "cold", 7}), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ValidateTiering({"tiered", "a b", 7}), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace yagura::archive
