#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "common/clock/clock.h"
#include "services/config/drivers/driver.h"
#include "services/config/transport/device_session.h"
#include "yagura/config/v1/change.pb.h"

namespace yagura::config {

// Everything that one apply needs. Texts are full texts, secrets and all.
struct ApplyOrder {
  DeviceTarget target;
  ApplyJob job;
  std::vector<v1::Check> checks;
  std::string startup_path;  // empty: not written
  // A run before this one may have begun to load: until the device says otherwise, it counts as
  // loaded.
  bool maybe_begun = false;
};

struct ApplyLimits {
  std::chrono::milliseconds connect{5'000};     // one connection with its login
  std::chrono::milliseconds command{20'000};    // one command
  std::chrono::milliseconds prepare{120'000};   // from the first connection to the load
  std::chrono::milliseconds recovery{600'000};  // after the timer: how long we try to read back
  std::chrono::milliseconds retry{200};         // between tries
};

// How an apply ended. Texts are the device's own: scrub them before anybody sees them.
struct ApplyReport {
  // VERIFIED, ROLLED_BACK or FAILED; APPLYING where we were stopped: run the same order again.
  v1::ChangeState state = v1::APPLYING;
  std::string reason;  // see ApplyStatus.error_reason
  std::string message;
  std::optional<std::string> running_text;  // read back at the end
  std::string software_version;
  std::vector<v1::CheckResult> check_results;
  std::string device_log;
  std::string host_key_fingerprint;
};

// Applies a change, or carries on with one that a process before us began: the device knows how
// far it got. Blocks for as long as that takes; bounded by the limits and the dead-man time.
class ApplyRun {
 public:
  // Told before each phase begins. False before LOADING: it could not be recorded, so that nothing
  // is loaded, and the run ends with APPLYING.
  using OnPhase = std::function<bool(v1::ApplyPhase phase, double progress)>;
  ApplyRun(DeviceConnector& connector, const Driver& driver, ApplyOrder order, ApplyLimits limits,
           OnPhase on_phase, std::stop_token stop);

  ApplyReport Run();
  // Removes what the job left on the device; for after the report is safely kept.
  void Forget();

 private:
  using Session = std::unique_ptr<DeviceSession>;

  absl::StatusOr<Session> Connect();
  Patience CommandPatience() const;
  void Pause() const;

  // False: the report says how it ended, or that it cannot go on.
  bool Start();
  absl::Status StartOn(DeviceSession& session);
  bool Fail(std::string_view reason, std::string_view message);
  bool FailWith(const absl::Status& status);

  void Conclude();
  bool ConcludeOnce();
  bool Judge(DeviceSession& session, const JobState& state);
  bool VerifyAndConfirm(DeviceSession& session, const JobState& state);
  bool EndNotLoaded(DeviceSession& session, const JobState& state);
  bool EndReverted(DeviceSession& session, const JobState& state);
  bool EndConfirmed(DeviceSession& session);
  bool EndNotBegun(DeviceSession& session);
  bool EndVanished(DeviceSession& session);
  void RunChecks(DeviceSession& session, const JobState& state);
  bool ReadBack(DeviceSession& session);
  bool Phase(v1::ApplyPhase phase, double progress);
  void NoteProblem(std::string_view reason, std::string_view message);
  bool End(v1::ChangeState state);
  bool RunsBase() const;

  DeviceConnector& connector_;
  const Driver& driver_;
  const ApplyOrder order_;
  const ApplyLimits limits_;
  const OnPhase on_phase_;
  const std::stop_token stop_;
  ApplyReport report_;
  SteadyTime give_up_{};
  SteadyTime timer_end_{};   // when the device goes back by itself, at the latest
  bool saw_loaded_ = false;  // a connection before the present one saw that it was loaded
  bool asked_restore_ = false;
  v1::ApplyPhase phase_ = v1::APPLY_PHASE_UNSPECIFIED;
};

}  // namespace yagura::config
