#include "services/detection/domain/hits.h"

#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <optional>

#include "fmt/format.h"

#include "common/status/status.h"
#include "common/text/text.h"
#include "services/detection/domain/event_facts.h"
#include "services/detection/domain/rule_summary.h"

namespace yagura::detection {
namespace {

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

// A hit while its events are gathered.
struct OpenHit {
  Hit* hit = nullptr;  // RepeatedPtrField never moves its elements
  HitBatch* batch = nullptr;
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
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  uint64_t key = 0;
  for (size_t i = 0; i < sizeof key; ++i) key = key << 8 | digest[i];
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

class HitCollector {
 public:
  HitCollector(BatchMatcher& matcher, event::BatchReader& batch, const HitSource& source,
               const ShardOf& shard_of, std::chrono::nanoseconds fold)
      : matcher_(matcher),
        batch_(batch),
        source_(source),
        shard_of_(shard_of),
        fold_(fold),
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
    for (auto& [shard, batch] : batches_) result.emplace_back(shard, std::move(batch));
    return result;
  }

 private:
  struct Value {
    uint64_t key = 0;
    double number = 0;
    std::string text;
  };

  Status AddSingle(const Match& match, const RuleSet::Target& target) {
    const ParsedRule& parsed = matcher_.rules().rule(target);
    const RuleInfo& info = parsed.rules[target.rule].info;
    Hit fresh;
    facts_.AddSubject(match.row, fresh);
    YAGURA_ASSIGN_OR_RETURN(
        OpenHit * open,
        Open(match, info.id, fmt::format("{} {}", info.id, parsed.version), std::move(fresh),
             [&](HitBatch& batch) { return SummaryOf(batch, parsed, target.rule); }));
    return AddSample(match, {}, false, *open);
  }

  Status AddCounted(const Match& match, const RuleSet::Target& target,
                    const std::vector<RuleSet::UseLevel>& use) {
    const ParsedRule& parsed = matcher_.rules().rule(target);
    const Correlation& counted = parsed.correlations[use.front().correlation];
    YAGURA_ASSIGN_OR_RETURN(const auto value, Measured(parsed, use.front(), match.row));
    if (!value) return absl::OkStatus();  // nothing to measure
    Hit fresh;
    YAGURA_RETURN_IF_ERROR(AddGroup(parsed, use.front(), match.row, *fresh.mutable_group()));
    for (size_t i = 1; i < use.size(); ++i) {
      auto& level = *fresh.add_outer();
      YAGURA_RETURN_IF_ERROR(AddGroup(parsed, use[i], match.row, *level.mutable_group()));
      YAGURA_ASSIGN_OR_RETURN(const auto outer, Measured(parsed, use[i], match.row));
      if (!outer) continue;
      level.set_key(IsTemporal(parsed.correlations[use[i].correlation]) ? 0 : outer->key);
      level.set_number(outer->number);
    }
    YAGURA_ASSIGN_OR_RETURN(
        OpenHit * open,
        Open(match, parsed.info().id, fmt::format("{} {}", counted.info.id, parsed.version),
             std::move(fresh), [&](HitBatch& batch) { return SummaryOf(batch, parsed, use); }));
    open->has_keys = TakesKeys(counted);
    open->has_numbers = TakesNumbers(counted);
    if (counted.type == Correlation::Type::kValuePercentile && open->has_keys &&
        open->hit->names_size() < kMaxNames) {
      (*open->hit->mutable_names())[value->key] =
          ToValidUtf8(std::string_view(value->text).substr(0, kMaxNameSize));
    }
    return AddSample(match, *value, IsTemporal(counted), *open);
  }

  Status AddGroup(const ParsedRule& parsed, const RuleSet::UseLevel& level, size_t row,
                  google::protobuf::RepeatedPtrField<event::v1::Field>& group) {
    const auto& names = parsed.correlations[level.correlation].group_by;
    for (size_t i = 0; i < level.group_fields.size(); ++i) {
      YAGURA_ASSIGN_OR_RETURN(const auto value, matcher_.Value(level.group_fields[i], row));
      AddField(group, names[i], value, kMaxGroupValue);
    }
    return absl::OkStatus();
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
    value.key = DigestOf(texts);
    value.text = std::string(texts.front().substr(0, kMaxNameSize));
    return value;
  }

  // The hit of that rule and group. `partition`: what decides on the shard, `rule_key`: names the
  // rule that makes the group; `summary_of`: the place of its summary in a batch.
  StatusOr<OpenHit*> Open(const Match& match, const std::string& partition,
                          const std::string& rule_key, Hit fresh,
                          const std::function<uint32_t(HitBatch&)>& summary_of) {
    std::string key = fmt::format("{}\n", rule_key);
    AppendKey(fresh.group(), key);
    for (const auto& level : fresh.outer()) {
      AppendKey(level.group(), key);
      key += fmt::format("{} {} {}\n", level.has_key(), level.key(), level.number());
    }
    const auto [found, is_new] = hits_.try_emplace(std::move(key));
    OpenHit& open = found->second;
    if (is_new) {
      open.batch = &BatchFor(partition);
      fresh.set_rule(summary_of(*open.batch));
      open.hit = open.batch->add_hits();
      *open.hit = std::move(fresh);
      open.hit->set_action(facts_.ActionOf(match.row));
      YAGURA_RETURN_IF_ERROR(facts_.Describe(match.row, *open.hit));
      YAGURA_RETURN_IF_ERROR(AddMatchedFields(match, {kMaxMatchedFields, kMaxFieldValue},
                                              *open.hit->mutable_matched_fields()));
    }
    return &open;
  }

  static void AppendKey(const google::protobuf::RepeatedPtrField<event::v1::Field>& group,
                        std::string& key) {
    for (const auto& field : group)
      key += fmt::format("{}:{}\n", field.value().size(), field.value());
  }

  // An event that several rules of one correlation match is still one event.
  Status AddSample(const Match& match, const Value& value, bool joins, OpenHit& open) {
    const uint32_t row = match.row;
    open.batch->set_received(std::max(open.batch->received(), facts_.ReceiveNanos(row)));
    for (auto sample = open.samples.rbegin(); sample != open.samples.rend() && sample->row == row;
         ++sample) {
      if (joins) sample->key |= value.key;
      return absl::OkStatus();
    }
    open.samples.push_back({facts_.WindowTime(row), value.key, value.number, row});
    open.hit->set_action(LaxerAction(open.hit->action(), facts_.ActionOf(row)));
    if (open.hit->evidence_size() == kMaxEvidence) return absl::OkStatus();
    auto& evidence = *open.hit->add_evidence();
    YAGURA_ASSIGN_OR_RETURN(evidence, facts_.EvidenceOf(row));
    return AddMatchedFields(match, {kMaxEvidenceFields, kMaxEvidenceValue},
                            *evidence.mutable_matched_fields());
  }

  HitBatch& BatchFor(const std::string& partition) {
    HitBatch& batch = batches_[shard_of_(fmt::format("{}/{}", batch_.tenant(), partition))];
    if (batch.tenant().empty()) {
      batch.set_tenant(batch_.tenant());
      batch.set_source_shard(static_cast<uint32_t>(source_.shard));
      batch.set_source_id(source_.id);
      batch.set_epoch(source_.epoch);
      batch.set_rule_set_version(source_.rule_set_version.empty() ? matcher_.rules().version()
                                                                  : source_.rule_set_version);
    }
    return batch;
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
  EventFacts facts_;
  std::map<int, HitBatch> batches_;
  StringMap<OpenHit> hits_;
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
