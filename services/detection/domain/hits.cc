#include "services/detection/domain/hits.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <unordered_map>

#include "fmt/format.h"

#include "common/digest/sha256.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "services/detection/domain/event_facts.h"
#include "services/detection/domain/evidence_block.h"
#include "services/detection/domain/packed.h"
#include "services/detection/domain/rule_summary.h"

namespace yagura::detection {
namespace {

using internal::v1::EvidenceRef;
using internal::v1::Hit;
using internal::v1::HitBatch;

constexpr size_t kMaxGroupValue = 512;
constexpr size_t kMaxFieldValue = 1024;
constexpr int kMaxMatchedFields = 16;
constexpr size_t kMaxEvidenceValue = 256;
constexpr int kMaxEvidenceFields = 8;
constexpr int kMaxNames = 1000;
constexpr size_t kMaxNameSize = 256;

// What a correlation counts an event as.
struct Sample {
  int64_t time = 0;
  uint64_t key = 0;
  double number = 0;
  uint32_t row = 0;

  auto operator<=>(const Sample&) const = default;
};

// The hits of one shard while they are gathered.
struct ShardHits {
  HitBatch batch;
  std::unordered_map<uint32_t, uint32_t> events;  // by row, their places in the block
  std::map<Match, EvidenceRef> pieces;
};

// A hit while its events are gathered.
struct OpenHit {
  Hit* hit = nullptr;  // RepeatedPtrField never moves its elements
  ShardHits* shard = nullptr;
  std::vector<Sample> samples;
  bool has_keys = false;
  bool has_numbers = false;
};

// Writes the samples in order of time.
void Finish(OpenHit& open) {
  std::sort(open.samples.begin(), open.samples.end());
  for (const Sample& sample : open.samples) {
    open.hit->add_times(sample.time);
    if (open.has_keys) open.hit->add_keys(sample.key);
    if (open.has_numbers) open.hit->add_numbers(sample.number);
  }
}

// The same value gives the same digest in every process.
uint64_t DigestOf(const std::vector<std::string_view>& values) {
  std::string text;
  for (const auto value : values) text += fmt::format("{}:{}\n", value.size(), value);
  const std::string digest = Sha256(text);
  uint64_t key = 0;
  for (size_t i = 0; i < sizeof key; ++i) key = key << 8 | static_cast<unsigned char>(digest[i]);
  return key;
}

bool TakesNumbers(const Correlation& correlation) {
  using Type = Correlation::Type;
  return correlation.type == Type::kValueSum || correlation.type == Type::kValueAverage ||
         (correlation.type == Type::kValuePercentile && correlation.percentile);
}
bool IsTemporal(const Correlation& correlation) {
  using Type = Correlation::Type;
  return correlation.type == Type::kTemporal || correlation.type == Type::kTemporalOrdered;
}
bool TakesKeys(const Correlation& correlation) {
  return IsTemporal(correlation) || (!correlation.fields.empty() && !TakesNumbers(correlation));
}

// The group-by values of an event, cut to what a group keeps.
using GroupValues = std::vector<EventFacts::GroupValue>;

// What an event is to a correlation further out.
struct Level {
  GroupValues group;
  std::optional<uint64_t> key;
  double number = 0;
};

void AddText(std::string_view text, std::string& key) {
  const auto size = static_cast<uint32_t>(text.size());
  key.append(reinterpret_cast<const char*>(&size), sizeof size);
  key += text;
}

template <typename Number>
void AddNumber(Number number, std::string& key) {
  key.append(reinterpret_cast<const char*>(&number), sizeof number);
}

void SetGroup(const GroupValues& values,
              google::protobuf::RepeatedPtrField<event::v1::Field>& group) {
  for (const auto& [name, value] : values) AddField(group, name, value, kMaxGroupValue);
}

class HitCollector {
 public:
  HitCollector(BatchMatcher& matcher, event::BatchReader& batch, const HitSource& source,
               const ShardOf& shard_of, std::chrono::nanoseconds fold)
      : matcher_(matcher),
        batch_(batch),
        source_(source),
        shard_of_(shard_of),
        fold_(fold),
        batch_digest_(EventDigest(batch.batch_id(), 0)),
        facts_(batch, source.rows) {}

  Status Load() { return facts_.Load(); }

