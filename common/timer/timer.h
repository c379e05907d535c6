#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"
#include "common/log/log.h"

namespace yagura::redis {
class Pool;
}

// Durable timers: what is due at a time is done then, or as soon as anybody can after it, also when
// all processes were down in between.
namespace yagura::timer {

struct Timer {
  std::string id;
  TimePoint due;  // whole milliseconds
  std::string payload;
};

// The timers of one area ("notification", "sla") over all tenants, in the state Redis. One queue an
// area and not one a tenant, so that one look finds everything that is due. Thread-safe.
//
// A timer is written after the tenant's own change, not in one script with it: give it an id that
// follows from the change and schedule it again on a retry.
class TimerQueue {
 public:
  TimerQueue(std::shared_ptr<redis::Pool> state, std::string queue);
  ~TimerQueue();

  // `id` has 1 to 512 bytes and is the same for the same thing: scheduled again, the new due time
  // and payload replace the old ones, also while a handler is at work on those (then both are
  // done). Durable as the state Redis is once it returns. INVALID_ARGUMENT, UNAVAILABLE.
  absl::Status Schedule(std::string_view id, TimePoint due, std::string_view payload);
  // False where there is one of the id already, which stays as it is: a handler at work on it goes
  // on alone. Errors as of Schedule.
  absl::StatusOr<bool> ScheduleIfAbsent(std::string_view id, TimePoint due,
                                        std::string_view payload);
  // OK where there is none. A handler at work on it is not called back.
  absl::Status Cancel(std::string_view id);
  // The timer as scheduled; nothing where there is none (any more).
  absl::StatusOr<std::optional<Timer>> Find(std::string_view id) const;
  // How many there are, due or not.
  absl::StatusOr<uint64_t> Size() const;

  const std::string& name() const;

 private:
  struct Impl;
  std::unique_ptr<const Impl> impl_;
};

// Does what is due in a queue, on threads of its own, earliest first. Any number of workers in any
// number of processes share a queue: each timer is claimed under a lease, so one of them does it;
// where that one dies, another does it again once the lease has run out. At least once.
class TimerWorker {
 public:
  struct Options {
    std::chrono::milliseconds poll{200};  // how often to look
    // Renewed while the handler runs, however long it takes.
    std::chrono::milliseconds lease{8'000};
    // A failed timer comes again after this, doubled at each failure up to `longest_retry`.
    std::chrono::milliseconds first_retry{1'000};
    std::chrono::milliseconds longest_retry{60'000};
    int threads = 1;
    // Name that no other process has, and that is given again after a restart: what it had in hand
    // when it was killed is due at once, and no longer its predecessor's. Empty: when the lease has
    // run out.
    std::string instance = {};
  };
  // OK: the timer is done and removed. An error: it comes again later.
  using Handler = std::function<absl::Status(const Timer&)>;

  // `clock` says what is due and when a lease or a pause is over; clocks of hosts should agree to
  // a second.
  TimerWorker(std::shared_ptr<redis::Pool> state, std::string_view queue, Options options,
              std::shared_ptr<const Clock> clock, Handler handler, Logger logger);
  ~TimerWorker();  // stops
  void Start();
  // Lets the handlers in progress finish.
  void Stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace yagura::timer
