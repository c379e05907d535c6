#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

#include "common/clock/clock.h"
#include "yagura/config/v1/change.pb.h"
#include "yagura/config/v1/credential.pb.h"
#include "yagura/config/v1/device.pb.h"

// The life of a change request. Each function moves the change or leaves it untouched with an
// error: FAILED_PRECONDITION (CHANGE_STATE, metadata "state") where it is not its turn.
namespace yagura::config {

// Who does it, when, and what they say.
struct Step {
  std::string actor;
  TimePoint time;
  std::string comment;
};

// What an approval is given for: a digest of device, target, base, candidate, checks and timer.
std::string ChangeDigest(const v1::Change& change);

// Where and how a change to this device is applied. `credential` is null where it is gone.
v1::ChangeTarget TargetOf(const v1::Device& device, const v1::Credential* credential);
// FAILED_PRECONDITION (TARGET_CHANGED, naming the fields) unless `now` is the change's target.
absl::Status CheckTarget(const v1::Change& change, const v1::ChangeTarget& now);

bool IsFinal(v1::ChangeState state);

// `now` is the target as the inventory has it at this moment.
// A new draft: state, authors, target, digest and history.
void Draft(v1::Change& change, const Step& step, const v1::ChangeTarget& now);
// An edited draft.
absl::Status Edit(v1::Change& change, const Step& step, const v1::ChangeTarget& now);
absl::Status Submit(v1::Change& change, const Step& step, const v1::ChangeTarget& now);
// PERMISSION_DENIED (SELF_APPROVAL) for an author; ABORTED (DIGEST_MISMATCH) where `digest` is not
// that of the change; FAILED_PRECONDITION (TARGET_CHANGED).
absl::Status Approve(v1::Change& change, const Step& step, std::string_view digest,
                     const v1::ChangeTarget& now);
absl::Status Reject(v1::Change& change, const Step& step);
absl::Status Cancel(v1::Change& change, const Step& step);
// Also FAILED_PRECONDITION (CHANGE_ALTERED) where it is no longer what was approved, and
// TARGET_CHANGED.
absl::Status BeginApply(v1::Change& change, const Step& step, const v1::ChangeTarget& now);
// `state` is VERIFIED, ROLLED_BACK or FAILED.
absl::Status EndApply(v1::Change& change, const Step& step, v1::ChangeState state);

}  // namespace yagura::config
