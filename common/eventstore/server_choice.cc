#include "common/eventstore/server_choice.h"

#include <algorithm>
#include <utility>

#include "common/status/status.h"

namespace yagura::eventstore {
namespace {

// A server that failed, came back and fails again within this is not left alone briefly again.
constexpr std::chrono::seconds kLately{60};

}  // namespace

ServerChoice::ServerChoice(Options options, Check check)
    : options_(std::move(options)),
      check_(std::move(check)),
      states_(options_.servers),
      checkers_(options_.servers) {
  if (!options_.check_first) return;
  for (State& state : states_) {
    state.in_use = false;
    state.checked = false;
  }
}

ServerChoice::~ServerChoice() {
  for (std::jthread& checker : checkers_) checker.request_stop();
}

std::vector<size_t> ServerChoice::Order() const {
  const std::lock_guard lock(mutex_);
  std::vector<size_t> order;
  for (const bool in_use : {true, false}) {
    for (size_t i = 0; i < states_.size(); ++i) {
      if (states_[i].in_use == in_use) order.push_back(i);
    }
  }
  return order;
}

Status ServerChoice::Ready(size_t server, Clock::time_point until, const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  State& state = states_[server];
  if (state.checked) return absl::OkStatus();
  state.wanted = true;
  WakeCheckers();  // the others are checked meanwhile
  // Whoever waits for a check takes what comes of it.
  const auto done = [&state, seen = state.checks] { return state.checks != seen; };
  if (checked_.wait_until(lock, stop, until, done)) return state.last_check;
  if (stop.stop_requested()) {
    return MakeError(absl::StatusCode::kCancelled, "QUERY_CANCELLED", "the query was cancelled");
  }
  return MakeError(absl::StatusCode::kDeadlineExceeded, "QUERY_TIMEOUT",
                   "event store is still being checked and prepared");
}

void ServerChoice::NoteCheck(size_t server, Clock::time_point began, const Status& status) {
  State& state = states_[server];
  // It has failed since: who waits needs one that begins after that.
  if (status.ok() && began < state.failed_at) return;
  state.wanted = false;
  state.suspect = false;
  state.last_check = status;
  ++state.checks;
  if (!status.ok()) {
    NoteFailure(server, status);
  } else {
    state.checked = true;
    NoteUse(server);
  }
  checked_.notify_all();
}

void ServerChoice::NoteFailure(size_t server, const Status& status) {
  State& state = states_[server];
  const auto now = Clock::now();
  const bool lately = state.pause.count() > 0 && now < state.failed_at + state.pause + kLately;
  state.pause = lately ? std::min(state.pause * 2, options_.longest_pause) : options_.first_pause;
  state.failed_at = now;
  state.check_at = now + state.pause;
  state.in_use = false;
  if (options_.check_first) state.checked = false;
  Tell(server, status);
}

void ServerChoice::NoteUse(size_t server) {
  states_[server].in_use = true;
  states_[server].heard_at = Clock::now();
  Tell(server, absl::OkStatus());
}

void ServerChoice::Tell(size_t server, const Status& status) {
  std::optional<Status>& told = states_[server].told;
  const bool same = told && told->code() == status.code() &&
                    (status.ok() || ErrorReason(*told) == ErrorReason(status));
  if (same || options_.on_change == nullptr) return;
  told = status;
  options_.on_change(server, status);
}

void ServerChoice::Failed(size_t server, const Status& status) {
  const std::lock_guard lock(mutex_);
  // Several requests find out at once.
  if (!states_[server].in_use && Clock::now() < states_[server].check_at) return;
  NoteFailure(server, status);
  WakeCheckers();
}

void ServerChoice::MakeSuspect(size_t server) {
  if (!states_[server].in_use || states_[server].suspect) return;
  states_[server].suspect = true;
  states_[server].check_at = Clock::now();
}

void ServerChoice::Suspect(size_t server) {
  const std::lock_guard lock(mutex_);
  MakeSuspect(server);
  WakeCheckers();
}

void ServerChoice::SuspectUnheard(Clock::time_point since) {
  const std::lock_guard lock(mutex_);
  for (size_t server = 0; server < states_.size(); ++server) {
    if (states_[server].heard_at < since) MakeSuspect(server);
  }
  WakeCheckers();
}

void ServerChoice::Worked(size_t server, Clock::time_point began) {
  const std::lock_guard lock(mutex_);
  State& state = states_[server];
  if (began < state.failed_at) return;
  state.suspect = false;
  NoteUse(server);
}

bool ServerChoice::NeedsCheck(const State& state) const {
  // With one server there is no choice: whoever needs it asks it.
  return state.wanted || (states_.size() > 1 && (!state.in_use || state.suspect));
}

void ServerChoice::WakeCheckers() {
  for (size_t i = 0; i < states_.size(); ++i) {
    if (checkers_[i].joinable() || !NeedsCheck(states_[i])) continue;
    checkers_[i] =
        std::jthread([this, i](const std::stop_token& stop) { CheckInBackground(i, stop); });
  }
  wake_.notify_all();
}

void ServerChoice::CheckInBackground(size_t server, const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  State& state = states_[server];
  while (!stop.stop_requested()) {
    if (!NeedsCheck(state)) {
      wake_.wait(lock, stop, [&] { return NeedsCheck(state); });
      continue;
    }
    if (!state.wanted && state.check_at > Clock::now()) {
      const auto at = state.check_at;
      wake_.wait_until(lock, stop, at,
                       [&] { return state.wanted || state.check_at != at || !NeedsCheck(state); });
      continue;
    }
    const auto began = Clock::now();
    const bool anew = !state.checked;
    lock.unlock();
    const Status status = check_(server, anew, stop);
    lock.lock();
    if (stop.stop_requested()) return;  // that says nothing of the server
    NoteCheck(server, began, status);
  }
}

}  // namespace yagura::eventstore
