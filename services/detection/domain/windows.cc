#include "services/detection/domain/windows.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/text/text.h"
#include "services/detection/domain/evidence_block.h"
#include "services/detection/domain/findings.h"
#include "services/detection/domain/hits.h"
#include "services/detection/domain/pending.h"
#include "services/detection/domain/tags.h"
#include "services/detection/domain/window_group.h"

namespace yagura::detection {
namespace {

using internal::v1::EvidenceRef;
using internal::v1::Group;
using internal::v1::Hit;
using internal::v1::HitBatch;
using internal::v1::RuleSummary;

constexpr int64_t kLongestFinding = 24LL * 3600 * 1'000'000'000;
constexpr int64_t kHour = 3600LL * 1'000'000'000;
// Rule id of findings about windows that were given up.
constexpr std::string_view kGivenUpRule = "00000000-0000-4000-8000-000000000006";
constexpr int kMaxToldValues = 10;

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

struct HeaviestFirst {
  bool operator()(const std::pair<size_t, std::string>& a,
                  const std::pair<size_t, std::string>& b) const {
    return a.first != b.first ? a.first > b.first : a.second < b.second;
  }
};

PendingEvent EventOf(const Hit& hit, int at) {
  return {hit.times(at), at < hit.keys_size() ? hit.keys(at) : 0,
          at < hit.numbers_size() ? hit.numbers(at) : 0};
}

// When the first of a batch's events happened, or it was received.
int64_t EarliestOf(const HitBatch& batch) {
  int64_t earliest = batch.received();
  for (const Hit& hit : batch.hits()) {
    if (!hit.times().empty()) earliest = std::min(earliest, hit.times(0));
  }
  return earliest;
}

std::string BundleKey(const std::string& text_id, const std::string& version) {
  return text_id.empty() ? std::string() : text_id + "/" + version;
}

void AddField(v1::Finding& finding, const std::string& name, std::string value) {
  auto* field = finding.add_matched_fields();
  field->set_name(name);
  field->set_value(std::move(value));
}

// Tells what was measured, and of which values.
void AddMeasure(const RuleSummary& rule, const WindowVerdict& verdict, const Group& group,
                v1::Finding& finding) {
  if (rule.measure().empty()) return;
  AddField(finding, rule.measure(), fmt::format("{}", verdict.measure));
  int told = 0;
  for (const uint64_t key : verdict.keys) {
    const auto name = group.names().find(key);
    if (name == group.names().end()) continue;
    if (++told > kMaxToldValues) return;
    AddField(finding, "value", name->second);
  }
}

// Windows of a rule went before their end; one an hour of receive time.
v1::Finding GivenUpFinding(const std::string& tenant, const std::string& rule,
                           const std::string& title, int64_t received) {
  const int64_t hour = received / kHour;
  v1::Finding finding;
  finding.set_name(fmt::format("tenants/{}/findings/{}", tenant,
                               ShortDigest({"given-up", tenant, rule, fmt::format("{}", hour)})));
  finding.set_title("A rule's windows take more memory than there is");
  finding.set_description(fmt::format(
      "Rule {} takes more than the others of what all open windows may take; those of its "
      "groups that would have ended first were given up, and what they had counted is "
      "not found. Its group-by fields may be too fine, its time span too long, or "
      "somebody sends very many events that it counts.",
      title.empty() ? rule : fmt::format("\"{}\" ({})", title, rule)));
  finding.set_severity(event::v1::MEDIUM);
  finding.set_rule_id(std::string(kGivenUpRule));
  *finding.mutable_first_event_time() = Time(received);
  *finding.mutable_last_event_time() = Time(received);
  finding.set_dedup_key(ShortDigest({"given-up", tenant, rule}));
  return finding;
}

// What the first event was.
void CopyFirst(const Hit& from, Hit& to) {
  if (from.has_first()) {
    *to.mutable_first() = from.first();
    return;
  }
  to.set_device(from.device());
  to.set_site(from.site());
  *to.mutable_event() = from.event();
}

// The evidence of a hit's event at that time, the next of those in order of time; what a
// correlation passed on may have several for its one time.
template <typename Iterator>
google::protobuf::RepeatedPtrField<EvidenceRef> PiecesOf(const Hit& hit, int64_t time,
                                                         Iterator& next, Iterator end) {
  if (hit.times_size() == 1) return hit.pieces();
  google::protobuf::RepeatedPtrField<EvidenceRef> pieces;
  while (next != end && (*next)->time() < time) ++next;
  if (next != end && (*next)->time() == time) *pieces.Add() = **next++;
  return pieces;
}

// In a batch of an earlier release the hits have in them what they show.
bool IsOld(const HitBatch& batch) {
  return std::ranges::any_of(batch.hits(), [](const Hit& hit) { return !hit.evidence().empty(); });
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
  auto& order = group.at_end() ? waiting_ : by_expiry_[group.source_shard()];
  order.insert({group.expires(), key});
  ++per_rule_[RuleKey(group.tenant(), group.rule_id())];
  if (!group.text_id().empty()) {
    ++bundles_[BundleKey(group.text_id(), group.rule_version())].groups;
  }
  if (!group.evidence().empty()) inlined_.push_back(key);
  for (const auto& piece : group.pieces()) blocks_.Refer(piece);
  if (group.about().has_first()) blocks_.ReferCore(group.about().first());
  budget_.Set(key, RuleKey(group.tenant(), group.rule_id()), SizeOf(key, group));
  groups_[key] = std::move(group);
}

// Groups that an earlier release kept get blocks, whose numbers must be those of no other: which
// these are is known when all is loaded.
void Windows::FinishLoad() {
  if (inlined_.empty()) return;
  for (const auto& key : std::exchange(inlined_, {})) {
    Group& group = groups_.at(key);
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
    Change(key, &group);
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
  const int64_t lateness = limits_.lateness.count();
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
  const Group& group = found->second;
  const auto count = per_rule_.find(RuleKey(group.tenant(), group.rule_id()));
  if (--count->second == 0) per_rule_.erase(count);
  if (!group.text_id().empty()) {
    const std::string bundle = BundleKey(group.text_id(), group.rule_version());
    --bundles_[bundle].groups;
    idle_bundles_.insert(bundle);
  }
  for (const auto& piece : group.pieces()) blocks_.Release(piece);
  if (group.about().has_first()) blocks_.ReleaseCore(group.about().first());
  groups_.erase(found);
  Change(key, nullptr);
}

// To be written, or removed where `group` is null.
void Windows::Change(const std::string& key, const Group* group) {
  dirty_[key] = group;
  changed_.insert(key);
}

void Windows::GiveUp(const std::string& key, std::vector<Outcome>& outcomes) {
  const Group& group = groups_.at(key);
  auto& order = group.at_end() ? waiting_ : by_expiry_[group.source_shard()];
  order.erase({group.expires(), key});
  if (HasUntold(group)) outcomes.push_back(LastWord(group));
  Erase(key);
  budget_.Remove(key);
  ++given_up_;
}

// Lets groups go where all take more than they may, some at once: it is not done for each hit.
void Windows::KeepBudget(int64_t received, std::vector<Outcome>& outcomes) {
  if (limits_.bytes == SIZE_MAX) return changed_.clear();
  for (const auto& key : std::exchange(changed_, {})) {
    const auto found = groups_.find(key);
    if (found == groups_.end()) {
      budget_.Remove(key);
      continue;
    }
    const Group& group = found->second;
    budget_.Set(key, RuleKey(group.tenant(), group.rule_id()), SizeOf(key, group));
  }
  if (budget_.bytes() <= limits_.bytes) return;
  const size_t enough = limits_.bytes / 8 * 7;
  // A tenant's flood costs that tenant's windows, and a rule's that rule's: always one of who takes
  // the most, the first by name among equals.
  std::map<std::string, std::vector<Order>> groups;  // by owner, the first to go last
  for (const auto& [key, group] : groups_) {
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
      const Group& any = groups_.at(key);
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
    const std::string key = order.begin()->key;
    order.erase(order.begin());
    const auto found = groups_.find(key);
    if (HasUntold(found->second)) outcomes.push_back(LastWord(found->second));
    Erase(key);
  }
}

Group* Windows::Find(const std::string& key, const Place& place, const RuleSummary& rule,
                     std::vector<Outcome>& outcomes) {
  if (const auto found = groups_.find(key); found != groups_.end()) return &found->second;
  const std::string rule_key = RuleKey(place.tenant, rule.id());
  if (per_rule_[rule_key] >= limits_.groups_per_rule) {
    // Groups of sources that have fallen silent give way.
    for (auto& [shard, order] : by_expiry_) Forget(order, latest_, outcomes);
    if (per_rule_[rule_key] >= limits_.groups_per_rule) return nullptr;
  }
  ++per_rule_[rule_key];
  Group& group = groups_[key];
  group.set_tenant(place.tenant);
  group.set_rule_id(rule.id());
  group.set_rule_version(rule.version());
  group.set_text_id(rule.text_id());
  group.set_at_end(rule.at_end());
  group.set_expires(INT64_MIN);
  group.set_source_shard(place.source_shard);
  (rule.at_end() ? waiting_ : by_expiry_[place.source_shard]).insert({INT64_MIN, key});
  if (!rule.text_id().empty()) ++bundles_[BundleKey(rule.text_id(), rule.version())].groups;
  return &group;
}

void Windows::Touch(const std::string& key, Group& group, const Place& place,
                    const RuleSummary& rule) {
  int64_t expires = Plus(Plus(place.received, rule.timespan_nanos()), Grace(rule));
  // What is decided at the end of windows waits for other shards, too.
  if (rule.delay_levels() > 0) expires = Plus(expires, limits_.silence.count());
  by_expiry_[group.source_shard()].erase({group.expires(), key});
  group.set_expires(place.source_shard == group.source_shard() ? std::max(expires, group.expires())
                                                               : expires);
  group.set_source_shard(place.source_shard);
  by_expiry_[place.source_shard].insert({group.expires(), key});
  Change(key, &group);
}

// Lets the group's first window end when its time has come.
void Windows::Wait(const std::string& key, Group& group, const RuleSummary& rule) {
  waiting_.erase({group.expires(), key});
  const int64_t end = Plus(group.pending(0), rule.timespan_nanos());
  group.set_expires(Plus(end, Grace(rule)));
  waiting_.insert({group.expires(), key});
  Change(key, &group);
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

// Counts the events of a hit.
void Windows::Count(const std::string& key, Group& group, const Place& place,
                    const RuleSummary& rule, const Hit& hit, std::vector<Outcome>& outcomes) {
  const int64_t span = rule.timespan_nanos();
  const bool passes = !rule.outer().empty();
  const bool single =
      rule.type() == internal::v1::CORRELATION_TYPE_UNSPECIFIED && rule.threshold() <= 1;
  Pieces fresh;  // of events that joined the open finding
  WindowVerdict verdict;
  bool grew = false;
  bool began = false;
  const auto tell = [&] {
    if (group.finding_id().empty()) return;
    if (rule.silent()) {
      NoteTold(group);
    } else {
      v1::Finding finding = Describe(place.tenant, group.finding_id(), rule, hit);
      if (began) AddMeasure(rule, verdict, group, finding);
      finding.set_event_count(group.count());
      *finding.mutable_first_event_time() = Time(group.first());
      *finding.mutable_last_event_time() = Time(group.last());
      ShowEvidence(group.pieces(), finding);
      ShowEvidence(fresh, finding);
      AddTagFacts(finding);
      const bool tells = began || IsToTell(group);
      if (tells) NoteTold(group);
      outcomes.push_back({std::move(finding), began, tells});
    }
    ClearPieces(group, blocks_);
    fresh.Clear();
    grew = false;
    began = false;
  };

  std::vector<const EvidenceRef*> by_time;
  for (const auto& piece : hit.pieces()) by_time.push_back(&piece);
  std::ranges::stable_sort(by_time, {}, [](const EvidenceRef* one) { return one->time(); });
  auto next_piece = by_time.begin();
  for (int i = 0; i < hit.times_size(); ++i) {
    const int64_t time = hit.times(i);
    const Pieces pieces = PiecesOf(hit, time, next_piece, by_time.end());
    if (!group.finding_id().empty()) {
      // One event is a finding by itself: however late it comes, it belongs to that of its group.
      if (!single && Plus(time, span) < group.first()) {
        ++late_;
        continue;
      }
      if (time <= Plus(group.last(), span) && time - group.first() < kLongestFinding) {
        group.set_first(std::min(group.first(), time));
        group.set_last(std::max(group.last(), time));
        group.set_count(group.count() + 1);
        if (passes) Pass(place, rule, hit.outer(), time, hit, pieces);
        fresh.MergeFrom(pieces);
        grew = true;
        continue;
      }
      if (grew) tell();
      if (HasUntold(group)) outcomes.push_back(LastWord(group));
      CloseFinding(group);
    }
    const int at = AddPending(group, rule, EventOf(hit, i));
    if (at < 0) {
      ++late_;
      continue;
    }
    for (const auto& piece : pieces) AddPiece(group, piece, blocks_);
    AddOuter(group, hit.outer(), time);
    const auto window = FindWindow(group, rule, at);
    if (!window) {
      const int64_t latest = group.pending(group.pending_size() - 1);
      DropBefore(group, rule, Minus(latest, Plus(span, Grace(rule))), blocks_);
      continue;
    }
    verdict = Judge(group, rule, *window);
    const int64_t enough = group.pending(window->last);
    DropBefore(group, rule, group.pending(window->first), blocks_);
    const auto outers = group.outers();
    const auto times = group.pending();
    OpenFinding(group, key, span);
    grew = began = true;
    for (const int64_t one : times) {
      if (!passes || one < enough || one > group.last()) continue;
      for (const auto& outer : outers) {
        Pass(place, rule, outer.levels(), one, hit, group.pieces());
      }
    }
  }
  if (grew) tell();
}

// Gathers the events of a hit until their window ends.
void Windows::Collect(const std::string& key, Group& group, const RuleSummary& rule, const Hit& hit,
                      Arrival arrival) {
  const int64_t watermark = Watermark();
  const bool any_time =
      limits_.offline || arrival == Arrival::kFromWindow || watermark == INT64_MAX;
  const int64_t oldest = any_time ? INT64_MIN : Minus(watermark, Grace(rule));
  for (int i = 0; i < hit.times_size(); ++i) {
    if (hit.times(i) < oldest || AddPending(group, rule, EventOf(hit, i)) < 0) {
      ++late_;
      continue;
    }
    AddOuter(group, hit.outer(), hit.times(i));
  }
  for (const auto& piece : hit.pieces()) {
    if (piece.time() >= Minus(oldest, rule.reach_nanos())) AddPiece(group, piece, blocks_);
  }
  if (group.pending().empty()) {
    waiting_.erase({group.expires(), key});
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
  Wait(key, group, rule);
}

// The group's first window has ended.
void Windows::Decide(const std::string& key, std::vector<Outcome>& outcomes) {
  Group& group = groups_[key];
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
      *outcome.finding.mutable_first_event_time() = Time(first);
      *outcome.finding.mutable_last_event_time() = Time(last);
      outcome.finding.clear_action();  // of this window, not of when the group began
      ShowEvidence(evidence, outcome.finding);
      if (outcome.finding.action() == event::v1::ACTION_UNSPECIFIED) {
        outcome.finding.set_action(group.about().action());
      }
      AddTagFacts(outcome.finding);
      outcomes.push_back(std::move(outcome));
    }
    const Place place{group.tenant(), group.source_shard(), watermarks_[group.source_shard()]};
    for (const auto& outer : group.outers()) {
      if (rule->outer().empty() || outer.first() > end) continue;
      Pass(place, *rule, outer.levels(), last, group.about(), evidence);
    }
  }
  DropBefore(group, *rule, Plus(end, 1), blocks_);
  if (group.pending().empty()) {
    Erase(key);
  } else {
    Wait(key, group, *rule);
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

void Windows::Take(const Place& place, const RuleSummary& rule, const Hit& hit, Arrival arrival,
                   std::vector<Outcome>& outcomes) {
  const std::string key = GroupKey(place.tenant, rule, hit);
  Group* group = Find(key, place, rule, outcomes);
  if (group == nullptr) {
    ++overflowed_;
    outcomes.push_back(
        {OverflowFinding(place.tenant, rule, hit, limits_.groups_per_rule), true, true});
    return;
  }
  if (rule.at_end()) {
    group->set_source_shard(place.source_shard);
    Collect(key, *group, rule, hit, arrival);
    return;
  }
  Count(key, *group, place, rule, hit, outcomes);
  Touch(key, *group, place, rule);
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

std::vector<Windows::Outcome> Windows::Apply(HitBatch batch) {
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
  for (const auto& [key, group] : groups_) dirty_[key] = &group;
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
  dirty_.clear();
  dirty_bundles_.clear();
  dirty_checkpoints_.clear();
  dirty_watermarks_.clear();
  blocks_.Clean();
}

}  // namespace yagura::detection
