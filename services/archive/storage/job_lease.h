#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

#include "common/redis/script.h"

namespace yagura::redis {
class Pool;
}

namespace yagura::archive {

// The sole right to do a job that several processes could, in the state Redis: a hash like those of
// the streams' leases, {holder, epoch, until}, so that stream::LeaseKeeper renews it. Thread-safe.
class JobLease {
 public:
  // `holder` is unlike those of all processes that live; who had the same name is succeeded at
  // once, under a higher epoch.
  JobLease(std::shared_ptr<redis::Pool> state, std::string key, std::string holder,
           std::chrono::milliseconds length);

  // Takes it: its epoch. UNAVAILABLE (LEASE_HELD) while another has it.
  absl::StatusOr<uint64_t> Acquire() const;
  // Before each step of the job: ABORTED (LEASE_LOST) once another has it, and renews it else.
  absl::Status Fence(uint64_t epoch) const;
  void Release(uint64_t epoch) const;

  const std::string& key() const { return key_; }
  const std::string& holder() const { return holder_; }

 private:
  const std::shared_ptr<redis::Pool> state_;
  const std::string key_;
  const std::string holder_;
  const std::chrono::milliseconds length_;
  const redis::Script acquire_;
  const redis::Script renew_;
  const redis::Script release_;
};

}  // namespace yagura::archive
