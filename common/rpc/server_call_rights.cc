// The part of ServerCall that asks again for rights and leaves traces: audit records, metrics, log.

#include <chrono>
#include <utility>

#include "common/clock/proto_time.h"
#include "common/rpc/server_call.h"
#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::rpc {
namespace {

using std::chrono::steady_clock;

constexpr std::chrono::seconds kRightsInterval{60};

}  // namespace

void ServerCall::CheckRightsLater() {
  if (method_->is_public()) return;
  runtime_.rights.After(kRightsInterval, [weak = weak_from_this()] {
    if (const auto call = weak.lock()) call->CheckRights();
  });
}

void ServerCall::CheckRights() {
  {
    const std::lock_guard lock(mutex_);
    if (closing_) return;
  }
  const auto principal = runtime_.authenticator.Authenticate(authorization_, peer_);
  if (!principal.ok()) {
    stop_.request_stop();
    Finish(principal.status());
    return;
  }
  CheckRightsLater();
}

void ServerCall::Record(audit::v1::Action action, int code) {
  if (action == audit::v1::ACTION_UNSPECIFIED || !runtime_.audit || !principal_) return;
  if (method_ == nullptr || method_->is_public()) return;
  // What a service reads in the course of a call is that call's business, which is on record; what
  // it reads by itself is nobody's curiosity.
  if (principal_->is_service() && action != audit::v1::DENIED) return;
  About about;
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(recorded_, true)) return;
    about = about_;
  }
  audit::v1::Record record;
  *record.mutable_time() = ToProto(runtime_.platform.clock->Now());
  // A refused call goes to the caller's own tenant: the one it asked for may not exist.
  const std::string home = HomeTenantOf(*principal_);
  const bool foreign = action == audit::v1::DENIED || about.tenant.empty() || about.tenant == "-";
  record.set_tenant(!foreign ? about.tenant : home.empty() ? "provider" : home);
  record.set_principal(principal_->name);
  record.set_on_behalf_of(principal_->on_behalf_of);
  record.set_method(method_name_);
  record.set_action(action);
  record.set_resource(about.resource);
  record.set_kind(method_->permission.substr(0, method_->permission.rfind('.')));
  record.set_detail(ToValidUtf8(about.detail));
  record.set_status_code(code);
  runtime_.audit->Add(std::move(record));
}

void ServerCall::Report(int code, std::string_view message) {
  runtime_.CountCall(method_ == nullptr ? "unknown" : std::string_view(method_name_), code);
  const auto took = std::chrono::duration<double>(steady_clock::now() - begun_).count();
  if (method_ != nullptr && !is_endless()) method_->latency->Observe(took);
  if (code == 0 || !runtime_.MayLog()) return;
  const auto status = absl::Status(static_cast<absl::StatusCode>(code), "");
  const bool ours = status.code() == absl::StatusCode::kInternal ||
                    status.code() == absl::StatusCode::kUnknown ||
                    status.code() == absl::StatusCode::kDataLoss ||
                    status.code() == absl::StatusCode::kUnavailable;
  const auto code_name = absl::StatusCodeToString(status.code());
  const std::string_view who = principal_ ? std::string_view(principal_->name) : "";
  const std::string method = method_name_.substr(0, 256);
  std::string tenant;
  {
    const std::lock_guard lock(mutex_);
    tenant = about_.tenant;
  }
  const auto log = ours ? &Logger::Warning : &Logger::Info;
  (runtime_.logger.*log)("call failed", {{"method", method},
                                         {"code", code_name},
                                         {"message", message},
                                         {"principal", who},
                                         {"tenant", tenant},
                                         {"peer", peer_},
                                         {"seconds", took}});
}

}  // namespace yagura::rpc
