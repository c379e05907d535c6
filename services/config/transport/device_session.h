#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"

namespace yagura::config {

// Where a device is, who it must be, and how to log in.
struct DeviceTarget {
  std::string address;
  int port = 22;
  std::vector<std::string> host_key_fingerprints;  // "SHA256:...", any of them
  bool trust_on_first_use = false;                 // where no fingerprint is known
  std::string user_name;
  // One of them; both are overwritten when the target goes.
  std::string password;
  std::string private_key;

  DeviceTarget() = default;
  DeviceTarget(const DeviceTarget&) = default;
  DeviceTarget& operator=(const DeviceTarget&) = default;
  ~DeviceTarget();
};

// Until when something may take, and who may stop it.
struct Patience {
  SteadyTime deadline;
  std::stop_token stop;

  // The same, but no longer than `limit` from now.
  Patience AtMost(std::chrono::milliseconds limit) const;
  std::chrono::milliseconds Left() const;  // 0 where it is over
};

// A command on a device.
struct ExecRequest {
  std::string command;     // for the device's shell: constants and checked words only
  std::string_view input;  // its standard input
  size_t max_output = 4u << 20;
};

struct ExecResult {
  int exit_status = 0;
  std::string output;
  std::string errors;  // standard error, cut after 64 KiB
};

// A login on a device. For one thread at a time. After an error other than a command's own exit
// status it is of no use any more.
//
// Errors: UNAVAILABLE (DEVICE_UNREACHABLE), DEADLINE_EXCEEDED (DEVICE_TIMEOUT), CANCELLED,
// RESOURCE_EXHAUSTED (DEVICE_OUTPUT_TOO_LARGE).
class DeviceSession {
 public:
  virtual ~DeviceSession() = default;
  virtual absl::StatusOr<ExecResult> Exec(const ExecRequest& request, const Patience& patience) = 0;
  // The host key that the device showed, "SHA256:...".
  virtual const std::string& host_key_fingerprint() const = 0;
};

// Opens sessions. Thread-safe.
//
// Errors beside those of a session: FAILED_PRECONDITION (HOST_KEY_UNKNOWN, HOST_KEY_MISMATCH,
// LOGIN_REFUSED, CREDENTIAL_INVALID). No secret is sent before the host key is known to be right.
class DeviceConnector {
 public:
  virtual ~DeviceConnector() = default;
  virtual absl::StatusOr<std::unique_ptr<DeviceSession>> Connect(const DeviceTarget& target,
                                                                 const Patience& patience) = 0;
};

}  // namespace yagura::config
