#include "services/config/api/changes.h"

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "services/config/api/common.h"
#include "services/config/api/devices.h"
#include "services/config/domain/unified_diff.h"
#include "services/config/domain/validate.h"

namespace yagura::config {
namespace {

constexpr std::chrono::seconds kDefaultDeadMan{60};

Status Refused(std::string_view reason, std::string_view message) {
  return MakeError(absl::StatusCode::kFailedPrecondition, reason, message);
}

// What a caller may say of a new change.
v1::Change Seed(const v1::Change& given) {
  v1::Change change;
  change.set_title(given.title());
  change.set_reason(given.reason());
  change.set_device(given.device());
  change.set_ticket(given.ticket());
  change.set_base_snapshot(given.base_snapshot());
  *change.mutable_checks() = given.checks();
  *change.mutable_dead_man_timeout() =
      given.has_dead_man_timeout() ? given.dead_man_timeout() : ToProtoDuration(kDefaultDeadMan);
  return change;
}

Status MergeInto(const v1::UpdateChangeRequest& request, v1::Change& change) {
  const v1::Change& given = request.change();
  for (const std::string& path : request.update_mask().paths()) {
    if (path == "title") {
      change.set_title(given.title());
    } else if (path == "reason") {
      change.set_reason(given.reason());
    } else if (path == "ticket") {
      change.set_ticket(given.ticket());
    } else if (path == "checks") {
      *change.mutable_checks() = given.checks();
    } else if (path == "dead_man_timeout") {
      *change.mutable_dead_man_timeout() = given.dead_man_timeout();
    } else {
      return InvalidField("update_mask", fmt::format("\"{}\" cannot be updated", path));
    }
  }
  return absl::OkStatus();
}

}  // namespace

ChangeHandlers::ChangeHandlers(std::shared_ptr<Stores> stores,
                               std::shared_ptr<const store::Projection<v1::Change>> all,
                               std::shared_ptr<Vault> vault,
                               std::shared_ptr<const DriverSet> drivers,
                               std::shared_ptr<const DeviceAccess> access,
                               std::shared_ptr<ApplyWorker> worker,
                               std::shared_ptr<const Clock> clock)
    : stores_(std::move(stores)),
      all_(std::move(all)),
      vault_(std::move(vault)),
      drivers_(std::move(drivers)),
      access_(std::move(access)),
      worker_(std::move(worker)),
      clock_(std::move(clock)) {}

Step ChangeHandlers::StepOf(const rpc::Call& call, const std::string& comment) const {
  return {ActorOf(call), clock_->Now(), comment};
}

StatusOr<std::string> ChangeHandlers::Resolve(const v1::Candidate& candidate,
                                              const v1::Change& change,
                                              const std::string& platform) const {
  YAGURA_RETURN_IF_ERROR(Validate(candidate));
  YAGURA_ASSIGN_OR_RETURN(const Driver* driver, drivers_->Find(platform));
  YAGURA_ASSIGN_OR_RETURN(const std::string base, vault_->OpenSnapshot(change.base_snapshot()));
  YAGURA_ASSIGN_OR_RETURN(const Scrubbed shown, vault_->Scrub(TenantIdOf(change.name()), base));
  std::string text = candidate.configuration();
  std::string_view field = "candidate.configuration";
  if (candidate.has_patch()) {
    field = "candidate.patch";
    YAGURA_ASSIGN_OR_RETURN(text, ApplyPatch(field, shown.text, candidate.patch()));
  }
  YAGURA_ASSIGN_OR_RETURN(text, RestoreSecrets(field, text, shown.secrets));
  YAGURA_RETURN_IF_ERROR(driver->CheckCandidate(text));
  if (text == base) return Refused("NO_DIFFERENCE", "the candidate is what the base is already");
  return text;
}

StatusOr<v1::Change> ChangeHandlers::Create(const rpc::Call& call,
                                            const v1::CreateChangeRequest& request) {
  YAGURA_ASSIGN_OR_RETURN(const std::string id, IdOrNew("change_id", request.change_id()));
  v1::Change change = Seed(request.change());
  YAGURA_RETURN_IF_ERROR(Validate(change));
  change.set_name(fmt::format("{}/changes/{}", request.parent(), id));
  YAGURA_ASSIGN_OR_RETURN(const v1::Device device, stores_->devices.Get(change.device()));
  if (change.base_snapshot().empty()) change.set_base_snapshot(device.latest_snapshot());
  if (change.base_snapshot().empty()) {
    return Refused("NO_SNAPSHOT", "the device has no snapshot yet; take one first");
  }
  if (!change.base_snapshot().starts_with(device.name() + "/snapshots/")) {
    return InvalidField("change.base_snapshot", "must be a snapshot of the device");
  }
  YAGURA_ASSIGN_OR_RETURN(const v1::Snapshot base, stores_->snapshots.Get(change.base_snapshot()));
  YAGURA_ASSIGN_OR_RETURN(const std::string text,
                          Resolve(request.candidate(), change, device.platform()));
  change.set_base_digest(base.digest());
  YAGURA_ASSIGN_OR_RETURN(*change.mutable_candidate_digest(),
                          vault_->DigestOf(call.tenant(), text));
  YAGURA_ASSIGN_OR_RETURN(const v1::ChangeTarget target, access_->ChangeTargetOf(device));
  Draft(change, StepOf(call, ""), target);
  YAGURA_RETURN_IF_ERROR(vault_->PutCandidate(call.write_context(), change, text));
  YAGURA_ASSIGN_OR_RETURN(v1::Change created,
                          stores_->changes.Create(call.write_context(), std::move(change)));
  return WithDiff(std::move(created));
}

StatusOr<std::string> ChangeHandlers::Diff(const v1::Change& change) const {
  const std::string tenant = TenantIdOf(change.name());
  YAGURA_ASSIGN_OR_RETURN(const std::string base, vault_->OpenSnapshot(change.base_snapshot()));
  YAGURA_ASSIGN_OR_RETURN(const std::string candidate, vault_->OpenCandidate(change));
  YAGURA_ASSIGN_OR_RETURN(const Scrubbed from, vault_->Scrub(tenant, base));
  YAGURA_ASSIGN_OR_RETURN(const Scrubbed to, vault_->Scrub(tenant, candidate));
  const StatusOr<const Driver*> driver = drivers_->Find(change.target().platform());
  auto normal_base = driver.ok() ? (*driver)->Normal(from.text) : std::nullopt;
  auto normal_candidate = driver.ok() ? (*driver)->Normal(to.text) : std::nullopt;
  if (!normal_base || !normal_candidate) {
    return ToValidUtf8(DiffLines(from.text, to.text, "base", "candidate").text);
  }
  if (*normal_base == *normal_candidate) {
    return "the candidate differs from the base in its formatting and comments alone\n";
  }
  return ToValidUtf8(DiffLines(*normal_base, *normal_candidate, "base", "candidate").text);
}

StatusOr<v1::Change> ChangeHandlers::WithDiff(v1::Change change) const {
  StatusOr<std::string> diff = Diff(change);
  const bool lost = absl::IsNotFound(diff.status()) || absl::IsDataLoss(diff.status());
  if (!diff.ok() && !lost) return diff.status();
  // A change whose texts are gone can still be looked at; applying it is refused.
  change.set_diff(lost ? fmt::format("not available: {}\n", Message(diff.status())) : *diff);
  return change;
}

StatusOr<v1::Change> ChangeHandlers::Get(const rpc::Call&, const v1::GetChangeRequest& request) {
  YAGURA_ASSIGN_OR_RETURN(v1::Change change, stores_->changes.Get(request.name()));
  return WithDiff(std::move(change));
}

StatusOr<v1::ListChangesResponse> ChangeHandlers::List(const rpc::Call& call,
                                                       const v1::ListChangesRequest& request) {
  store::ListQuery query = QueryOf(request);
  if (query.order_by.empty()) query.order_by = "create_time desc";
  YAGURA_ASSIGN_OR_RETURN(auto page, ListPage(call, query, stores_->changes, *all_));
  v1::ListChangesResponse response;
  for (v1::Change& change : page.items) *response.add_changes() = std::move(change);
  response.set_next_page_token(std::move(page.next_page_token));
  return response;
}

StatusOr<v1::Change> ChangeHandlers::Update(const rpc::Call& call,
                                            const v1::UpdateChangeRequest& request) {
  YAGURA_ASSIGN_OR_RETURN(v1::Change before, stores_->changes.Get(request.change().name()));
  std::string digest;
  if (request.has_candidate()) {
    YAGURA_ASSIGN_OR_RETURN(const v1::Device device, stores_->devices.Get(before.device()));
    YAGURA_ASSIGN_OR_RETURN(const std::string text,
                            Resolve(request.candidate(), before, device.platform()));
    YAGURA_ASSIGN_OR_RETURN(digest, vault_->DigestOf(call.tenant(), text));
    before.set_candidate_digest(digest);
    YAGURA_RETURN_IF_ERROR(vault_->PutCandidate(call.write_context(), before, text));
  }
  YAGURA_ASSIGN_OR_RETURN(
      v1::Change updated,
      stores_->changes.Mutate(
          call.write_context(), request.change().name(), [&](v1::Change& change) {
            YAGURA_RETURN_IF_ERROR(CheckEtag(request.change().etag(), change));
            YAGURA_RETURN_IF_ERROR(MergeInto(request, change));
            if (!digest.empty()) change.set_candidate_digest(digest);
            YAGURA_RETURN_IF_ERROR(Validate(change));
            YAGURA_ASSIGN_OR_RETURN(const v1::ChangeTarget target, TargetNow(change));
            return Edit(change, StepOf(call, ""), target);
          }));
  return WithDiff(std::move(updated));
}

StatusOr<v1::ChangeTarget> ChangeHandlers::TargetNow(const v1::Change& change) const {
  YAGURA_ASSIGN_OR_RETURN(const v1::Device device, stores_->devices.Get(change.device()));
  return access_->ChangeTargetOf(device);
}

StatusOr<v1::Change> ChangeHandlers::Move(const rpc::Call& call, const std::string& name,
                                          const std::string& etag, const std::string& comment,
                                          const MoveFn& move) {
  YAGURA_RETURN_IF_ERROR(ValidateComment(comment, false));
  return stores_->changes.Mutate(call.write_context(), name, [&](v1::Change& change) {
    YAGURA_RETURN_IF_ERROR(CheckEtag(etag, change));
    return move(change, StepOf(call, comment));
  });
}

StatusOr<v1::Change> ChangeHandlers::Submit(const rpc::Call& call,
                                            const v1::SubmitChangeRequest& request) {
  YAGURA_ASSIGN_OR_RETURN(v1::Change change,
                          Move(call, request.name(), request.etag(), request.comment(),
                               [&](v1::Change& change, const Step& step) {
                                 YAGURA_ASSIGN_OR_RETURN(const v1::ChangeTarget target,
                                                         TargetNow(change));
                                 return config::Submit(change, step, target);
                               }));
  return WithDiff(std::move(change));
}

StatusOr<v1::Change> ChangeHandlers::Approve(const rpc::Call& call,
                                             const v1::ApproveChangeRequest& request) {
  if (request.digest().empty()) return InvalidField("digest", "is required");
  return Move(call, request.name(), request.etag(), request.comment(),
              [&](v1::Change& change, const Step& step) {
                YAGURA_ASSIGN_OR_RETURN(const v1::ChangeTarget target, TargetNow(change));
                return config::Approve(change, step, request.digest(), target);
              });
}

StatusOr<v1::Change> ChangeHandlers::Reject(const rpc::Call& call,
                                            const v1::RejectChangeRequest& request) {
  YAGURA_RETURN_IF_ERROR(ValidateComment(request.comment(), true));
  return Move(call, request.name(), request.etag(), request.comment(), config::Reject);
}

StatusOr<v1::Change> ChangeHandlers::Cancel(const rpc::Call& call,
                                            const v1::CancelChangeRequest& request) {
  return Move(call, request.name(), request.etag(), request.comment(), config::Cancel);
}

// A device takes one change at a time. One that is named by a change which is not being applied is
// free: its process died between two writes.
Status ChangeHandlers::TakeDevice(const rpc::Call& call, const v1::Change& change) {
  store::WriteContext context = call.write_context();
  context.request_id.clear();
  return stores_->devices
      .Mutate(context, change.device(),
              [&](v1::Device& device) {
                if (device.applying_change() != change.name()) {
                  YAGURA_ASSIGN_OR_RETURN(const bool busy, IsBusy(*stores_, device));
                  if (busy) {
                    return Refused("DEVICE_BUSY", fmt::format("{} is being applied to it",
                                                              device.applying_change()));
                  }
                }
                device.set_applying_change(change.name());
                return absl::OkStatus();
              })
      .status();
}

void ChangeHandlers::FreeDevice(const v1::Change& change) {
  // Where this fails, the device is free all the same (see TakeDevice).
  stores_->devices
      .Mutate(ServiceContext("ApplyChange"), change.device(),
              [&](v1::Device& device) {
                if (device.applying_change() == change.name()) device.clear_applying_change();
                return absl::OkStatus();
              })
      .status()
      .IgnoreError();
}

StatusOr<v1::Change> ChangeHandlers::Apply(const rpc::Call& call,
                                           const v1::ApplyChangeRequest& request) {
  YAGURA_ASSIGN_OR_RETURN(const v1::Change before, stores_->changes.Get(request.name()));
  const bool approved = before.state() == v1::APPROVED;
  if (approved) {
    YAGURA_RETURN_IF_ERROR(worker_->CheckRoom());
    YAGURA_RETURN_IF_ERROR(TakeDevice(call, before));
  }
  StatusOr<v1::Change> begun =
      Move(call, request.name(), request.etag(), "", [&](v1::Change& change, const Step& step) {
        YAGURA_ASSIGN_OR_RETURN(const v1::ChangeTarget target, TargetNow(change));
        return config::BeginApply(change, step, target);
      });
  if (begun.ok()) {
    worker_->Enqueue(begun->name());
  } else if (approved && !absl::IsUnavailable(begun.status())) {
    // Unless another call has begun it meanwhile.
    const auto now = stores_->changes.Get(request.name());
    if (now.ok() && now->state() != v1::APPLYING) FreeDevice(before);
  }
  return begun;
}

}  // namespace yagura::config
