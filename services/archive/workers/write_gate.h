#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>

#include "common/log/log.h"
#include "services/archive/storage/pause_store.h"

namespace yagura::archive {

// What every writer to the event store goes through for each piece of work that must not be cut in
// two: a range with its plan and cursor, a stretch of records with its head. While the gate is
// closed nothing of the kind is under way. Thread-safe.
class WriteGate {
 public:
  // The right to work; given back when it goes.
  class Pass {
   public:
    explicit Pass(WriteGate* gate) : gate_(gate) {}
    Pass(Pass&& other) noexcept : gate_(std::exchange(other.gate_, nullptr)) {}
    Pass& operator=(Pass&&) = delete;
    ~Pass() {
      if (gate_ != nullptr) gate_->Return();
    }

   private:
    WriteGate* gate_;
  };

  // Nothing where the gate stays closed for `wait`.
  std::optional<Pass> Enter(std::chrono::milliseconds wait);
  // The same of a gate that need not be there.
  static std::optional<Pass> Enter(WriteGate* gate, std::chrono::milliseconds wait) {
    return gate != nullptr ? gate->Enter(wait) : std::make_optional<Pass>(nullptr);
  }
  // Lets nobody in any more; whether all who were in are out within `wait`.
  bool Close(std::chrono::milliseconds wait);
  void Open();

 private:
  void Return();

  std::mutex mutex_;
  std::condition_variable changed_;
  bool closed_ = false;  // guarded by mutex_
  int inside_ = 0;       // guarded by mutex_
};

// Closes the gate of this process while a pause is asked for, and tells once all is at rest.
class PauseFollower {
 public:
  struct Pace {
    std::chrono::milliseconds look{200};
    std::chrono::milliseconds tell{5'000};
    // With Redis away nobody can end a pause: longer than this it does not last.
    std::chrono::milliseconds longest{std::chrono::minutes(5)};
  };
  PauseFollower(std::shared_ptr<redis::Pool> flow, std::string process, WriteGate& gate, Pace pace,
                Logger logger);
  ~PauseFollower();  // stops
  // Before anything is written. The first look is taken here.
  void Start();
  // After all who go through the gate have stopped: nobody waits for this process any more, and who
  // asked for a pause learns that it has left. A gate that is closed stays so.
  void Stop();

 private:
  using Steady = std::chrono::steady_clock;
  void Run(const std::stop_token& stop);
  void Look();
  void Rest(const std::string& pause);
  void GoOn();

  const PauseStore store_;
  const std::string process_;
  WriteGate& gate_;
  const Pace pace_;
  const Logger logger_;
  // Of Start, then of the thread alone.
  bool closed_ = false;
  std::string rests_in_;
  Steady::time_point next_tell_{};
  Steady::time_point heard_{};  // when Redis last answered
  std::jthread thread_;
};

}  // namespace yagura::archive
