#include "services/archive/storage/unstored_events.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/redis/pool.h"
#include "common/status/status.h"
#include "services/archive/storage/spool.h"

namespace yagura::archive {
namespace {

// A batch's events are received within, and it is appended so long after at most, while all is
// well.
constexpr std::chrono::minutes kBatchTime{1};

// Gathers what a window may have.
class Tally {
 public:
  explicit Tally(const TimeWindow& window) : receipt_(ReceiptOf(window)) {}

  void Add(const PendingBatches::Head& batch) {
    const TimePoint last = std::max<TimePoint>(batch.last, batch.first + kBatchTime);
    if (batch.first >= receipt_.end || last < receipt_.start) return;
    pending_.set_batch_count(pending_.batch_count() + 1);
    pending_.set_event_count(pending_.event_count() + batch.events);
    Since(batch.first);
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
  void Since(TimePoint time) { oldest_ = std::min(oldest_.value_or(time), time); }

  const TimeWindow receipt_;
  v1::PendingEvents pending_;
  std::optional<TimePoint> oldest_;
};

}  // namespace

UnstoredEvents::UnstoredEvents(std::shared_ptr<redis::Pool> flow, stream::Topic topic,
                               std::string reader, const Spool& spool,
                               const PendingBatches::Limits& limits)
    : batches_(std::make_unique<PendingBatches>(std::move(flow), std::move(topic),
                                                std::move(reader), limits)),
      spool_(spool) {}

v1::PendingEvents UnstoredEvents::Of(const auth::TenantSet& tenants,
                                     const TimeWindow& window) const {
  Tally tally(window);
  // The streams first: what goes from there to the spool meanwhile is found in one of them.
  const Status looked =
      batches_->Visit(tenants, {[&](const PendingBatches::Head& batch) { tally.Add(batch); },
                                [&](TimePoint since) { tally.AddUnread(since); }});
  if (!looked.ok()) {
    v1::PendingEvents unknown;
    unknown.set_unknown(true);
    return unknown;
  }
  if (const auto oldest = spool_.OldestEntry()) {
    tally.AddUnread(TimePoint(std::chrono::milliseconds(oldest->milliseconds)));
  }
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
