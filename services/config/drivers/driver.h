#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "services/config/transport/device_session.h"

namespace yagura::config {

// What a device runs.
struct RunningConfiguration {
  std::string text;              // exactly as the device lists it, without counters
  std::string software_version;  // one line
};

// One apply on a device. The id is 1 to 64 lower-case letters and digits, the same at every try.
struct ApplyJob {
  std::string id;
  std::string base_text;       // what must run now, as Fetch gave it
  std::string candidate_text;  // as approved
  std::chrono::seconds dead_man{60};
};

// What the device itself knows of a job.
struct JobState {
  enum class Verdict {
    kNone,       // loading, or waiting for our word
    kConfirmed,  // we said that it may stay
    kReverted,   // the timer or we said that the old one comes back
    kNotLoaded,  // it could not be loaded: nothing changed
  };
  bool present = false;          // the job was prepared, and the device has not restarted since
  bool armed = false;            // the timer runs or ran
  std::optional<int> load_exit;  // 0: the candidate was loaded
  std::string loaded_digest;     // SHA-256 of what ran right after loading
  Verdict verdict = Verdict::kNone;
  std::optional<int> restore_exit;  // 0: the old one was loaded again
  std::string log;                  // what the device's tools said
};

// How configuration is read and changed on one kind of device. Stateless and thread-safe.
//
// A change is safe because the device guards itself: it saves what it runs, starts a timer that
// does not depend on us, loads the candidate in one step, and goes back when the timer ends before
// our word has come. Confirm and the timer exclude each other on the device.
class Driver {
 public:
  virtual ~Driver() = default;
  virtual std::string_view platform() const = 0;

  // INVALID_ARGUMENT for a candidate that no device of the kind may be given.
  virtual absl::Status CheckCandidate(std::string_view text) const = 0;

  // The text in the form in which texts of the device that say the same are the same lines, for
  // people to compare; of a listing, its secrets in marks or not, hardly changed. Nothing where it
  // is not understood, and then texts can only be compared as they are.
  virtual std::optional<std::string> Normal(std::string_view text) const = 0;

  virtual absl::StatusOr<RunningConfiguration> Fetch(DeviceSession& session,
                                                     const Patience& patience) const = 0;

  // Brings the candidate to the device, lets the device check it, and saves what runs.
  // FAILED_PRECONDITION: DEVICE_CHANGED (it no longer runs base_text), CANDIDATE_INVALID,
  // NOT_RESTORABLE (it could not load again what it runs now), ALREADY_ARMED. Changes nothing.
  virtual absl::Status Prepare(DeviceSession& session, const ApplyJob& job,
                               const Patience& patience) const = 0;
  // Arms the timer and has the device load the candidate. Returns once the timer runs; the load
  // goes on without us. Refuses a second time (ALREADY_ARMED).
  virtual absl::Status ArmAndLoad(DeviceSession& session, const ApplyJob& job,
                                  const Patience& patience) const = 0;
  virtual absl::StatusOr<JobState> Inspect(DeviceSession& session, const std::string& job_id,
                                           const Patience& patience) const = 0;
  // Stops the timer for good. The verdict that counts: kReverted where the timer was first.
  virtual absl::StatusOr<JobState::Verdict> Confirm(DeviceSession& session,
                                                    const std::string& job_id,
                                                    const Patience& patience) const = 0;
  // Makes sure that a prepared job is never begun. False: it was begun before.
  virtual absl::StatusOr<bool> Abandon(DeviceSession& session, const std::string& job_id,
                                       const Patience& patience) const = 0;
  // Has the device go back at once. Returns when that is on its way; Inspect tells when it is done.
  virtual absl::Status Restore(DeviceSession& session, const std::string& job_id,
                               const Patience& patience) const = 0;
  // Writes a verified candidate where the device finds it when it starts.
  virtual absl::Status Persist(DeviceSession& session, const std::string& path,
                               std::string_view candidate_text, const Patience& patience) const = 0;
  // Removes what a finished job left on the device.
  virtual absl::Status Forget(DeviceSession& session, const std::string& job_id,
                              const Patience& patience) const = 0;
};

// The drivers by platform.
class DriverSet {
 public:
  explicit DriverSet(std::vector<std::unique_ptr<Driver>> drivers);
  // INVALID_ARGUMENT for `field` where there is none, naming those that there are.
  absl::StatusOr<const Driver*> Find(std::string_view platform,
                                     std::string_view field = "device.platform") const;

 private:
  std::vector<std::unique_ptr<Driver>> drivers_;
};

// INVALID_ARGUMENT for anything but an absolute path of plain letters without "..".
absl::Status CheckDevicePath(std::string_view field, std::string_view path);

}  // namespace yagura::config
