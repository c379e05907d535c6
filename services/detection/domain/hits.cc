#include "services/detection/domain/hits.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/event/event_view.h"
#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::detection {
namespace {

using internal::v1::Hit;
using internal::v1::HitBatch;
using internal::v1::RuleSummary;

constexpr size_t kMaxGroupValue = 512;
constexpr size_t kMaxFieldValue = 1024;
constexpr int kMaxMatchedFields = 16;

void AddField(google::protobuf::RepeatedPtrField<event::v1::Field>& fields, std::string_view name,
              std::string_view value, size_t limit) {
  auto* field = fields.Add();
  field->set_name(std::string(name));
  field->set_value(std::string(value.substr(0, limit)));
}

std::string AddressText(std::string_view bytes) {
  return event::IpAddress::FromBytes(bytes).ToString();
}

void AddEntity(Hit& hit, v1::EntityType type, std::string_view value, std::string_view role) {
  if (value.empty()) return;
  auto* entity = hit.add_entities();
  entity->set_type(type);
  entity->set_value(ToValidUtf8(value.substr(0, kMaxFieldValue)));
  entity->set_role(std::string(role));
}

// The core columns that hits are made of, read once a batch.
class EventFacts {
 public:
  EventFacts(event::BatchReader& batch, std::span<const uint32_t> rows)
      : batch_(batch), rows_(rows) {}

  Status Load() {
    using event::Core;
    for (const auto& [core, column] : std::initializer_list<std::pair<Core, const event::Column**>>{
             {Core::kEventTime, &event_time_},
             {Core::kReceiveTime, &receive_time_},
             {Core::kDevice, &device_},
             {Core::kSite, &site_},
             {Core::kAction, &action_},
             {Core::kSrcIp, &src_ip_},
             {Core::kDstIp, &dst_ip_},
             {Core::kUser, &user_},
             {Core::kHost, &host_},
             {Core::kUrl, &url_}}) {
      YAGURA_ASSIGN_OR_RETURN(*column, batch_.Read(core));
    }
    return absl::OkStatus();
  }

  int64_t ReceiveNanos(size_t row) const {
    return receive_time_->has(row) ? receive_time_->signed_number(row)
                                   : batch_.header().receive_time.time_since_epoch().count();
  }

  // A device's clock may be wrong, but it cannot have seen what has not reached us yet.
  int64_t WindowTime(size_t row) const {
    const int64_t received = ReceiveNanos(row);
    const int64_t happened = event_time_->has(row) ? event_time_->signed_number(row) : received;
    return std::min(happened, received);
  }

  StatusOr<v1::Evidence> EvidenceOf(size_t row) {
    v1::Evidence evidence;
    evidence.set_event_id(batch_.EventId(row < rows_.size() ? rows_[row] : row));
    const auto time = [](int64_t nanos) {
      return ToProto(TimePoint(std::chrono::nanoseconds(nanos)));
    };
    const int64_t received = ReceiveNanos(row);
    *evidence.mutable_event_time() =
        time(event_time_->has(row) ? event_time_->signed_number(row) : received);
    *evidence.mutable_receive_time() = time(received);
    YAGURA_ASSIGN_OR_RETURN(const auto raw, batch_.Raw(row));
    evidence.set_raw(std::string(raw.substr(0, kMaxEvidenceRaw)));
    return evidence;
  }

  void Describe(size_t row, Hit& hit) const {
    hit.set_device(std::string(device_->text(row)));
    hit.set_site(std::string(site_->text(row)));
    hit.set_action(static_cast<event::v1::Action>(action_->number(row)));
    AddEntity(hit, v1::IP_ADDRESS, AddressText(src_ip_->text(row)), "source");
    AddEntity(hit, v1::IP_ADDRESS, AddressText(dst_ip_->text(row)), "target");
    AddEntity(hit, v1::USER, user_->text(row), "actor");
    AddEntity(hit, v1::HOST, host_->text(row), "host");
    AddEntity(hit, v1::URL, url_->text(row), "target");
  }

  // What a finding of a single-event rule is about: who did it, seen by which device.
  void AddSubject(size_t row, Hit& hit) const {
    auto& group = *hit.mutable_group();
    AddField(group, "site", site_->text(row), kMaxGroupValue);
    AddField(group, "device", device_->text(row), kMaxGroupValue);
    AddField(group, "host", host_->text(row), kMaxGroupValue);
    AddField(group, "src.ip", AddressText(src_ip_->text(row)), kMaxGroupValue);
    AddField(group, "user", user_->text(row), kMaxGroupValue);
  }

