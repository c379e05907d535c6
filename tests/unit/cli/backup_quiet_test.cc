// The time in which nobody writes to the event store, as who takes a backup sees it.
#include <future>
#include <memory>
#include <stop_token>
#include <string>

#include "cli/backup/quiet.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/redis/pool.h"
#include "common/testing/eventually.h"
#include "common/testing/redis_server.h"
#include "common/testing/status_matchers.h"
#include "services/archive/storage/pause_store.h"

namespace yagura::cli {
namespace {

using testing::IsOk;
using testing::StatusIs;

// Processes that write are played by the test.
class Quiet : public ::testing::Test {
 protected:
  using Begun = absl::StatusOr<std::unique_ptr<QuietTime>>;

  std::future<Begun> Begin() {
    return std::async(std::launch::async, [this] {
      return QuietTime::Begin({redis_.NewPool(), redis_.NewPool()}, stop_.get_token());
    });
  }
  // The pause that is asked for, once there is one.
  std::string Asked() {
    std::string asked;
    EXPECT_TRUE(testing::Eventually([&] {
      asked = store_.Asked().value_or("");
      return !asked.empty();
    }));
    return asked;
  }
  void Tell(const std::string& process, const std::string& rests_in) {
    EXPECT_THAT(store_.Tell(process, rests_in).status(), IsOk());
  }

  testing::RedisServer redis_;
  archive::PauseStore store_{redis_.NewPool()};
  std::stop_source stop_;
};

// It may have gone on to write, and not have looked since.
TEST_F(Quiet, ARestInAnEarlierPauseCountsForNothing) {
  Tell("suite/archive", "");
  auto first = Begin();
  const std::string earlier = Asked();
  Tell("suite/archive", earlier);
  ASSERT_OK_AND_ASSIGN(const auto quiet, first.get());
  quiet->End();

  auto second = Begin();
  const std::string later = Asked();
  EXPECT_NE(later, earlier);
  const auto writers = store_.Look(later);
  ASSERT_THAT(writers.status(), IsOk());
  EXPECT_TRUE(writers->resting.empty());
  EXPECT_EQ(writers->awaited, 1);
  Tell("suite/archive", later);
  ASSERT_OK_AND_ASSIGN(const auto again, second.get());
  EXPECT_THAT(again->StillQuiet(), IsOk());
}

TEST_F(Quiet, IsOverOnceAnyWhoRestedHasLeft) {
  Tell("one/archive", "");
  Tell("two/archive", "");
  auto begun = Begin();
  const std::string id = Asked();
  Tell("one/archive", id);
  Tell("two/archive", id);
  ASSERT_OK_AND_ASSIGN(const auto quiet, begun.get());
  EXPECT_THAT(quiet->StillQuiet(), IsOk());
  // One that comes in the pause rests before it writes anything.
  Tell("three/archive", id);
  EXPECT_THAT(quiet->StillQuiet(), IsOk());
  store_.Leave("two/archive");
  EXPECT_THAT(quiet->StillQuiet(), StatusIs(absl::StatusCode::kAborted, "PAUSE_OVER"));
}

TEST_F(Quiet, IsOverOnceOneGoesOn) {
  Tell("one/archive", "");
  auto begun = Begin();
  const std::string id = Asked();
  Tell("one/archive", id);
  ASSERT_OK_AND_ASSIGN(const auto quiet, begun.get());
  Tell("one/archive", "");
  EXPECT_THAT(quiet->StillQuiet(), StatusIs(absl::StatusCode::kAborted, "PAUSE_OVER"));
  Tell("one/archive", id);
  quiet->End();
  EXPECT_THAT(quiet->StillQuiet(), StatusIs(absl::StatusCode::kAborted, "PAUSE_OVER"));
}

TEST_F(Quiet, WaitsForWhoHasNotComeToRestUntilItIsStopped) {
  Tell("one/archive", "");
  auto begun = Begin();
  Tell("two/archive", Asked());
  stop_.request_stop();
  EXPECT_THAT(begun.get().status(), StatusIs(absl::StatusCode::kCancelled, "STOPPED"));
  EXPECT_EQ(store_.Asked().value_or("unknown"), "");
}

}  // namespace
}  // namespace yagura::cli
