#include "services/config/workers/apply_worker.h"

#include <utility>

#include "fmt/format.h"

#include "common/blob/blob_store.h"
#include "common/clock/proto_time.h"
#include "common/redis/pool.h"
#include "common/status/status.h"
#include "common/store/resource_name.h"
#include "common/text/characters.h"
#include "common/text/text.h"
#include "services/config/domain/change_machine.h"
#include "services/config/domain/unified_diff.h"
#include "services/config/workers/lease.h"

namespace yagura::config {
namespace {

constexpr const char* kActor = "services/config";
constexpr size_t kMaxShownBytes = 64u << 10;
constexpr size_t kMaxComment = 1000;
constexpr int kClaimAttempts = 5;

// Passing faults: the change stays as it is and is tried again.
bool IsPassing(const Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
         absl::IsAborted(status) || absl::IsResourceExhausted(status);
}

// The same at every try, and another for every apply.
std::string JobId(const v1::Change& change) {
  const std::string what = change.name() + " " + FormatTime(FromProto(change.apply().start_time()));
  return blob::DigestOf(what).substr(0, 32);
}

std::string Shown(std::string text) {
  if (text.size() > kMaxShownBytes) text.resize(kMaxShownBytes);
  return ToValidUtf8(text);
}

}  // namespace

struct ApplyWorker::Loaded {
  v1::Change change;
  v1::Device device;
  std::string base;
  std::string candidate;
};

ApplyWorker::ApplyWorker(ApplyWorkerOptions options, std::shared_ptr<redis::Pool> state,
                         std::shared_ptr<Stores> stores, std::shared_ptr<Vault> vault,
                         std::shared_ptr<DeviceAccess> access, FindApplying find_applying,
                         std::shared_ptr<const Clock> clock, MetricsRegistry& metrics,
                         Logger logger)
    : options_(std::move(options)),
      state_(std::move(state)),
      stores_(std::move(stores)),
      vault_(std::move(vault)),
      access_(std::move(access)),
      find_applying_(std::move(find_applying)),
      clock_(std::move(clock)),
      metrics_(metrics),
      logger_(std::move(logger)) {}

ApplyWorker::~ApplyWorker() { Stop(); }

void ApplyWorker::Start() {
  for (int i = 0; i < options_.threads; ++i) {
    threads_.emplace_back([this](const std::stop_token& stop) { Work(stop); });
  }
  threads_.emplace_back([this](const std::stop_token& stop) { Look(stop); });
}

void ApplyWorker::Stop() {
  for (std::jthread& thread : threads_) thread.request_stop();
  threads_.clear();
}

Status ApplyWorker::CheckRoom() const {
  const std::lock_guard lock(mutex_);
  if (waiting_.size() < options_.max_waiting) return absl::OkStatus();
  return MakeError(absl::StatusCode::kResourceExhausted, "TOO_MANY_CHANGES",
                   fmt::format("{} changes wait to be applied", waiting_.size()));
}

void ApplyWorker::Enqueue(const std::string& change) {
  const std::lock_guard lock(mutex_);
  if (!known_.insert(change).second) return;
  waiting_.push_back(change);
  wake_.notify_all();
}

void ApplyWorker::Work(const std::stop_token& stop) {
  while (true) {
    std::string name;
    {
      std::unique_lock lock(mutex_);
      if (!wake_.wait(lock, stop, [this] { return !waiting_.empty(); })) return;
      name = std::move(waiting_.front());
      waiting_.pop_front();
    }
    Apply(name, stop);
    const std::lock_guard lock(mutex_);
    known_.erase(name);
  }
}

void ApplyWorker::Look(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    lock.unlock();
    const StatusOr<std::vector<std::string>> found = find_applying_();
    if (found.ok()) {
      for (const std::string& name : *found) Enqueue(name);
    } else {
      logger_.Warning("cannot look for changes to apply", {{"error", Message(found.status())}});
    }
    lock.lock();
    wake_.wait_for(lock, stop, options_.look, [] { return false; });
  }
}

void ApplyWorker::Apply(const std::string& name, const std::stop_token& stop) {
  std::stop_source lost;
  const std::stop_callback passing_on(stop, [&lost] { lost.request_stop(); });
  const std::string key =
      fmt::format("y:{{{}}}:config:apply-lease:{}", TenantIdOf(name), store::LastId(name));
  const auto lease = Lease::Acquire(state_, key, options_.instance, options_.lease,
                                    [&lost] { lost.request_stop(); });
  if (!lease.ok() || *lease == nullptr) return;  // another process is at it, or Redis is away

  StatusOr<Loaded> loaded = Load(name);
  Status status = loaded.status();
  if (status.ok() && loaded->change.state() != v1::APPLYING) return;
  if (status.ok()) status = CheckTexts(*loaded);
  if (status.ok()) status = ClaimDevice(*loaded);
  if (status.ok()) status = CheckUnmoved(*loaded);
  if (!status.ok()) {
    if (!IsPassing(status)) status = FailUnbegun(name, status);
    if (!status.ok()) {
      logger_.Warning("cannot take up a change", {{"change", name}, {"error", Message(status)}});
    }
    return;
  }
  Carry(*loaded, lost.get_token());
}

