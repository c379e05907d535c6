#include "services/config/domain/change_machine.h"

#include "gtest/gtest.h"

#include "common/clock/proto_time.h"
#include "common/status/status.h"
#include "common/testing/status_matchers.h"
#include "services/config/domain/validate.h"

namespace yagura::config {
namespace {

using testing::IsOk;
using testing::StatusIs;

Step By(const char* actor) { return {actor, TimePoint{}, "because"}; }

v1::Change NewDraft() {
  v1::Change change;
  change.set_name("tenants/acme/changes/c1");
  change.set_title("Open 8443");
  change.set_reason("ticket 7");
  change.set_device("tenants/acme/devices/fw1");
  change.set_base_digest("hmac-sha256:aa");
  change.set_candidate_digest("hmac-sha256:bb");
  change.mutable_dead_man_timeout()->set_seconds(60);
  Draft(change, By("users/alice"));
  return change;
}

TEST(ChangeMachine, GoesFromDraftToVerifiedAndRemembersWhoDidWhat) {
  v1::Change change = NewDraft();
  ASSERT_THAT(Submit(change, By("users/alice")), IsOk());
  ASSERT_THAT(Approve(change, By("users/bob"), change.digest()), IsOk());
  ASSERT_THAT(BeginApply(change, By("users/alice")), IsOk());
  ASSERT_THAT(EndApply(change, By("services/config"), v1::VERIFIED), IsOk());
  ASSERT_EQ(change.history_size(), 5);
  EXPECT_EQ(change.history(2).actor(), "users/bob");
  EXPECT_EQ(change.history(2).state(), v1::APPROVED);
  EXPECT_EQ(change.history(2).comment(), "because");
  EXPECT_TRUE(IsFinal(change.state()));
}

TEST(ChangeMachine, NobodyApprovesWhatTheyWroteOrEdited) {
  v1::Change change = NewDraft();
  ASSERT_THAT(Edit(change, By("users/carol")), IsOk());
  ASSERT_THAT(Submit(change, By("users/dave")), IsOk());
  for (const char* author : {"users/alice", "users/carol"}) {
    EXPECT_THAT(Approve(change, By(author), change.digest()),
                StatusIs(absl::StatusCode::kPermissionDenied, "SELF_APPROVAL"));
  }
  EXPECT_EQ(change.state(), v1::SUBMITTED);
  EXPECT_THAT(Approve(change, By("users/bob"), change.digest()), IsOk());
}

TEST(ChangeMachine, AnApprovalIsForOneDigest) {
  v1::Change change = NewDraft();
  const std::string seen = change.digest();
  change.set_candidate_digest("hmac-sha256:cc");
  ASSERT_THAT(Edit(change, By("users/alice")), IsOk());
  ASSERT_THAT(Submit(change, By("users/alice")), IsOk());
  EXPECT_THAT(Approve(change, By("users/bob"), seen),
              StatusIs(absl::StatusCode::kAborted, "DIGEST_MISMATCH"));
  EXPECT_THAT(Approve(change, By("users/bob"), ""),
              StatusIs(absl::StatusCode::kAborted, "DIGEST_MISMATCH"));
}

TEST(ChangeMachine, WhatWasAlteredAfterApprovalIsNotApplied) {
  v1::Change approved = NewDraft();
  ASSERT_THAT(Submit(approved, By("users/alice")), IsOk());
  ASSERT_THAT(Approve(approved, By("users/bob"), approved.digest()), IsOk());
  const auto refused = [](v1::Change change) {
    return ErrorReason(BeginApply(change, By("users/alice"))) == "CHANGE_ALTERED";
  };
  v1::Change altered = approved;
  altered.set_candidate_digest("hmac-sha256:cc");
  EXPECT_TRUE(refused(altered));
  altered = approved;
  altered.set_device("tenants/acme/devices/fw2");
  EXPECT_TRUE(refused(altered));
  altered = approved;
  altered.add_checks()->set_running_contains("x");
  EXPECT_TRUE(refused(altered));
  altered = approved;
  altered.mutable_dead_man_timeout()->set_seconds(61);
  EXPECT_TRUE(refused(altered));
  altered = approved;
  altered.set_approver("users/alice");
  EXPECT_TRUE(refused(altered));
  EXPECT_THAT(BeginApply(approved, By("users/alice")), IsOk());
}

TEST(ChangeMachine, TakesNoStepOutOfTurn) {
  using Verb = std::function<Status(v1::Change&)>;
  const Step bob = By("users/bob");
  const std::vector<std::pair<Verb, std::set<v1::ChangeState>>> verbs = {
      {[&](v1::Change& c) { return Edit(c, bob); }, {v1::DRAFT}},
      {[&](v1::Change& c) { return Submit(c, bob); }, {v1::DRAFT}},
      {[&](v1::Change& c) { return Approve(c, bob, c.digest()); }, {v1::SUBMITTED}},
      {[&](v1::Change& c) { return Reject(c, bob); }, {v1::SUBMITTED, v1::APPROVED}},
      {[&](v1::Change& c) { return Cancel(c, bob); }, {v1::DRAFT, v1::SUBMITTED, v1::APPROVED}},
      {[&](v1::Change& c) { return BeginApply(c, bob); }, {v1::APPROVED}},
      {[&](v1::Change& c) { return EndApply(c, bob, v1::FAILED); }, {v1::APPLYING}},
  };
  for (int state = v1::DRAFT; state <= v1::CANCELLED; ++state) {
    for (size_t i = 0; i < verbs.size(); ++i) {
      v1::Change change = NewDraft();
      change.set_approver("users/erin");
      change.set_state(static_cast<v1::ChangeState>(state));
      const v1::Change before = change;
      const Status status = verbs[i].first(change);
      const bool allowed = verbs[i].second.contains(before.state());
      EXPECT_EQ(status.ok(), allowed) << "verb " << i << " in state " << state << status;
      if (!allowed) {
        EXPECT_EQ(ErrorReason(status), "CHANGE_STATE");
        EXPECT_EQ(change.SerializeAsString(), before.SerializeAsString());
      }
    }
  }
}

TEST(ChangeMachine, ValidatesItsFields) {
  v1::Change change = NewDraft();
  EXPECT_THAT(Validate(change), IsOk());
  change.add_checks();
  EXPECT_THAT(Validate(change), StatusIs(absl::StatusCode::kInvalidArgument));
  change.mutable_checks(0)->mutable_command()->set_command("a\nb");
  EXPECT_THAT(Validate(change), StatusIs(absl::StatusCode::kInvalidArgument));
  change.clear_checks();
  change.mutable_dead_man_timeout()->set_seconds(1);
  EXPECT_THAT(Validate(change), StatusIs(absl::StatusCode::kInvalidArgument));
  change.mutable_dead_man_timeout()->set_seconds(60);
  change.clear_title();
  EXPECT_THAT(Validate(change), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(ValidateDevice, RefusesAddressesAndFingerprintsThatAreNone) {
  v1::Device device;
  device.set_address("192.0.2.1");
  EXPECT_THAT(Validate(device), IsOk());
  for (const char* address : {"", "-oProxyCommand=x", "a b", "a;b", "$(x)"}) {
    device.set_address(address);
    EXPECT_THAT(Validate(device), StatusIs(absl::StatusCode::kInvalidArgument)) << address;
  }
  device.set_address("fw.example.com");
  device.add_host_key_fingerprints("MD5:aa");
  EXPECT_THAT(Validate(device), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace yagura::config
