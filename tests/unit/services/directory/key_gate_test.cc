#include "services/directory/api/key_gate.h"

#include <memory>

#include "gtest/gtest.h"

#include "common/testing/fake_clock.h"
#include "common/testing/status_matchers.h"

namespace yagura::directory {
namespace {

using testing::IsOk;
using testing::StatusIs;

constexpr char kNetwork[] = "ipv4:192.0.2.1";

auto Throttled() { return StatusIs(absl::StatusCode::kResourceExhausted, "KEYS_THROTTLED"); }

class KeyGateTest : public ::testing::Test {
 protected:
  // Uses up what the network may try at once.
  void Exhaust() {
    while (gate_.Begin("wrong", kNetwork).ok()) {
    }
  }

  const std::shared_ptr<testing::FakeClock> clock_ = std::make_shared<testing::FakeClock>();
  KeyGate gate_{2, clock_};
};

TEST_F(KeyGateTest, AKeyThatWasGoodIsLookedUpWhateverComesFromItsNetwork) {
  const auto pass = gate_.Begin("good", kNetwork);
  ASSERT_THAT(pass, IsOk());
  gate_.Good("good", kNetwork, *pass);
  Exhaust();
  EXPECT_THAT(gate_.Begin("good", kNetwork), IsOk());
  EXPECT_THAT(gate_.Begin("other", kNetwork), Throttled());
  EXPECT_THAT(gate_.Begin("other", "ipv4:198.51.100.1"), IsOk()) << "another network has its own";
}

TEST_F(KeyGateTest, WhatGoodKeysTookIsGivenBackToAllOfThem) {
  const auto first = gate_.Begin("good", kNetwork);
  const auto second = gate_.Begin("good", kNetwork);  // before the first was looked up
  gate_.Good("good", kNetwork, first.value());
  gate_.Good("good", kNetwork, second.value());
  for (int i = 0; i < 4; ++i) EXPECT_THAT(gate_.Begin("wrong", kNetwork), IsOk()) << i;
  EXPECT_THAT(gate_.Begin("wrong", kNetwork), Throttled());
}

TEST_F(KeyGateTest, WhatWasTakenForAKeyOfYesterdayIsGivenBackToo) {
  gate_.Good("good", kNetwork, gate_.Begin("good", kNetwork).value());
  clock_->Advance(std::chrono::hours(25));
  gate_.Good("good", kNetwork, gate_.Begin("good", kNetwork).value());
  for (int i = 0; i < 4; ++i) EXPECT_THAT(gate_.Begin("wrong", kNetwork), IsOk()) << i;
}

TEST_F(KeyGateTest, AKeyThatNobodyCouldLookUpTakesNothing) {
  for (int i = 0; i < 20; ++i) {
    const auto pass = gate_.Begin("any", kNetwork);
    ASSERT_THAT(pass, IsOk()) << i;
    gate_.Undecided(kNetwork, *pass);
  }
}

TEST_F(KeyGateTest, AKeyIsForgottenADayAfterItWasGoodLast) {
  for (const char* hash : {"one", "two"}) {
    gate_.Good(hash, kNetwork, gate_.Begin(hash, kNetwork).value());
  }
  clock_->Advance(std::chrono::hours(23));
  gate_.Good("two", kNetwork, gate_.Begin("two", kNetwork).value());
  EXPECT_EQ(gate_.remembered(), 2u);
  clock_->Advance(std::chrono::hours(2));
  EXPECT_THAT(gate_.Begin("anything", kNetwork), IsOk());
  EXPECT_EQ(gate_.remembered(), 1u) << "only the one that was good today";
  Exhaust();
  EXPECT_THAT(gate_.Begin("two", kNetwork), IsOk());
  EXPECT_THAT(gate_.Begin("one", kNetwork), Throttled());
}

}  // namespace
}  // namespace yagura::directory
