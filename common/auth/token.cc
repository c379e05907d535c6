#include "common/auth/token.h"

#include <sodium.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <utility>

#include "fmt/format.h"

#include "common/status/status.h"
#include "common/text/text.h"
#include "simdjson.h"

namespace yagura::auth {
namespace {

constexpr size_t kMaxTokenBytes = 8192;
constexpr size_t kMaxHeaderBytes = 256;
constexpr size_t kMaxKeysPerIssuer = 16;
constexpr std::chrono::seconds kSkew{30};
constexpr std::string_view kInternalIssuer = "yagura-internal";
// Internal tokens live 60 s; one that claims much more was not made by us.
constexpr std::chrono::seconds kMaxInternalLifetime{120};

// Longer than any token lives.
constexpr std::chrono::hours kRememberRevocations{2};

int64_t UnixMicroseconds(TimePoint time) {
  return std::chrono::floor<std::chrono::microseconds>(time).time_since_epoch().count();
}

int64_t UnixSeconds(TimePoint time) {
  return std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
}

absl::Status Invalid() {
  return MakeError(absl::StatusCode::kUnauthenticated, "TOKEN_INVALID", "the token is not valid");
}

absl::Status Expired() {
  return MakeError(absl::StatusCode::kUnauthenticated, "TOKEN_EXPIRED", "the token has expired");
}

absl::Status Revoked() {
  return MakeError(absl::StatusCode::kUnauthenticated, "TOKEN_REVOKED",
                   "the token was revoked: log in again");
}

std::string GrantsJson(const std::vector<Grant>& grants) {
  std::string out = "[";
  for (const Grant& grant : grants) {
    if (out.size() > 1) out += ',';
    out += fmt::format(R"({{"role":{})", QuoteJson(grant.role));
    if (grant.all_tenants) {
      out += R"(,"all":true)";
    } else {
      out += R"(,"tenants":[)";
      bool first = true;
      for (const std::string& tenant : grant.tenants) {
        if (!std::exchange(first, false)) out += ',';
        out += QuoteJson(tenant);
      }
      out += ']';
    }
    out += '}';
  }
  return out + "]";
}

struct Claims {
  std::string issuer;
  int64_t issued_at = 0;
  int64_t issued_at_us = 0;  // ours, since a second is long; not in tokens of older releases
  int64_t not_before = 0;
  int64_t expires = 0;
  Principal principal;
};

// A member that appears twice is an attack on whoever reads the other one.
class OnceOnly {
 public:
  bool operator()(std::string_view key) { return seen_.insert(std::string(key)).second; }