StatusOr<ApplyWorker::Loaded> ApplyWorker::Load(const std::string& name) const {
  Loaded loaded;
  YAGURA_ASSIGN_OR_RETURN(loaded.change, stores_->changes.Get(name));
  if (loaded.change.state() != v1::APPLYING) return loaded;
  YAGURA_ASSIGN_OR_RETURN(loaded.device, stores_->devices.Get(loaded.change.device()));
  YAGURA_ASSIGN_OR_RETURN(loaded.base, vault_->OpenSnapshot(loaded.change.base_snapshot()));
  YAGURA_ASSIGN_OR_RETURN(loaded.candidate, vault_->OpenCandidate(loaded.change));
  return loaded;
}

// Byte for byte what was approved.
Status ApplyWorker::CheckTexts(const Loaded& loaded) const {
  const std::string tenant = TenantIdOf(loaded.change.name());
  YAGURA_ASSIGN_OR_RETURN(const std::string base, vault_->DigestOf(tenant, loaded.base));
  YAGURA_ASSIGN_OR_RETURN(const std::string candidate, vault_->DigestOf(tenant, loaded.candidate));
  if (base == loaded.change.base_digest() && candidate == loaded.change.candidate_digest() &&
      loaded.change.digest() == ChangeDigest(loaded.change)) {
    return absl::OkStatus();
  }
  return MakeError(absl::StatusCode::kFailedPrecondition, "CHANGE_ALTERED",
                   "the kept texts are no longer those that were approved");
}

// Writes the device even where nothing differs: who wanted to take it from us, believing that the
// change was not begun, loses by the etag.
Status ApplyWorker::ClaimDevice(const Loaded& loaded) const {
  Status status;
  for (int attempt = 0; attempt < kClaimAttempts; ++attempt) {
    YAGURA_ASSIGN_OR_RETURN(v1::Device device, stores_->devices.Get(loaded.device.name()));
    if (device.applying_change() != loaded.change.name()) {
      return MakeError(absl::StatusCode::kFailedPrecondition, "DEVICE_BUSY",
                       "another change has taken the device");
    }
    status = stores_->devices.Update(ServiceContext("ClaimDevice"), std::move(device)).status();
    if (!absl::IsAborted(status)) return status;
  }
  return status;
}

// The device can no longer be edited, its credential can; and both could be until it was claimed.
// What may have been loaded already is carried to its end at the approved target all the same.
Status ApplyWorker::CheckUnmoved(const Loaded& loaded) const {
  if (loaded.change.apply().phase() >= v1::LOADING) return absl::OkStatus();
  YAGURA_ASSIGN_OR_RETURN(const v1::Device device, stores_->devices.Get(loaded.device.name()));
  YAGURA_ASSIGN_OR_RETURN(const v1::ChangeTarget now, access_->ChangeTargetOf(device));
  return CheckTarget(loaded.change, now);
}

StatusOr<v1::ChangeTarget> ApplyWorker::WhereTo(const Loaded& loaded) const {
  // Begun by a release that approved no target.
  if (!loaded.change.has_target()) return access_->ChangeTargetOf(loaded.device);
  return loaded.change.target();
}

void ApplyWorker::Carry(Loaded& loaded, const std::stop_token& stop) {
  const std::string& name = loaded.change.name();
  const StatusOr<const Driver*> driver = access_->DriverOf(loaded.device);
  const StatusOr<v1::ChangeTarget> where = WhereTo(loaded);
  StatusOr<DeviceTarget> target =
      where.ok() ? access_->Open(*where) : StatusOr<DeviceTarget>(where.status());
  Status status = driver.ok() ? target.status() : driver.status();
  if (!status.ok()) {
    if (!IsPassing(status)) FailUnbegun(name, status).IgnoreError();
    return;
  }
  ApplyOrder order;
  order.target = std::move(*target);
  order.job.id = JobId(loaded.change);
  order.job.base_text = loaded.base;
  order.job.candidate_text = loaded.candidate;
  order.job.dead_man =
      std::chrono::duration_cast<std::chrono::seconds>(FromProto(loaded.change.dead_man_timeout()));
  order.checks.assign(loaded.change.checks().begin(), loaded.change.checks().end());
  order.startup_path = where->startup_path();
  order.maybe_begun = loaded.change.apply().phase() >= v1::LOADING;

  logger_.Info("applying a change", {{"change", name}, {"device", loaded.device.name()}});
  ApplyRun run(
      access_->connector(), **driver, std::move(order), options_.limits,
      [&](v1::ApplyPhase phase, double progress) { return NotePhase(name, phase, progress); },
      stop);
  const ApplyReport report = run.Run();
  if (report.state == v1::APPLYING) return;  // stopped; whoever is next carries on
  status = Finish(loaded, report);
  if (!status.ok()) {
    logger_.Warning("cannot record how a change ended; it is looked at again",
                    {{"change", name}, {"error", Message(status)}});
    return;
  }
  logger_.Info(
      "a change has ended",
      {{"change", name}, {"state", v1::ChangeState_Name(report.state)}, {"reason", report.reason}});
  metrics_
      .GetCounter("yagura_config_changes_total", "Changes that ended, by state",
                  {{"state", v1::ChangeState_Name(report.state)}})
      ->Add();
  run.Forget();
}

