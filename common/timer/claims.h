#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"
#include "common/redis/pool.h"
#include "common/redis/script.h"
#include "common/timer/timer.h"

namespace yagura::timer {

// How a queue lies in Redis, and each step on it as one script. Thread-safe.
//
//   y:{timer.<queue>}:timer:due     sorted set of ids by when to look at them next (ms): the due
//                                   time, the end of the claim, or the time of the next try
//   y:{timer.<queue>}:timer:work    hash id -> "<due ms> <payload>"
//   y:{timer.<queue>}:timer:claim   hash id -> token of who is at work on it
//   y:{timer.<queue>}:timer:failed  hash id -> how often it has failed
class Claims {
 public:
  struct Claimed {
    Timer timer;
    std::string token;
    int failures;
  };

  Claims(std::shared_ptr<redis::Pool> state, std::string_view queue);

  absl::Status Schedule(std::string_view id, TimePoint due, std::string_view payload) const;
  // False: there is one of the id, due, waiting or in somebody's hands, which stays as it is.
  absl::StatusOr<bool> ScheduleIfAbsent(std::string_view id, TimePoint due,
                                        std::string_view payload) const;
  absl::Status Cancel(std::string_view id) const;
  absl::StatusOr<std::optional<Timer>> Find(std::string_view id) const;
  absl::StatusOr<uint64_t> Size() const;

  // The earliest that is due and in nobody's hands, until `until` in those of `token`.
  absl::StatusOr<std::optional<Claimed>> Claim(TimePoint now, TimePoint until,
                                               std::string_view token) const;
  // Each does nothing where the claim is not the token's any more: it ran out, or the timer was
  // scheduled again or cancelled. Then they answer false.
  absl::StatusOr<bool> Renew(const Claimed& claimed, TimePoint until) const;
  absl::StatusOr<bool> Finish(const Claimed& claimed) const;
  absl::StatusOr<bool> Fail(const Claimed& claimed, TimePoint retry_at) const;
  // Takes what is in the hands of tokens that begin with `prefix`, but not with `own`, out of them:
  // due `now`. How many they were.
  absl::StatusOr<int64_t> TakeBack(std::string_view prefix, std::string_view own,
                                   TimePoint now) const;

 private:
  absl::StatusOr<redis::Reply> Run(const redis::Script& script, const redis::Args& args) const;
  absl::StatusOr<bool> RunHeld(const redis::Script& script, const redis::Args& args) const;

  const std::shared_ptr<redis::Pool> state_;
  const std::string due_key_;
  const std::string work_key_;
  const std::string claim_key_;
  const std::string failed_key_;
  const redis::Script schedule_;
  const redis::Script schedule_if_absent_;
  const redis::Script cancel_;
  const redis::Script claim_;
  const redis::Script renew_;
  const redis::Script finish_;
  const redis::Script fail_;
  const redis::Script take_back_;
};

}  // namespace yagura::timer