  Status Add(const Match& match) {
    const RuleSet::Target& target = matcher_.rules().targets()[match.target];
    for (const auto& use : target.uses) YAGURA_RETURN_IF_ERROR(AddCounted(match, target, use));
    if (target.makes_findings) YAGURA_RETURN_IF_ERROR(AddSingle(match, target));
    return absl::OkStatus();
  }

  std::vector<std::pair<int, HitBatch>> Take() {
    for (auto& [key, open] : hits_) Finish(open);
    std::vector<std::pair<int, HitBatch>> result;
    for (auto& [number, shard] : shards_) result.emplace_back(number, std::move(shard.batch));
    return result;
  }

 private:
  // What an event shows, built when it is first asked for.
  struct Shown {
    std::string evidence;  // serialized
    std::string core;
    bool has_core = false;
  };
  struct Value {
    uint64_t key = 0;
    double number = 0;
    std::string_view text;
  };

  Status AddSingle(const Match& match, const RuleSet::Target& target) {
    const ParsedRule& parsed = matcher_.rules().rule(target);
    const RuleInfo& info = parsed.rules[target.rule].info;
    StartKey(info.id, parsed.version);
    const GroupValues group = facts_.SubjectOf(match.row);
    AddGroup(group);
    auto [open, is_new] = FindHit();
    if (is_new) {
      open->shard = &ShardFor(info.id);
      HitBatch& batch = open->shard->batch;
      const uint32_t rule = SummaryOf(batch, parsed, target.rule);
      open->hit = batch.add_hits();
      open->hit->set_rule(rule);
      SetGroup(group, *open->hit->mutable_group());
      YAGURA_RETURN_IF_ERROR(AddMatchedFields(match, {kMaxMatchedFields, kMaxFieldValue},
                                              *open->hit->mutable_matched_fields()));
    }
    return AddSample(match, {}, false, *open);
  }

  Status AddCounted(const Match& match, const RuleSet::Target& target,
                    const std::vector<RuleSet::UseLevel>& use) {
    const ParsedRule& parsed = matcher_.rules().rule(target);
    const Correlation& counted = parsed.correlations[use.front().correlation];
    YAGURA_ASSIGN_OR_RETURN(const auto value, Measured(parsed, use.front(), match.row));
    if (!value) return absl::OkStatus();  // nothing to measure
    StartKey(counted.info.id, parsed.version);
    YAGURA_ASSIGN_OR_RETURN(const auto group, GroupOf(parsed, use.front(), match.row));
    AddGroup(group);
    YAGURA_ASSIGN_OR_RETURN(const auto levels, LevelsOf(parsed, use, match.row));
    auto [open, is_new] = FindHit();
    if (is_new) {
      open->shard = &ShardFor(parsed.info().id);
      HitBatch& batch = open->shard->batch;
      const uint32_t rule = SummaryOf(batch, parsed, use);
      open->hit = batch.add_hits();
      open->hit->set_rule(rule);
      SetGroup(group, *open->hit->mutable_group());
      for (const Level& level : levels) {
        auto& outer = *open->hit->add_outer();
        SetGroup(level.group, *outer.mutable_group());
        if (level.key) outer.set_key(*level.key);
        outer.set_number(level.number);
      }
      open->has_keys = TakesKeys(counted);
      open->has_numbers = TakesNumbers(counted);
    }
    if (counted.type == Correlation::Type::kValuePercentile && open->has_keys &&
        open->hit->names_size() < kMaxNames) {
      (*open->hit->mutable_names())[value->key] = ToValidUtf8(value->text.substr(0, kMaxNameSize));
    }
    return AddSample(match, *value, IsTemporal(counted), *open);
  }

  StatusOr<GroupValues> GroupOf(const ParsedRule& parsed, const RuleSet::UseLevel& level,
                                size_t row) {
    const auto& names = parsed.correlations[level.correlation].group_by;
    GroupValues values;
    values.reserve(level.group_fields.size());
    for (size_t i = 0; i < level.group_fields.size(); ++i) {
      YAGURA_ASSIGN_OR_RETURN(const auto value, matcher_.Value(level.group_fields[i], row));
      values.push_back({names[i], value.substr(0, kMaxGroupValue)});
    }
    return values;
  }

