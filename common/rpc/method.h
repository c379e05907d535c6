#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

#include "common/rpc/executor.h"
#include "common/rpc/request_scope.h"
#include "common/rpc/service_registry.h"
#include "yagura/audit/v1/audit.pb.h"

namespace yagura {
class Histogram;
}

namespace yagura::rpc {

class App;

// An App as the runtime sees it: its name and its threads.
struct AppSlot {
  std::string name;
  std::unique_ptr<Executor> calls;    // unary, subscriptions, messages of streams
  std::unique_ptr<Executor> streams;  // server streams, one thread each while they run
  std::atomic<int> open_streams{0};
};

// One method that is served. Immutable once the server runs.
struct Method {
  enum class Kind { kUnary, kServerStream, kWatch, kSession };

  std::string name;  // "/yagura.ticketing.v1.TicketingService/GetTicket"
  Kind kind = Kind::kUnary;
  const google::protobuf::Message* request = nullptr;
  const google::protobuf::Message* response = nullptr;
  ServiceRegistry::UnaryFn unary;
  ServiceRegistry::ServerStreamFn server_stream;
  ServiceRegistry::WatchFn watch;
  ServiceRegistry::SessionFn session;
  AppSlot* app = nullptr;

  // Worked out by MethodTable::Complete.
  std::string permission;
  std::unique_ptr<RequestScope> scope;  // null for PUBLIC
  // What a successful call leaves in the audit trail; ACTION_UNSPECIFIED: nothing, writes are
  // recorded by the store.
  audit::v1::Action audited = audit::v1::ACTION_UNSPECIFIED;
  const google::protobuf::FieldDescriptor* request_id = nullptr;
  const google::protobuf::FieldDescriptor* filter = nullptr;  // told in the audit record
  Histogram* latency = nullptr;

  bool is_public() const { return scope == nullptr; }
};

// All methods of all Apps.
class MethodTable {
 public:
  // A registry that enters methods under `app`. Valid as long as the table.
  std::unique_ptr<ServiceRegistry> RegistryFor(AppSlot* app,
                                               std::shared_ptr<TenantQuotas> quotas = nullptr);
  // FAILED_PRECONDITION naming every method that has no handler, no permission, the wrong types or
  // two handlers.
  absl::Status Complete();
  const Method* Find(std::string_view name) const;
  const std::map<std::string, Method, std::less<>>& methods() const { return methods_; }
  std::map<std::string, Method, std::less<>>& methods() { return methods_; }
  // Full names of the services, for reflection.
  std::vector<std::string> Services() const;

 private:
  class Registry;
  void CompleteMethod(Method& method);
  void FindMissing();

  std::map<std::string, Method, std::less<>> methods_;
  std::vector<std::string> problems_;
};

}  // namespace yagura::rpc
