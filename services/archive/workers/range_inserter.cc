#include "services/archive/workers/range_inserter.h"

#include <algorithm>
#include <chrono>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/event/batch_codec.h"
#include "common/event/control.h"
#include "common/eventstore/client.h"
#include "common/eventstore/row_binary.h"
#include "common/status/status.h"
#include "services/archive/domain/event_table.h"
#include "services/archive/workers/retention.h"
#include "yagura/event/v1/event.pb.h"

namespace yagura::archive {
namespace {

constexpr std::chrono::minutes kTimeout{2};

// The rows of a range as an insert's body, batch by batch.
class RangeBody {
 public:
  RangeBody(const RangeData& range, const EventTable& table, const Retention& retention)
      : range_(range), table_(table), retention_(retention) {}

  size_t Read(char* buffer, size_t capacity) {
    while (used_ == rows_.size() && next_ < range_.entries.size()) EncodeNext();
    const size_t size = std::min(capacity, rows_.size() - used_);
    rows_.bytes().copy(buffer, size, used_);
    used_ += size;
    return size;
  }

  RangeInserter::Outcome& outcome() { return outcome_; }

 private:
  void EncodeNext() {
    const stream::Entry& entry = range_.entries[next_++];
    if (event::IsControl(entry.payload)) return;
    rows_.Clear();
    used_ = 0;
    const auto events = Encode(entry.payload);
    if (events.ok()) {
      outcome_.events += *events;
    } else {
      rows_.Clear();
      outcome_.broken.emplace_back(entry.id, events.status());
    }
  }

  StatusOr<uint64_t> Encode(std::string_view payload) {
    YAGURA_ASSIGN_OR_RETURN(event::BatchReader batch, event::BatchReader::Open(payload));
    for (size_t i = 0; i < batch.size(); ++i) {
      YAGURA_RETURN_IF_ERROR(batch.Get(i, &event_));
      const TimePoint received = FromProto(event_.receive_time());
      table_.Encode(event_, retention_.ExpiryOf(event_.tenant(), received), &rows_);
    }
    return batch.size();
  }

  const RangeData& range_;
  const EventTable& table_;
  const Retention& retention_;
  size_t next_ = 0;
  eventstore::RowBinaryWriter rows_;
  size_t used_ = 0;
  event::v1::Event event_;
  RangeInserter::Outcome outcome_;
};

}  // namespace

std::string TokenOf(std::string_view topic, int shard, stream::EntryId first,
                    stream::EntryId last) {
  return fmt::format("{}/{}/{}/{}", topic, shard, first.ToString(), last.ToString());
}

RangeInserter::RangeInserter(std::shared_ptr<eventstore::Client> client, const EventTable& table,
                             const Retention& retention)
    : client_(std::move(client)), table_(table), retention_(retention) {}

StatusOr<RangeInserter::Outcome> RangeInserter::Insert(const RangeData& range) const {
  const bool has_events =
      std::any_of(range.entries.begin(), range.entries.end(),
                  [](const auto& entry) { return !event::IsControl(entry.payload); });
  if (!has_events) return Outcome();
  RangeBody body(range, table_, retention_);
  eventstore::InsertRequest request;
  request.sql = table_.insert_sql();
  request.timeout = kTimeout;
  // The token counts per block: all rows must be one.
  request.settings = {{"insert_deduplication_token", range.plan.token()},
                      {"max_insert_block_size", "10000000"},
                      {"min_insert_block_size_rows", "10000000"},
                      {"min_insert_block_size_bytes", "4000000000"},
                      {"throw_on_max_partitions_per_insert_block", "0"}};
  const auto written =
      client_->Insert(request, [&body](char* buffer, size_t capacity) -> StatusOr<size_t> {
        return body.Read(buffer, capacity);
      });
  if (!written.ok()) return written.status();
  return std::move(body.outcome());
}

}  // namespace yagura::archive
