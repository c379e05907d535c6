#include "services/ingestion/api/api_keys.h"

#include "fmt/format.h"

#include "common/event/batch_codec.h"
#include "common/rpc/peer.h"
#include "common/status/status.h"

namespace yagura::ingestion {
namespace {

constexpr size_t kMaxKnown = 16'384;
constexpr size_t kMaxBad = 4096;
constexpr size_t kMaxSecret = 512;
constexpr auto kRenewBefore = std::chrono::minutes(2);
constexpr auto kRenewPause = std::chrono::seconds(1);
constexpr auto kBadFor = std::chrono::seconds(10);
constexpr double kUnknownPerSecond = 20;  // twice as many at once
constexpr double kBadBurst = 5;
constexpr double kBadPerSecond = 5.0 / (15 * 60);

constexpr std::string_view kKeyInvalid = "KEY_INVALID";

Status KeyInvalid() {
  return MakeError(absl::StatusCode::kUnauthenticated, kKeyInvalid, "the key is not valid");
}

bool HasForm(std::string_view secret) {
  return secret.starts_with("ygr_") && secret.size() <= kMaxSecret;
}

std::string DigestOf(const std::string& secret) { return event::BatchIdOf({"api key", secret}); }

// The network and "ygr_{tenant}_{key}".
std::string Claim(std::string_view secret, std::string_view peer) {
  return fmt::format("{} {}", rpc::PeerNetwork(peer), secret.substr(0, secret.rfind('_')));
}

// What the directory says of a key; that it does not know us (any more) says nothing of that.
bool IsBadKey(const Status& status) {
  const std::string reason = ErrorReason(status);
  return reason == "LOGIN_FAILED" || reason == "LOGIN_THROTTLED";
}

}  // namespace

ApiKeys::ApiKeys(Exchange exchange, std::shared_ptr<auth::TokenVerifier> verifier,
                 std::shared_ptr<const Clock> clock)
    : exchange_(std::move(exchange)),
      verifier_(std::move(verifier)),
      clock_(std::move(clock)),
      unknown_keys_(kUnknownPerSecond, clock_),
      bad_keys_(kBadPerSecond, kBadBurst, clock_),
      renewer_([this](const std::stop_token& stop) { Renew(stop); }) {}

ApiKeys::~ApiKeys() {
  renewer_.request_stop();
  renewer_.join();
}

StatusOr<ApiKeys::PrincipalPtr> ApiKeys::Look(const std::string& secret) {
  if (!HasForm(secret)) return KeyInvalid();
  const std::string digest = DigestOf(secret);
  const TimePoint now = clock_->Now();
  const uint64_t generation = verifier_->generation();
  const std::lock_guard lock(mutex_);
  if (const auto bad = bad_.find(digest); bad != bad_.end()) {
    if (clock_->SteadyNow() - bad->second < kBadFor) return KeyInvalid();
    bad_.erase(bad);
  }
  const auto found = known_.find(digest);
  if (found == known_.end()) return nullptr;
  Known& known = found->second;
  if (known.principal->expires <= now) return nullptr;
  if (known.generation != generation) {
    if (!verifier_->Verify(known.token).ok()) return nullptr;
    known.generation = generation;
  }
  if (known.principal->expires <= now + kRenewBefore && !std::exchange(known.renewing, true)) {
    to_renew_.push_back(digest);
    wake_.notify_one();
  }
  return known.principal;
}

StatusOr<ApiKeys::PrincipalPtr> ApiKeys::Resolve(const std::string& secret, std::string_view peer) {
  YAGURA_ASSIGN_OR_RETURN(auto known, Look(secret));
  if (known != nullptr) return known;
  const std::string digest = DigestOf(secret);
  bool seen_good = false;
  {
    const std::lock_guard lock(mutex_);
    seen_good = known_.contains(digest);
  }
  const std::string from(peer);
  if (seen_good) return Ask(digest, secret, from);
  const std::string network = rpc::PeerNetwork(peer);
  if (const auto wait = unknown_keys_.Take(network, 1); wait.count() > 0) {
    return WithRetryDelay(MakeError(absl::StatusCode::kResourceExhausted, "TOO_MANY_UNKNOWN_KEYS",
                                    "too many keys that are not known were tried from there"),
                          wait);
  }
  const std::string claim = Claim(secret, peer);
  if (const auto wait = bad_keys_.Take(claim, 1); wait.count() > 0) {
    unknown_keys_.Give(network, 1);  // nobody was asked
    return WithRetryDelay(MakeError(absl::StatusCode::kResourceExhausted, "TOO_MANY_BAD_KEYS",
                                    "too many bad keys were tried"),
                          wait);
  }
  auto principal = Ask(digest, secret, from);
  // A directory that is away says nothing of the key.
  if (principal.ok() || ErrorReason(principal.status()) != kKeyInvalid) {
    unknown_keys_.Give(network, 1);
    bad_keys_.Give(claim, 1);
  }
  return principal;
}

StatusOr<ApiKeys::PrincipalPtr> ApiKeys::Ask(const std::string& digest, const std::string& secret,
                                             const std::string& peer) {
  const uint64_t generation = verifier_->generation();
  auto token = exchange_(secret, peer);
  if (!token.ok()) {
    if (absl::IsUnauthenticated(token.status()) && !IsBadKey(token.status())) {
      return Unavailable("DIRECTORY_REFUSES", "the directory does not answer us now");
    }
    if (!IsBadKey(token.status())) return token.status();
    const std::lock_guard lock(mutex_);
    known_.erase(digest);
    NoteBad(digest);
    return KeyInvalid();
  }
  auto verified = verifier_->Verify(*token);
  if (!verified.ok()) return Unavailable("KEYS_UNKNOWN", "the directory's key is not known yet");
  auto principal = std::make_shared<const auth::Principal>(*std::move(verified));
  const std::lock_guard lock(mutex_);
  if (known_.size() >= kMaxKnown && !known_.contains(digest)) Forget();
  known_[digest] = {secret, peer, *std::move(token), principal, generation, false};
  return principal;
}

void ApiKeys::Forget() {
  const TimePoint now = clock_->Now();
  std::erase_if(known_, [now](const auto& item) { return item.second.principal->expires <= now; });
  if (known_.size() >= kMaxKnown) known_.erase(known_.begin());
}

void ApiKeys::NoteBad(const std::string& digest) {
  const SteadyTime now = clock_->SteadyNow();
  if (bad_.size() >= kMaxBad) {
    std::erase_if(bad_, [now](const auto& item) { return now - item.second >= kBadFor; });
    if (bad_.size() >= kMaxBad) bad_.clear();
  }
  bad_[digest] = now;
}

void ApiKeys::Renew(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (wake_.wait(lock, stop, [this] { return !to_renew_.empty(); })) {
    const std::string digest = std::move(to_renew_.front());
    to_renew_.pop_front();
    const auto found = known_.find(digest);
    if (found == known_.end()) continue;
    const std::string secret = found->second.secret;
    const std::string peer = found->second.peer;
    lock.unlock();
    const auto renewed = Ask(digest, secret, peer);
    lock.lock();
    if (renewed.ok() || ErrorReason(renewed.status()) == kKeyInvalid) continue;
    // The directory is away: whoever uses the key next has it tried again, but not at once.
    wake_.wait_for(lock, stop, kRenewPause, [] { return false; });
    if (const auto again = known_.find(digest); again != known_.end()) {
      again->second.renewing = false;
    }
  }
}

}  // namespace yagura::ingestion