  // The levels above the first, which become part of the key, too.
  StatusOr<std::vector<Level>> LevelsOf(const ParsedRule& parsed,
                                        const std::vector<RuleSet::UseLevel>& use, size_t row) {
    std::vector<Level> levels;
    for (size_t i = 1; i < use.size(); ++i) {
      Level& level = levels.emplace_back();
      YAGURA_ASSIGN_OR_RETURN(level.group, GroupOf(parsed, use[i], row));
      YAGURA_ASSIGN_OR_RETURN(const auto outer, Measured(parsed, use[i], row));
      if (outer) {
        level.key = IsTemporal(parsed.correlations[use[i].correlation]) ? 0 : outer->key;
        level.number = outer->number;
      }
      AddGroup(level.group);
      AddNumber(level.key.has_value(), key_);
      AddNumber(level.key.value_or(0), key_);
      AddNumber(level.number, key_);
    }
    return levels;
  }

  // What the correlation measures of an event; nothing where the event does not have it.
  StatusOr<std::optional<Value>> Measured(const ParsedRule& parsed, const RuleSet::UseLevel& level,
                                          size_t row) {
    const Correlation& correlation = parsed.correlations[level.correlation];
    Value value;
    if (IsTemporal(correlation)) {
      value.key = 1ULL << level.member;
      return value;
    }
    if (level.value_fields.empty()) return value;
    std::vector<std::string_view> texts;
    for (const uint32_t field : level.value_fields) {
      YAGURA_ASSIGN_OR_RETURN(const auto text, matcher_.Value(field, row));
      if (text.empty()) return std::nullopt;
      texts.push_back(text);
    }
    if (TakesNumbers(correlation)) {
      const auto number = ParseNumber<double>(Trim(texts.front()));
      if (!number || !std::isfinite(*number)) return std::nullopt;
      value.number = *number;
      return value;
    }
    value.text = texts.front();
    if (texts.size() > 1) {
      value.key = DigestOf(texts);
      return value;
    }
    // The same few values come again and again.
    const auto [known, is_new] = digests_.try_emplace(texts.front(), 0);
    if (is_new) known->second = DigestOf(texts);
    value.key = known->second;
    return value;
  }

  // What names a hit: its rule and its group.
  void StartKey(std::string_view rule_id, std::string_view version) {
    key_.clear();
    AddText(rule_id, key_);
    AddText(version, key_);
  }
  void AddGroup(const GroupValues& values) {
    for (const auto& one : values) AddText(one.value.substr(0, kMaxGroupValue), key_);
  }
  // The hit of that key, and whether it has just been made.
  std::pair<OpenHit*, bool> FindHit() {
    if (const auto found = hits_.find(std::string_view(key_)); found != hits_.end()) {
      return {&found->second, false};
    }
    return {&hits_[key_], true};
  }

  // An event that several rules of one correlation match is still one event.
  Status AddSample(const Match& match, const Value& value, bool joins, OpenHit& open) {
    const uint32_t row = match.row;
    HitBatch& batch = open.shard->batch;
    batch.set_received(std::max(batch.received(), facts_.ReceiveNanos(row)));
    for (auto sample = open.samples.rbegin(); sample != open.samples.rend() && sample->row == row;
         ++sample) {
      if (joins) sample->key |= value.key;
      return absl::OkStatus();
    }
    open.samples.push_back({facts_.WindowTime(row), value.key, value.number, row});
    const auto action = facts_.ActionOf(row);
    open.hit->set_action(open.samples.size() == 1 ? action
                                                  : LaxerAction(open.hit->action(), action));
    if (open.hit->pieces_size() == kMaxEvidence) return absl::OkStatus();
    YAGURA_ASSIGN_OR_RETURN(*open.hit->add_pieces(), PieceOf(match, *open.shard));
    if (open.samples.size() > 1) return absl::OkStatus();
    *open.hit->mutable_first() = open.hit->pieces(0);
    YAGURA_ASSIGN_OR_RETURN(const uint32_t bytes, AddCore(row, *open.shard));
    open.hit->mutable_first()->set_core_bytes(bytes);
    return absl::OkStatus();
  }

