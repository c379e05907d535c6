// Hot and cold volumes, as far as an event store with one disk can show them.
#include "services/archive/storage/tiering.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

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
  ASSERT_THAT(ApplyTiering(store.client(), {}, Logger::Null()), IsOk());
  EXPECT_EQ(Engine(store), before);

  ASSERT_THAT(ApplyTiering(store.client(), {"default", "default", 9}, Logger::Null()), IsOk());
  EXPECT_THAT(Engine(store), HasSubstr("TTL expires, toDateTime(receive_time) + toIntervalDay(9) "
                                       "TO VOLUME 'default'"));
  // Again, and otherwise.
  ASSERT_THAT(ApplyTiering(store.client(), {"default", "default", 9}, Logger::Null()), IsOk());
  ASSERT_THAT(ApplyTiering(store.client(), {"default", "default", 3}, Logger::Null()), IsOk());
  EXPECT_THAT(Engine(store), HasSubstr("toIntervalDay(3) TO VOLUME 'default'"));
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
