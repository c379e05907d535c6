#include "services/archive/api/query_runner.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "fmt/format.h"

#include "common/status/status.h"

namespace yagura::archive {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kRetryDelay{1'000};

void Limit(const std::string& setting, uint64_t value, eventstore::Query* query) {
  if (value > 0) query->settings[setting] = std::to_string(value);
}

}  // namespace

QueryRunner::QueryRunner(std::shared_ptr<eventstore::Client> client,
                         std::shared_ptr<const Clock> clock, const QueryLimits& limits)
    : client_(std::move(client)), clock_(std::move(clock)), limits_(limits) {}

// The store gives up when the caller does.
void QueryRunner::Bound(const rpc::Call& call, eventstore::Query* query) const {
  const auto left = std::chrono::duration_cast<milliseconds>(call.deadline() - clock_->SteadyNow());
  query->timeout = std::clamp(left, milliseconds(1), limits_.timeout);
  Limit("max_threads", static_cast<uint64_t>(limits_.threads), query);
  Limit("max_rows_to_read", limits_.rows, query);
  Limit("max_bytes_to_read", limits_.bytes, query);
  Limit("max_memory_usage", limits_.memory, query);
  // What groups or sorts more than fits goes on from disk.
  Limit("max_bytes_before_external_group_by", limits_.memory / 2, query);
  Limit("max_bytes_before_external_sort", limits_.memory / 2, query);
}

Status QueryRunner::Explain(const Status& status) const {
  if (status.code() == absl::StatusCode::kUnavailable) return WithRetryDelay(status, kRetryDelay);
  if (status.code() != absl::StatusCode::kResourceExhausted) return status;
  constexpr std::string_view kAdvice = "narrow the range or the filter";
  const ErrorMetadata store = GetErrorMetadata(status);
  const auto code = store.find("clickhouse_code");
  if (code == store.end()) return status;
  struct Known {
    std::string_view code;
    std::string_view limit;
    uint64_t value;
    std::string_view text;
  };
  const Known known[] = {
      {"158", "query_limits.rows", limits_.rows, "would read more rows"},
      {"307", "query_limits.bytes", limits_.bytes, "would read more bytes"},
      {"396", "query_limits.bytes", limits_.bytes, "would read more bytes"},
      {"241", "query_limits.memory", limits_.memory, "needs more memory"},
  };
  if (Message(status).find("(total)") != std::string_view::npos) {
    return MakeError(status.code(), "QUERY_TOO_LARGE",
                     fmt::format("the memory limit of the event store does not allow the query "
                                 "beside what else it does: {}, or try again later",
                                 kAdvice),
                     {{"limit", "memory-limit of the event store"}, {"clickhouse_code", "241"}});
  }
  for (const Known& limit : known) {
    if (code->second != limit.code) continue;
    return MakeError(status.code(), "QUERY_TOO_LARGE",
                     fmt::format("the query {} than {} allows ({}): {}", limit.text, limit.limit,
                                 limit.value, kAdvice),
                     {{"limit", std::string(limit.limit)},
                      {"value", std::to_string(limit.value)},
                      {"clickhouse_code", code->second}});
  }
  return status;
}

StatusOr<eventstore::Table> QueryRunner::Select(const rpc::Call& call, eventstore::Query query,
                                                size_t max_rows) const {
  Bound(call, &query);
  auto result = client_->Select(query, max_rows, call.cancelled());
  if (!result.ok()) return Explain(result.status());
  return result;
}

void QueryRunner::Follow(const std::string& tag, const ProgressVisitor& progress,
                         const std::stop_token& stop) const {
  std::mutex mutex;
  std::condition_variable_any wake;
  for (;;) {
    {
      std::unique_lock lock(mutex);
      if (wake.wait_for(lock, stop, limits_.progress_interval, [] { return false; })) return;
    }
    if (stop.stop_requested()) return;
    const auto now = client_->ProgressOf(tag);
    if (now.ok() && now->has_value() && !stop.stop_requested()) progress(**now);
  }
}

Status QueryRunner::Stream(const rpc::Call& call, eventstore::Query query,
                           const eventstore::Client::RowVisitor& visit,
                           const ProgressVisitor& progress) const {
  Bound(call, &query);
  query.tag = eventstore::NewQueryTag();
  const std::jthread follower(
      [&](const std::stop_token& stop) { Follow(query.tag, progress, stop); });
  const Status status = client_->Stream(query, visit, call.cancelled());
  return status.ok() ? status : Explain(status);
}

}  // namespace yagura::archive
