#include "common/rpc/authenticator.h"

#include <algorithm>
#include <utility>

#include "fmt/format.h"

#include "common/rpc/peer.h"
#include "common/status/status.h"

namespace yagura::rpc {
namespace {

constexpr std::string_view kScheme = "Bearer ";
constexpr size_t kMaxKnown = 4096;
constexpr std::chrono::seconds kRemember{60};
constexpr double kBadSignaturesPerSecond = 20;

}  // namespace

std::string HomeTenantOf(const auth::Principal& principal) {
  const auto parts = Split(principal.name, '/');
  return parts.size() > 1 && parts[0] == "tenants" ? std::string(parts[1]) : "";
}

Authenticator::Authenticator(std::shared_ptr<auth::TokenVerifier> verifier,
                             std::shared_ptr<const Clock> clock, Counter* checks)
    : verifier_(std::move(verifier)),
      clock_(std::move(clock)),
      checks_(checks),
      bad_signatures_(kBadSignaturesPerSecond, clock_) {}

absl::StatusOr<std::shared_ptr<const auth::Principal>> Authenticator::Authenticate(
    std::string_view authorization, std::string_view peer) {
  if (authorization.size() <= kScheme.size() ||
      !EqualsIgnoreCase(authorization.substr(0, kScheme.size()), kScheme)) {
    return MakeError(absl::StatusCode::kUnauthenticated, "TOKEN_MISSING",
                     "the call carries no \"authorization: Bearer\" token");
  }
  const std::string_view token = authorization.substr(kScheme.size());
  const TimePoint now = clock_->Now();
  const uint64_t generation = verifier_->generation();
  {
    const std::shared_lock lock(mutex_);
    const auto found = known_.find(token);
    const bool known = found != known_.end() && now < found->second.until;
    if (known && found->second.generation == generation) return found->second.principal;
  }
  // Taken before the check and given back where it was good, so that bad tokens sent at once count
  // like bad tokens in a row.
  std::string taken_from;
  auto verified = verifier_->Verify(token, [&](std::string_view key_id) -> absl::Status {
    taken_from = fmt::format("{} {}", PeerNetwork(peer), key_id);
    const auto wait = bad_signatures_.Take(taken_from, 1);
    if (wait.count() == 0) {
      checks_->Add();
      return absl::OkStatus();
    }
    return WithRetryDelay(MakeError(absl::StatusCode::kResourceExhausted, "TOO_MANY_BAD_TOKENS",
                                    "too many bad tokens have come from this address"),
                          wait);
  });
  // What was ours once comes from somebody who is late, not guessing.
  const std::string reason = verified.ok() ? "" : ErrorReason(verified.status());
  const bool good = verified.ok() || reason == "TOKEN_EXPIRED" || reason == "TOKEN_REVOKED";
  if (good) bad_signatures_.Give(taken_from, 1);
  if (!verified.ok()) return verified.status();
  auto principal = std::make_shared<const auth::Principal>(std::move(*verified));
  const std::unique_lock lock(mutex_);
  if (known_.size() >= kMaxKnown) known_.clear();
  known_[std::string(token)] = {principal, std::min(principal->expires, now + kRemember),
                                generation};
  return principal;
}

}  // namespace yagura::rpc
