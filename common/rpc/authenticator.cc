#include "common/rpc/authenticator.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "fmt/format.h"

#include "common/rpc/peer.h"
#include "common/status/status.h"
#include "simdjson.h"

namespace yagura::rpc {
namespace {

constexpr std::string_view kScheme = "Bearer ";
constexpr size_t kMaxKnown = 4096;
constexpr std::chrono::seconds kRemember{60};
constexpr size_t kMaxSeenGood = 16'384;
constexpr std::chrono::hours kSeenGood{1};

// The name that a token claims, before anything shows that it is true: good for choosing a bucket
// and for nothing else. Empty where there is none.
std::string ClaimedName(std::string_view token) {
  const auto parts = Split(token, '.');
  const auto payload = parts.size() == 3 ? Base64UrlDecode(parts[1]) : std::nullopt;
  if (!payload) return "";
  simdjson::dom::parser parser;
  std::string_view name;
  if (parser.parse(*payload)["sub"].get_string().get(name) != simdjson::SUCCESS) return "";
  return std::string(name);
}

std::string Who(std::string_view network, std::string_view name) {
  return fmt::format("{} {}", network, name);
}

}  // namespace

std::string HomeTenantOf(const auth::Principal& principal) {
  const auto parts = Split(principal.name, '/');
  return parts.size() > 1 && parts[0] == "tenants" ? std::string(parts[1]) : "";
}

Authenticator::Authenticator(Options options, std::shared_ptr<auth::TokenVerifier> verifier,
                             std::shared_ptr<const Clock> clock, Counter* checks)
    : options_(std::move(options)),
      verifier_(std::move(verifier)),
      clock_(std::move(clock)),
      checks_(checks),
      bad_tokens_(options_.bad_tokens_per_second, options_.bad_tokens_burst, clock_) {}

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
  const std::string network = PeerNetwork(peer);
  YAGURA_ASSIGN_OR_RETURN(auth::Principal verified, Verify(token, network));
  auto principal = std::make_shared<const auth::Principal>(std::move(verified));
  Remember(token, network, principal, generation);
  return principal;
}

absl::StatusOr<auth::Principal> Authenticator::Verify(std::string_view token,
                                                      std::string_view network) {
  // Taken before the check and given back where it was good, so that bad tokens sent at once count
  // like bad tokens in a row. Expired and revoked ones have cost their check too.
  std::string bucket;
  bool key_known = false;
  const auth::VerifyGate gate = [&](std::string_view key_id) -> absl::Status {
    key_known = true;
    YAGURA_RETURN_IF_ERROR(TakeFrom(token, network, key_id, bucket));
    checks_->Add();
    return absl::OkStatus();
  };
  auto verified = verifier_->Verify(token, gate);
  if (!verified.ok() && !key_known && options_.find_new_keys && options_.find_new_keys()) {
    verified = verifier_->Verify(token, gate);
  }
  if (verified.ok()) bad_tokens_.Give(bucket, 1);
  return verified;
}

absl::Status Authenticator::TakeFrom(std::string_view token, std::string_view network,
                                     std::string_view key_id, std::string& bucket) {
  const std::string who = Who(network, ClaimedName(token));
  if (SeenGood(who)) {
    bucket = fmt::format("{} {}", who, key_id);
    if (bad_tokens_.Take(bucket, 1).count() == 0) return absl::OkStatus();
  }
  bucket = Who(network, key_id);
  const auto wait = bad_tokens_.Take(bucket, 1);
  if (wait.count() == 0) return absl::OkStatus();
  return WithRetryDelay(MakeError(absl::StatusCode::kResourceExhausted, "TOO_MANY_BAD_TOKENS",
                                  "too many bad tokens have come from this address"),
                        wait);
}

bool Authenticator::SeenGood(const std::string& who) {
  const std::shared_lock lock(mutex_);
  const auto found = seen_good_.find(who);
  return found != seen_good_.end() && clock_->SteadyNow() < found->second + kSeenGood;
}

void Authenticator::Remember(std::string_view token, std::string_view network,
                             std::shared_ptr<const auth::Principal> principal,
                             uint64_t generation) {
  const TimePoint until = std::min(principal->expires, clock_->Now() + kRemember);
  const SteadyTime now = clock_->SteadyNow();
  const std::unique_lock lock(mutex_);
  if (seen_good_.size() >= kMaxSeenGood) {
    std::erase_if(seen_good_, [&](const auto& item) { return item.second + kSeenGood <= now; });
    if (seen_good_.size() >= kMaxSeenGood) seen_good_.clear();
  }
  seen_good_[Who(network, principal->name)] = now;
  if (known_.size() >= kMaxKnown) known_.clear();
  known_[std::string(token)] = {std::move(principal), until, generation};
}

}  // namespace yagura::rpc
