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
    : options_(options),
      check_(std::move(check)),
      states_(options.servers),
      checking_(options.servers) {
  if (!options_.check_first) return;
  for (State& state : states_) {
    state.in_use = false;
    state.checked = false;
  }
}

ServerChoice::~ServerChoice() {
  checker_.request_stop();
  wake_.notify_all();
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

Status ServerChoice::Ready(size_t server) {
  uint64_t checks = 0;
  {
    const std::lock_guard lock(mutex_);
    if (states_[server].checked) return absl::OkStatus();
    checks = states_[server].checks;
    WakeChecker();  // the others are checked meanwhile
  }
  const std::lock_guard one(checking_[server]);
  {
    const std::lock_guard lock(mutex_);
    const State& state = states_[server];
    if (state.checked) return absl::OkStatus();
    // Whoever waited for a check takes what came of it.
    if (state.checks != checks) return state.last_check;
  }
  return CheckNow(server);
}

Status ServerChoice::CheckNow(size_t server) {
  const Status status = check_(server);
  const std::lock_guard lock(mutex_);
  State& state = states_[server];
  state.suspect = false;
  state.last_check = status;
  ++state.checks;
  if (status.ok()) {
    state.in_use = true;
    state.checked = true;
  } else {
    NoteFailure(&state);
  }
  return status;
}

void ServerChoice::NoteFailure(State* state) {
  const auto now = Clock::now();
  const bool lately = state->pause.count() > 0 && now < state->failed_at + state->pause + kLately;
  state->pause = lately ? std::min(state->pause * 2, options_.longest_pause) : options_.first_pause;
  state->failed_at = now;
  state->check_at = now + state->pause;
  state->in_use = false;
  if (options_.check_first) state->checked = false;
}

void ServerChoice::Failed(size_t server) {
  const std::lock_guard lock(mutex_);
  // Several requests find out at once.
  if (!states_[server].in_use && Clock::now() < states_[server].check_at) return;
  NoteFailure(&states_[server]);
  WakeChecker();
}

void ServerChoice::Suspect(size_t server) {
  const std::lock_guard lock(mutex_);
  if (!states_[server].in_use || states_[server].suspect) return;
  states_[server].suspect = true;
  states_[server].check_at = Clock::now();
  WakeChecker();
}

void ServerChoice::Worked(size_t server) {
  const std::lock_guard lock(mutex_);
  states_[server].in_use = true;
  states_[server].suspect = false;
}

void ServerChoice::WakeChecker() {
  // With one server there is no choice: whoever needs it asks it.
  if (states_.size() < 2) return;
  if (!checker_.joinable()) {
    checker_ = std::jthread([this](const std::stop_token& stop) { CheckInBackground(stop); });
  }
  ++wakes_;
  wake_.notify_all();
}

void ServerChoice::CheckInBackground(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    size_t due = states_.size();
    {
      std::unique_lock lock(mutex_);
      const auto woken = [this, seen = wakes_] { return wakes_ != seen; };
      auto next = Clock::time_point::max();
      for (size_t i = 0; i < states_.size(); ++i) {
        if (states_[i].in_use && !states_[i].suspect) continue;
        if (states_[i].check_at < next) {
          next = states_[i].check_at;
          due = i;
        }
      }
      if (due == states_.size()) {
        wake_.wait_for(lock, stop, options_.longest_pause, woken);
        continue;
      }
      if (next > Clock::now()) {
        wake_.wait_until(lock, stop, next, woken);
        continue;
      }
    }
    const std::unique_lock one(checking_[due], std::try_to_lock);
    if (one.owns_lock()) {
      CheckNow(due).IgnoreError();
    } else {  // whoever asked for it is checking it
      const std::lock_guard lock(mutex_);
      states_[due].check_at = Clock::now() + options_.first_pause;
    }
  }
}

}  // namespace yagura::eventstore