  StatusOr<Shown*> ShownOf(uint32_t row) {
    const auto [found, is_new] = shown_.try_emplace(row);
    if (is_new) {
      YAGURA_ASSIGN_OR_RETURN(const auto evidence, facts_.EvidenceOf(row));
      found->second.evidence = evidence.SerializeAsString();
    }
    return &found->second;
  }

  // A match in the block of its shard: one piece, however many correlations count it.
  StatusOr<EvidenceRef> PieceOf(const Match& match, ShardHits& shard) {
    if (const auto known = shard.pieces.find(match); known != shard.pieces.end()) {
      return known->second;
    }
    YAGURA_ASSIGN_OR_RETURN(const Shown* shown, ShownOf(match.row));
    auto& block = *shard.batch.mutable_evidence();
    const auto [place, is_new] =
        shard.events.try_emplace(match.row, static_cast<uint32_t>(block.events_size()));
    if (is_new) block.add_events(shown->evidence);
    EvidenceRef ref;
    ref.set_piece(static_cast<uint32_t>(block.pieces_size()));
    auto& piece = *block.add_pieces();
    piece.set_event(place->second);
    YAGURA_RETURN_IF_ERROR(AddMatchedFields(match, {kMaxEvidenceFields, kMaxEvidenceValue},
                                            *piece.mutable_matched_fields()));
    ref.set_time(facts_.WindowTime(match.row));
    ref.set_bytes(EvidenceBytes(shown->evidence.size(), piece));
    ref.set_event(batch_digest_ + facts_.RowOf(match.row));
    shard.pieces.emplace(match, ref);
    return ref;
  }

  // The typed core of an event that is there already; how many bytes it takes.
  StatusOr<uint32_t> AddCore(uint32_t row, ShardHits& shard) {
    Shown& shown = shown_.at(row);
    if (!shown.has_core) {
      YAGURA_ASSIGN_OR_RETURN(const auto core, facts_.CoreOf(row));
      shown.core = core.SerializeAsString();
      shown.has_core = true;
    }
    auto& cores = *shard.batch.mutable_evidence()->mutable_cores();
    const auto place = static_cast<int>(shard.events.at(row));
    while (cores.size() <= place) cores.Add();
    if (cores[place].empty()) cores[place] = shown.core;
    return static_cast<uint32_t>(shown.core.size());
  }

  // `partition`: what decides on the shard.
  ShardHits& ShardFor(const std::string& partition) {
    ShardHits& shard = shards_[shard_of_(fmt::format("{}/{}", batch_.tenant(), partition))];
    HitBatch& batch = shard.batch;
    if (batch.tenant().empty()) {
      batch.set_tenant(batch_.tenant());
      batch.set_source_shard(static_cast<uint32_t>(source_.shard));
      batch.set_source_id(source_.id);
      batch.set_epoch(source_.epoch);
      batch.set_rule_set_version(source_.rule_set_version.empty() ? matcher_.rules().version()
                                                                  : source_.rule_set_version);
    }
    return shard;
  }

  static std::optional<uint32_t> FindSummary(const HitBatch& batch, const ParsedRule& parsed,
                                             const RuleInfo& info) {
    for (int i = 0; i < batch.rules_size(); ++i) {
      const auto& rule = batch.rules(i);
      if (rule.id() == info.id && rule.version() == parsed.version) return static_cast<uint32_t>(i);
    }
    return std::nullopt;
  }

  uint32_t SummaryOf(HitBatch& batch, const ParsedRule& parsed, size_t rule) const {
    if (const auto found = FindSummary(batch, parsed, parsed.rules[rule].info)) return *found;
    *batch.add_rules() = SummarizeRule(parsed, rule, fold_);
    return static_cast<uint32_t>(batch.rules_size() - 1);
  }

  // Of the correlation that counts the rule; those above come with it.
  static uint32_t SummaryOf(HitBatch& batch, const ParsedRule& parsed,
                            const std::vector<RuleSet::UseLevel>& use) {
    for (const auto& level : use) {
      if (FindSummary(batch, parsed, parsed.correlations[level.correlation].info)) continue;
      *batch.add_rules() = SummarizeCorrelation(parsed, level.correlation);
    }
    return *FindSummary(batch, parsed, parsed.correlations[use.front().correlation].info);
  }

