#include "common/rpc/authenticator.h"

#include <algorithm>
#include <utility>

#include "common/status/status.h"

namespace yagura::rpc {
namespace {

constexpr std::string_view kScheme = "Bearer ";
constexpr size_t kMaxKnown = 4096;
constexpr std::chrono::seconds kRemember{60};

}  // namespace

std::string HomeTenantOf(const auth::Principal& principal) {
  const auto parts = Split(principal.name, '/');
  return parts.size() > 1 && parts[0] == "tenants" ? std::string(parts[1]) : "";
}

Authenticator::Authenticator(std::shared_ptr<auth::TokenVerifier> verifier,
                             std::shared_ptr<const Clock> clock)
    : verifier_(std::move(verifier)), clock_(std::move(clock)) {}

absl::StatusOr<std::shared_ptr<const auth::Principal>> Authenticator::Authenticate(
    std::string_view authorization) {
  if (authorization.size() <= kScheme.size() ||
      !EqualsIgnoreCase(authorization.substr(0, kScheme.size()), kScheme)) {
    return MakeError(absl::StatusCode::kUnauthenticated, "TOKEN_MISSING",
                     "the call carries no \"authorization: Bearer\" token");
  }
  const std::string_view token = authorization.substr(kScheme.size());
  const TimePoint now = clock_->Now();
  {
    const std::shared_lock lock(mutex_);
    const auto found = known_.find(token);
    if (found != known_.end() && now < found->second.until) return found->second.principal;
  }
  auto verified = verifier_->Verify(token);
  if (!verified.ok()) return verified.status();
  auto principal = std::make_shared<const auth::Principal>(std::move(*verified));
  const std::unique_lock lock(mutex_);
  if (known_.size() >= kMaxKnown) known_.clear();
  known_[std::string(token)] = {principal, std::min(principal->expires, now + kRemember)};
  return principal;
}

}  // namespace yagura::rpc
