#include "services/archive/storage/word_indexer.h"

#include <utility>

#include "fmt/format.h"

#include "common/eventstore/client.h"
#include "common/status/status.h"
#include "common/store/resource_name.h"
#include "common/text/text.h"
#include "services/archive/domain/time_window.h"
#include "services/archive/domain/word_index.h"

namespace yagura::archive {
namespace {

// So that what comes a little late at the end of a day is in its indexes.
constexpr std::chrono::hours kSettles{1};
constexpr uint64_t kBareShare = 20;

std::string Add(const WordIndex& index) {
  return fmt::format("ADD INDEX IF NOT EXISTS {} {} TYPE {} GRANULARITY 1", index.name,
                     index.expression, index.type);
}

std::string Drop(const WordIndex& index) {
  return fmt::format("DROP INDEX IF EXISTS {}", index.name);
}

template <typename Change>
std::string OfEach(const Change& change) {
  std::string changes;
  for (const WordIndex& index : kRawIndexes) changes += change(index) + ", ";
  return "ALTER TABLE yagura.events " + changes + change(kFoldedIndex);
}

}  // namespace

Status ApplyWordIndex(eventstore::Client& client, bool wanted, const Logger& logger) {
  YAGURA_ASSIGN_OR_RETURN(
      const auto found,
      client.Select({.sql = "SELECT engine_full, (SELECT count() FROM "
                            "system.data_skipping_indices WHERE database = 'yagura' AND table = "
                            "'events' AND has(splitByChar(',', {names:String}), name)) FROM "
                            "system.tables WHERE database = 'yagura' AND name = 'events'",
                     .parameters = {{"names", WordIndexNames()}}}));
  if (found.rows.empty()) return Internal("the table of events is missing");
  const bool complete = found.rows[0].at(1).AsUnsigned() == kRawIndexes.size() + 1;
  const bool any = found.rows[0].at(1).AsUnsigned() > 0;
  if (wanted) {
    // First, or a merge in between would make them. A setting is each replica's own.
    const std::string without =
        fmt::format("exclude_materialize_skip_indexes_on_merge = '{}'", WordIndexNames());
    if (found.rows[0].at(0).AsText().find(without) == std::string::npos) {
      YAGURA_RETURN_IF_ERROR(
          client.Execute({.sql = "ALTER TABLE yagura.events MODIFY SETTING " + without}));
    }
  }
  if (wanted ? complete : !any) return absl::OkStatus();
  YAGURA_RETURN_IF_ERROR(client.Execute({.sql = wanted ? OfEach(Add) : OfEach(Drop),
                                         // Dropping rewrites parts in the background.
                                         .settings = {{"mutations_sync", "0"}}}));
  logger.Info(wanted ? "words are found by an index, once it is made for a day that is over"
                     : "words have no index any more");
  return absl::OkStatus();
}

WordIndexer::WordIndexer(std::shared_ptr<eventstore::Client> server) : server_(std::move(server)) {}

StatusOr<bool> WordIndexer::UnderWay() const {
  YAGURA_ASSIGN_OR_RETURN(
      const auto found,
      server_->Select({.sql = "SELECT count(), max(latest_fail_reason) FROM system.mutations WHERE "
                              "database = 'yagura' AND table = 'events' AND NOT is_done AND "
                              "position(command, 'MATERIALIZE INDEX') > 0"}));
  if (const std::string& why = found.rows.at(0).at(1).AsText(); !why.empty()) {
    return Unavailable("WORD_INDEX_FAILED", why);
  }
  return found.rows.at(0).at(0).AsUnsigned() > 0;
}

StatusOr<uint64_t> WordIndexer::Bare(const std::string& day) const {
  const WordIndex& index = kRawIndexes.front();
  eventstore::Query query;
  query.sql = fmt::format(
      "SELECT sum(rows) FROM (EXPLAIN ESTIMATE SELECT count() FROM yagura.events WHERE "
      "_partition_id = {{day:String}} AND lower(raw) LIKE {{word:String}} AND "
      "indexHint({} LIKE {{word:String}}))",
      index.expression);
  // No sender of lines can know it.
  query.parameters = {{"day", day}, {"word", fmt::format("%{}%", ToLower(store::NewUlid()))}};
  query.settings["use_skip_indexes_on_data_read"] = "0";
  YAGURA_ASSIGN_OR_RETURN(const auto found, server_->Select(query));
  return found.rows.at(0).at(0).AsUnsigned();
}

StatusOr<std::string> WordIndexer::Next(TimePoint now) {
  YAGURA_ASSIGN_OR_RETURN(const bool under_way, UnderWay());
  if (under_way) return std::string();
  const std::string today = PartitionOf(now - kSettles);
  if (today != std::exchange(today_, today)) done_.clear();
  YAGURA_ASSIGN_OR_RETURN(
      const auto days,
      server_->Select({.sql = "SELECT partition_id, sum(rows) FROM system.parts WHERE database = "
                              "'yagura' AND table = 'events' AND active AND partition_id < "
                              "{today:String} AND match(partition_id, '^[0-9]{8}$') GROUP BY "
                              "partition_id ORDER BY partition_id DESC",
                       .parameters = {{"today", today}}}));
  for (const auto& row : days.rows) {
    const std::string day = row.at(0).AsText();
    if (!done_.insert(day).second) continue;
    YAGURA_ASSIGN_OR_RETURN(const uint64_t bare, Bare(day));
    if (bare * kBareShare <= row.at(1).AsUnsigned()) continue;
    const Status begun = server_->Execute(
        {.sql = OfEach([&day](const WordIndex& index) {
           return fmt::format("MATERIALIZE INDEX {} IN PARTITION ID '{}'", index.name, day);
         }),
         .settings = {{"mutations_sync", "0"}}});
    if (!begun.ok()) {
      done_.erase(day);
      return begun;
    }
    return day;
  }
  return std::string();
}

}  // namespace yagura::archive
