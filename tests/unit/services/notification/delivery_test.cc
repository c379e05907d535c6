#include "services/notification/domain/delivery.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/clock/proto_time.h"

namespace yagura::notification {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr TimePoint kStart = std::chrono::sys_days(std::chrono::year(2026) / 1 / 5);

class DeliveryTest : public ::testing::Test {
 protected:
  DeliveryTest() {
    alert_.set_name("tenants/acme/alerts/0123-1");
    alert_.set_severity(event::v1::HIGH);
    delivery_ = NewDelivery("acme", DeliveryId(alert_, target_), target_, {"subject", "body"},
                            "yagura.example.com", kStart, policy_);
  }
  void Begin(TimePoint now) { BeginAttempt(delivery_, now, "host-1"); }
  void Finish(v1::AttemptResult result, TimePoint now) {
    FinishAttempt(delivery_, delivery_.attempt_count(), {result, 250, "detail"}, now, policy_, 0.5);
  }

  RetryPolicy policy_;
  v1::Alert alert_;
  Target target_{"tenants/acme/contacts/alice", v1::EMAIL, "alice@example.com"};
  v1::Delivery delivery_;
};

TEST_F(DeliveryTest, TheSameNewsToTheSameTargetIsOneDelivery) {
  EXPECT_EQ(DeliveryId(alert_, target_), DeliveryId(alert_, target_));
  v1::Alert graver = alert_;
  graver.set_severity(event::v1::CRITICAL);
  EXPECT_NE(DeliveryId(alert_, target_), DeliveryId(graver, target_));
  Target webhook = target_;
  webhook.channel = v1::WEBHOOK;
  EXPECT_NE(DeliveryId(alert_, target_), DeliveryId(alert_, webhook));
  v1::Alert more = alert_;  // another finding of the same severity is no news
  more.set_finding_count(7);
  EXPECT_EQ(DeliveryId(alert_, target_), DeliveryId(more, target_));
}

TEST_F(DeliveryTest, IsDueAtOnce) {
  EXPECT_TRUE(IsDue(delivery_, kStart));
  Begin(kStart);
  EXPECT_FALSE(IsDue(delivery_, kStart + std::chrono::hours(1)));
}

TEST_F(DeliveryTest, AnAttemptIsOnRecordBeforeItsResult) {
  Begin(kStart);
  EXPECT_EQ(delivery_.state(), v1::SENDING);
  ASSERT_EQ(delivery_.attempts_size(), 1);
  EXPECT_EQ(delivery_.attempts(0).result(), v1::STARTED);
  EXPECT_FALSE(delivery_.attempts(0).possible_repeat());
  Finish(v1::ACCEPTED, kStart + seconds(1));
  EXPECT_EQ(delivery_.state(), v1::DELIVERED);
  EXPECT_EQ(delivery_.attempts(0).result(), v1::ACCEPTED);
  EXPECT_EQ(FromProto(delivery_.accept_time()), kStart + seconds(1));
  EXPECT_FALSE(delivery_.has_next_attempt_time());
}

TEST_F(DeliveryTest, ATemporaryFailureIsRetriedAfterTheBackoffWithoutAMark) {
  Begin(kStart);
  Finish(v1::TEMPORARY_FAILURE, kStart);
  EXPECT_EQ(delivery_.state(), v1::PENDING);
  EXPECT_FALSE(IsDue(delivery_, kStart + milliseconds(4'999)));
  EXPECT_TRUE(IsDue(delivery_, kStart + milliseconds(5'000)));
  Begin(kStart + seconds(5));
  EXPECT_FALSE(delivery_.attempts(1).possible_repeat());
  EXPECT_EQ(delivery_.attempts(1).number(), 2u);
}

TEST_F(DeliveryTest, APermanentFailureEndsIt) {
  Begin(kStart);
  Finish(v1::PERMANENT_FAILURE, kStart);
  EXPECT_EQ(delivery_.state(), v1::FAILED);
  EXPECT_FALSE(delivery_.has_next_attempt_time());
}

TEST_F(DeliveryTest, TheDeadlineEndsIt) {
  TimePoint now = kStart;
  int attempts = 0;
  while (delivery_.state() == v1::PENDING) {
    now = FromProto(delivery_.next_attempt_time());
    ASSERT_LE(now, kStart + policy_.deadline);
    Begin(now);
    Finish(v1::TEMPORARY_FAILURE, now);
    ASSERT_LT(++attempts, 1000);
  }
  EXPECT_EQ(delivery_.state(), v1::FAILED);
  EXPECT_GT(now, kStart + policy_.deadline - std::chrono::minutes(20));
  EXPECT_EQ(delivery_.attempt_count(), static_cast<uint32_t>(attempts));
  EXPECT_LE(delivery_.attempts_size(), 50);
  EXPECT_EQ(delivery_.attempts(0).number(), 1u);  // the first ones and the last ones are kept
}

TEST_F(DeliveryTest, AfterAnAmbiguousAnswerEveryRepeatIsMarkedAndHasTheSameMessageId) {
  const std::string id = delivery_.message_id();
  Begin(kStart);
  Finish(v1::AMBIGUOUS, kStart);
  EXPECT_TRUE(delivery_.possible_repeat());
  Begin(kStart + seconds(5));
  EXPECT_TRUE(delivery_.attempts(1).possible_repeat());
  EXPECT_FALSE(delivery_.attempts(0).possible_repeat());
  EXPECT_EQ(delivery_.message_id(), id);
}

TEST_F(DeliveryTest, AnInterruptedAttemptIsRepeatedAtOnceAndMarked) {
  Begin(kStart);
  InterruptAttempt(delivery_, kStart + seconds(9));
  EXPECT_EQ(delivery_.attempts(0).result(), v1::INTERRUPTED);
  EXPECT_TRUE(IsDue(delivery_, kStart + seconds(9)));
  Begin(kStart + seconds(9));
  EXPECT_TRUE(delivery_.attempts(1).possible_repeat());
}

TEST_F(DeliveryTest, ALateResultOfAnInterruptedAttemptCountsWhereItWasAccepted) {
  Begin(kStart);
  InterruptAttempt(delivery_, kStart + seconds(9));
  FinishAttempt(delivery_, 1, {v1::TEMPORARY_FAILURE, 0, ""}, kStart + seconds(10), policy_, 0.5);
  EXPECT_EQ(delivery_.state(), v1::PENDING);
  EXPECT_EQ(delivery_.attempts(0).result(), v1::INTERRUPTED);
  FinishAttempt(delivery_, 1, {v1::ACCEPTED, 250, ""}, kStart + seconds(11), policy_, 0.5);
  EXPECT_EQ(delivery_.state(), v1::DELIVERED);
}

TEST_F(DeliveryTest, WhatHasEndedIsNotCancelled) {
  Begin(kStart);
  Finish(v1::ACCEPTED, kStart);
  Cancel(delivery_, "resolved", kStart);
  EXPECT_EQ(delivery_.state(), v1::DELIVERED);
}

TEST(Backoff, DoublesUpToTheLongestAndSpreads) {
  const RetryPolicy policy;
  EXPECT_EQ(Backoff(policy, 1, 0.5), seconds(5));
  EXPECT_EQ(Backoff(policy, 2, 0.5), seconds(10));
  EXPECT_EQ(Backoff(policy, 5, 0.5), seconds(80));
  EXPECT_EQ(Backoff(policy, 40, 0.5), seconds(900));
  EXPECT_EQ(Backoff(policy, 1, 0.0), seconds(4));
  EXPECT_LT(Backoff(policy, 1, 0.999), seconds(6));
}

}  // namespace
}  // namespace yagura::notification
