#include "services/config/domain/change_machine.h"

#include <algorithm>
#include <initializer_list>
#include <set>
#include <vector>

#include "fmt/format.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "google/protobuf/util/message_differencer.h"

#include "common/blob/blob_store.h"
#include "common/clock/proto_time.h"
#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::config {
namespace {

constexpr std::string_view kDigestPrefix = "sha256:";
constexpr int kSshPort = 22;

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

void SetTarget(v1::Change& change, const v1::ChangeTarget& now) {
  *change.mutable_target() = now;
  change.set_digest(ChangeDigest(change));
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
  if (change.has_target()) *bound.mutable_target() = change.target();
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    bound.SerializeToCodedStream(&coded);
  }
  return fmt::format("{}{}", kDigestPrefix, blob::DigestOf(bytes));
}

v1::ChangeTarget TargetOf(const v1::Device& device, const v1::Credential* credential) {
  v1::ChangeTarget target;
  target.set_platform(device.platform());
  target.set_address(device.address());
  target.set_port(device.port() == 0 ? kSshPort : device.port());
  std::set<std::string> prints(device.host_key_fingerprints().begin(),
                               device.host_key_fingerprints().end());
  target.mutable_host_key_fingerprints()->Assign(prints.begin(), prints.end());
  target.set_trust_host_key_on_first_use(device.trust_host_key_on_first_use());
  target.set_credential(device.credential());
  if (credential != nullptr) target.set_user_name(credential->user_name());
  target.set_startup_path(device.startup_path());
  return target;
}

Status CheckTarget(const v1::Change& change, const v1::ChangeTarget& now) {
  const auto* fields = v1::ChangeTarget::descriptor();
  std::vector<std::string> differing;
  for (int i = 0; i < fields->field_count(); ++i) {
    google::protobuf::util::MessageDifferencer differencer;
    if (!differencer.CompareWithFields(change.target(), now, {fields->field(i)},
                                       {fields->field(i)})) {
      differing.emplace_back(fields->field(i)->name());
    }
  }
  if (differing.empty()) return absl::OkStatus();
  const std::string names = Join(differing, ", ");
  return MakeError(
      absl::StatusCode::kFailedPrecondition, "TARGET_CHANGED",
      fmt::format("{} or its credential no longer says what was approved ({}): cancel the change "
                  "and make a new one",
                  change.device(), names),
      {{"fields", names}});
}

bool IsFinal(v1::ChangeState state) {
  return state == v1::VERIFIED || state == v1::ROLLED_BACK || state == v1::FAILED ||
         state == v1::REJECTED || state == v1::CANCELLED;
}

void Draft(v1::Change& change, const Step& step, const v1::ChangeTarget& now) {
  change.clear_authors();
  change.clear_history();
  change.clear_approver();
  change.clear_apply();
  AddAuthor(change, step.actor);
  SetTarget(change, now);
  Move(change, step, v1::DRAFT);
}

Status Edit(v1::Change& change, const Step& step, const v1::ChangeTarget& now) {
  YAGURA_RETURN_IF_ERROR(CheckState(change, {v1::DRAFT}, "edited"));
  AddAuthor(change, step.actor);
  SetTarget(change, now);
  return absl::OkStatus();
}

Status Submit(v1::Change& change, const Step& step, const v1::ChangeTarget& now) {
  YAGURA_RETURN_IF_ERROR(CheckState(change, {v1::DRAFT}, "submitted"));
  SetTarget(change, now);
  Move(change, step, v1::SUBMITTED);
  return absl::OkStatus();
}

Status Approve(v1::Change& change, const Step& step, std::string_view digest,
               const v1::ChangeTarget& now) {
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
  YAGURA_RETURN_IF_ERROR(CheckTarget(change, now));
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

Status BeginApply(v1::Change& change, const Step& step, const v1::ChangeTarget& now) {
  YAGURA_RETURN_IF_ERROR(CheckState(change, {v1::APPROVED}, "applied"));
  const bool approved = !change.approver().empty() && !IsAuthor(change, change.approver());
  if (!approved || change.digest() != ChangeDigest(change)) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "CHANGE_ALTERED",
                     "the change is no longer what was approved");
  }
  YAGURA_RETURN_IF_ERROR(CheckTarget(change, now));
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
