#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/rpc/app.h"
#include "common/rpc/audit_log.h"
#include "common/rpc/authenticator.h"
#include "common/rpc/method.h"
#include "common/rpc/quota.h"
#include "common/rpc/server.h"
#include "common/rpc/timers.h"

namespace yagura::rpc {

class ServerCall;

// What all calls of one server share. Outlives them.
class Runtime {
 public:
  Runtime(const ServerOptions& options_in, const Platform& platform_in);

  const ServerOptions options;
  const Platform platform;
  const Logger logger;
  MethodTable methods;
  std::vector<std::unique_ptr<AppSlot>> slots;
  Authenticator authenticator;
  const std::shared_ptr<TenantQuotas> quotas;
  std::unique_ptr<AuditLog> audit;  // null where the platform has no state Redis (tests)
  Timers deadlines;                 // of the machine's clock, as the peers'
  Timers rights;                    // of the platform's clock
  std::atomic<bool> stopping{false};

  Counter* dropped = nullptr;  // past their deadline before they ran
  Counter* slow_readers = nullptr;

  void CountCall(std::string_view method, int code);
  // False where there have been too many lines in this second; those left out are counted.
  bool MayLog();

  // Calls in progress, for the stop. EndStreams ends those that would go on for ever.
  void Enter(const std::shared_ptr<ServerCall>& call);
  void Leave(const ServerCall* call);
  void EndStreams(const absl::Status& status);
  void WaitUntilEmpty();

 private:
  Counter* suppressed_lines_ = nullptr;
  std::mutex mutex_;
  std::condition_variable empty_;
  std::unordered_map<const ServerCall*, std::weak_ptr<ServerCall>> endless_;
  size_t in_progress_ = 0;
  SteadyTime log_second_{};
  int lines_ = 0;
};

}  // namespace yagura::rpc
