#include "services/config/workers/apply_run.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>

#include "fmt/format.h"

#include "common/blob/blob_store.h"
#include "common/status/status.h"
#include "services/config/workers/checks.h"

namespace yagura::config {
namespace {

constexpr int kLoadRefusedAsChanged = 93;
// The device counts from a little after us, and needs a moment to go back.
constexpr std::chrono::seconds kTimerSlack{3};

// Of the connection, not of the device's answer.
bool IsPassing(const Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
}

SteadyTime Now() { return std::chrono::steady_clock::now(); }

}  // namespace

ApplyRun::ApplyRun(DeviceConnector& connector, const Driver& driver, ApplyOrder order,
                   ApplyLimits limits, OnPhase on_phase, std::stop_token stop)
    : connector_(connector),
      driver_(driver),
      order_(std::move(order)),
      limits_(limits),
      on_phase_(std::move(on_phase)),
      stop_(std::move(stop)) {}

ApplyReport ApplyRun::Run() {
  timer_end_ = Now() + order_.job.dead_man + kTimerSlack;
  if (Start()) Conclude();
  if (report_.state != v1::APPLYING) Phase(v1::DONE, 1);
  return report_;
}

void ApplyRun::Forget() {
  StatusOr<Session> session = Connect();
  // What cannot be removed now is harmless: its verdict is made, and /run is empty after a restart.
  if (session.ok()) driver_.Forget(**session, order_.job.id, CommandPatience()).IgnoreError();
}

bool ApplyRun::Phase(v1::ApplyPhase phase, double progress) {
  if (phase == phase_) return true;
  phase_ = phase;
  return on_phase_(phase, progress);
}

Patience ApplyRun::CommandPatience() const { return {Now() + limits_.command, stop_}; }

void ApplyRun::Pause() const {
  std::mutex mutex;
  std::unique_lock lock(mutex);
  std::condition_variable_any never;
  never.wait_for(lock, stop_, limits_.retry, [] { return false; });
}

StatusOr<ApplyRun::Session> ApplyRun::Connect() {
  StatusOr<Session> session = connector_.Connect(order_.target, {Now() + limits_.connect, stop_});
  if (session.ok()) report_.host_key_fingerprint = (*session)->host_key_fingerprint();
  return session;
}

void ApplyRun::NoteProblem(std::string_view reason, std::string_view message) {
  if (!report_.reason.empty()) return;  // the first one is the cause
  report_.reason = reason;
  report_.message = message;
}

bool ApplyRun::Fail(std::string_view reason, std::string_view message) {
  NoteProblem(reason, message);
  report_.state = v1::FAILED;
  return false;
}

bool ApplyRun::FailWith(const Status& status) {
  if (stop_.stop_requested()) return false;  // APPLYING: the next run carries on
  return Fail(IsPassing(status) ? "UNREACHABLE" : ErrorReason(status), Message(status));
}

bool ApplyRun::End(v1::ChangeState state) {
  report_.state = state;
  if (state == v1::VERIFIED) {
    report_.reason.clear();
    report_.message.clear();
  }
  return true;
}

bool ApplyRun::Start() {
  Phase(v1::COMPARING, 0.1);
  const SteadyTime until = Now() + limits_.prepare;
  while (true) {
    const StatusOr<Session> session = Connect();
    const Status status = session.ok() ? StartOn(**session) : session.status();
    if (stop_.stop_requested()) return false;
    if (status.ok()) return true;
    if (absl::IsAborted(status)) return false;
    if (!IsPassing(status)) return FailWith(status);
    // While a run before us may have loaded something, silence proves nothing.
    if (Now() > until) return order_.maybe_begun ? true : FailWith(status);
    Pause();
  }
}

// OK: the device has begun, now or in a run before us. ABORTED: see OnPhase.
Status ApplyRun::StartOn(DeviceSession& session) {
  YAGURA_ASSIGN_OR_RETURN(const JobState state,
                          driver_.Inspect(session, order_.job.id, CommandPatience()));
  if (state.armed) return absl::OkStatus();

  YAGURA_ASSIGN_OR_RETURN(RunningConfiguration running, driver_.Fetch(session, CommandPatience()));
  report_.software_version = running.software_version;
  report_.running_text = std::move(running.text);
  if (!RunsBase()) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "DEVICE_CHANGED",
                     "the device no longer runs what the change was made for");
  }
  report_.running_text.reset();
  Phase(v1::PREPARING, 0.3);
  Status status = driver_.Prepare(session, order_.job, CommandPatience());
  if (ErrorReason(status) == "ALREADY_ARMED") return absl::OkStatus();
  if (!status.ok()) return status;

  if (!Phase(v1::LOADING, 0.5)) return absl::AbortedError("the phase could not be recorded");
  timer_end_ = Now() + order_.job.dead_man + kTimerSlack;
  status = driver_.ArmAndLoad(session, order_.job, CommandPatience());
  if (ErrorReason(status) == "ALREADY_ARMED") return absl::OkStatus();
  // A connection that broke here tells nothing: the device may have begun. It will say.
  return IsPassing(status) ? absl::OkStatus() : status;
}

