#include "services/detection/domain/rule_state.h"

#include <algorithm>

#include "fmt/format.h"

#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::detection {

v1::RuleState StateOf(const v1::Rule& rule) {
  if (rule.state() != v1::RULE_STATE_UNSPECIFIED) return rule.state();
  return rule.enabled() ? v1::ACTIVE : v1::DRAFT;
}

bool IsMatched(v1::RuleState state) {
  return state == v1::TEST || state == v1::ACTIVE || state == v1::MUTED;
}

bool IsUntold(v1::RuleState state) { return state == v1::TEST || state == v1::MUTED; }

absl::Status CheckMove(v1::RuleState from, v1::RuleState to) {
  const bool may = [&] {
    switch (to) {
      case v1::DRAFT:
        return from == v1::TEST || from == v1::RETIRED;
      case v1::TEST:
        return from == v1::DRAFT || from == v1::ACTIVE || from == v1::RETIRED;
      case v1::ACTIVE:
        return from != v1::ACTIVE;
      case v1::MUTED:
        return from == v1::ACTIVE || from == v1::MUTED;
      case v1::RETIRED:
        return from != v1::RETIRED;
      default:
        return false;
    }
  }();
  if (may) return absl::OkStatus();
  return MakeError(absl::StatusCode::kFailedPrecondition, "RULE_STATE",
                   fmt::format("a rule that is {} cannot become {}", v1::RuleState_Name(from),
                               v1::RuleState_Name(to)));
}

absl::Status CheckReason(std::string_view reason) {
  constexpr size_t kMaxReason = 1024;
  if (reason.size() > kMaxReason) {
    return InvalidField("reason", fmt::format("longer than {} bytes", kMaxReason));
  }
  const bool plain = std::none_of(reason.begin(), reason.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
  });
  if (!plain || !IsValidUtf8(reason)) {
    return InvalidField("reason", "not UTF-8 without control characters");
  }
  return absl::OkStatus();
}

void ShowStateOf(const v1::RuleTuning& tuning, v1::Rule& rule) {
  if (tuning.state() == v1::RULE_STATE_UNSPECIFIED) return;
  rule.set_state(tuning.state());
  rule.set_enabled(IsMatched(tuning.state()));
  rule.set_state_reason(tuning.state_reason());
  rule.set_state_changed_by(tuning.state_changed_by());
  *rule.mutable_state_change_time() = tuning.state_change_time();
  rule.clear_mute_expire_time();
  if (tuning.has_mute_expire_time()) *rule.mutable_mute_expire_time() = tuning.mute_expire_time();
}

}  // namespace yagura::detection
