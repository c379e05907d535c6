#include "services/config/domain/change_machine.h"

#include <algorithm>
#include <initializer_list>

#include "fmt/format.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"

#include "common/blob/blob_store.h"
#include "common/clock/proto_time.h"
#include "common/status/status.h"

namespace yagura::config {
namespace {

constexpr std::string_view kDigestPrefix = "sha256:";

Status CheckState(const v1::Change& change, std::initializer_list<v1::ChangeState> allowed,
                  std::string_view verb) {
  if (std::find(allowed.begin(), allowed.end(), change.state()) != allowed.end()) {
    return absl::OkStatus();
  }
  const std::string state = v1::ChangeState_Name(change.state());
  return MakeError(absl::StatusCode::kFailedPrecondition, "CHANGE_STATE",
                   fmt::format("a change in state {} cannot be {}", state, verb),
                   {{"state", state}});
}

void Move(v1::Change& change, const Step& step, v1::ChangeState state) {
  change.set_state(state);
  v1::ChangeEvent& event = *change.add_history();
  *event.mutable_time() = ToProto(step.time);
  event.set_actor(step.actor);
  event.set_state(state);
  event.set_comment(step.comment);
}

bool IsAuthor(const v1::Change& change, std::string_view actor) {
  return std::find(change.authors().begin(), change.authors().end(), actor) !=
         change.authors().end();
}

void AddAuthor(v1::Change& change, const std::string& actor) {
  if (!IsAuthor(change, actor)) change.add_authors(actor);
}

}  // namespace

std::string ChangeDigest(const v1::Change& change) {
  v1::Change bound;
  bound.set_name(change.name());
  bound.set_device(change.device());
  bound.set_base_snapshot(change.base_snapshot());
  bound.set_base_digest(change.base_digest());
  bound.set_candidate_digest(change.candidate_digest());
  *bound.mutable_checks() = change.checks();
  *bound.mutable_dead_man_timeout() = change.dead_man_timeout();
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    bound.SerializeToCodedStream(&coded);
  }
  return fmt::format("{}{}", kDigestPrefix, blob::DigestOf(bytes));
}

bool IsFinal(v1::ChangeState state) {
  return state == v1::VERIFIED || state == v1::ROLLED_BACK || state == v1::FAILED ||
         state == v1::REJECTED || state == v1::CANCELLED;
}

void Draft(v1::Change& change, const Step& step) {
  change.clear_authors();
  change.clear_history();
  change.clear_approver();
  change.clear_apply();
  AddAuthor(change, step.actor);
  change.set_digest(ChangeDigest(change));
  Move(change, step, v1::DRAFT);
}

Status Edit(v1::Change& change, const Step& step) {
  YAGURA_RETURN_IF_ERROR(CheckState(change, {v1::DRAFT}, "edited"));
  AddAuthor(change, step.actor);
  change.set_digest(ChangeDigest(change));
  return absl::OkStatus();
}

Status Submit(v1::Change& change, const Step& step) {
  YAGURA_RETURN_IF_ERROR(CheckState(change, {v1::DRAFT}, "submitted"));
  Move(change, step, v1::SUBMITTED);
  return absl::OkStatus();
}

Status Approve(v1::Change& change, const Step& step, std::string_view digest) {
  YAGURA_RETURN_IF_ERROR(CheckState(change, {v1::SUBMITTED}, "approved"));
  if (IsAuthor(change, step.actor)) {
    return MakeError(absl::StatusCode::kPermissionDenied, "SELF_APPROVAL",
                     "an author of a change cannot approve it");
  }
  if (digest != change.digest() || digest != ChangeDigest(change)) {
    return MakeError(absl::StatusCode::kAborted, "DIGEST_MISMATCH",
                     "the change is not the one that the digest was shown for",
                     {{"digest", change.digest()}});
  }
  change.set_approver(step.actor);
  Move(change, step, v1::APPROVED);
  return absl::OkStatus();
}

Status Reject(v1::Change& change, const Step& step) {
  YAGURA_RETURN_IF_ERROR(CheckState(change, {v1::SUBMITTED, v1::APPROVED}, "rejected"));
  Move(change, step, v1::REJECTED);
  return absl::OkStatus();
}

Status Cancel(v1::Change& change, const Step& step) {
  YAGURA_RETURN_IF_ERROR(CheckState(change, {v1::DRAFT, v1::SUBMITTED, v1::APPROVED}, "cancelled"));
  Move(change, step, v1::CANCELLED);
  return absl::OkStatus();
}

Status BeginApply(v1::Change& change, const Step& step) {
  YAGURA_RETURN_IF_ERROR(CheckState(change, {v1::APPROVED}, "applied"));
  const bool approved = !change.approver().empty() && !IsAuthor(change, change.approver());
  if (!approved || change.digest() != ChangeDigest(change)) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "CHANGE_ALTERED",
                     "the change is no longer what was approved");
  }
  v1::ApplyStatus& apply = *change.mutable_apply();
  apply.set_phase(v1::QUEUED);
  *apply.mutable_start_time() = ToProto(step.time);
  Move(change, step, v1::APPLYING);
  return absl::OkStatus();
}

Status EndApply(v1::Change& change, const Step& step, v1::ChangeState state) {
  YAGURA_RETURN_IF_ERROR(CheckState(change, {v1::APPLYING}, "finished"));
  v1::ApplyStatus& apply = *change.mutable_apply();
  apply.set_phase(v1::DONE);
  apply.set_progress(1);
  *apply.mutable_end_time() = ToProto(step.time);
  Move(change, step, state);
  return absl::OkStatus();
}

}  // namespace yagura::config
