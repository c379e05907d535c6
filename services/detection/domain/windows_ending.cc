#include <algorithm>
#include <utility>

#include "services/detection/domain/hits.h"
#include "services/detection/domain/tags.h"
#include "services/detection/domain/window_group.h"
#include "services/detection/domain/window_outcome.h"
#include "services/detection/domain/windows.h"

// Windows that are decided when they have ended.
namespace yagura::detection {

// Gathers the events of a hit until their window ends.
void Windows::Collect(const std::string& key, Kept& kept, const RuleSummary& rule, const Hit& hit,
                      Arrival arrival) {
  Group& group = kept.group;
  const int64_t watermark = Watermark();
  const bool any_time =
      limits_.offline || arrival == Arrival::kFromWindow || watermark == INT64_MAX;
  const int64_t oldest = any_time ? INT64_MIN : Minus(watermark, Grace(rule));
  for (int i = 0; i < hit.times_size(); ++i) {
    if (hit.times(i) < oldest || AddPending(group, rule, EventOf(hit, i)) < 0) {
      ++late_;
      continue;
    }
    AddOuter(group, hit.outer(), hit.times(i), rule.timespan_nanos());
  }
  for (const auto& piece : hit.pieces()) {
    if (piece.time() < Minus(oldest, rule.reach_nanos())) continue;
    AddPiece(group, piece, blocks_, IsPatient() ? kMaxPatientEvidence : kMaxEvidenceAtEnd);
  }
  if (group.pending().empty()) {
    waiting_.erase({kept.queued, key});
    Erase(key);
    return;
  }
  AddNames(group, hit);
  if (!group.has_about()) {
    auto& about = *group.mutable_about();
    *about.mutable_group() = hit.group();
    *about.mutable_entities() = hit.entities();
    *about.mutable_matched_fields() = hit.matched_fields();
    about.set_action(hit.action());
    CopyFirst(hit, about);
    if (about.has_first()) blocks_.ReferCore(about.first());
  }
  Wait(key, kept, rule);
}

// The group's first window has ended.
void Windows::Decide(const std::string& key, std::vector<Outcome>& outcomes) {
  Kept& kept = groups_.at(key);
  Group& group = kept.group;
  const RuleSummary* rule =
      RuleOf(BundleKey(group.text_id(), group.rule_version()), group.rule_id());
  if (rule == nullptr || group.pending().empty()) return Erase(key);
  const int64_t first = group.pending(0);
  const int64_t end = Plus(first, rule->timespan_nanos());
  PendingWindow window;
  while (window.last + 1 < group.pending_size() && group.pending(window.last + 1) <= end) {
    ++window.last;
  }
  const WindowVerdict verdict = Judge(group, *rule, window);
  if (verdict.holds) {
    Pieces evidence;
    for (const auto& one : group.pieces()) {
      if (one.time() <= end && evidence.size() < kMaxEvidence) *evidence.Add() = one;
    }
    const int64_t last = group.pending(window.last);
    if (!rule->silent()) {
      Outcome outcome{Describe(group.tenant(), FindingId(key, first), *rule, group.about()), true,
                      true};
      AddMeasure(*rule, verdict, group, outcome.finding);
      uint64_t count = 0;
      for (int i = 0; i <= window.last; ++i) count += PendingWeight(group, i);
      outcome.finding.set_event_count(count);
      *outcome.finding.mutable_first_event_time() = WindowTime(first);
      *outcome.finding.mutable_last_event_time() = WindowTime(last);
      outcome.finding.clear_action();  // of this window, not of when the group began
      ShowEvidence(evidence, outcome.finding);
      if (outcome.finding.action() == event::v1::ACTION_UNSPECIFIED) {
        outcome.finding.set_action(group.about().action());
      }
      AddTagFacts(outcome.finding);
      outcomes.push_back(std::move(outcome));
    }
    const Place place{group.tenant(), group.source_shard(), watermarks_[group.source_shard()]};
    for (const auto& levels : OutersWithin(group, first, end)) {
      if (!rule->outer().empty()) Pass(place, *rule, levels, last, group.about(), evidence);
    }
  }
  DropBefore(group, *rule, Plus(end, 1), blocks_);
  if (group.pending().empty()) {
    Erase(key);
  } else {
    Wait(key, kept, *rule);
  }
}

void Windows::DecideUntil(int64_t watermark, std::vector<Outcome>& outcomes) {
  while (!waiting_.empty() && waiting_.begin()->expires < watermark) {
    const std::string key = waiting_.begin()->key;
    waiting_.erase(waiting_.begin());
    Decide(key, outcomes);
    TakePassed(Arrival::kFromWindow, outcomes);
  }
}

// Lets the group's first window end when its time has come.
void Windows::Wait(const std::string& key, Kept& kept, const RuleSummary& rule) {
  Group& group = kept.group;
  waiting_.erase({kept.queued, key});
  const int64_t end = Plus(group.pending(0), rule.timespan_nanos());
  group.set_expires(Plus(end, Grace(rule)));
  kept.queued = group.expires();
  waiting_.insert({kept.queued, key});
  Change(key, kept);
}

}  // namespace yagura::detection
