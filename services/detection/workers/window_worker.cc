#include "services/detection/workers/window_worker.h"

#include <span>
#include <utility>

#include "fmt/format.h"
#include "google/protobuf/arena.h"

#include "common/status/status.h"
#include "common/stream/bisect.h"
#include "common/text/printable.h"
#include "services/detection/domain/evidence_block.h"
#include "services/detection/domain/hits.h"
#include "services/detection/domain/packed.h"

namespace yagura::detection {
namespace {

constexpr int kMaxPieceTimes = 1000;

// Names the first event of the hit.
std::string PieceKey(const internal::v1::Hit& hit, const stream::Entry& entry, uint32_t index) {
  return hit.evidence().empty() ? fmt::format("{}/{}", entry.key, index)
                                : hit.evidence(0).event_id();
}

// Windows take evidence as it is packed: what of it cannot be read is found here, or never.
absl::Status Read(const stream::Entry& entry, Unpacker& unpacker, internal::v1::HitBatch& batch) {
  YAGURA_RETURN_IF_ERROR(Annotate(unpacker.Unpack(entry.payload, batch), "hits"));
  return Annotate(CheckEvidence(batch), "hits");
}

// One hit with its rule and what it shows, without the times of very many events.
internal::v1::HitBatch LoneHit(const internal::v1::HitBatch& batch,
                               const internal::v1::EvidenceBlock& block, uint32_t index) {
  internal::v1::HitBatch lone = CopyHits(batch, std::span(&index, 1));
  lone.clear_evidence();
  lone.clear_packed_evidence();
  auto& hit = *lone.mutable_hits(0);
  InlineEvidence(block, hit);
  if (hit.times_size() > kMaxPieceTimes) hit.mutable_times()->Truncate(kMaxPieceTimes);
  lone.clear_rules();
  if (hit.rule() < static_cast<uint32_t>(batch.rules_size())) {
    *lone.add_rules() = batch.rules(static_cast<int>(hit.rule()));
  }
  hit.set_rule(0);
  return lone;
}

}  // namespace

WindowWorker::WindowWorker(std::shared_ptr<WindowStore> store, std::shared_ptr<FindingSink> sink,
                           Windows::Limits limits, MetricsRegistry& metrics, size_t step_bytes,
                           Logger logger)
    : store_(std::move(store)),
      sink_(std::move(sink)),
      limits_(limits),
      step_bytes_(step_bytes),
      findings_(metrics.GetCounter("yagura_detection_findings_total", "Findings made")),
      grown_(metrics.GetCounter("yagura_detection_findings_grown_total",
                                "Batches of events that joined an open finding")),
      given_up_(metrics.GetCounter("yagura_detection_windows_given_up_total",
                                   "Open windows that went as all took more than they may")),
      bytes_(metrics.GetGauge("yagura_detection_window_bytes",
                              "What the open windows of this process's shards take")),
      late_(metrics.GetCounter("yagura_detection_late_events_total",
                               "Events that came too late for the window of a correlation")),
      broken_(metrics.GetCounter("yagura_detection_windows_broken_total",
                                 "Groups, rules and evidence of windows that could not be read")),
      logger_(std::move(logger)) {}

absl::Status WindowWorker::Handle(const stream::Worker::Context& context,
                                  const std::vector<stream::Entry>& entries) {
  Shard& shard = ShardAt(context.shard);
  if (shard.windows == nullptr || shard.epoch != context.epoch) {
    YAGURA_RETURN_IF_ERROR(Load(context, shard));
  }
  // What is small as it was read may be very large unpacked: then it is several steps. A repetition
  // passes those over that were done.
  google::protobuf::Arena arena;  // hits go as they came, all at once
  std::vector<internal::v1::HitBatch*> batches;
  size_t bytes = 0;
  for (const auto& entry : entries) {
    const size_t more = UnpackedSize(entry.payload);
    if (!batches.empty() && bytes + more > step_bytes_) {
      YAGURA_RETURN_IF_ERROR(Apply(context, shard, std::exchange(batches, {})));
      arena.Reset();
      bytes = 0;
    }
    bytes += more;
    batches.push_back(google::protobuf::Arena::CreateMessage<internal::v1::HitBatch>(&arena));
    YAGURA_RETURN_IF_ERROR(Read(entry, shard.unpacker, *batches.back()));
  }
  return Apply(context, shard, batches);
}

absl::StatusOr<std::vector<stream::DeadPiece>> WindowWorker::Split(
    const stream::Worker::Context& context, const stream::Entry& entry) {
  internal::v1::HitBatch batch;
  Shard& shard = ShardAt(context.shard);
  YAGURA_RETURN_IF_ERROR(Read(entry, shard.unpacker, batch));
  // Findings may be put any number of times; what counts is that the windows are not saved.
  const auto attempt = [&](std::span<const uint32_t> hits) -> absl::Status {
    YAGURA_RETURN_IF_ERROR(Load(context, shard));
    const auto windows = std::move(shard.windows);
    return sink_->Put(windows->Apply(CopyHits(batch, hits)));
  };
  const auto count = static_cast<size_t>(batch.hits_size());
  YAGURA_ASSIGN_OR_RETURN(const auto faults, stream::FindFaults(count, attempt));
  YAGURA_RETURN_IF_ERROR(Load(context, shard));
  internal::v1::HitBatch rest = CopyHits(batch, stream::WithoutFaults(count, faults));
  internal::v1::HitBatch* const all[] = {&rest};
  YAGURA_RETURN_IF_ERROR(Apply(context, shard, all));
  // What cannot be read of it is not shown.
  const internal::v1::EvidenceBlock block = BlockOf(batch).value_or(internal::v1::EvidenceBlock());
  std::vector<stream::DeadPiece> pieces;
  for (const auto& [index, error] : faults) {
    const auto lone = LoneHit(batch, block, index);
    pieces.push_back({PieceKey(lone.hits(0), entry, index), lone.SerializeAsString(), error});
  }
  return pieces;
}

void WindowWorker::Measure(Shard& shard) {
  const std::lock_guard lock(mutex_);
  given_up_->Add(static_cast<double>(shard.windows->given_up() - shard.given_up));
  shard.given_up = shard.windows->given_up();
  shard.bytes = shard.windows->bytes();
  size_t all = 0;
  for (const auto& [number, one] : shards_) all += one.bytes;
  bytes_->Set(static_cast<double>(all));
}

WindowWorker::Shard& WindowWorker::ShardAt(int number) {
  const std::lock_guard lock(mutex_);
  return shards_[number];
}

absl::Status WindowWorker::Load(const stream::Worker::Context& context, Shard& shard) {
  auto windows = std::make_unique<Windows>(limits_);
  YAGURA_ASSIGN_OR_RETURN(const auto broken, store_->Load(context.shard, *windows));
  TellBroken(context.shard, shard, broken);
  shard.windows = std::move(windows);
  shard.given_up = 0;
  shard.epoch = context.epoch;
  return absl::OkStatus();
}

// Each once, however often they are read before they are removed.
void WindowWorker::TellBroken(int number, Shard& shard,
                              const std::vector<WindowStore::Broken>& broken) {
  constexpr size_t kMostTold = 10'000;
  constexpr size_t kMostShown = 64;
  for (const auto& one : broken) {
    if (shard.broken.size() >= kMostTold) shard.broken.clear();
    if (!shard.broken.insert(one.field).second) continue;
    broken_->Add();
    logger_.Error("something of the open windows cannot be read and is given up",
                  {{"shard", number},
                   {"field", Printable(one.field, kMostShown)},
                   {"error", Message(one.error)}});
  }
}

absl::Status WindowWorker::Apply(const stream::Worker::Context& context, Shard& shard,
                                 std::span<internal::v1::HitBatch* const> batches) {
  // Until they are saved, they are ahead of what is kept: where that fails, that is read again.
  auto windows = std::move(shard.windows);
  std::vector<Windows::Outcome> outcomes;
  const uint64_t late_before = windows->late();
  for (auto* batch : batches) {
    for (auto& outcome : windows->Apply(std::move(*batch))) outcomes.push_back(std::move(outcome));
  }
  std::vector<WindowStore::Broken> unreadable;
  for (auto& [number, error] : windows->TakeUnreadable()) {
    unreadable.push_back({fmt::format("e:{}", number), std::move(error)});
  }
  TellBroken(context.shard, shard, unreadable);
  YAGURA_RETURN_IF_ERROR(sink_->Put(outcomes));
  YAGURA_RETURN_IF_ERROR(store_->Save(context.shard, context.epoch, *windows));
  windows->Clean();
  late_->Add(windows->late() - late_before);
  shard.windows = std::move(windows);
  Measure(shard);
  for (const auto& outcome : outcomes) {
    if (!outcome.closing) (outcome.began ? findings_ : grown_)->Add();
  }
  return absl::OkStatus();
}

}  // namespace yagura::detection