void ApplyRun::Conclude() {
  give_up_ = timer_end_ + limits_.recovery;
  Phase(v1::VERIFYING, 0.6);
  while (!stop_.stop_requested() && !ConcludeOnce()) {
    if (Now() > timer_end_) Phase(v1::RESTORING, 0.8);
    if (Now() > give_up_) {
      report_.reason.clear();
      Fail("DEVICE_STATE_UNKNOWN",
           "the device cannot be reached; by its own timer it has gone back to the old "
           "configuration");
      return;
    }
    Pause();
  }
}

// One look at the device over a connection of its own. True: it has ended.
bool ApplyRun::ConcludeOnce() {
  StatusOr<Session> session = Connect();
  if (!session.ok()) {
    if (!stop_.stop_requested()) {
      NoteProblem("CUT_OFF", fmt::format("after loading: {}", Message(session.status())));
    }
    return false;
  }
  const StatusOr<JobState> state = driver_.Inspect(**session, order_.job.id, CommandPatience());
  if (!state.ok()) {
    if (!stop_.stop_requested()) {
      NoteProblem("CUT_OFF", fmt::format("after loading: {}", Message(state.status())));
    }
    return false;
  }
  report_.device_log = state->log;
  return Judge(**session, *state);
}

bool ApplyRun::Judge(DeviceSession& session, const JobState& state) {
  if (!state.present) return EndVanished(session);
  if (!state.armed) return EndNotBegun(session);
  switch (state.verdict) {
    case JobState::Verdict::kNotLoaded:
      return EndNotLoaded(session, state);
    case JobState::Verdict::kReverted:
      return EndReverted(session, state);
    case JobState::Verdict::kConfirmed:
      return EndConfirmed(session);
    case JobState::Verdict::kNone:
      break;
  }
  if (!state.load_exit) return false;  // still loading
  if (!saw_loaded_) {
    // This connection may be older than the load: only one made after it proves anything.
    saw_loaded_ = true;
    return false;
  }
  return VerifyAndConfirm(session, state);
}

bool ApplyRun::VerifyAndConfirm(DeviceSession& session, const JobState& state) {
  RunChecks(session, state);
  if (stop_.stop_requested()) return false;
  const auto failed = std::find_if(report_.check_results.begin(), report_.check_results.end(),
                                   [](const v1::CheckResult& result) { return !result.passed(); });
  if (failed != report_.check_results.end()) {
    report_.reason.clear();
    NoteProblem("CHECK_FAILED", fmt::format("{}: {}", failed->title(), failed->detail()));
    Phase(v1::RESTORING, 0.8);
    if (!asked_restore_) {
      asked_restore_ = driver_.Restore(session, order_.job.id, CommandPatience()).ok();
    }
    return false;
  }
  Phase(v1::CONFIRMING, 0.8);
  const StatusOr<JobState::Verdict> verdict =
      driver_.Confirm(session, order_.job.id, CommandPatience());
  if (!verdict.ok()) return false;
  if (*verdict == JobState::Verdict::kConfirmed) return EndConfirmed(session);
  report_.reason.clear();
  NoteProblem("CONFIRMED_TOO_LATE", "the checks took longer than the device waits");
  return false;
}