 private:
  event::BatchReader& batch_;
  const std::span<const uint32_t> rows_;
  const event::Column* event_time_ = nullptr;
  const event::Column* receive_time_ = nullptr;
  const event::Column* device_ = nullptr;
  const event::Column* site_ = nullptr;
  const event::Column* action_ = nullptr;
  const event::Column* src_ip_ = nullptr;
  const event::Column* dst_ip_ = nullptr;
  const event::Column* user_ = nullptr;
  const event::Column* host_ = nullptr;
  const event::Column* url_ = nullptr;
};

RuleSummary Summarize(const ParsedRule& parsed, const RuleInfo& info) {
  RuleSummary summary;
  summary.set_id(info.id);
  summary.set_version(parsed.version);
  summary.set_title(info.title);
  summary.set_severity(static_cast<event::v1::Severity>(info.severity));
  summary.set_description(info.description);
  for (const auto& tag : info.tags) summary.add_tags(tag);
  for (const auto& text : info.false_positives) summary.add_false_positives(text);
  return summary;
}

// Sorts the times and keeps the evidence of the earliest.
void OrderByTime(Hit& hit) { std::sort(hit.mutable_times()->begin(), hit.mutable_times()->end()); }

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
    const ParsedRule& parsed = matcher_.rules().rule(target);
    if (target.counted) {
      YAGURA_RETURN_IF_ERROR(AddHit(match, target, parsed, true));
    }
    if (target.makes_findings) YAGURA_RETURN_IF_ERROR(AddHit(match, target, parsed, false));
    return absl::OkStatus();
  }

  std::vector<std::pair<int, HitBatch>> Take() {
    std::vector<std::pair<int, HitBatch>> result;
    for (auto& [shard, batch] : batches_) {
      for (auto& hit : *batch.mutable_hits()) OrderByTime(hit);
      result.emplace_back(shard, std::move(batch));
    }
    return result;
  }

 private:
  Status AddHit(const Match& match, const RuleSet::Target& target, const ParsedRule& parsed,
                bool correlation) {
    const RuleInfo& info = correlation ? parsed.correlation->info : parsed.rules[target.rule].info;
    Hit fresh;
    if (correlation) {
      for (const uint32_t field : target.group_fields) {
        YAGURA_ASSIGN_OR_RETURN(const auto value, matcher_.Value(field, match.row));
        AddField(*fresh.mutable_group(), matcher_.rules().field_name(field), value, kMaxGroupValue);
      }
    } else {
      facts_.AddSubject(match.row, fresh);
    }
    std::string key = fmt::format("{}\n", info.id);
    for (const auto& field : fresh.group())
      key += fmt::format("{}:{}\n", field.value().size(), field.value());

    auto found = hits_.find(key);
    if (found == hits_.end()) {
      YAGURA_ASSIGN_OR_RETURN(Hit * placed, Place(std::move(fresh), parsed, info, correlation));
      facts_.Describe(match.row, *placed);
      YAGURA_RETURN_IF_ERROR(AddMatchedFields(match.row, target, *placed));
      found = hits_.emplace(std::move(key), placed).first;
    }
    // An event that several rules of one correlation match is still one event.
    Hit& hit = *found->second;
    HitBatch& holder = batches_[ShardFor(info)];
    holder.set_received(std::max(holder.received(), facts_.ReceiveNanos(match.row)));
    if (last_row_[&hit] == match.row + 1) return absl::OkStatus();
    last_row_[&hit] = match.row + 1;
    hit.add_times(facts_.WindowTime(match.row));
    if (hit.evidence_size() < kMaxEvidence) {
      YAGURA_ASSIGN_OR_RETURN(*hit.add_evidence(), facts_.EvidenceOf(match.row));
    }
    return absl::OkStatus();
  }

  int ShardFor(const RuleInfo& info) const {
    return shard_of_(fmt::format("{}/{}", batch_.tenant(), info.id));
  }

  StatusOr<Hit*> Place(Hit hit, const ParsedRule& parsed, const RuleInfo& info, bool correlation) {
    HitBatch& batch = batches_[ShardFor(info)];
    if (batch.tenant().empty()) {
      batch.set_tenant(batch_.tenant());
      batch.set_source_shard(static_cast<uint32_t>(source_.shard));
      batch.set_source_id(source_.id);
      batch.set_epoch(source_.epoch);
      batch.set_rule_set_version(source_.rule_set_version.empty() ? matcher_.rules().version()
                                                                  : source_.rule_set_version);
    }
    int index = 0;
    while (index < batch.rules_size() && batch.rules(index).id() != info.id) ++index;
    if (index == batch.rules_size()) {
      RuleSummary summary = Summarize(parsed, info);
      summary.set_threshold(correlation ? parsed.correlation->threshold : 1);
      summary.set_timespan_nanos(correlation ? parsed.correlation->timespan.count()
                                             : fold_.count());
      *batch.add_rules() = std::move(summary);
    }
    hit.set_rule(static_cast<uint32_t>(index));
    auto* placed = batch.add_hits();
    *placed = std::move(hit);
    return placed;
  }

  Status AddMatchedFields(size_t row, const RuleSet::Target& target, Hit& hit) {
    for (const uint32_t field : target.matched_fields) {
      if (hit.matched_fields_size() == kMaxMatchedFields) break;
      YAGURA_ASSIGN_OR_RETURN(const auto value, matcher_.Value(field, row));
      if (value.empty()) continue;
      AddField(*hit.mutable_matched_fields(), matcher_.rules().field_name(field), value,
               kMaxFieldValue);
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
  std::map<std::string, Hit*> hits_;  // RepeatedPtrField never moves its elements
  std::map<Hit*, uint32_t> last_row_;
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