 private:
  std::set<std::string> seen_;
};

bool ReadText(simdjson::dom::element value, std::string& out) {
  std::string_view text;
  if (value.get_string().get(text) != simdjson::SUCCESS) return false;
  out = text;
  return true;
}

bool ReadSeconds(simdjson::dom::element value, int64_t& out) {
  // 9999-12-31: what lies beyond overflows nanoseconds and means nothing.
  return value.get_int64().get(out) == simdjson::SUCCESS && out > 0 && out <= 9'000'000'000;
}

std::optional<Grant> ReadGrant(simdjson::dom::element element) {
  simdjson::dom::object object;
  if (element.get_object().get(object) != simdjson::SUCCESS) return std::nullopt;
  Grant grant;
  OnceOnly once;
  for (const auto [key, value] : object) {
    if (!once(key)) return std::nullopt;
    if (key == "role") {
      if (!ReadText(value, grant.role)) return std::nullopt;
    } else if (key == "all") {
      if (value.get_bool().get(grant.all_tenants) != simdjson::SUCCESS) return std::nullopt;
    } else if (key == "tenants") {
      simdjson::dom::array tenants;
      if (value.get_array().get(tenants) != simdjson::SUCCESS) return std::nullopt;
      for (const simdjson::dom::element item : tenants) {
        std::string tenant;
        if (!ReadText(item, tenant) || tenant.empty() || tenant == "-") return std::nullopt;
        grant.tenants.insert(std::move(tenant));
      }
    } else {
      return std::nullopt;
    }
  }
  if (grant.role.empty()) return std::nullopt;
  return grant;
}

// The id of the key that signed, where the header is one that we write.
std::optional<std::string> ReadHeader(const std::string& json) {
  simdjson::dom::parser parser;
  simdjson::dom::object object;
  if (parser.parse(json).get_object().get(object) != simdjson::SUCCESS) return std::nullopt;
  std::string algorithm;
  std::string type;
  std::string key_id;
  OnceOnly once;
  for (const auto [key, value] : object) {
    if (!once(key)) return std::nullopt;
    bool good = false;
    if (key == "alg") good = ReadText(value, algorithm);
    if (key == "typ") good = ReadText(value, type);
    if (key == "kid") good = ReadText(value, key_id);
    if (!good) return std::nullopt;
  }
  if (algorithm != "EdDSA" || type != "JWT" || key_id.empty()) return std::nullopt;
  return key_id;
}

bool ReadClaim(std::string_view key, simdjson::dom::element value, Claims& claims) {
  if (key == "iss") return ReadText(value, claims.issuer);
  if (key == "sub") return ReadText(value, claims.principal.name);
  if (key == "obo") return ReadText(value, claims.principal.on_behalf_of);
  if (key == "iat") return ReadSeconds(value, claims.issued_at);
  if (key == "iat_us") {
    return value.get_int64().get(claims.issued_at_us) == simdjson::SUCCESS &&
           claims.issued_at_us > 0 && claims.issued_at_us <= 9'000'000'000'000'000;
  }
  if (key == "nbf") return ReadSeconds(value, claims.not_before);
  if (key == "exp") return ReadSeconds(value, claims.expires);
  if (key != "grants") return true;  // a newer issuer may say more than we understand
  simdjson::dom::array grants;
  if (value.get_array().get(grants) != simdjson::SUCCESS) return false;
  for (const simdjson::dom::element item : grants) {
    auto grant = ReadGrant(item);
    if (!grant) return false;
    claims.principal.grants.push_back(std::move(*grant));
  }
  return true;
}

std::optional<Claims> ReadClaims(const std::string& json) {
  simdjson::dom::parser parser;
  simdjson::dom::object object;
  if (parser.parse(json).get_object().get(object) != simdjson::SUCCESS) return std::nullopt;
  Claims claims;
  OnceOnly once;
  for (const auto [key, value] : object) {
    if (!once(key) || !ReadClaim(key, value, claims)) return std::nullopt;
  }
  if (claims.issuer.empty() || claims.principal.name.empty() || claims.issued_at == 0 ||
      claims.not_before == 0 || claims.expires == 0) {
    return std::nullopt;
  }
  claims.principal.expires = TimePoint(std::chrono::seconds(claims.expires));
  claims.principal.issued = TimePoint(std::chrono::seconds(claims.issued_at));
  const TimePoint exact{std::chrono::microseconds(claims.issued_at_us)};
  if (UnixSeconds(exact) == claims.issued_at) claims.principal.issued = exact;
  return claims;
}

// Services are named by the internal issuer and by nobody else, so that the directory's key cannot
// make one, nor an internal key a person.
bool IssuerMaySay(const Claims& claims) {
  const bool internal = claims.issuer == kInternalIssuer;
  if (claims.principal.is_service() != internal) return false;
  if (internal) return claims.expires - claims.issued_at <= kMaxInternalLifetime.count();
  if (!claims.principal.on_behalf_of.empty()) return false;
  for (const Grant& grant : claims.principal.grants) {
    if (grant.role == "service") return false;
  }
  return true;
}

}  // namespace

TokenIssuer::TokenIssuer(SigningKey key, std::string issuer, std::shared_ptr<const Clock> clock)
    : key_(std::move(key)), issuer_(std::move(issuer)), clock_(std::move(clock)) {}

std::string TokenIssuer::Issue(const Principal& principal, std::chrono::seconds lifetime) const {
  const int64_t now = UnixSeconds(clock_->Now());
  const std::string header =
      fmt::format(R"({{"alg":"EdDSA","typ":"JWT","kid":{}}})", QuoteJson(key_.key_id()));
  const TimePoint issued = principal.issued == TimePoint{} ? clock_->Now() : principal.issued;
  std::string claims =
      fmt::format(R"({{"iss":{},"sub":{},"iat":{},"iat_us":{},"nbf":{},"exp":{})",
                  QuoteJson(issuer_), QuoteJson(principal.name), UnixSeconds(issued),
                  UnixMicroseconds(issued), now, now + lifetime.count());
  if (!principal.on_behalf_of.empty()) {
    claims += fmt::format(R"(,"obo":{})", QuoteJson(principal.on_behalf_of));
  }
  claims += fmt::format(R"(,"grants":{}}})", GrantsJson(principal.grants));
  const std::string message = Base64UrlEncode(header) + "." + Base64UrlEncode(claims);
  return message + "." + Base64UrlEncode(key_.Sign(message));
}

struct TokenVerifier::Impl {
  struct Key {
    std::string id;
    std::string public_key;
  };
  // A key of whichever issuer: its id is a digest of it, so that there is one.
  std::optional<std::string> Find(std::string_view id) const {
    std::shared_lock lock(mutex);
    for (const auto& [issuer, keys] : issuers) {
      for (const Key& key : keys) {
        if (key.id == id) return key.public_key;
      }
    }
    return std::nullopt;
  }
  bool Trusts(std::string_view issuer, std::string_view id) const {
    std::shared_lock lock(mutex);
    const auto found = issuers.find(issuer);
    return found != issuers.end() && std::any_of(found->second.begin(), found->second.end(),
                                                 [id](const Key& key) { return key.id == id; });
  }

