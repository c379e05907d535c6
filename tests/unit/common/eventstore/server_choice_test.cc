#include "common/eventstore/server_choice.h"

#include <atomic>
#include <chrono>

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

Status Good(size_t /*server*/, const std::stop_token& /*stop*/) { return absl::OkStatus(); }

TEST(ServerChoice, WhatBeganBeforeAServerFailedDoesNotBringItBack) {
  ServerChoice choice(TwoServers(), Good);
  const auto before = Clock::now();
  choice.Failed(0);
  EXPECT_THAT(choice.Order(), ElementsAre(1, 0));
  choice.Worked(0, before);
  EXPECT_THAT(choice.Order(), ElementsAre(1, 0));
  choice.Worked(0, Clock::now());
  EXPECT_THAT(choice.Order(), ElementsAre(0, 1));
}

TEST(ServerChoice, ACheckThatBeganBeforeAServerFailedDoesNotBringItBack) {
  std::atomic<bool> begun{false};
  std::atomic<bool> goes_on{false};
  ServerChoice choice(TwoServers(), [&](size_t /*server*/, const std::stop_token& /*stop*/) {
    begun = true;
    Eventually([&] { return goes_on.load(); });
    return absl::OkStatus();
  });
  choice.Suspect(0);
  ASSERT_TRUE(Eventually([&] { return begun.load(); }));
  choice.Failed(0);
  goes_on = true;
  EXPECT_FALSE(Eventually([&] { return choice.Order().front() == 0; }, milliseconds(200)));
}

TEST(ServerChoice, AllWhoWaitForACheckTakeWhatComesOfItAndNobodyWaitsTooLong) {
  std::atomic<int> checks{0};
  std::atomic<bool> goes_on{false};
  ServerChoice choice({.servers = 1, .check_first = true},
                      [&](size_t /*server*/, const std::stop_token& /*stop*/) {
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
