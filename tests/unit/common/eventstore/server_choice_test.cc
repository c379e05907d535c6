#include "common/eventstore/server_choice.h"

#include <atomic>
#include <chrono>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/status/status.h"
#include "common/testing/eventually.h"
#include "common/testing/status_matchers.h"

namespace yagura::eventstore {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using ::testing::ElementsAre;
using testing::Eventually;
using testing::IsOk;
using testing::StatusIs;
using Clock = ServerChoice::Clock;

ServerChoice::Options TwoServers() {
  return {.servers = 2, .first_pause = minutes(5), .longest_pause = minutes(5)};
}

const Status kAway = MakeError(absl::StatusCode::kUnavailable, "EVENT_STORE_DOWN", "away");

Status Good(size_t /*server*/, bool /*anew*/, const std::stop_token& /*stop*/) {
  return absl::OkStatus();
}

TEST(ServerChoice, WhatBeganBeforeAServerFailedDoesNotBringItBack) {
  ServerChoice choice(TwoServers(), Good);
  const auto before = Clock::now();
  choice.Failed(0, kAway);
  EXPECT_THAT(choice.Order(), ElementsAre(1, 0));
  choice.Worked(0, before);
  EXPECT_THAT(choice.Order(), ElementsAre(1, 0));
  choice.Worked(0, Clock::now());
  EXPECT_THAT(choice.Order(), ElementsAre(0, 1));
}

TEST(ServerChoice, ACheckThatBeganBeforeAServerFailedDoesNotBringItBack) {
  std::atomic<int> checks{0};
  std::atomic<bool> goes_on{false};
  ServerChoice::Options options = TwoServers();
  options.check_first = true;
  ServerChoice choice(options,
                      [&](size_t server, bool /*anew*/, const std::stop_token& /*stop*/) -> Status {
                        if (server == 1) return absl::OkStatus();
                        const int check = ++checks;
                        if (check == 2) Eventually([&] { return goes_on.load(); });
                        return check < 3 ? absl::OkStatus() : kAway;
                      });
  ASSERT_THAT(choice.Ready(0, Clock::time_point::max(), {}), IsOk());
  ASSERT_THAT(choice.Ready(1, Clock::time_point::max(), {}), IsOk());
  choice.Suspect(0);
  ASSERT_TRUE(Eventually([&] { return checks == 2; }));
  choice.Failed(0, kAway);
  goes_on = true;
  // Until that check has come to its end, or one behind it, which is not good.
  choice.Ready(0, Clock::time_point::max(), {}).IgnoreError();
  EXPECT_THAT(choice.Order(), ElementsAre(1, 0));
}

TEST(ServerChoice, AServerThatFailedMeanwhileIsCheckedAnewForWhoWaits) {
  std::mutex mutex;
  std::vector<bool> anew;  // of each check of the first server
  std::atomic<bool> goes_on{false};
  ServerChoice::Options options = TwoServers();
  options.check_first = true;
  const auto checks = [&] {
    const std::lock_guard lock(mutex);
    return anew.size();
  };
  ServerChoice choice(options, [&](size_t server, bool is_anew, const std::stop_token& /*stop*/) {
    if (server == 1) return absl::OkStatus();
    {
      const std::lock_guard lock(mutex);
      anew.push_back(is_anew);
    }
    if (checks() == 2) Eventually([&] { return goes_on.load(); });
    return absl::OkStatus();
  });
  ASSERT_THAT(choice.Ready(0, Clock::time_point::max(), {}), IsOk());
  ASSERT_THAT(choice.Ready(1, Clock::time_point::max(), {}), IsOk());
  choice.Suspect(0);
  ASSERT_TRUE(Eventually([&] { return checks() == 2; }));
  choice.Failed(0, kAway);
  std::atomic<bool> asks{false};
  std::jthread waiter([&] {
    asks = true;
    EXPECT_THAT(choice.Ready(0, Clock::time_point::max(), {}), IsOk());
    const std::lock_guard lock(mutex);
    EXPECT_THAT(anew, ElementsAre(true, false, true));
  });
  EXPECT_TRUE(Eventually([&] { return asks.load(); }));
  goes_on = true;
}

TEST(ServerChoice, WhatBecomesOfAServerIsToldOnce) {
  std::mutex mutex;
  std::vector<std::string> told;
  ServerChoice::Options options = TwoServers();
  options.on_change = [&](size_t server, const Status& status) {
    const std::lock_guard lock(mutex);
    told.push_back(fmt::format("{} {}", server, status.ok() ? "OK" : ErrorReason(status)));
  };
  ServerChoice choice(
      options, [](size_t /*server*/, bool /*anew*/, const std::stop_token& /*stop*/) {
        return MakeError(absl::StatusCode::kFailedPrecondition, "STORE_NOT_REPLICATED", "not fit");
      });
  const auto heard = [&] {
    const std::lock_guard lock(mutex);
    return told;
  };
  choice.Worked(0, Clock::now());
  choice.Worked(0, Clock::now());
  choice.Failed(1, kAway);
  choice.Failed(1, kAway);
  EXPECT_THAT(heard(), ElementsAre("0 OK", "1 EVENT_STORE_DOWN"));
  // Of one that nobody asks.
  choice.SuspectUnheard(Clock::time_point::max());
  ASSERT_TRUE(Eventually([&] { return heard().size() == 3; }));
  EXPECT_EQ(heard().back(), "0 STORE_NOT_REPLICATED");
  choice.Worked(1, Clock::now());
  EXPECT_EQ(heard().back(), "1 OK");
}

TEST(ServerChoice, AllWhoWaitForACheckTakeWhatComesOfItAndNobodyWaitsTooLong) {
  std::atomic<int> checks{0};
  std::atomic<bool> goes_on{false};
  ServerChoice choice({.servers = 1, .check_first = true},
                      [&](size_t /*server*/, bool /*anew*/, const std::stop_token& /*stop*/) {
                        ++checks;
                        Eventually([&] { return goes_on.load(); });
                        return absl::OkStatus();
                      });
  EXPECT_THAT(choice.Ready(0, Clock::now() + milliseconds(20), {}),
              StatusIs(absl::StatusCode::kDeadlineExceeded, "QUERY_TIMEOUT"));
  std::stop_source stop;
  stop.request_stop();
  EXPECT_THAT(choice.Ready(0, Clock::time_point::max(), stop.get_token()),
              StatusIs(absl::StatusCode::kCancelled));
  goes_on = true;
  EXPECT_THAT(choice.Ready(0, Clock::time_point::max(), {}), IsOk());
  EXPECT_EQ(checks, 1);
}

}  // namespace
}  // namespace yagura::eventstore
