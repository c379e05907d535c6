#include "services/config/domain/change_machine.h"

#include "gmock/gmock.h"
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

v1::ChangeTarget Target() {
  v1::Device device;
  device.set_platform("linux.nftables");
  device.set_address("192.0.2.9");
  device.add_host_key_fingerprints("SHA256:b");
  device.add_host_key_fingerprints("SHA256:a");
  device.set_credential("tenants/acme/credentials/ops");
  device.set_startup_path("/etc/nftables.conf");
  v1::Credential credential;
  credential.set_user_name("root");
  return TargetOf(device, &credential);
}

v1::Change NewDraft() {
  v1::Change change;
  change.set_name("tenants/acme/changes/c1");
  change.set_title("Open 8443");
  change.set_reason("ticket 7");
  change.set_device("tenants/acme/devices/fw1");
  change.set_base_digest("hmac-sha256:aa");
  change.set_candidate_digest("hmac-sha256:bb");
  change.mutable_dead_man_timeout()->set_seconds(60);
  Draft(change, By("users/alice"), Target());
  return change;
}

TEST(ChangeMachine, GoesFromDraftToVerifiedAndRemembersWhoDidWhat) {
  v1::Change change = NewDraft();
  ASSERT_THAT(Submit(change, By("users/alice"), Target()), IsOk());
  ASSERT_THAT(Approve(change, By("users/bob"), change.digest(), Target()), IsOk());
  ASSERT_THAT(BeginApply(change, By("users/alice"), Target()), IsOk());
  ASSERT_THAT(EndApply(change, By("services/config"), v1::VERIFIED), IsOk());
  ASSERT_EQ(change.history_size(), 5);
  EXPECT_EQ(change.history(2).actor(), "users/bob");
  EXPECT_EQ(change.history(2).state(), v1::APPROVED);
  EXPECT_EQ(change.history(2).comment(), "because");
  EXPECT_TRUE(IsFinal(change.state()));
}

TEST(ChangeMachine, NobodyApprovesWhatTheyWroteOrEdited) {
  v1::Change change = NewDraft();
  ASSERT_THAT(Edit(change, By("users/carol"), Target()), IsOk());
  ASSERT_THAT(Submit(change, By("users/dave"), Target()), IsOk());
  for (const char* author : {"users/alice", "users/carol"}) {
    EXPECT_THAT(Approve(change, By(author), change.digest(), Target()),
                StatusIs(absl::StatusCode::kPermissionDenied, "SELF_APPROVAL"));
  }
  EXPECT_EQ(change.state(), v1::SUBMITTED);
  EXPECT_THAT(Approve(change, By("users/bob"), change.digest(), Target()), IsOk());
}

TEST(ChangeMachine, AnApprovalIsForOneDigest) {
  v1::Change change = NewDraft();
  const std::string seen = change.digest();
  change.set_candidate_digest("hmac-sha256:cc");
  ASSERT_THAT(Edit(change, By("users/alice"), Target()), IsOk());
  ASSERT_THAT(Submit(change, By("users/alice"), Target()), IsOk());
  EXPECT_THAT(Approve(change, By("users/bob"), seen, Target()),
              StatusIs(absl::StatusCode::kAborted, "DIGEST_MISMATCH"));
  EXPECT_THAT(Approve(change, By("users/bob"), "", Target()),
              StatusIs(absl::StatusCode::kAborted, "DIGEST_MISMATCH"));
}

