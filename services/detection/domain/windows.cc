#include "services/detection/domain/windows.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/text/text.h"
#include "services/detection/domain/findings.h"
#include "services/detection/domain/hits.h"

namespace yagura::detection {
namespace {

using internal::v1::Group;
using internal::v1::Hit;
using internal::v1::HitBatch;
using internal::v1::RuleSummary;

constexpr int64_t kLongestFinding = 24LL * 3600 * 1'000'000'000;
constexpr int64_t kTellInterval = 60LL * 1'000'000'000;

google::protobuf::Timestamp Time(int64_t nanos) {
  return ToProto(TimePoint(std::chrono::nanoseconds(nanos)));
}

// "1700000000000-3", in the order of the stream.
std::optional<std::pair<uint64_t, uint64_t>> ParseSourceId(std::string_view text) {
  const size_t dash = text.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const auto milliseconds = ParseNumber<uint64_t>(text.substr(0, dash));
  const auto sequence = ParseNumber<uint64_t>(text.substr(dash + 1));
  if (!milliseconds || !sequence) return std::nullopt;
  return std::pair(*milliseconds, *sequence);
}

std::string RuleKey(std::string_view tenant, std::string_view rule_id) {
  return fmt::format("{}\n{}", tenant, rule_id);
}

// Hostile times must not overflow.
int64_t Plus(int64_t time, int64_t span) {
  int64_t sum = 0;
  return __builtin_add_overflow(time, span, &sum) ? INT64_MAX : sum;
}

int64_t EvidenceTime(const v1::Evidence& evidence) {
  const auto time = std::min(FromProto(evidence.event_time()), FromProto(evidence.receive_time()));
  return time.time_since_epoch().count();
}

// Where `threshold` pending times lie within the span around position `at`: the first of them.
// They are then the window: all times from there within a span.
int WindowAround(const google::protobuf::RepeatedField<int64_t>& times, int at, int threshold,
                 int64_t span) {
  for (int first = std::max(0, at - threshold + 1); first <= at; ++first) {
    const int last = first + threshold - 1;
    if (last < times.size() && times[last] <= Plus(times[first], span)) return first;
  }
  return -1;
}

void DropBefore(Group& group, int64_t time) {
  auto& pending = *group.mutable_pending();
  pending.erase(pending.begin(), std::lower_bound(pending.begin(), pending.end(), time));
  auto& evidence = *group.mutable_evidence();
  const auto old = std::remove_if(evidence.begin(), evidence.end(),
                                  [time](const auto& one) { return EvidenceTime(one) < time; });
  evidence.erase(old, evidence.end());
}

// Keeps the evidence in order of time, and the latest where there is too much.
void AddEvidence(Group& group, const v1::Evidence& evidence) {
  auto& all = *group.mutable_evidence();
  *all.Add() = evidence;
  for (int i = all.size() - 1; i > 0 && EvidenceTime(all[i]) < EvidenceTime(all[i - 1]); --i) {
    all.SwapElements(i, i - 1);
  }
  if (all.size() > kMaxEvidence) all.DeleteSubrange(0, all.size() - kMaxEvidence);
}

// Begins the group's finding with the earliest pending event and all that follow without a gap of
// more than a time span.
void OpenFinding(Group& group, const std::string& key, int64_t span) {
  const auto& pending = group.pending();
  group.set_first(pending[0]);
  group.set_last(pending[0]);
  uint64_t count = 0;
  for (const int64_t time : pending) {
    if (time > Plus(group.last(), span)) break;
    group.set_last(time);
    ++count;
  }
  group.set_count(count);
  group.set_finding_id(ShortDigest({"finding", key, fmt::format("{}", group.first())}));
  group.clear_pending();
  group.set_told_count(0);
  group.set_told_last(0);
}

bool IsToTell(const Group& group) {
  return group.count() / 2 >= group.told_count() ||
         group.last() >= Plus(group.told_last(), kTellInterval);
}

void NoteTold(Group& group) {
  group.set_told_count(group.count());
  group.set_told_last(group.last());
}

bool HasUntold(const Group& group) {
  return !group.finding_id().empty() && group.told_count() < group.count();
}

void CloseFinding(Group& group) {
  group.clear_finding_id();
  group.set_count(0);
  group.set_first(0);
  group.set_last(0);
}

// What nobody was told of yet about a finding whose window has closed.
Windows::Outcome LastWord(const Group& group) {
  Windows::Outcome outcome;
  outcome.finding.set_name(
      fmt::format("tenants/{}/findings/{}", group.tenant(), group.finding_id()));
  outcome.finding.set_event_count(group.count());
  *outcome.finding.mutable_first_event_time() = Time(group.first());
  *outcome.finding.mutable_last_event_time() = Time(group.last());
  outcome.tells = true;
  outcome.closing = true;
  return outcome;
}

}  // namespace

void Windows::LoadGroup(const std::string& key, Group group) {
  by_expiry_[group.source_shard()].insert({group.expires(), key});
  ++per_rule_[RuleKey(group.tenant(), group.rule_id())];
  groups_[key] = std::move(group);
}

void Windows::LoadCheckpoint(uint32_t source_shard, const std::string& source_id) {
  checkpoints_[source_shard] = source_id;
}

bool Windows::IsNew(const HitBatch& batch) {
  const auto id = ParseSourceId(batch.source_id());
  std::string& checkpoint = checkpoints_[batch.source_shard()];
  const auto seen = ParseSourceId(checkpoint);
  if (!id || (seen && *id <= *seen)) return false;
  checkpoint = batch.source_id();
  dirty_checkpoints_[batch.source_shard()] = checkpoint;
  return true;
}

void Windows::Forget(std::set<Order>& order, int64_t watermark, std::vector<Outcome>& outcomes) {
  while (!order.empty() && order.begin()->expires < watermark) {
    const std::string key = order.begin()->key;
    order.erase(order.begin());
    const auto found = groups_.find(key);
    if (HasUntold(found->second)) outcomes.push_back(LastWord(found->second));
    const auto count = per_rule_.find(RuleKey(found->second.tenant(), found->second.rule_id()));
    if (--count->second == 0) per_rule_.erase(count);
    groups_.erase(found);
    dirty_[key] = nullptr;
  }
}

Group* Windows::Find(const std::string& key, const HitBatch& batch, const RuleSummary& rule,
                     std::vector<Outcome>& outcomes) {
  if (const auto found = groups_.find(key); found != groups_.end()) return &found->second;
  const std::string rule_key = RuleKey(batch.tenant(), rule.id());
  if (per_rule_[rule_key] >= limits_.groups_per_rule) {
    // Groups of sources that have fallen silent give way.
    for (auto& [shard, order] : by_expiry_) Forget(order, latest_, outcomes);
    if (per_rule_[rule_key] >= limits_.groups_per_rule) return nullptr;
  }
  ++per_rule_[rule_key];
  Group& group = groups_[key];
  group.set_tenant(batch.tenant());
  group.set_rule_id(rule.id());
  group.set_expires(INT64_MIN);
  group.set_source_shard(batch.source_shard());
  by_expiry_[batch.source_shard()].insert({INT64_MIN, key});
  return &group;
}

void Windows::Touch(const std::string& key, Group& group, uint32_t source_shard, int64_t expires) {
  by_expiry_[group.source_shard()].erase({group.expires(), key});
  group.set_expires(source_shard == group.source_shard() ? std::max(expires, group.expires())
                                                         : expires);
  group.set_source_shard(source_shard);
  by_expiry_[source_shard].insert({group.expires(), key});
  dirty_[key] = &group;
}

// Counts the events of a hit.
void Windows::Count(Group& group, const HitBatch& batch, const RuleSummary& rule, const Hit& hit,
                    std::vector<Outcome>& outcomes) {
  const std::string key = GroupKey(batch.tenant(), rule, hit);
  const int64_t span = rule.timespan_nanos();
  const int64_t lateness = limits_.lateness.count();
  const int threshold = static_cast<int>(std::max<uint64_t>(rule.threshold(), 1));
  std::vector<const v1::Evidence*> fresh;  // of events that joined the open finding
  bool grew = false;
  bool began = false;
  const auto tell = [&] {
    if (group.finding_id().empty()) return;
    v1::Finding finding = DescribeFinding(batch.tenant(), group.finding_id(), rule, hit);
    finding.set_event_count(group.count());
    *finding.mutable_first_event_time() = Time(group.first());
    *finding.mutable_last_event_time() = Time(group.last());
    *finding.mutable_evidence() = group.evidence();
    for (const auto* evidence : fresh) *finding.add_evidence() = *evidence;
    const bool tells = began || IsToTell(group);
    if (tells) NoteTold(group);
    outcomes.push_back({std::move(finding), began, tells});
    group.clear_evidence();
    fresh.clear();
    grew = false;
    began = false;
  };

  std::multimap<int64_t, const v1::Evidence*> by_time;
  for (const auto& evidence : hit.evidence()) by_time.emplace(EvidenceTime(evidence), &evidence);
  for (const int64_t time : hit.times()) {
    const auto found = by_time.find(time);
    const v1::Evidence* evidence = found == by_time.end() ? nullptr : found->second;
    if (found != by_time.end()) by_time.erase(found);
    if (!group.finding_id().empty()) {
      if (Plus(time, span) < group.first()) {
        ++late_;
        continue;
      }
      if (time <= Plus(group.last(), span) && time - group.first() < kLongestFinding) {
        group.set_first(std::min(group.first(), time));
        group.set_last(std::max(group.last(), time));
        group.set_count(group.count() + 1);
        if (evidence != nullptr) fresh.push_back(evidence);
        grew = true;
        continue;
      }
      if (grew) tell();
      if (HasUntold(group)) outcomes.push_back(LastWord(group));
      CloseFinding(group);
    }
    auto& pending = *group.mutable_pending();
    const auto place = std::upper_bound(pending.begin(), pending.end(), time);
    const auto at = static_cast<int>(place - pending.begin());
    pending.Add(time);
    std::rotate(pending.begin() + at, pending.end() - 1, pending.end());
    if (evidence != nullptr) AddEvidence(group, *evidence);
    const int first = WindowAround(pending, at, threshold, span);
    if (first >= 0) {
      DropBefore(group, pending[first]);
      OpenFinding(group, key, span);
      grew = began = true;
    } else {
      DropBefore(group, Plus(pending[pending.size() - 1], -span - lateness));
    }
  }
  if (grew) tell();
}

std::vector<Windows::Outcome> Windows::Apply(const HitBatch& batch) {
  std::vector<Outcome> outcomes;
  if (!IsNew(batch)) return outcomes;
  for (const Hit& hit : batch.hits()) {
    if (hit.rule() >= static_cast<uint32_t>(batch.rules_size()) || hit.times().empty()) continue;
    const RuleSummary& rule = batch.rules(static_cast<int>(hit.rule()));
    const std::string key = GroupKey(batch.tenant(), rule, hit);
    Group* group = Find(key, batch, rule, outcomes);
    if (group == nullptr) {
      ++overflowed_;
      outcomes.push_back(
          {OverflowFinding(batch.tenant(), rule, hit, limits_.groups_per_rule), true, true});
      continue;
    }
    Count(*group, batch, rule, hit, outcomes);
    Touch(key, *group, batch.source_shard(),
          Plus(Plus(batch.received(), rule.timespan_nanos()), limits_.lateness.count()));
  }
  latest_ = std::max(latest_, batch.received());
  Forget(by_expiry_[batch.source_shard()], batch.received(), outcomes);
  return outcomes;
}

void Windows::Clean() {
  dirty_.clear();
  dirty_checkpoints_.clear();
}

}  // namespace yagura::detection
