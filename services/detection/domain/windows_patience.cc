#include <algorithm>
#include <utility>
#include <vector>

#include "services/detection/domain/pending.h"
#include "services/detection/domain/window_group.h"
#include "services/detection/domain/window_outcome.h"
#include "services/detection/domain/windows.h"

// How long windows of the past wait for events that come late: as long as there is room.
namespace yagura::detection {
namespace {

constexpr int64_t kStep = 4;  // a part of it at a time

// Half of what a group may have: a batch adds many.
constexpr int kMostPatientPending = kMaxPending / 2;
constexpr int kMostPatientKeys = kMaxPendingTemporal / 2;
constexpr int kMostPatientPieces = kMaxPatientEvidence / 2;

}  // namespace

void Windows::NoteBounds(const Group& group) {
  const RuleSummary* rule =
      RuleOf(BundleKey(group.text_id(), group.rule_version()), group.rule_id());
  const bool is_temporal = rule != nullptr && IsTemporal(*rule);
  is_group_full_ = is_group_full_ ||
                   group.pending_size() > (is_temporal ? kMostPatientKeys : kMostPatientPending) ||
                   (group.at_end() && group.pieces_size() > kMostPatientPieces);
}

bool Windows::IsTight() const {
  return is_group_full_ || budget_.bytes() > limits_.patient_bytes ||
         std::ranges::any_of(per_rule_, [this](const auto& one) {
           return one.second > limits_.groups_per_rule / 2;
         });
}

// Lets go what less patience does not need, until there is room.
void Windows::BeLessPatient(int64_t received, std::vector<Outcome>& outcomes) {
  for (Measure(); IsPatient() && IsTight(); Measure()) {
    ShortenWaits(std::max(lateness_ / kStep, limits_.lateness));
    DecideUntil(Watermark(), outcomes);
    for (auto& [shard, order] : by_expiry_) Forget(order, received, outcomes);
  }
}

void Windows::ShortenWaits(std::chrono::nanoseconds lateness) {
  const int64_t shorter = (lateness_ - lateness).count();
  lateness_ = lateness;
  is_group_full_ = false;
  waiting_.clear();
  by_expiry_.clear();
  for (auto& [key, kept] : groups_) {
    Group& group = kept.group;
    const RuleSummary* rule =
        RuleOf(BundleKey(group.text_id(), group.rule_version()), group.rule_id());
    const int64_t levels = rule == nullptr ? 0 : rule->delay_levels();
    group.set_expires(Minus(group.expires(), (levels + 1) * shorter));
    kept.queued = group.expires();
    (group.at_end() ? waiting_ : by_expiry_[group.source_shard()]).insert({kept.queued, key});
    if (rule != nullptr && !group.at_end()) {
      const int64_t reach = Plus(rule->timespan_nanos(), Grace(*rule));
      DropBefore(group, *rule, Minus(LatestTime(group), reach), blocks_);
    }
    Change(key, kept);
  }
}

}  // namespace yagura::detection
