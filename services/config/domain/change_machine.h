#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

#include "common/clock/clock.h"
#include "yagura/config/v1/change.pb.h"

// The life of a change request. Each function moves the change or leaves it untouched with an
// error: FAILED_PRECONDITION (CHANGE_STATE, metadata "state") where it is not its turn.
namespace yagura::config {

// Who does it, when, and what they say.
struct Step {
  std::string actor;
  TimePoint time;
  std::string comment;
};

// What an approval is given for: a digest of device, base, candidate, checks and timer.
std::string ChangeDigest(const v1::Change& change);

bool IsFinal(v1::ChangeState state);

// A new draft: state, authors, digest and history.
void Draft(v1::Change& change, const Step& step);
// An edited draft.
absl::Status Edit(v1::Change& change, const Step& step);
absl::Status Submit(v1::Change& change, const Step& step);
// PERMISSION_DENIED (SELF_APPROVAL) for an author; ABORTED (DIGEST_MISMATCH) where `digest` is not
// that of the change.
absl::Status Approve(v1::Change& change, const Step& step, std::string_view digest);
absl::Status Reject(v1::Change& change, const Step& step);
absl::Status Cancel(v1::Change& change, const Step& step);
// Also FAILED_PRECONDITION (CHANGE_ALTERED) where it is no longer what was approved.
absl::Status BeginApply(v1::Change& change, const Step& step);
// `state` is VERIFIED, ROLLED_BACK or FAILED.
absl::Status EndApply(v1::Change& change, const Step& step, v1::ChangeState state);

}  // namespace yagura::config
