#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

#include "common/clock/clock.h"
#include "common/clock/proto_time.h"
#include "yagura/detection/v1/rule.pb.h"
#include "yagura/detection/v1/rule_tuning.pb.h"

// The life of a rule: draft, on trial, active, muted for a time, retired.
namespace yagura::detection {

inline constexpr std::chrono::hours kLongestMute{90 * 24};

// A rule that an earlier release kept has no state: `enabled` says.
v1::RuleState StateOf(const v1::Rule& rule);
// Whether events are matched against a rule in that state, and whether anybody is told.
bool IsMatched(v1::RuleState state);
bool IsUntold(v1::RuleState state);
// FAILED_PRECONDITION (RULE_STATE) for a move that there is none of.
absl::Status CheckMove(v1::RuleState from, v1::RuleState to);

// INVALID_ARGUMENT where it is no UTF-8, has control characters, or is longer than 1,024 bytes.
absl::Status CheckReason(std::string_view reason);

// Who brings a rule to a state, and why.
struct StateChange {
  v1::RuleState state = v1::RULE_STATE_UNSPECIFIED;
  std::string reason;
  std::string by;
  TimePoint at{};
  TimePoint mute_until{};  // of MUTED
};

// `Stateful`: a rule or a tuning.
template <typename Stateful>
void SetState(const StateChange& change, Stateful& one) {
  one.set_state(change.state);
  one.set_state_reason(change.reason);
  one.set_state_changed_by(change.by);
  *one.mutable_state_change_time() = ToProto(change.at);
  one.clear_mute_expire_time();
  if (change.state == v1::MUTED) *one.mutable_mute_expire_time() = ToProto(change.mute_until);
}

template <typename Stateful>
bool MuteHasEnded(const Stateful& one, TimePoint now) {
  return one.state() == v1::MUTED && FromProto(one.mute_expire_time()) <= now;
}

// The rule as it is for a tenant that has a state of its own.
void ShowStateOf(const v1::RuleTuning& tuning, v1::Rule& rule);

}  // namespace yagura::detection
