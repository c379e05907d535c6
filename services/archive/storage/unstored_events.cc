#include "services/archive/storage/unstored_events.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/event/batch_codec.h"
#include "common/redis/pool.h"
#include "common/status/status.h"
#include "common/stream/readers.h"
#include "services/archive/storage/spool.h"

namespace yagura::archive {
namespace {

// Of a shard: enough for what waits while all is well, little beside what the writer reads.
constexpr size_t kBatchesPerShard = 128;
constexpr size_t kBytesPerShard = 4 << 20;
constexpr size_t kBatchesPerRead = 16;
// A batch's events are received within, and it is appended so long after at most, while all is
// well.
constexpr std::chrono::minutes kBatchTime{1};

TimePoint TimeOf(stream::EntryId id) {
  return TimePoint(std::chrono::milliseconds(id.milliseconds));
}

// Gathers what a window may have.
class Tally {
 public:
  Tally(const auth::TenantSet& tenants, const TimeWindow& window)
      : tenants_(tenants), receipt_(ReceiptOf(window)) {}

  // Batches of one shard behind `place`.
  Status AddShard(redis::Pool& flow, const stream::Topic& topic, int shard, stream::EntryId place) {
    size_t batches = 0;
    size_t bytes = 0;
    TimePoint reached = TimePoint::max();  // receipt of the last batch that was looked at
    while (batches < kBatchesPerShard && bytes < kBytesPerShard) {
      YAGURA_ASSIGN_OR_RETURN(const auto entries,
                              stream::Peek(flow, topic, shard, place, kBatchesPerRead));
      for (const stream::Entry& entry : entries) {
        place = entry.id;
        ++batches;
        bytes += entry.payload.size();
        reached = Add(entry);
      }
      if (entries.size() < kBatchesPerRead) return absl::OkStatus();
    }
    AddUnread(std::min(reached, TimeOf(place)));
    return absl::OkStatus();
  }

  // Whatever was received since then.
  void AddUnread(TimePoint since) {
    if (since - kBatchTime >= receipt_.end) return;
    pending_.set_more(true);
    Since(since);
  }

  v1::PendingEvents Take() {
    if (oldest_) *pending_.mutable_oldest_receive_time() = ToProto(*oldest_);
    return std::move(pending_);
  }

 private:
  // Answers when it was received.
  TimePoint Add(const stream::Entry& entry) {
    const auto batch = event::BatchReader::Open(entry.payload);
    if (!batch.ok()) return TimeOf(entry.id);  // the writer tells of it
    const TimePoint received = batch->header().receive_time;
    if (!tenants_.Contains(batch->tenant())) return received;
    if (received >= receipt_.end || received + kBatchTime < receipt_.start) return received;
    pending_.set_batch_count(pending_.batch_count() + 1);
    pending_.set_event_count(pending_.event_count() + batch->size());
    Since(received);
    return received;
  }
  void Since(TimePoint time) { oldest_ = std::min(oldest_.value_or(time), time); }

  const auth::TenantSet& tenants_;
  const TimeWindow receipt_;
  v1::PendingEvents pending_;
  std::optional<TimePoint> oldest_;
};

}  // namespace

UnstoredEvents::UnstoredEvents(std::shared_ptr<redis::Pool> flow, stream::Topic topic,
                               std::string reader, const Spool& spool)
    : flow_(std::move(flow)), topic_(std::move(topic)), reader_(std::move(reader)), spool_(spool) {}

v1::PendingEvents UnstoredEvents::Of(const auth::TenantSet& tenants,
                                     const TimeWindow& window) const {
  v1::PendingEvents unknown;
  unknown.set_unknown(true);
  Tally tally(tenants, window);
  // The streams first: what goes from there to the spool meanwhile is found in one of them.
  const auto backlogs = stream::ReaderBacklog(*flow_, topic_, reader_);
  if (!backlogs.ok()) return unknown;
  for (const stream::Backlog& backlog : *backlogs) {
    const Status read = tally.AddShard(*flow_, topic_, backlog.shard, backlog.committed);
    if (!read.ok()) return unknown;
  }
  if (const auto oldest = spool_.OldestEntry()) tally.AddUnread(TimeOf(*oldest));
  return tally.Take();
}

std::string PendingText(const v1::PendingEvents& pending) {
  if (pending.unknown()) {
    return "whether all that was received is stored is not known: the flow Redis does not answer";
  }
  if (!pending.has_oldest_receive_time()) return {};
  const std::string since = FormatTime(
      std::chrono::floor<std::chrono::seconds>(FromProto(pending.oldest_receive_time())));
  if (pending.batch_count() == 0) {
    return fmt::format("what was received since {} may not be stored yet", since);
  }
  return fmt::format("{}{} events in {} batches, received since {}, were not stored yet",
                     pending.more() ? "at least " : "", pending.event_count(),
                     pending.batch_count(), since);
}

}  // namespace yagura::archive
