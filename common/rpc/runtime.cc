#include "common/rpc/runtime.h"

#include "common/rpc/server_call.h"
#include "common/status/status.h"
#include "common/store/change_feed.h"

namespace yagura::rpc {
namespace {

constexpr int kLinesPerSecond = 100;

std::unique_ptr<AuditLog> MakeAuditLog(const Platform& platform) {
  if (!platform.state) return nullptr;
  return std::make_unique<AuditLog>(
      [state = platform.state](const std::vector<audit::v1::Record>& records) {
        return store::AppendRecords(*state, records);
      },
      *platform.metrics, platform.logger.Named("rpc/audit"));
}

}  // namespace

Runtime::Runtime(const ServerOptions& options_in, const Platform& platform_in)
    : options(options_in),
      platform(platform_in),
      logger(platform_in.logger.Named("rpc")),
      authenticator(
          {options.bad_tokens_per_second, options.bad_tokens_burst, options.find_new_keys},
          platform.verifier, platform.clock,
          platform.metrics->GetCounter("yagura_rpc_token_checks_total",
                                       "Tokens whose signature was checked.")),
      quotas(std::make_shared<TenantQuotas>(options.calls_per_second_per_tenant,
                                            options.bytes_per_second_per_tenant, platform.clock)),
      audit(MakeAuditLog(platform)),
      deadlines(SystemClock()),
      rights(platform.clock),
      dropped(platform.metrics->GetCounter("yagura_rpc_dropped_total",
                                           "Calls whose deadline passed before they ran.")),
      slow_readers(platform.metrics->GetCounter(
          "yagura_rpc_slow_readers_total", "Streams ended because they were read too slowly.")),
      suppressed_lines_(platform.metrics->GetCounter(
          "yagura_rpc_log_lines_suppressed_total",
          "Lines about failed calls left out, beyond 100 in a second.")) {}

void Runtime::CountCall(std::string_view method, int code) {
  const auto name = absl::StatusCodeToString(static_cast<absl::StatusCode>(code));
  platform.metrics
      ->GetCounter("yagura_rpc_calls_total", "Calls that ended, by method and status code.",
                   {{"method", std::string(method)}, {"code", name}})
      ->Add();
}

bool Runtime::MayLog() {
  const std::lock_guard lock(mutex_);
  const SteadyTime now = std::chrono::steady_clock::now();
  if (now - log_second_ >= std::chrono::seconds(1)) {
    log_second_ = now;
    lines_ = 0;
  }
  if (lines_ < kLinesPerSecond) {
    ++lines_;
    return true;
  }
  suppressed_lines_->Add();
  return false;
}

void Runtime::Enter(const std::shared_ptr<ServerCall>& call) {
  const std::lock_guard lock(mutex_);
  ++in_progress_;
  if (call->is_endless()) endless_.emplace(call.get(), call);
}

void Runtime::Leave(const ServerCall* call) {
  const std::lock_guard lock(mutex_);
  endless_.erase(call);
  if (--in_progress_ == 0) empty_.notify_all();
}

void Runtime::EndStreams(const absl::Status& status) {
  std::vector<std::shared_ptr<ServerCall>> streams;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [key, weak] : endless_) {
      if (auto call = weak.lock()) streams.push_back(std::move(call));
    }
  }
  for (const auto& call : streams) call->Finish(status);
}

void Runtime::WaitUntilEmpty() {
  std::unique_lock lock(mutex_);
  empty_.wait(lock, [this] { return in_progress_ == 0; });
}

}  // namespace yagura::rpc