TEST(ChangeMachine, WhatWasAlteredAfterApprovalIsNotApplied) {
  v1::Change approved = NewDraft();
  ASSERT_THAT(Submit(approved, By("users/alice"), Target()), IsOk());
  ASSERT_THAT(Approve(approved, By("users/bob"), approved.digest(), Target()), IsOk());
  const auto refused = [](v1::Change change) {
    return ErrorReason(BeginApply(change, By("users/alice"), Target())) == "CHANGE_ALTERED";
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
  EXPECT_THAT(BeginApply(approved, By("users/alice"), Target()), IsOk());
}

TEST(ChangeMachine, AnApprovalIsForOneTarget) {
  v1::Change submitted = NewDraft();
  EXPECT_THAT(submitted.target().host_key_fingerprints(),
              ::testing::ElementsAre("SHA256:a", "SHA256:b"));
  EXPECT_EQ(submitted.target().port(), 22);
  ASSERT_THAT(Submit(submitted, By("users/alice"), Target()), IsOk());
  v1::Change approved = submitted;
  ASSERT_THAT(Approve(approved, By("users/bob"), approved.digest(), Target()), IsOk());

  const std::map<std::string, std::function<void(v1::ChangeTarget&)>> moves = {
      {"platform", [](auto& t) { t.set_platform("other"); }},
      {"address", [](auto& t) { t.set_address("192.0.2.66"); }},
      {"port", [](auto& t) { t.set_port(2222); }},
      {"host_key_fingerprints", [](auto& t) { t.add_host_key_fingerprints("SHA256:c"); }},
      {"trust_host_key_on_first_use", [](auto& t) { t.set_trust_host_key_on_first_use(true); }},
      {"credential", [](auto& t) { t.set_credential("tenants/acme/credentials/mallory"); }},
      {"user_name", [](auto& t) { t.set_user_name("mallory"); }},
      {"startup_path", [](auto& t) { t.set_startup_path("/etc/passwd"); }},
  };
  // Nobody adds a field that decides where a change goes, and forgets it here.
  ASSERT_EQ(moves.size(), static_cast<size_t>(v1::ChangeTarget::descriptor()->field_count()));
  for (const auto& [field, move] : moves) {
    v1::ChangeTarget moved = Target();
    move(moved);
    v1::Change change = approved;
    const Status refused = BeginApply(change, By("users/alice"), moved);
    EXPECT_THAT(refused, StatusIs(absl::StatusCode::kFailedPrecondition, "TARGET_CHANGED"));
    EXPECT_THAT(std::string(Message(refused)), ::testing::HasSubstr("(" + field + ")"));
    EXPECT_EQ(change.SerializeAsString(), approved.SerializeAsString());
    change = submitted;
    EXPECT_THAT(Approve(change, By("users/bob"), change.digest(), moved),
                StatusIs(absl::StatusCode::kFailedPrecondition, "TARGET_CHANGED"))
        << field;
    // The digest speaks of it: who alters the kept change does not get further either.
    change = approved;
    *change.mutable_target() = moved;
    EXPECT_THAT(BeginApply(change, By("users/alice"), moved),
                StatusIs(absl::StatusCode::kFailedPrecondition, "CHANGE_ALTERED"))
        << field;
    // A draft takes what the inventory says, and shows it to the approver.
    change = NewDraft();
    ASSERT_THAT(Submit(change, By("users/alice"), moved), IsOk());
    EXPECT_NE(change.digest(), submitted.digest());
  }
}

TEST(ChangeMachine, TakesNoStepOutOfTurn) {
  using Verb = std::function<Status(v1::Change&)>;
  const Step bob = By("users/bob");
  const std::vector<std::pair<Verb, std::set<v1::ChangeState>>> verbs = {
      {[&](v1::Change& c) { return Edit(c, bob, Target()); }, {v1::DRAFT}},
      {[&](v1::Change& c) { return Submit(c, bob, Target()); }, {v1::DRAFT}},
      {[&](v1::Change& c) { return Approve(c, bob, c.digest(), Target()); }, {v1::SUBMITTED}},
      {[&](v1::Change& c) { return Reject(c, bob); }, {v1::SUBMITTED, v1::APPROVED}},
      {[&](v1::Change& c) { return Cancel(c, bob); }, {v1::DRAFT, v1::SUBMITTED, v1::APPROVED}},
      {[&](v1::Change& c) { return BeginApply(c, bob, Target()); }, {v1::APPROVED}},
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
  change.mutable_checks(0)->mutable_tcp_open()->set_port(22);
  change.mutable_checks(0)->mutable_tcp_open()->set_address("fw.example.com");
  EXPECT_THAT(Validate(change), StatusIs(absl::StatusCode::kInvalidArgument)) << "no address";
  change.mutable_checks(0)->mutable_tcp_open()->set_address("2001:db8::1");
  EXPECT_THAT(Validate(change), IsOk());
  change.clear_checks();
  change.clear_title();
  for (int i = 0; i < 200; ++i) change.mutable_title()->append("櫓");
  EXPECT_THAT(Validate(change), IsOk()) << "200 characters";
  change.mutable_title()->append("a");
  EXPECT_THAT(Validate(change), StatusIs(absl::StatusCode::kInvalidArgument));
  change.set_title("x");
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

TEST(Reasons, AreCountedInCharacters) {
  std::string reason;
  for (int i = 0; i < 500; ++i) reason += "櫓";
  EXPECT_THAT(ValidateReason(reason), IsOk());
  EXPECT_THAT(ValidateReason(reason + "a"), StatusIs(absl::StatusCode::kInvalidArgument));
  std::string comment;
  for (int i = 0; i < 4'000; ++i) comment += "櫓";
  EXPECT_THAT(ValidateComment(comment, true), IsOk());
  EXPECT_THAT(ValidateComment(comment + "a", true), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace yagura::config
