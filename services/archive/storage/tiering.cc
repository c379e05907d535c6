#include "services/archive/storage/tiering.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>
#include <vector>

#include "fmt/format.h"

#include "common/eventstore/client.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "services/archive/domain/time_window.h"

namespace yagura::archive {
namespace {

constexpr size_t kMaxName = 64;
constexpr std::chrono::hours kMoveTimeout{1};
constexpr std::string_view kExpiry = "expires";
constexpr std::string_view kToVolume = " TO VOLUME ";
constexpr std::string_view kRecompress = " RECOMPRESS ";

bool IsName(std::string_view text) {
  return !text.empty() && text.size() <= kMaxName &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                  c == '_' || c == '-';
         });
}

// What the settings say of the table's TTL, as ClickHouse itself writes it.
std::vector<std::string> Entries(const Tiering& tiering) {
  std::vector<std::string> entries;
  if (!tiering.storage_policy.empty()) {
    entries.push_back(fmt::format("toDateTime(receive_time) + toIntervalDay({}){}'{}'",
                                  tiering.cold_after_days, kToVolume, tiering.cold_volume));
  }
  if (tiering.recompress) {
    entries.push_back(
        fmt::format("toStartOfDay(toDateTime(receive_time, 'UTC')) + toIntervalDay(1){}CODEC({})",
                    kRecompress, kOldTextCodec));
  }
  return entries;
}

// The entries of the table's TTL, taken from `engine` (system.tables.engine_full).
std::vector<std::string> EntriesOf(std::string_view engine) {
  constexpr std::string_view kBegin = " TTL ";
  const size_t begin = engine.find(kBegin);
  if (begin == std::string_view::npos) return {};
  const size_t from = begin + kBegin.size();
  std::vector<std::string> entries(1);
  int depth = 0;
  for (const char c : engine.substr(from, engine.find(" SETTINGS ", from) - from)) {
    depth += c == '(' ? 1 : c == ')' ? -1 : 0;
    if (c == ',' && depth == 0) {
      entries.emplace_back();
    } else if (c != ' ' || !entries.back().empty()) {
      entries.back() += c;
    }
  }
  return entries;
}

// What the table has now, with that of the settings instead of theirs of before. Without a policy
// the moves to volumes are left as they are.
std::vector<std::string> Renewed(std::vector<std::string> entries, const Tiering& tiering) {
  std::erase_if(entries, [&tiering](const std::string& entry) {
    return entry.find(kRecompress) != std::string::npos ||
           (!tiering.storage_policy.empty() && entry.find(kToVolume) != std::string::npos);
  });
  for (std::string& entry : Entries(tiering)) entries.push_back(std::move(entry));
  return entries;
}

}  // namespace

EventsPlace PlaceOf(const Tiering& tiering) {
  return {Join(Renewed({std::string(kExpiry)}, tiering), ", "), tiering.storage_policy};
}

Status ValidateTiering(const Tiering& tiering) {
  if (tiering.storage_policy.empty()) return absl::OkStatus();
  constexpr std::string_view kRule = "1 to 64 ASCII letters, digits, '_' and '-'";
  if (!IsName(tiering.storage_policy)) return InvalidField("store.storage_policy", kRule);
  if (!IsName(tiering.cold_volume)) return InvalidField("store.cold_volume", kRule);
  return absl::OkStatus();
}

Status ApplyTiering(eventstore::Client& client, const Tiering& tiering, const Logger& logger) {
  YAGURA_RETURN_IF_ERROR(ValidateTiering(tiering));
  YAGURA_ASSIGN_OR_RETURN(
      const auto found,
      client.Select({.sql = "SELECT engine_full FROM system.tables WHERE database = 'yagura' AND "
                            "name = 'events'"}));
  if (found.rows.empty()) return Internal("the table of events is missing");
  const std::string& now = found.rows[0][0].AsText();
  const std::string policy = fmt::format("storage_policy = '{}'", tiering.storage_policy);
  const bool has_policy = tiering.storage_policy.empty() || now.find(policy) != std::string::npos;
  const std::vector<std::string> entries = EntriesOf(now);
  const std::vector<std::string> renewed = Renewed(entries, tiering);
  const std::array<std::string, 2> statements{
      has_policy ? "" : "MODIFY SETTING " + policy,
      renewed == entries ? "" : "MODIFY TTL " + Join(renewed, ", ")};
  for (const std::string& statement : statements) {
    if (statement.empty()) continue;
    eventstore::Query query;
    query.sql = "ALTER TABLE yagura.events " + statement;
    // Rewriting all parts at once would be too much: MoveOneDay brings them there as they are.
    query.settings["materialize_ttl_after_modify"] = "0";
    const Status status = client.Execute(query);
    if (status.code() == absl::StatusCode::kUnavailable) return status;
    if (!status.ok()) {
      return MakeError(absl::StatusCode::kFailedPrecondition, "TIERING_REFUSED",
                       fmt::format("store.storage_policy \"{}\", volume \"{}\": {}",
                                   tiering.storage_policy, tiering.cold_volume, Message(status)));
    }
    logger.Info("events are kept otherwise as they get older", {{"how", statement}});
  }
  return absl::OkStatus();
}

StatusOr<std::string> MoveOneDay(eventstore::Client& client, const Tiering& tiering,
                                 TimePoint now) {
  if (tiering.storage_policy.empty()) return std::string();
  // A day is cold once all of it is.
  const auto first_warm =
      std::chrono::floor<std::chrono::days>(now) - std::chrono::days(tiering.cold_after_days);
  eventstore::Query find;
  find.sql =
      "WITH (SELECT groupArrayArray(disks) FROM system.storage_policies WHERE policy_name = "
      "{policy:String} AND volume_name = {cold:String}) AS cold, (SELECT "
      "argMin(volume_name, volume_priority) FROM system.storage_policies WHERE policy_name = "
      "{policy:String} AND volume_name != {cold:String}) AS hot SELECT partition_id, partition_id "
      "< {first_warm:String} AS is_cold, if(is_cold, {cold:String}, hot) AS volume FROM "
      "system.parts WHERE database = 'yagura' AND table = 'events' AND active AND volume != '' AND "
      "has(cold, disk_name) != is_cold AND "
      // The store itself brings parts to the cold volume where the other one gets full.
      "(is_cold OR (SELECT sum(unreserved_space) >= {free:Float64} * sum(total_space) FROM "
      "system.disks WHERE NOT has(cold, name))) ORDER BY partition_id LIMIT 1";
  find.parameters = {{"policy", tiering.storage_policy},
                     {"cold", tiering.cold_volume},
                     {"free", fmt::format("{}", tiering.free_share_to_return)},
                     {"first_warm", PartitionOf(first_warm)}};
  YAGURA_ASSIGN_OR_RETURN(const auto found, client.Select(find));
  if (found.rows.empty()) return std::string();
  const std::string& day = found.rows[0].at(0).text;
  const std::string& volume = found.rows[0].at(2).text;
  constexpr size_t kDayDigits = 8;
  if (day.size() != kDayDigits || day.find_first_not_of("0123456789") != std::string::npos ||
      !IsName(volume)) {
    return Internal("the event store names a partition or volume otherwise than we do");
  }
  eventstore::Query move;
  move.sql =
      fmt::format("ALTER TABLE yagura.events MOVE PARTITION ID '{}' TO VOLUME '{}'", day, volume);
  move.timeout = kMoveTimeout;
  YAGURA_RETURN_IF_ERROR(client.Execute(move));
  return day;
}

}  // namespace yagura::archive
