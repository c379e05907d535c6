#include "services/archive/workers/range_inserter.h"

#include <chrono>
#include <utility>

#include "fmt/format.h"

#include "common/event/control.h"
#include "common/eventstore/client.h"
#include "common/status/status.h"
#include "services/archive/domain/event_block.h"
#include "services/archive/domain/event_proof.h"
#include "services/archive/domain/event_table.h"
#include "services/archive/domain/word_index.h"
#include "services/archive/storage/proof_store.h"

namespace yagura::archive {
namespace {

constexpr std::chrono::minutes kTimeout{2};

// Pieces one behind the other, for a body that is asked for bit by bit.
class PieceReader {
 public:
  explicit PieceReader(std::vector<std::string> pieces) : pieces_(std::move(pieces)) {}

  size_t Read(char* buffer, size_t capacity) {
    size_t size = 0;
    while (size < capacity && next_ < pieces_.size()) {
      std::string& piece = pieces_[next_];
      const size_t taken = piece.copy(buffer + size, capacity - size, used_);
      size += taken;
      used_ += taken;
      if (used_ < piece.size()) break;
      std::string().swap(piece);
      ++next_;
      used_ = 0;
    }
    return size;
  }

 private:
  std::vector<std::string> pieces_;
  size_t next_ = 0;
  size_t used_ = 0;
};

}  // namespace

std::string TokenOf(std::string_view topic, int shard, stream::EntryId first,
                    stream::EntryId last) {
  return fmt::format("{}/{}/{}/{}", topic, shard, first.ToString(), last.ToString());
}

RangeInserter::RangeInserter(std::shared_ptr<eventstore::Client> client, const EventTable& table,
                             const Retention& retention, const ProofStore* proofs)
    : client_(std::move(client)), table_(table), retention_(retention), proofs_(proofs) {}

StatusOr<RangeInserter::Outcome> RangeInserter::Insert(const RangeData& range) const {
  return Insert(range, {0, range.entries.size()}, range.plan.token());
}

StatusOr<RangeInserter::Outcome> RangeInserter::Insert(const RangeData& range, const Part& part,
                                                       const std::string& token) const {
  if (!retention_.HoldsGood()) {
    return Unavailable("HOLDS_UNKNOWN",
                       "nothing is stored while it is not known which events are held");
  }
  const auto holds = retention_.holds();
  auto outcome = Insert(range, part, token, *holds);
  // What was sent may still come into the store.
  const bool was_sent = !outcome.ok() && ErrorReason(outcome.status()) != "RETENTION_UNKNOWN";
  if (was_sent) retention_.Linger(holds, kTimeout);
  return outcome;
}

StatusOr<RangeInserter::Outcome> RangeInserter::Insert(const RangeData& range, const Part& part,
                                                       const std::string& token,
                                                       const Retention::Holds& holds) const {
  Outcome outcome;
  EventBlock block(table_);
  UnitCollector units;
  const uint64_t unit = proofs_ == nullptr ? 0 : UnitNumber(token);
  for (size_t i = part.first; i < part.end; ++i) {
    const std::string_view payload = range.entries[i].payload;
    if (event::IsControl(payload)) continue;
    auto batch = BatchRows::Open(payload, part.first_event, part.end_event);
    if (!batch.ok()) {
      outcome.broken.emplace_back(i, batch.status());
      continue;
    }
    if (retention_.Awaits(batch->tenant())) {
      return Unavailable("RETENTION_UNKNOWN",
                         "the directory is being asked how long a tenant's events are kept");
    }
    const TimePoint never;
    batch->KeepFor(retention_.ExpiryOf(batch->tenant(), never) - never);
    if (const auto held = holds.find(batch->tenant()); held != holds.end()) {
      batch->Hold(held->second);
    }
    batch->OfUnit(unit);
    block.Add(*batch);
    if (proofs_ != nullptr) units.Add(*batch);
  }
  outcome.events = block.rows();
  if (outcome.events == 0) return outcome;
  YAGURA_RETURN_IF_ERROR(Insert(&block, token));
  if (proofs_ != nullptr) {
    const Status proven = proofs_->InsertUnits(units.Take(unit), token);
    // The events are stored: the range must come again as it is, never in parts under other tokens.
    if (!proven.ok()) return Unavailable("DIGEST_NOT_STORED", Message(proven));
  }
  return outcome;
}

Status RangeInserter::Probe() const {
  return client_->Execute({.sql = "INSERT INTO yagura.probes (at) SELECT now64(9)"});
}

Status RangeInserter::Insert(EventBlock* block, const std::string& token) const {
  PieceReader body(block->Take());
  eventstore::InsertRequest request;
  request.sql = table_.insert_sql();
  request.timeout = kTimeout;
  // The token counts per block: all rows must be one.
  request.settings = {{"insert_deduplication_token", token},
                      // A repeated block goes on to the flows, which drop it by themselves: a kill
                      // may have come between the two.
                      {"deduplicate_blocks_in_dependent_materialized_views", "1"},
                      {"max_insert_block_size", "10000000"},
                      {"min_insert_block_size_rows", "10000000"},
                      {"min_insert_block_size_bytes", "4000000000"},
                      {"throw_on_max_partitions_per_insert_block", "0"},
                      {"exclude_materialize_skip_indexes_on_insert", WordIndexNames()}};
  const auto source = [&body](char* buffer, size_t capacity) -> StatusOr<size_t> {
    return body.Read(buffer, capacity);
  };
  return client_->Insert(request, source).status();
}

}  // namespace yagura::archive
