#include "common/rpc/executor.h"

#include <atomic>

#include "gtest/gtest.h"

#include "common/rpc/timers.h"
#include "tests/unit/common/rpc/echo_app.h"
#include "tests/unit/common/rpc/test_server.h"

namespace yagura::rpc {
namespace {

TEST(Executor, RefusesWhatTheQueueCannotHoldButNotTheNextStep) {
  Executor executor(1, 2);
  Gate gate;
  std::atomic<int> ran{0};
  ASSERT_TRUE(executor.TrySubmit([&] { gate.Wait(); }));
  ASSERT_TRUE(gate.WaitFor(1));
  EXPECT_TRUE(executor.TrySubmit([&] { ++ran; }));
  EXPECT_TRUE(executor.TrySubmit([&] { ++ran; }));
  EXPECT_FALSE(executor.TrySubmit([&] { ++ran; }));
  executor.Submit([&] { ++ran; });
  EXPECT_EQ(executor.queued(), 3u);
  gate.Open();
  executor.Stop();
  EXPECT_EQ(ran, 3) << "what is queued runs before the stop";
}

TEST(Executor, AfterTheStopWorkRunsInTheCallerOrNotAtAll) {
  Executor executor(2, 8);
  executor.Stop();
  int ran = 0;
  EXPECT_FALSE(executor.TrySubmit([&] { ++ran; }));
  executor.Submit([&] { ++ran; });
  EXPECT_EQ(ran, 1);
}

TEST(Timers, RunWhenTheirClockSaysSoAndInOrder) {
  auto clock = std::make_shared<TestClock>();
  Timers timers(clock);
  std::mutex mutex;
  std::string order;
  const auto note = [&](char c) {
    return [&mutex, &order, c] {
      const std::lock_guard lock(mutex);
      order += c;
    };
  };
  timers.After(std::chrono::seconds(20), note('b'));
  timers.After(std::chrono::seconds(10), note('a'));
  timers.After(std::chrono::hours(1), note('c'));
  clock->Advance(std::chrono::seconds(30));
  EXPECT_TRUE(Eventually([&] {
    const std::lock_guard lock(mutex);
    return order == "ab";
  }));
  timers.Stop();
  EXPECT_EQ(order, "ab") << "what is not due is dropped";
}

}  // namespace
}  // namespace yagura::rpc
