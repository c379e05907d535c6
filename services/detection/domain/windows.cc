#include "services/detection/domain/windows.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "fmt/format.h"

#include "common/text/text.h"
#include "services/detection/domain/evidence_block.h"
#include "services/detection/domain/findings.h"
#include "services/detection/domain/hits.h"
#include "services/detection/domain/pending.h"
#include "services/detection/domain/window_group.h"
#include "services/detection/domain/window_outcome.h"

namespace yagura::detection {
namespace {

using internal::v1::Group;
using internal::v1::Hit;
using internal::v1::HitBatch;
using internal::v1::RuleSummary;

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

struct HeaviestFirst {
  bool operator()(const std::pair<size_t, std::string>& a,
                  const std::pair<size_t, std::string>& b) const {
    return a.first != b.first ? a.first > b.first : a.second < b.second;
  }
};

// When the first of a batch's events happened, or it was received.
int64_t EarliestOf(const HitBatch& batch) {
  int64_t earliest = batch.received();
  for (const Hit& hit : batch.hits()) {
    if (!hit.times().empty()) earliest = std::min(earliest, hit.times(0));
  }
  return earliest;
}

// In a batch of an earlier release the hits have in them what they show.
bool IsOld(const HitBatch& batch) {
  return std::ranges::any_of(batch.hits(), [](const Hit& hit) { return !hit.evidence().empty(); });
}

}  // namespace

void Windows::LoadGroup(const std::string& key, Group group) {
  auto& order = group.at_end() ? waiting_ : by_expiry_[group.source_shard()];
  order.insert({group.expires(), key});
  const int64_t queued = group.expires();
  ++per_rule_[RuleKey(group.tenant(), group.rule_id())];
  if (!group.text_id().empty()) {
    ++bundles_[BundleKey(group.text_id(), group.rule_version())].groups;
  }
  if (!group.evidence().empty()) inlined_.push_back(key);
  for (const auto& piece : group.pieces()) blocks_.Refer(piece);
  if (group.about().has_first()) blocks_.ReferCore(group.about().first());
  budget_.Set(key, RuleKey(group.tenant(), group.rule_id()), SizeOf(key, group));
  groups_[key] = {std::move(group), queued};
}

// Groups that an earlier release kept get blocks, whose numbers must be those of no other: which
// these are is known when all is loaded.
void Windows::FinishLoad() {
  if (inlined_.empty()) return;
  for (const auto& key : std::exchange(inlined_, {})) {
    Kept& kept = groups_.at(key);
    Group& group = kept.group;
    ClearPieces(group, blocks_);  // no release writes both
    internal::v1::EvidenceBlock block;
    MoveEvidence(group, block);
    const uint64_t number = blocks_.Add(std::move(block));
    size_t bytes = 0;
    for (auto& piece : *group.mutable_pieces()) {
      piece.set_block(number);
      bytes += piece.bytes();
      blocks_.Refer(piece);
    }
    group.set_evidence_bytes(bytes);
    budget_.Set(key, RuleKey(group.tenant(), group.rule_id()), SizeOf(key, group));
    Change(key, kept);
  }
  blocks_.Sweep();  // what these groups refer to is written with them
}

void Windows::LoadCheckpoint(uint32_t source_shard, const std::string& source_id) {
  checkpoints_[source_shard] = source_id;
}

void Windows::LoadWatermark(uint32_t source_shard, int64_t received) {
  watermarks_[source_shard] = received;
  latest_ = std::max(latest_, received);
}

bool Windows::LoadBlock(uint64_t number, std::string packed) {
  return blocks_.Load(number, std::move(packed));
}

void Windows::LoadBundle(const std::string& key, internal::v1::RuleBundle bundle) {
  bundles_[key].rules = std::move(bundle);
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

// Keeps the rules that windows need to know without a hit.
void Windows::NoteRules(const HitBatch& batch) {
  for (const RuleSummary& rule : batch.rules()) {
    if (rule.text_id().empty()) continue;
    const std::string key = BundleKey(rule.text_id(), rule.version());
    if (RuleOf(key, rule.id()) != nullptr) continue;
    Bundle& bundle = bundles_[key];
    *bundle.rules.add_rules() = rule;
    dirty_bundles_[key] = &bundle.rules;
    idle_bundles_.insert(key);
  }
}

void Windows::SweepBundles() {
  for (const auto& key : idle_bundles_) {
    const auto found = bundles_.find(key);
    if (found == bundles_.end() || found->second.groups > 0) continue;
    bundles_.erase(found);
    dirty_bundles_[key] = nullptr;
  }
  idle_bundles_.clear();
}

const RuleSummary* Windows::RuleOf(const std::string& bundle, const std::string& rule_id) const {
  const auto found = bundles_.find(bundle);
  if (found == bundles_.end()) return nullptr;
  for (const RuleSummary& rule : found->second.rules.rules()) {
    if (rule.id() == rule_id) return &rule;
  }
  return nullptr;
}

// How much later than its events a group may hear of them.
int64_t Windows::Grace(const RuleSummary& rule) const {
  const int64_t lateness = lateness_.count();
  // The levels themselves: where all else is equal the inner window ends first.
  int64_t grace = Plus(Plus(lateness, rule.delay_nanos()), rule.delay_levels());
  for (uint32_t i = 0; i < rule.delay_levels(); ++i) grace = Plus(grace, lateness);
  return grace;
}

// How far all sources have come that are not silent.
int64_t Windows::Watermark() const {
  int64_t least = INT64_MAX;
  for (const auto& [shard, received] : watermarks_) {
    if (Plus(received, limits_.silence.count()) >= latest_) least = std::min(least, received);
  }
  return least;
}

void Windows::Erase(const std::string& key) {
  const auto found = groups_.find(key);
  const Group& group = found->second.group;
  const auto count = per_rule_.find(RuleKey(group.tenant(), group.rule_id()));
  if (--count->second == 0) per_rule_.erase(count);
  if (!group.text_id().empty()) {
    const std::string bundle = BundleKey(group.text_id(), group.rule_version());
    --bundles_[bundle].groups;
    idle_bundles_.insert(bundle);
  }
  for (const auto& piece : group.pieces()) blocks_.Release(piece);
  if (group.about().has_first()) blocks_.ReleaseCore(group.about().first());
  dirty_[key] = nullptr;
  changed_.push_back(key);
  groups_.erase(found);
}

void Windows::Change(const std::string& key, Kept& kept) {
  if (!std::exchange(kept.is_dirty, true)) dirty_[key] = &kept.group;
  if (!std::exchange(kept.has_changed, true)) changed_.push_back(key);
}

void Windows::GiveUp(const std::string& key, std::vector<Outcome>& outcomes) {
  Kept& kept = groups_.at(key);
  Group& group = kept.group;
  auto& order = group.at_end() ? waiting_ : by_expiry_[group.source_shard()];
  order.erase({kept.queued, key});
  TellLastWords(group, outcomes);
  Erase(key);
  budget_.Remove(key);
  ++given_up_;
}

// Brings the budget up to what has changed.
void Windows::Measure() {
  for (const auto& key : std::exchange(changed_, {})) {
    const auto found = groups_.find(key);
    if (found == groups_.end()) {
      budget_.Remove(key);
      continue;
    }
    found->second.has_changed = false;
    if (limits_.bytes == SIZE_MAX && !IsPatient()) continue;
    const Group& group = found->second.group;
    if (IsPatient()) NoteBounds(group);
    const size_t size = SizeOf(key, group);
    if (budget_.Resize(key, size)) continue;
    budget_.Set(key, RuleKey(group.tenant(), group.rule_id()), size);
  }
}

// Lets groups go where all take more than they may, some at once: it is not done for each hit.
void Windows::KeepBudget(int64_t received, std::vector<Outcome>& outcomes) {
  Measure();
  if (budget_.bytes() <= limits_.bytes) return;
  const size_t enough = limits_.bytes / 8 * 7;
  // A tenant's flood costs that tenant's windows, and a rule's that rule's: always one of who takes
  // the most, the first by name among equals.
  std::map<std::string, std::vector<Order>> groups;  // by owner, the first to go last
  for (const auto& [key, kept] : groups_) {
    const Group& group = kept.group;
    groups[RuleKey(group.tenant(), group.rule_id())].push_back({group.expires(), key});
  }
  for (auto& [owner, orders] : groups) std::ranges::sort(orders, std::ranges::greater());
  std::set<std::pair<size_t, std::string>, HeaviestFirst> heaviest;
  for (const auto& [owner, bytes] : budget_.owners()) heaviest.insert({bytes, owner});
  std::map<std::string, v1::Finding> told;
  while (budget_.bytes() > enough && !heaviest.empty()) {
    const std::string owner = heaviest.begin()->second;
    heaviest.erase(heaviest.begin());
    if (groups[owner].empty()) continue;
    const std::string key = std::move(groups[owner].back().key);
    groups[owner].pop_back();
    v1::Finding& finding = told[owner];
    if (finding.event_count() == 0) {
      const Group& any = groups_.at(key).group;
      const RuleSummary* rule = RuleOf(BundleKey(any.text_id(), any.rule_version()), any.rule_id());
      finding = GivenUpFinding(any.tenant(), any.rule_id(), rule == nullptr ? "" : rule->title(),
                               received);
    }
    finding.set_event_count(finding.event_count() + 1);
    GiveUp(key, outcomes);
    if (const size_t left = budget_.bytes_of(owner); left > 0) heaviest.insert({left, owner});
  }
  for (auto& [owner, finding] : told) outcomes.push_back({std::move(finding), true, true});
  changed_.clear();
}

void Windows::Forget(std::set<Order>& order, int64_t watermark, std::vector<Outcome>& outcomes) {
  while (!order.empty() && order.begin()->expires < watermark) {
    auto next = order.extract(order.begin());
    const std::string& key = next.value().key;
    Kept& kept = groups_.at(key);
    if (kept.queued < kept.group.expires()) {
      kept.queued = next.value().expires = kept.group.expires();
      order.insert(std::move(next));
      continue;
    }
    TellLastWords(kept.group, outcomes);
    Erase(key);
  }
}

Windows::Kept* Windows::Find(const std::string& key, const Place& place, const RuleSummary& rule,
                             std::vector<Outcome>& outcomes) {
  if (const auto found = groups_.find(key); found != groups_.end()) return &found->second;
  const std::string rule_key = RuleKey(place.tenant, rule.id());
  if (per_rule_[rule_key] >= limits_.groups_per_rule) {
    // Groups of sources that have fallen silent give way.
    for (auto& [shard, order] : by_expiry_) Forget(order, latest_, outcomes);
    if (per_rule_[rule_key] >= limits_.groups_per_rule) return nullptr;
  }
  ++per_rule_[rule_key];
  Kept& kept = groups_[key];
  Group& group = kept.group;
  group.set_tenant(place.tenant);
  group.set_rule_id(rule.id());
  group.set_rule_version(rule.version());
  group.set_text_id(rule.text_id());
  group.set_at_end(rule.at_end());
  group.set_expires(INT64_MIN);
  group.set_source_shard(place.source_shard);
  (rule.at_end() ? waiting_ : by_expiry_[place.source_shard]).insert({INT64_MIN, key});
  if (!rule.text_id().empty()) ++bundles_[BundleKey(rule.text_id(), rule.version())].groups;
  return &kept;
}

void Windows::Touch(const std::string& key, Kept& kept, const Place& place,
                    const RuleSummary& rule) {
  Group& group = kept.group;
  int64_t expires = Plus(Plus(place.received, rule.timespan_nanos()), Grace(rule));
  // What is decided at the end of windows waits for other shards, too.
  if (rule.delay_levels() > 0) expires = Plus(expires, limits_.silence.count());
  const bool stays = place.source_shard == group.source_shard();
  if (stays) expires = std::max(expires, group.expires());
  group.set_expires(expires);
  if (!stays || kept.queued == INT64_MIN) {
    by_expiry_[group.source_shard()].erase({kept.queued, key});
    group.set_source_shard(place.source_shard);
    by_expiry_[place.source_shard].insert({expires, key});
    kept.queued = expires;
  }
  Change(key, kept);
}

v1::Finding Windows::Describe(std::string_view tenant, std::string_view finding_id,
                              const RuleSummary& rule, const Hit& hit) {
  v1::Finding finding = DescribeFinding(tenant, finding_id, rule, hit);
  if (!hit.has_first()) return finding;
  ShowCore(blocks_.Core(hit.first()), finding);
  return finding;
}

void Windows::ShowEvidence(const Pieces& pieces, v1::Finding& finding) {
  google::protobuf::RepeatedPtrField<v1::Evidence> evidence;
  for (const auto& piece : pieces) {
    v1::Evidence one = blocks_.Evidence(piece);
    if (!one.event_id().empty()) *evidence.Add() = std::move(one);
  }
  AddEvidence(evidence, finding);
}

// A match at that time goes to the correlation that counts the rule.
void Windows::Pass(const Place& place, const RuleSummary& rule, const Levels& levels, int64_t time,
                   const Hit& about, const Pieces& evidence) {
  const std::string bundle = BundleKey(rule.text_id(), rule.version());
  const RuleSummary* outer = RuleOf(bundle, rule.outer());
  // An event that lacks what is measured is not counted.
  if (outer == nullptr || levels.empty() || !levels[0].has_key()) return;
  const bool temporal =
      outer->type() == internal::v1::TEMPORAL || outer->type() == internal::v1::TEMPORAL_ORDERED;
  Passed passed{place, bundle, outer->id(), {}};
  passed.hit.add_times(time);
  passed.hit.add_keys(temporal ? 1ULL << rule.outer_member() : levels[0].key());
  passed.hit.add_numbers(levels[0].number());
  *passed.hit.mutable_group() = levels[0].group();
  passed.hit.mutable_outer()->Assign(levels.begin() + 1, levels.end());
  *passed.hit.mutable_entities() = about.entities();
  *passed.hit.mutable_matched_fields() = about.matched_fields();
  passed.hit.set_action(about.action());
  CopyFirst(about, passed.hit);
  for (const auto& one : evidence) {
    if (passed.hit.pieces_size() == kMaxEvidence) break;
    *passed.hit.add_pieces() = one;
  }
  passed_.push_back(std::move(passed));
}

void Windows::TakePassed(Arrival arrival, std::vector<Outcome>& outcomes) {
  while (!passed_.empty()) {
    const Passed next = std::move(passed_.front());
    passed_.pop_front();
    const RuleSummary* rule = RuleOf(next.bundle, next.rule_id);
    if (rule != nullptr) Take(next.place, *rule, next.hit, arrival, outcomes);
  }
}

void Windows::Take(const Place& place, const RuleSummary& rule, const Hit& hit, Arrival arrival,
                   std::vector<Outcome>& outcomes) {
  const std::string key = keys_.Of(place.tenant, rule, hit);
  Kept* kept = Find(key, place, rule, outcomes);
  if (kept == nullptr) {
    ++overflowed_;
    outcomes.push_back(
        {OverflowFinding(place.tenant, rule, hit, limits_.groups_per_rule), true, true});
    return;
  }
  if (rule.at_end()) {
    kept->group.set_source_shard(place.source_shard);
    Collect(key, *kept, rule, hit, arrival);
    return;
  }
  Count(key, kept->group, place, rule, hit, outcomes);
  Touch(key, *kept, place, rule);
}

// Takes what the hits show among the blocks, and lets them refer to it there.
void Windows::TakeBlock(HitBatch& batch) {
  if (IsOld(batch)) {
    for (auto& hit : *batch.mutable_hits()) MoveEvidence(hit, *batch.mutable_evidence());
  }
  uint32_t pieces = 0;
  for (const Hit& hit : batch.hits()) {
    for (const auto& piece : hit.pieces()) pieces = std::max(pieces, piece.piece() + 1);
  }
  if (pieces == 0) return;
  const uint64_t number = batch.has_evidence()
                              ? blocks_.Add(std::move(*batch.mutable_evidence()))
                              : blocks_.Add(std::move(*batch.mutable_packed_evidence()), pieces);
  for (auto& hit : *batch.mutable_hits()) {
    for (auto& piece : *hit.mutable_pieces()) piece.set_block(number);
    if (hit.has_first()) hit.mutable_first()->set_block(number);
  }
}

std::vector<Windows::Outcome> Windows::Apply(HitBatch&& batch) {
  std::vector<Outcome> outcomes;
  FinishLoad();
  if (!IsNew(batch)) return outcomes;
  NoteRules(batch);
  TakeBlock(batch);
  const uint32_t shard = batch.source_shard();
  const bool is_first = !watermarks_.contains(shard);
  if (is_first) watermarks_[shard] = EarliestOf(batch);  // it is not late, it was not heard of
  const Place place{batch.tenant(), shard, batch.received()};
  for (const Hit& hit : batch.hits()) {
    if (hit.rule() >= static_cast<uint32_t>(batch.rules_size()) || hit.times().empty()) continue;
    Take(place, batch.rules(static_cast<int>(hit.rule())), hit, Arrival::kFromSource, outcomes);
    TakePassed(Arrival::kFromSource, outcomes);
  }
  latest_ = std::max(latest_, batch.received());
  int64_t& known = watermarks_[shard];
  if (is_first || known < batch.received()) {
    known = std::max(known, batch.received());
    dirty_watermarks_[shard] = known;
  }
  if (!limits_.offline) DecideUntil(Watermark(), outcomes);
  Forget(by_expiry_[shard], batch.received(), outcomes);
  if (IsPatient()) BeLessPatient(batch.received(), outcomes);
  KeepBudget(batch.received(), outcomes);
  SweepBundles();
  blocks_.Sweep();
  return outcomes;
}

std::vector<Windows::Outcome> Windows::Finish() {
  std::vector<Outcome> outcomes;
  FinishLoad();
  DecideUntil(INT64_MAX, outcomes);
  SweepBundles();
  blocks_.Sweep();
  return outcomes;
}

void Windows::MarkAll() {
  FinishLoad();
  for (auto& [key, kept] : groups_) Change(key, kept);
  for (const auto& [key, bundle] : bundles_) dirty_bundles_[key] = &bundle.rules;
  dirty_checkpoints_ = checkpoints_;
  dirty_watermarks_ = watermarks_;
}

Group Windows::WholeGroup(Group group) {
  for (const auto& piece : group.pieces()) {
    v1::Evidence evidence = blocks_.Evidence(piece);
    if (!evidence.event_id().empty()) *group.add_evidence() = std::move(evidence);
  }
  group.clear_pieces();
  if (!group.about().has_first()) return group;
  Hit& about = *group.mutable_about();
  ShowCore(blocks_.Core(about.first()), about);
  about.clear_first();
  return group;
}

void Windows::Clean() {
  dropped_.clear();
  for (const auto& [key, group] : dirty_) {
    if (group != nullptr) groups_.at(key).is_dirty = false;
  }
  dirty_.clear();
  dirty_bundles_.clear();
  dirty_checkpoints_.clear();
  dirty_watermarks_.clear();
  blocks_.Clean();
}

}  // namespace yagura::detection
