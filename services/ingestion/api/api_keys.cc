#include "services/ingestion/api/api_keys.h"

#include "common/event/batch_codec.h"
#include "common/rpc/peer.h"
#include "common/status/status.h"

namespace yagura::ingestion {
namespace {

constexpr size_t kMaxKnown = 4096;
constexpr size_t kMaxSecret = 512;
constexpr auto kRenewBefore = std::chrono::seconds(60);
// The directory shuts an address out after 50 bad keys in 15 minutes; we are one address.
constexpr double kAllBadBurst = 20;
constexpr double kAllBadPerSecond = 20.0 / (15 * 60);
constexpr double kBadBurst = 5;
constexpr double kBadPerSecond = 5.0 / (15 * 60);

}  // namespace

ApiKeys::ApiKeys(Exchange exchange, std::shared_ptr<auth::TokenVerifier> verifier,
                 std::shared_ptr<const Clock> clock)
    : exchange_(std::move(exchange)),
      verifier_(std::move(verifier)),
      clock_(std::move(clock)),
      bad_keys_(kBadPerSecond, kBadBurst, clock_),
      all_bad_keys_(kAllBadPerSecond, kAllBadBurst, clock_) {}

StatusOr<std::shared_ptr<const auth::Principal>> ApiKeys::Resolve(const std::string& secret,
                                                                  std::string_view peer) {
  if (!secret.starts_with("ygr_") || secret.size() > kMaxSecret) {
    return MakeError(absl::StatusCode::kUnauthenticated, "KEY_INVALID", "the key is not valid");
  }
  const std::string digest = event::BatchIdOf({"api key", secret});
  const TimePoint now = clock_->Now();
  const uint64_t generation = verifier_->generation();
  bool seen_good = false;
  Known known;
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = known_.find(digest); found != known_.end()) {
      seen_good = true;
      known = found->second;
    }
  }
  if (seen_good && known.principal->expires > now + kRenewBefore) {
    if (known.generation == generation) return known.principal;
    if (verifier_->Verify(known.token).ok()) {
      const std::lock_guard lock(mutex_);
      known_[digest] = {known.token, known.principal, generation};
      return known.principal;
    }
  }
  const std::string network = rpc::PeerNetwork(peer);
  if (!seen_good) {
    const auto wait = std::max(bad_keys_.Take(network, 1), all_bad_keys_.Take("", 1));
    if (wait.count() > 0) {
      return WithRetryDelay(MakeError(absl::StatusCode::kResourceExhausted, "TOO_MANY_BAD_KEYS",
                                      "too many bad keys were tried"),
                            wait);
    }
  }
  auto token = exchange_(secret);
  if (!token.ok() && token.status().code() == absl::StatusCode::kUnauthenticated) {
    const std::lock_guard lock(mutex_);
    known_.erase(digest);
    return token.status();
  }
  if (!seen_good) {
    bad_keys_.Give(network, 1);
    all_bad_keys_.Give("", 1);
  }
  if (!token.ok()) {
    // What is still good of the old one serves while the directory is away.
    if (seen_good && known.principal->expires > now && verifier_->Verify(known.token).ok()) {
      return known.principal;
    }
    return token.status();
  }
  auto verified = verifier_->Verify(*token);
  if (!verified.ok()) return Unavailable("KEYS_UNKNOWN", "the directory's key is not known yet");
  auto principal = std::make_shared<const auth::Principal>(*std::move(verified));
  const std::lock_guard lock(mutex_);
  if (known_.size() >= kMaxKnown) known_.clear();
  known_[digest] = {*std::move(token), principal, generation};
  return principal;
}

}  // namespace yagura::ingestion
