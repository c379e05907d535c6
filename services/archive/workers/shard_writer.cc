#include "services/archive/workers/shard_writer.h"

#include <utility>

#include "fmt/format.h"

#include "common/event/batch_codec.h"
#include "common/redis/pool.h"
#include "common/status/status.h"
#include "common/stream/info.h"
#include "common/stream/scripts.h"

namespace yagura::archive {
namespace {

constexpr size_t kReadBytes = 8 << 20;

}  // namespace

ShardWriter::ShardWriter(int shard, std::string holder, const WriterOptions& options,
                         WriterParts& parts)
    : shard_(shard), holder_(std::move(holder)), options_(options), parts_(parts) {}

Status ShardWriter::Acquire() {
  auto cursor = stream::LeasedCursor::Acquire(parts_.flow, parts_.topic, shard_,
                                              {options_.reader, holder_, options_.lease});
  if (!cursor.ok()) return cursor.status();
  cursor_ = *std::move(cursor);
  lease_ = parts_.leases.Keep(stream::LeaseKey(parts_.topic.name, shard_, options_.reader), holder_,
                              cursor_->epoch());
  range_ = {shard_, {}, {}};
  rows_ = 0;
  failures_ = 0;
  if (Status repeated = Repeat(); !repeated.ok()) {
    Drop();
    return repeated;
  }
  return absl::OkStatus();
}

// A range that was planned and not committed is taken up again as it was.
Status ShardWriter::Repeat() {
  YAGURA_ASSIGN_OR_RETURN(const auto plan, parts_.plans.Load(shard_));
  if (!plan) return absl::OkStatus();
  const auto first = stream::EntryId::Parse(plan->first_entry());
  const auto last = stream::EntryId::Parse(plan->last_entry());
  if (!first || !last) return Internal("a planned range without its entries");
  if (*last <= cursor_->committed()) return absl::OkStatus();
  YAGURA_ASSIGN_OR_RETURN(range_.entries, cursor_->ReadRange(*first, *last));
  if (range_.entries.empty() || range_.entries.front().id != *first ||
      range_.entries.back().id != *last) {
    return Internal(fmt::format("shard {} has lost entries of a planned range", shard_));
  }
  range_.plan = *plan;
  parts_.logger.Info("a planned range is repeated",
                     {{"shard", shard_}, {"token", range_.plan.token()}});
  return absl::OkStatus();
}

Status ShardWriter::Read(std::chrono::milliseconds block) {
  YAGURA_ASSIGN_OR_RETURN(
      std::vector<stream::Entry> entries,
      cursor_->Read(options_.entries_per_insert - range_.entries.size(), kReadBytes, block));
  if (entries.empty()) return absl::OkStatus();
  if (range_.entries.empty()) first_read_ = std::chrono::steady_clock::now();
  for (stream::Entry& entry : entries) {
    rows_ += event::ClaimedEvents(entry.payload);
    range_.entries.push_back(std::move(entry));
  }
  return absl::OkStatus();
}

bool ShardWriter::Due() const {
  if (range_.entries.empty()) return false;
  return rows_ >= options_.rows_per_insert ||
         range_.entries.size() >= options_.entries_per_insert ||
         std::chrono::steady_clock::now() - first_read_ >= options_.max_delay;
}

Status ShardWriter::Plan() {
  const stream::EntryId first = range_.entries.front().id;
  const stream::EntryId last = range_.entries.back().id;
  range_.plan.set_first_entry(first.ToString());
  range_.plan.set_last_entry(last.ToString());
  range_.plan.set_token(TokenOf(parts_.topic.name, shard_, first, last));
  Status saved = SavePlan(range_);
  // What may or may not have been saved must not be inserted, nor grow.
  if (!saved.ok()) range_.plan.Clear();
  return saved;
}

Status ShardWriter::SavePlan(const RangeData& range) const {
  return parts_.plans.Save(shard_, {holder_, cursor_->epoch()}, range.plan);
}

Status ShardWriter::Commit() {
  YAGURA_RETURN_IF_ERROR(cursor_->Commit(range_.entries.back().id));
  range_ = {shard_, {}, {}};
  rows_ = 0;
  failures_ = 0;
  return absl::OkStatus();
}

StatusOr<bool> ShardWriter::FlowIsFull() const {
  YAGURA_ASSIGN_OR_RETURN(const redis::Reply reply, parts_.flow->Command({"INFO", "memory"}));
  const auto used = stream::InfoNumber(reply.text, "used_memory");
  return used.value_or(0) > options_.spool_above_flow_bytes;
}

Status ShardWriter::StoreInSpool(const Status& why) {
  YAGURA_ASSIGN_OR_RETURN(const bool full, FlowIsFull());
  if (!full) return why;
  YAGURA_RETURN_IF_ERROR(parts_.spool.Put(range_));
  parts_.logger.Warning(
      "events go to the spool",
      {{"shard", shard_}, {"why", Message(why)}, {"bytes", parts_.spool.bytes()}});
  return Commit();
}

Status ShardWriter::Store() {
  if (range_.plan.token().empty()) YAGURA_RETURN_IF_ERROR(Plan());
  const auto stored = parts_.storer.Store(
      range_, [this](const RangeData& range) { return SavePlan(range); }, &failures_);
  if (!stored.ok()) return StoreInSpool(stored.status());
  parts_.events += stored->events;
  parts_.broken += stored->buried;
  ++parts_.inserts;
  return Commit();
}

void ShardWriter::Drop() {
  cursor_.reset();
  lease_.reset();
  range_ = {shard_, {}, {}};
  rows_ = 0;
  failures_ = 0;
}

Status ShardWriter::Step(std::chrono::milliseconds block) {
  if (!cursor_) YAGURA_RETURN_IF_ERROR(Acquire());
  if (lease_->lost) {
    Drop();
    return Unavailable("LEASE_LOST", fmt::format("shard {} has another holder", shard_));
  }
  Status status;
  if (range_.plan.token().empty()) status = Read(block);
  const bool planned = !range_.plan.token().empty();
  if (status.ok() && (planned || Due())) status = Store();
  if (status.code() == absl::StatusCode::kAborted) Drop();
  return status;
}

void ShardWriter::Finish() {
  if (!cursor_) return;
  if (!range_.entries.empty() && !lease_->lost) {
    if (const Status status = Store(); !status.ok()) {
      parts_.logger.Info("what was read is left to the next holder",
                         {{"shard", shard_}, {"why", Message(status)}});
    }
  }
  if (const Status status = cursor_->Release(); !status.ok()) {
    parts_.logger.Warning("lease not released", {{"shard", shard_}, {"why", Message(status)}});
  }
  Drop();
}

}  // namespace yagura::archive
