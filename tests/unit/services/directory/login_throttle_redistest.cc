#include <atomic>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/redis/pool.h"
#include "common/rpc/peer.h"
#include "common/testing/redis_server.h"
#include "common/testing/status_matchers.h"
#include "services/directory/storage/login_throttle.h"

namespace yagura::directory {
namespace {

using testing::IsOk;
using testing::StatusIs;

class LoginThrottleTest : public ::testing::Test {
 protected:
  testing::RedisServer server_;
  std::shared_ptr<redis::Pool> pool_ = server_.NewPool();
  LoginThrottle throttle_{pool_,
                          {.per_user_and_address = 3,
                           .per_user = 5,
                           .per_address = 8,
                           .window = std::chrono::minutes(15)}};
  const std::string alice_ = "tenants/acme/users/alice";
  const std::string bob_ = "tenants/acme/users/bob";

  static auto Throttled() {
    return StatusIs(absl::StatusCode::kResourceExhausted, "LOGIN_THROTTLED");
  }
};

TEST_F(LoginThrottleTest, OneUserFromOneAddress) {
  for (int i = 0; i < 3; ++i) EXPECT_THAT(throttle_.Begin(alice_, "a"), IsOk());
  EXPECT_THAT(throttle_.Begin(alice_, "a"), Throttled());
  EXPECT_THAT(throttle_.Begin(alice_, "b"), IsOk()) << "elsewhere the owner may still log in";
  EXPECT_THAT(throttle_.Begin(bob_, "a"), IsOk());
}

TEST_F(LoginThrottleTest, OneUserFromManyAddresses) {
  for (int i = 0; i < 5; ++i) EXPECT_THAT(throttle_.Begin(alice_, std::to_string(i)), IsOk());
  EXPECT_THAT(throttle_.Begin(alice_, "6"), Throttled());
  ASSERT_THAT(throttle_.Forgive(alice_), IsOk());
  EXPECT_THAT(throttle_.Begin(alice_, "0"), IsOk());
}

TEST_F(LoginThrottleTest, ManyUsersAndKeysFromOneAddress) {
  for (int i = 0; i < 8; ++i) {
    EXPECT_THAT(throttle_.Begin(i % 2 == 0 ? "" : alice_ + std::to_string(i), "a"), IsOk());
  }
  EXPECT_THAT(throttle_.Begin("", "a"), Throttled());
  EXPECT_THAT(throttle_.Begin(bob_, "a"), Throttled());
  EXPECT_THAT(throttle_.Begin(bob_, "b"), IsOk());
}

TEST_F(LoginThrottleTest, AddressesOfOneSlash64AreOne) {
  for (int i = 0; i < 8; ++i) {
    const auto peer = "ipv6:%5B2001:db8::" + std::to_string(i) + "%5D:50000";
    EXPECT_THAT(throttle_.Begin("", rpc::PeerNetwork(peer)), IsOk());
  }
  EXPECT_THAT(throttle_.Begin("", rpc::PeerNetwork("ipv6:%5B2001:db8::ffff%5D:50000")),
              Throttled());
  EXPECT_THAT(throttle_.Begin("", rpc::PeerNetwork("ipv6:%5B2001:db8:0:1::1%5D:50000")), IsOk());
}

TEST_F(LoginThrottleTest, WhoIsRightIsNotCounted) {
  for (int i = 0; i < 50; ++i) {
    ASSERT_THAT(throttle_.Begin(alice_, "a"), IsOk());
    ASSERT_THAT(throttle_.Succeeded(alice_, "a"), IsOk());
    ASSERT_THAT(throttle_.Begin("", "a"), IsOk());
    ASSERT_THAT(throttle_.Succeeded("", "a"), IsOk());
  }
}

TEST_F(LoginThrottleTest, WhatCouldNotBeCheckedIsNotCountedAndForgivesNothing) {
  ASSERT_THAT(throttle_.Begin(alice_, "a"), IsOk());  // a wrong guess
  for (int i = 0; i < 50; ++i) {
    ASSERT_THAT(throttle_.Begin(alice_, "a"), IsOk());
    ASSERT_THAT(throttle_.Undecided(alice_, "a"), IsOk());
    ASSERT_THAT(throttle_.Begin("", "a"), IsOk());
    ASSERT_THAT(throttle_.Undecided("", "a"), IsOk());
  }
  EXPECT_THAT(throttle_.Begin(alice_, "a"), IsOk());
  EXPECT_THAT(throttle_.Begin(alice_, "a"), IsOk());
  EXPECT_THAT(throttle_.Begin(alice_, "a"), Throttled());
}

TEST_F(LoginThrottleTest, GuessesAtOnceCountLikeGuessesInARow) {
  std::atomic<int> allowed = 0;
  std::vector<std::thread> guessers;
  for (int i = 0; i < 16; ++i) {
    guessers.emplace_back([&] { allowed += throttle_.Begin(alice_, "a").ok() ? 1 : 0; });
  }
  for (auto& guesser : guessers) guesser.join();
  EXPECT_EQ(allowed, 3);
}

TEST_F(LoginThrottleTest, CountersEnd) {
  for (int i = 0; i < 4; ++i) static_cast<void>(throttle_.Begin(alice_, "a"));
  const auto keys = pool_->Command({"KEYS", "*"});
  ASSERT_THAT(keys, IsOk());
  ASSERT_FALSE(keys->items.empty());
  for (const auto& key : keys->items) {
    const auto left = pool_->Command({"PTTL", key.text});
    ASSERT_THAT(left, IsOk());
    EXPECT_GT(left->integer, 0) << key.text;
  }
}

}  // namespace
}  // namespace yagura::directory
