#include "common/rpc/quota.h"

#include "gtest/gtest.h"

#include "tests/unit/common/rpc/test_server.h"

namespace yagura::rpc {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(Quota, HoldsTwoSecondsWorthAndRefills) {
  auto clock = std::make_shared<TestClock>();
  Quota quota(10, clock);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(quota.Take("acme", 1).count(), 0) << i;
  EXPECT_GT(quota.Take("acme", 1).count(), 0);
  EXPECT_EQ(quota.Take("globex", 1).count(), 0);
  clock->Advance(milliseconds(500));
  for (int i = 0; i < 5; ++i) EXPECT_EQ(quota.Take("acme", 1).count(), 0) << i;
  EXPECT_GT(quota.Take("acme", 1).count(), 0);
}

TEST(Quota, AnAmountLargerThanTheBucketIsServedAndPaidForLater) {
  auto clock = std::make_shared<TestClock>();
  Quota quota(100, clock);
  EXPECT_EQ(quota.Take("acme", 1000).count(), 0);
  const auto wait = quota.Take("acme", 1);
  EXPECT_GE(wait, seconds(8));
  EXPECT_LE(wait, seconds(9));
  clock->Advance(wait);
  EXPECT_EQ(quota.Take("acme", 1).count(), 0);
}

TEST(Quota, AStreamIsChargedAndToldHowLongToPause) {
  auto clock = std::make_shared<TestClock>();
  Quota quota(100, clock);
  EXPECT_EQ(quota.Charge("acme", 150).count(), 0);
  EXPECT_GE(quota.Charge("acme", 150), seconds(1));
}

TEST(Quota, WhatWasTakenForNothingIsGivenBack) {
  Quota quota(10, std::make_shared<TestClock>());
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(quota.Take("acme", 1).count(), 0) << i;
    quota.Give("acme", 1);
  }
  quota.Give("acme", 1000);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(quota.Take("acme", 1).count(), 0) << i;
  EXPECT_GT(quota.Take("acme", 1).count(), 0) << "no more than a full bucket";
}

TEST(Quota, ManyKeysAreForgottenOnceTheirBucketsAreFull) {
  auto clock = std::make_shared<TestClock>();
  Quota quota(10, clock);
  for (int i = 0; i < 30'000; ++i) quota.Take("peer " + std::to_string(i), 1);
  EXPECT_EQ(quota.Take("acme", 1).count(), 0);
}

}  // namespace
}  // namespace yagura::rpc