  struct Bounds {
    int fields;
    size_t value;
  };
  Status AddMatchedFields(const Match& match, const Bounds& bounds,
                          google::protobuf::RepeatedPtrField<event::v1::Field>& fields) {
    YAGURA_ASSIGN_OR_RETURN(const auto numbers, matcher_.MatchedFields(match));
    for (const uint32_t field : numbers) {
      if (fields.size() == bounds.fields) break;
      YAGURA_ASSIGN_OR_RETURN(const auto value, matcher_.Value(field, match.row));
      if (value.empty()) continue;
      AddField(fields, matcher_.rules().field_name(field), value, bounds.value);
    }
    return absl::OkStatus();
  }

  BatchMatcher& matcher_;
  event::BatchReader& batch_;
  const HitSource& source_;
  const ShardOf& shard_of_;
  const std::chrono::nanoseconds fold_;
  const uint64_t batch_digest_;
  EventFacts facts_;
  std::map<int, ShardHits> shards_;
  StringMap<OpenHit> hits_;
  std::string key_;                                         // of the hit that is looked for
  std::unordered_map<uint32_t, Shown> shown_;               // by row
  std::unordered_map<std::string_view, uint64_t> digests_;  // of values, which the batch has
};

}  // namespace

absl::StatusOr<std::vector<std::pair<int, HitBatch>>> MakeHits(
    BatchMatcher& matcher, event::BatchReader& batch, const std::vector<Match>& matches,
    const HitSource& source, const ShardOf& shard_of, std::chrono::nanoseconds fold) {
  HitCollector collector(matcher, batch, source, shard_of, fold);
  YAGURA_RETURN_IF_ERROR(collector.Load());
  for (const Match& match : matches) YAGURA_RETURN_IF_ERROR(collector.Add(match));
  return collector.Take();
}

absl::StatusOr<Found> FindHits(BatchMatcher& matcher, event::BatchReader& batch,
                               const HitSource& source, const ShardOf& shard_of,
                               std::chrono::nanoseconds fold) {
  YAGURA_ASSIGN_OR_RETURN(const auto matches, matcher.Run(batch));
  Found found{matches.size(), {}};
  if (matches.empty()) return found;
  YAGURA_ASSIGN_OR_RETURN(found.hits, MakeHits(matcher, batch, matches, source, shard_of, fold));
  return found;
}

std::string PackHits(HitBatch& batch, Packer& packer) {
  if (batch.has_evidence()) {
    batch.set_packed_evidence(packer.Pack(batch.evidence()));
    batch.clear_evidence();
  }
  return packer.Pack(batch, batch.packed_evidence().empty() ? kPlainVersion : kBlockVersion);
}

HitBatch CopyHits(const HitBatch& batch, std::span<const uint32_t> hits) {
  HitBatch copy;
  copy.set_tenant(batch.tenant());
  copy.set_source_shard(batch.source_shard());
  copy.set_source_id(batch.source_id());
  copy.set_epoch(batch.epoch());
  copy.set_rule_set_version(batch.rule_set_version());
  *copy.mutable_rules() = batch.rules();
  for (const uint32_t index : hits) *copy.add_hits() = batch.hits(static_cast<int>(index));
  copy.set_received(batch.received());
  if (batch.has_evidence()) *copy.mutable_evidence() = batch.evidence();
  copy.set_packed_evidence(batch.packed_evidence());
  return copy;
}

void AddWatermarks(const event::BatchReader& batch, const HitSource& source, int shards,
                   std::vector<std::pair<int, HitBatch>>& hits) {
  const int64_t received = batch.header().receive_time.time_since_epoch().count();
  std::vector<bool> has(static_cast<size_t>(shards), false);
  for (auto& [shard, hit_batch] : hits) {
    has[static_cast<size_t>(shard)] = true;
    hit_batch.set_received(std::max(hit_batch.received(), received));
  }
  for (int shard = 0; shard < shards; ++shard) {
    if (has[static_cast<size_t>(shard)]) continue;
    HitBatch empty;
    empty.set_tenant(batch.tenant());
    empty.set_source_shard(static_cast<uint32_t>(source.shard));
    empty.set_source_id(source.id);
    empty.set_epoch(source.epoch);
    empty.set_rule_set_version(source.rule_set_version);
    empty.set_received(received);
    hits.emplace_back(shard, std::move(empty));
  }
}

}  // namespace yagura::detection