void ApplyRun::RunChecks(DeviceSession& session, const JobState& state) {
  report_.check_results.clear();
  v1::CheckResult reachable;
  reachable.set_title("reachable over a new connection");
  reachable.set_passed(true);
  report_.check_results.push_back(reachable);

  const StatusOr<RunningConfiguration> running = driver_.Fetch(session, CommandPatience());
  v1::CheckResult runs;
  runs.set_title("runs what was loaded");
  runs.set_passed(running.ok() && blob::DigestOf(running->text) == state.loaded_digest);
  if (!running.ok()) {
    runs.set_detail(std::string(Message(running.status())));
  } else if (!runs.passed()) {
    runs.set_detail("the running configuration is not the one that was loaded");
  }
  report_.check_results.push_back(runs);
  if (!runs.passed()) return;
  for (const v1::Check& check : order_.checks) {
    report_.check_results.push_back(RunCheck(check, running->text, session, CommandPatience()));
  }
}

bool ApplyRun::ReadBack(DeviceSession& session) {
  StatusOr<RunningConfiguration> running = driver_.Fetch(session, CommandPatience());
  if (!running.ok()) return false;
  report_.running_text = std::move(running->text);
  report_.software_version = std::move(running->software_version);
  return true;
}

bool ApplyRun::RunsBase() const { return report_.running_text == order_.job.base_text; }

bool ApplyRun::EndConfirmed(DeviceSession& session) {
  Phase(v1::CONFIRMING, 0.8);
  if (!ReadBack(session)) return false;
  if (!order_.startup_path.empty()) {
    const Status kept =
        driver_.Persist(session, order_.startup_path, order_.job.candidate_text, CommandPatience());
    v1::CheckResult result;
    result.set_title(fmt::format("written to {}", order_.startup_path));
    result.set_passed(kept.ok());
    if (!kept.ok()) result.set_detail(std::string(Message(kept)));
    // It is in force either way: a boot file that could not be written is told, not undone.
    if (absl::IsUnavailable(kept) || absl::IsDeadlineExceeded(kept)) return false;
    report_.check_results.push_back(result);
  }
  return End(v1::VERIFIED);
}

bool ApplyRun::EndNotLoaded(DeviceSession& session, const JobState& state) {
  if (!ReadBack(session)) return false;
  report_.reason.clear();
  if (state.load_exit == kLoadRefusedAsChanged) {
    NoteProblem("DEVICE_CHANGED", "the device no longer runs what the change was made for");
  } else {
    NoteProblem("LOAD_FAILED", "the device could not load the candidate; nothing has changed");
  }
  return End(v1::FAILED);
}

bool ApplyRun::EndReverted(DeviceSession& session, const JobState& state) {
  Phase(v1::RESTORING, 0.8);
  if (state.restore_exit != 0) {
    // Whoever made the verdict may have died on the way: going back twice does no harm.
    if (Now() > timer_end_ && !asked_restore_) {
      asked_restore_ = driver_.Restore(session, order_.job.id, CommandPatience()).ok();
    }
    return false;
  }
  if (!ReadBack(session)) return false;
  NoteProblem("CUT_OFF", "the device went back by itself: no confirmation reached it in time");
  if (RunsBase()) return End(v1::ROLLED_BACK);
  report_.reason = "RESTORED_DIFFERS";
  report_.message = "the device went back, but does not run what it ran before";
  return End(v1::FAILED);
}

// The connection broke before the device armed its timer. It must not do so behind our back.
bool ApplyRun::EndNotBegun(DeviceSession& session) {
  const StatusOr<bool> abandoned = driver_.Abandon(session, order_.job.id, CommandPatience());
  if (!abandoned.ok() || !*abandoned || !ReadBack(session)) return false;
  report_.reason.clear();
  NoteProblem("UNREACHABLE", "the connection broke before the change began; nothing has changed");
  return End(v1::FAILED);
}

// The device has lost the job: it never began, or it has restarted since.
bool ApplyRun::EndVanished(DeviceSession& session) {
  if (!ReadBack(session)) return false;
  report_.reason.clear();
  if (RunsBase()) {
    NoteProblem("DEVICE_RESTARTED",
                "the device has lost the change, by a restart say, and runs the old configuration");
    return End(v1::ROLLED_BACK);
  }
  NoteProblem("DEVICE_STATE_UNKNOWN",
              "the device has lost the change, by a restart say, and runs something else");
  return End(v1::FAILED);
}

}  // namespace yagura::config
