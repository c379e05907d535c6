#include "services/archive/storage/tiering.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "fmt/format.h"

#include "common/eventstore/client.h"
#include "common/status/status.h"

namespace yagura::archive {
namespace {

constexpr size_t kMaxName = 64;

bool IsName(std::string_view text) {
  return !text.empty() && text.size() <= kMaxName &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                  c == '_' || c == '-';
         });
}

}  // namespace

Status ValidateTiering(const Tiering& tiering) {
  if (tiering.storage_policy.empty()) return absl::OkStatus();
  constexpr std::string_view kRule = "1 to 64 ASCII letters, digits, '_' and '-'";
  if (!IsName(tiering.storage_policy)) return InvalidField("store.storage_policy", kRule);
  if (!IsName(tiering.cold_volume)) return InvalidField("store.cold_volume", kRule);
  return absl::OkStatus();
}

Status ApplyTiering(eventstore::Client& client, const Tiering& tiering, const Logger& logger) {
  if (tiering.storage_policy.empty()) return absl::OkStatus();
  YAGURA_RETURN_IF_ERROR(ValidateTiering(tiering));
  YAGURA_ASSIGN_OR_RETURN(
      const auto found,
      client.Select({.sql = "SELECT engine_full FROM system.tables WHERE database = 'yagura' AND "
                            "name = 'events'"}));
  if (found.rows.empty()) return Internal("the table of events is missing");
  const std::string& now = found.rows[0][0].AsText();
  // As ClickHouse itself writes them.
  const std::string policy = fmt::format("storage_policy = '{}'", tiering.storage_policy);
  const std::string ttl =
      fmt::format("TTL expires, toDateTime(receive_time) + toIntervalDay({}) TO VOLUME '{}'",
                  tiering.cold_after_days, tiering.cold_volume);
  const std::array<std::string, 2> statements{
      now.find(policy) == std::string::npos ? "MODIFY SETTING " + policy : "",
      now.find(ttl) == std::string::npos ? "MODIFY " + ttl : ""};
  for (const std::string& statement : statements) {
    if (statement.empty()) continue;
    eventstore::Query query;
    query.sql = "ALTER TABLE yagura.events " + statement;
    // Parts move as they are; what expires does so as before.
    query.settings["materialize_ttl_after_modify"] = "0";
    const Status status = client.Execute(query);
    if (status.code() == absl::StatusCode::kUnavailable) return status;
    if (!status.ok()) {
      return MakeError(absl::StatusCode::kFailedPrecondition, "TIERING_REFUSED",
                       fmt::format("store.storage_policy \"{}\", volume \"{}\": {}",
                                   tiering.storage_policy, tiering.cold_volume, Message(status)));
    }
    logger.Info("events lie elsewhere as they get older", {{"how", statement}});
  }
  return absl::OkStatus();
}

}  // namespace yagura::archive
