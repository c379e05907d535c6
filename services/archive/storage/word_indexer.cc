#include "services/archive/storage/word_indexer.h"

#include <string_view>
#include <utility>

#include "fmt/format.h"

#include "common/eventstore/client.h"
#include "common/status/status.h"
#include "services/archive/domain/time_window.h"
#include "services/archive/domain/word_index.h"
#include "services/archive/storage/tiering.h"

namespace yagura::archive {
namespace {

constexpr unsigned kBareShare = 20;
// How long the day's parts may wait to be compressed again, which would take away what is made now.
constexpr std::string_view kPatienceHours = "12";

}  // namespace

WordIndexer::WordIndexer(std::shared_ptr<eventstore::Client> client, JobLease lease,
                         std::chrono::seconds settle)
    : client_(std::move(client)), lease_(std::move(lease)), settle_(settle) {}

StatusOr<bool> WordIndexer::UnderWay() const {
  YAGURA_ASSIGN_OR_RETURN(
      const auto found,
      client_->Select({.sql = "SELECT count(), max(latest_fail_reason) FROM system.mutations WHERE "
                              "database = 'yagura' AND table = 'events' AND NOT is_done AND "
                              "position(command, 'MATERIALIZE INDEX') > 0"}));
  if (const std::string& why = found.rows.at(0).at(1).AsText(); !why.empty()) {
    return Unavailable("WORD_INDEX_FAILED", why);
  }
  return found.rows.at(0).at(0).AsUnsigned() > 0;
}

StatusOr<std::string> WordIndexer::Next(TimePoint now) {
  const auto epoch = lease_.Acquire();
  if (ErrorReason(epoch.status()) == "LEASE_HELD") return std::string();
  YAGURA_RETURN_IF_ERROR(epoch.status());
  YAGURA_ASSIGN_OR_RETURN(const bool under_way, UnderWay());
  if (under_way) return std::string();
  const std::string today = PartitionOf(now - settle_);
  if (today != std::exchange(today_, today)) begun_.clear();
  eventstore::Query query;
  // A part's last mark ends it: one granule less.
  query.sql = fmt::format(
      "SELECT partition_id FROM system.parts WHERE database = 'yagura' AND table = 'events' AND "
      "active AND partition_id < {{today:String}} AND match(partition_id, '^[0-9]{{8}}$') GROUP BY "
      "partition_id HAVING sumIf(rows, secondary_indices_uncompressed_bytes < {} * (marks - 1)) * "
      "{} > sum(rows) AND max(modification_time) <= now() - {{settle:UInt32}} AND "
      "(max(modification_time) <= now() - toIntervalHour({{patience:UInt32}}) OR "
      "countIf(notEmpty(recompression_ttl_info.max) AND default_compression_codec != "
      "{{codec:String}}) = 0 OR NOT (SELECT position(engine_full, ' RECOMPRESS ') > 0 FROM "
      "system.tables WHERE database = 'yagura' AND name = 'events')) ORDER BY partition_id DESC",
      kWordIndexes * kWordFilterBytes, kBareShare);
  query.parameters = {{"today", today},
                      {"settle", std::to_string(settle_.count())},
                      {"patience", std::string(kPatienceHours)},
                      {"codec", std::string(kOldTextCodec)}};
  YAGURA_ASSIGN_OR_RETURN(const auto days, client_->Select(query));
  for (const auto& row : days.rows) {
    const std::string& day = row.at(0).AsText();
    if (begun_.contains(day)) continue;
    YAGURA_RETURN_IF_ERROR(lease_.Fence(*epoch));
    YAGURA_RETURN_IF_ERROR(
        client_->Execute({.sql = "ALTER TABLE yagura.events " + MakeSkipIndexes(day),
                          .settings = {{"mutations_sync", "0"}}}));
    begun_.insert(day);
    return day;
  }
  return std::string();
}

}  // namespace yagura::archive
