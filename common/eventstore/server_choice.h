#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>
#include <vector>

#include "absl/status/status.h"

namespace yagura::eventstore {

// Which of several servers, numbered from 0, is asked: the first that is not known to be away. One
// that failed is left alone for a pause that doubles with each failure; then it is checked in the
// background, so that no request has to find out, and comes into use again once the check is good.
// Thread-safe.
class ServerChoice {
 public:
  using Clock = std::chrono::steady_clock;
  struct Options {
    size_t servers = 1;
    std::chrono::milliseconds first_pause{500};
    std::chrono::milliseconds longest_pause{30'000};
    // They are not used before a check was good.
    bool check_first = false;
    // As ClientOptions::on_change.
    std::function<void(size_t server, const absl::Status& status)> on_change = nullptr;
  };
  // Whether a server can be used (again). `anew`: it must not be used before (check_first), as no
  // check was good since it failed, or ever.
  using Check = std::function<absl::Status(size_t server, bool anew, const std::stop_token& stop)>;

  ServerChoice(Options options, Check check);
  ~ServerChoice();
  ServerChoice(const ServerChoice&) = delete;
  ServerChoice& operator=(const ServerChoice&) = delete;

  // In the order in which they are to be tried: those in use, then the others.
  std::vector<size_t> Order() const;
  // OK for a server that needs no check first; another one is checked now, once for all who wait.
  // DEADLINE_EXCEEDED (QUERY_TIMEOUT) where that lasts longer: the check goes on. CANCELLED.
  absl::Status Ready(size_t server, Clock::time_point until, const std::stop_token& stop);
  void Failed(size_t server, const absl::Status& status);
  // It may have failed: it is checked soon, and in use until then.
  void Suspect(size_t server);
  // Those of which nothing was heard since.
  void SuspectUnheard(Clock::time_point since);
  // What began then did. It says nothing of a server that has failed since.
  void Worked(size_t server, Clock::time_point began);

 private:
  struct State {
    bool in_use = true;
    bool suspect = false;
    bool wanted = false;  // somebody waits for a check
    bool checked = true;  // since it failed; false: a check must be good first
    uint64_t checks = 0;
    absl::Status last_check;
    std::optional<absl::Status> told;  // to on_change
    Clock::time_point heard_at{};
    Clock::time_point check_at{};
    Clock::time_point failed_at{};
    std::chrono::milliseconds pause{0};  // 0: it has not failed lately
  };

  void CheckInBackground(size_t server, const std::stop_token& stop);
  // With mutex_ held:
  bool NeedsCheck(const State& state) const;
  void WakeCheckers();
  void NoteCheck(size_t server, Clock::time_point began, const absl::Status& status);
  void NoteFailure(size_t server, const absl::Status& status);
  void NoteUse(size_t server);
  void MakeSuspect(size_t server);
  void Tell(size_t server, const absl::Status& status);

  const Options options_;
  const Check check_;
  mutable std::mutex mutex_;
  std::condition_variable_any wake_;     // the checkers
  std::condition_variable_any checked_;  // those who wait for a check
  std::vector<State> states_;
  std::vector<std::jthread> checkers_;  // one a server, started once it has something to do
};

}  // namespace yagura::eventstore
