#include "services/detection/workers/match_worker.h"

#include <algorithm>

#include "fmt/format.h"

#include "common/event/batch_slice.h"
#include "common/event/control.h"
#include "common/status/status.h"
#include "common/stream/bisect.h"
#include "services/detection/domain/hits.h"
#include "services/detection/domain/packed.h"

namespace yagura::detection {
namespace {

// What the matchers of all shards remember together; "events" has about as many as "hits".
constexpr size_t kMatchMemory = 64 << 20;

// The switch in force at a place: the latest at or before it, else the first.
auto InForce(const std::vector<RuleSetSwitch>& switches, stream::EntryId at) {
  const auto next = std::upper_bound(
      switches.begin(), switches.end(), at,
      [](const stream::EntryId& id, const RuleSetSwitch& one) { return id < one.at; });
  return next == switches.begin() ? next : next - 1;
}

}  // namespace

MatchWorker::MatchWorker(std::shared_ptr<RuleBook> rules,
                         std::shared_ptr<WatermarkStore> watermarks,
                         std::shared_ptr<stream::Producer> hits, std::chrono::nanoseconds fold,
                         MetricsRegistry& metrics, MatchStep match)
    : rules_(std::move(rules)),
      watermarks_(std::move(watermarks)),
      hits_(std::move(hits)),
      fold_(fold),
      match_(std::move(match)),
      events_seen_(metrics.GetCounter("yagura_detection_events_total", "Events looked at")),
      events_matched_(
          metrics.GetCounter("yagura_detection_matches_total", "Matches of events with rules")) {}

absl::Status MatchWorker::Handle(const stream::Worker::Context& context,
                                 const std::vector<stream::Entry>& entries) {
  Shard& shard = ShardAt(context.shard);
  YAGURA_RETURN_IF_ERROR(Prepare(context, entries.front().id, shard));
  for (const auto& entry : entries) {
    if (const auto version = event::ControlBody(entry.payload, kRuleSetControl)) {
      Switch(shard, entry.id, *version);
      continue;
    }
    if (event::IsControl(entry.payload)) continue;
    YAGURA_RETURN_IF_ERROR(UseRulesOf(shard, entry.id));
    YAGURA_ASSIGN_OR_RETURN(auto batch, event::BatchReader::Open(entry.payload));
    YAGURA_RETURN_IF_ERROR(HandleBatch(shard, entry, batch, SourceOf(shard, context, entry, {})));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<stream::DeadPiece>> MatchWorker::Split(
    const stream::Worker::Context& context, const stream::Entry& entry) {
  Shard& shard = ShardAt(context.shard);
  YAGURA_RETURN_IF_ERROR(Prepare(context, entry.id, shard));
  YAGURA_RETURN_IF_ERROR(UseRulesOf(shard, entry.id));
  YAGURA_ASSIGN_OR_RETURN(auto batch, event::BatchReader::Open(entry.payload));
  const auto part_of = [&batch](std::span<const uint32_t> rows) {
    const auto bytes = event::CopyEvents(batch, rows);
    return bytes.ok() ? event::BatchReader::Open(*bytes) : bytes.status();
  };
  const auto attempt = [&](std::span<const uint32_t> rows) -> absl::Status {
    YAGURA_ASSIGN_OR_RETURN(auto part, part_of(rows));
    return Match(shard, part, SourceOf(shard, context, entry, rows)).status();
  };
  YAGURA_ASSIGN_OR_RETURN(const auto faults, stream::FindFaults(batch.size(), attempt));
  const std::vector<uint32_t> good = stream::WithoutFaults(batch.size(), faults);
  YAGURA_ASSIGN_OR_RETURN(auto part, part_of(good));
  YAGURA_RETURN_IF_ERROR(HandleBatch(shard, entry, part, SourceOf(shard, context, entry, good)));
  std::vector<stream::DeadPiece> pieces;
  for (const auto& [index, error] : faults) {
    pieces.push_back({batch.EventId(index), event::CopyEventBounded(batch, index), error});
  }
  return pieces;
}

MatchWorker::Shard& MatchWorker::ShardAt(int number) {
  const std::lock_guard lock(mutex_);
  return shards_[number];
}

// Under a new lease the index tells what came before; from there on every switch comes by itself.
absl::Status MatchWorker::Prepare(const stream::Worker::Context& context, stream::EntryId first,
                                  Shard& shard) {
  if (shard.epoch != context.epoch || shard.switches.empty()) {
    YAGURA_ASSIGN_OR_RETURN(shard.switches, rules_->Switches(context.shard));
    YAGURA_ASSIGN_OR_RETURN(shard.watermark, watermarks_->Load(context.shard));
    shard.epoch = context.epoch;
  }
  if (shard.switches.empty()) {
    rules_->RequestReload();
    return Unavailable("NO_RULE_SET", "no rule set has been announced in the shard yet");
  }
  // What was committed does not come again.
  shard.switches.erase(shard.switches.begin(), InForce(shard.switches, first));
  return absl::OkStatus();
}

void MatchWorker::Switch(Shard& shard, stream::EntryId at, std::string_view version) {
  if (shard.switches.back().at < at) shard.switches.push_back({at, std::string(version)});
  // Somebody read other rules than we: who looks now sees those that hold, and announces them
  // should that have been an old view.
  if (shard.switches.back().at == at && version != rules_->latest_version()) {
    rules_->RequestReload();
  }
}

absl::Status MatchWorker::UseRulesOf(Shard& shard, stream::EntryId at) {
  const std::string& version = InForce(shard.switches, at)->version;
  if (shard.matcher != nullptr && shard.version == version) return absl::OkStatus();
  YAGURA_ASSIGN_OR_RETURN(auto rules, rules_->Load(version));
  shard.matcher = std::make_unique<BatchMatcher>(
      std::move(rules), kMatchMemory / static_cast<size_t>(std::max(4, hits_->topic().shards)));
  shard.version = version;
  return absl::OkStatus();
}

HitSource MatchWorker::SourceOf(const Shard& shard, const stream::Worker::Context& context,
                                const stream::Entry& entry, std::span<const uint32_t> rows) const {
  return {context.shard, entry.id.ToString(), context.epoch, shard.version, rows};
}

absl::StatusOr<Found> MatchWorker::Match(Shard& shard, event::BatchReader& batch,
                                         const HitSource& source) {
  const auto shard_of = [this](std::string_view partition) {
    return stream::ShardOf(partition, hits_->topic().shards);
  };
  return match_(*shard.matcher, batch, source, shard_of, fold_);
}

absl::Status MatchWorker::HandleBatch(Shard& shard, const stream::Entry& entry,
                                      event::BatchReader& batch, const HitSource& source) {
  YAGURA_ASSIGN_OR_RETURN(auto found, Match(shard, batch, source));
  events_seen_->Add(static_cast<double>(batch.size()));
  events_matched_->Add(static_cast<double>(found.matches));
  YAGURA_ASSIGN_OR_RETURN(const bool tells_time,
                          TellsTime(shard, source.shard, entry, batch.header().receive_time));
  if (found.hits.empty() && !tells_time) return absl::OkStatus();
  if (tells_time) AddWatermarks(batch, source, hits_->topic().shards, found.hits);
  return Send(std::move(found.hits), source);
}

// Whether the windows hear of time with this entry: the first of each interval. The same answer
// whenever the entry is read again.
absl::StatusOr<bool> MatchWorker::TellsTime(Shard& shard, int number, const stream::Entry& entry,
                                            TimePoint received) {
  Watermark& latest = shard.watermark;
  if (entry.id <= latest.at) return entry.id == latest.at;
  const int64_t slot = received.time_since_epoch().count() / kWatermarkInterval;
  if (slot <= latest.slot) return false;
  const Watermark next{entry.id, slot};
  YAGURA_RETURN_IF_ERROR(watermarks_->Save(number, next));
  latest = next;
  return true;
}

// One entry after the other: a later source id in a shard before an earlier one would make the
// windows ignore the earlier for good.
absl::Status MatchWorker::Send(std::vector<std::pair<int, internal::v1::HitBatch>> hits,
                               const HitSource& source) {
  const std::string key = fmt::format("{}-{}", source.shard, source.id);
  Packer packer;
  std::vector<std::string> payloads;
  payloads.reserve(hits.size());
  std::vector<stream::Producer::Item> items;
  for (auto& [to, batch] : hits) {
    items.push_back({to, key, payloads.emplace_back(PackHits(batch, packer))});
  }
  for (const auto& sent : hits_->AppendAll(items)) YAGURA_RETURN_IF_ERROR(sent.status());
  return absl::OkStatus();
}

}  // namespace yagura::detection