  bool IsRevoked(const Principal& principal) const {
    std::shared_lock lock(mutex);
    const auto found = revoked.find(principal.name);
    return found != revoked.end() && principal.issued < found->second;
  }

  std::shared_ptr<const Clock> clock;
  mutable std::shared_mutex mutex;
  StringMap<std::deque<Key>> issuers;
  StringMap<TimePoint> revoked;  // by principal: what was issued before
  std::atomic<uint64_t> generation{0};
};

TokenVerifier::TokenVerifier(std::shared_ptr<const Clock> clock) : impl_(std::make_shared<Impl>()) {
  impl_->clock = std::move(clock);
}

void TokenVerifier::Trust(std::string_view issuer, std::string_view public_key) {
  if (public_key.size() != crypto_sign_PUBLICKEYBYTES) return;
  std::string id = KeyIdOf(public_key);
  std::unique_lock lock(impl_->mutex);
  auto& keys = impl_->issuers[std::string(issuer)];
  for (const auto& key : keys) {
    if (key.id == id) return;
  }
  keys.push_back({std::move(id), std::string(public_key)});
  if (keys.size() <= kMaxKeysPerIssuer) return;
  keys.pop_front();
  ++impl_->generation;
}

void TokenVerifier::TrustOnly(std::string_view issuer,
                              const std::vector<std::string>& public_keys) {
  for (const auto& key : public_keys) Trust(issuer, key);
  std::unique_lock lock(impl_->mutex);
  const auto gone = std::erase_if(impl_->issuers[std::string(issuer)], [&](const auto& key) {
    return std::find(public_keys.begin(), public_keys.end(), key.public_key) == public_keys.end();
  });
  if (gone > 0) ++impl_->generation;
}

void TokenVerifier::Revoke(std::string_view principal, TimePoint before) {
  const TimePoint forgotten = impl_->clock->Now() - kRememberRevocations;
  if (before <= forgotten) return;
  std::unique_lock lock(impl_->mutex);
  TimePoint& known = impl_->revoked[std::string(principal)];
  if (known >= before) return;
  known = before;
  ++impl_->generation;
  std::erase_if(impl_->revoked, [&](const auto& item) { return item.second <= forgotten; });
}

uint64_t TokenVerifier::generation() const { return impl_->generation; }

absl::StatusOr<Principal> TokenVerifier::Verify(std::string_view jwt,
                                                const VerifyGate& gate) const {
  if (jwt.size() > kMaxTokenBytes) return Invalid();
  const auto parts = Split(jwt, '.');
  if (parts.size() != 3 || parts[0].size() > kMaxHeaderBytes) return Invalid();
  const auto header = Base64UrlDecode(parts[0]);
  const auto signature = Base64UrlDecode(parts[2]);
  if (!header || !signature) return Invalid();
  const auto key_id = ReadHeader(*header);
  if (!key_id) return Invalid();
  const auto public_key = impl_->Find(*key_id);
  if (!public_key) return Invalid();
  if (gate) YAGURA_RETURN_IF_ERROR(gate(*key_id));
  const std::string_view message = jwt.substr(0, parts[0].size() + 1 + parts[1].size());
  if (!VerifySignature(*public_key, message, *signature)) return Invalid();
  const auto payload = Base64UrlDecode(parts[1]);
  auto claims = payload ? ReadClaims(*payload) : std::nullopt;
  if (!claims || !impl_->Trusts(claims->issuer, *key_id) || !IssuerMaySay(*claims)) {
    return Invalid();
  }
  const int64_t now = UnixSeconds(impl_->clock->Now());
  if (claims->not_before > now + kSkew.count() || claims->issued_at > now + kSkew.count()) {
    return Invalid();
  }
  if (claims->expires + kSkew.count() <= now) return Expired();
  if (impl_->IsRevoked(claims->principal)) return Revoked();
  return std::move(claims->principal);
}

}  // namespace yagura::auth