bool ApplyWorker::NotePhase(const std::string& name, v1::ApplyPhase phase, double progress) const {
  if (phase == v1::DONE) return true;  // said together with the outcome
  const Status status = stores_->changes
                            .Mutate(ServiceContext("ApplyChange"), name,
                                    [&](v1::Change& change) {
                                      if (change.state() == v1::APPLYING) {
                                        change.mutable_apply()->set_phase(phase);
                                        change.mutable_apply()->set_progress(progress);
                                      }
                                      return absl::OkStatus();
                                    })
                            .status();
  if (!status.ok()) {
    logger_.Warning("cannot record progress", {{"change", name}, {"error", Message(status)}});
  }
  return status.ok();
}

// Everything that the device said goes through the scrubber first.
StatusOr<v1::ApplyStatus> ApplyWorker::Describe(const Loaded& loaded, const ApplyReport& report) {
  const std::string tenant = TenantIdOf(loaded.change.name());
  v1::ApplyStatus outcome;
  outcome.set_error_reason(report.reason);
  YAGURA_ASSIGN_OR_RETURN(const Scrubbed message, vault_->Scrub(tenant, report.message));
  outcome.set_error_message(Shown(message.text));
  YAGURA_ASSIGN_OR_RETURN(const Scrubbed log, vault_->Scrub(tenant, report.device_log));
  outcome.set_device_log(Shown(log.text));
  for (v1::CheckResult result : report.check_results) {
    YAGURA_ASSIGN_OR_RETURN(const Scrubbed detail, vault_->Scrub(tenant, result.detail()));
    result.set_detail(Shown(detail.text));
    *outcome.add_check_results() = std::move(result);
  }
  if (report.running_text && report.reason == "DEVICE_CHANGED") {
    YAGURA_ASSIGN_OR_RETURN(const Scrubbed base, vault_->Scrub(tenant, loaded.base));
    YAGURA_ASSIGN_OR_RETURN(const Scrubbed now, vault_->Scrub(tenant, *report.running_text));
    outcome.set_drift_diff(
        Shown(DiffLines(base.text, now.text, "approved base", "device now").text));
  }
  return outcome;
}

Status ApplyWorker::Finish(const Loaded& loaded, const ApplyReport& report) {
  YAGURA_ASSIGN_OR_RETURN(v1::ApplyStatus outcome, Describe(loaded, report));
  if (report.running_text) {
    v1::Snapshot seed;
    seed.set_origin(report.state == v1::FAILED ? v1::BEFORE_CHANGE : v1::AFTER_CHANGE);
    seed.set_creator(kActor);
    seed.set_change(loaded.change.name());
    YAGURA_ASSIGN_OR_RETURN(
        const v1::Snapshot snapshot,
        access_->Keep(ServiceContext("ApplyChange"), loaded.device,
                      {*report.running_text, report.software_version}, std::move(seed)));
    outcome.set_final_snapshot(snapshot.name());
  }
  YAGURA_RETURN_IF_ERROR(access_->NoteContact(loaded.device, report.host_key_fingerprint));
  return End(loaded.change.name(), loaded.change.device(), outcome, report.state);
}

Status ApplyWorker::FailUnbegun(const std::string& name, const Status& why) {
  if (absl::IsNotFound(why) && !stores_->changes.Get(name).ok()) return absl::OkStatus();
  YAGURA_ASSIGN_OR_RETURN(const v1::Change change, stores_->changes.Get(name));
  v1::ApplyStatus outcome;
  const std::string reason = ErrorReason(why);
  outcome.set_error_reason(reason.empty() ? "CANNOT_BEGIN" : reason);
  outcome.set_error_message(Shown(std::string(Message(why))));
  return End(name, change.device(), outcome, v1::FAILED);
}

Status ApplyWorker::End(const std::string& name, const std::string& device,
                        const v1::ApplyStatus& outcome, v1::ChangeState state) {
  const Step step{kActor, clock_->Now(),
                  std::string(FirstCharacters(outcome.error_message(), kMaxComment))};
  const Status ended = stores_->changes
                           .Mutate(ServiceContext("ApplyChange", v1::ChangeState_Name(state)), name,
                                   [&](v1::Change& change) {
                                     const Status moved = EndApply(change, step, state);
                                     if (moved.ok()) change.mutable_apply()->MergeFrom(outcome);
                                     return moved;
                                   })
                           .status();
  if (!ended.ok()) return ended;
  const Status freed = stores_->devices
                           .Mutate(ServiceContext("ApplyChange"), device,
                                   [&](v1::Device& current) {
                                     if (current.applying_change() == name) {
                                       current.clear_applying_change();
                                     }
                                     return absl::OkStatus();
                                   })
                           .status();
  // A device that still names a change that has ended is free (see ApplyChange).
  return absl::IsNotFound(freed) ? absl::OkStatus() : freed;
}

}  // namespace yagura::config
