#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "common/auth/principal.h"

namespace yagura::auth {

// An Ed25519 key pair and its id, the first 16 hex digits of the SHA-256 of the public key.
class SigningKey {
 public:
  // Reads the seed from a file; makes the file (mode 0600) where it does not exist.
  static absl::StatusOr<SigningKey> LoadOrCreate(const std::filesystem::path& file);
  static SigningKey Generate();
  // From 32 secret bytes, which the caller keeps sealed elsewhere.
  static absl::StatusOr<SigningKey> FromSeed(std::string_view seed);
  std::string Sign(std::string_view message) const;              // 64 bytes
  const std::string& public_key() const { return public_key_; }  // 32 bytes
  const std::string& key_id() const { return key_id_; }

 private:
  std::string secret_key_;
  std::string public_key_;
  std::string key_id_;
};

// The id of a public key.
std::string KeyIdOf(std::string_view public_key);

bool VerifySignature(std::string_view public_key, std::string_view message,
                     std::string_view signature);

// Issues and checks JWTs (RFC 7519, alg EdDSA). Thread-safe.
class TokenIssuer {
 public:
  TokenIssuer(SigningKey key, std::string issuer, std::shared_ptr<const Clock> clock);
  // `lifetime` from now on; issued at `principal.issued`, or now where that is not set.
  std::string Issue(const Principal& principal, std::chrono::seconds lifetime) const;
  const SigningKey& key() const { return key_; }

 private:
  SigningKey key_;
  std::string issuer_;
  std::shared_ptr<const Clock> clock_;
};

// Asked before a signature is checked, which is what costs: an error ends Verify with it. `key_id`
// is that of a trusted key; nobody guesses the id of a key that is not published.
using VerifyGate = std::function<absl::Status(std::string_view key_id)>;

// Checks tokens of several issuers: people's and machines' tokens come from the directory
// ("yagura"), calls between services from "yagura-internal", whose tokens live 60 s.
class TokenVerifier {
 public:
  explicit TokenVerifier(std::shared_ptr<const Clock> clock);
  // `public_key`: 32 bytes. Keys of one issuer may overlap while they rotate. Thread-safe.
  void Trust(std::string_view issuer, std::string_view public_key);
  // These keys of the issuer and no others: tokens of a key that is gone are refused from now on.
  void TrustOnly(std::string_view issuer, const std::vector<std::string>& public_keys);
  // Refuses what was issued to the principal before that time. Forgotten two hours later, when no
  // token of that time is alive.
  void Revoke(std::string_view principal, TimePoint before);
  // Another number after each change of what is accepted: a verdict of before is worth nothing.
  uint64_t generation() const;
  // UNAUTHENTICATED (TOKEN_INVALID, TOKEN_EXPIRED, TOKEN_REVOKED); never says which part was wrong.
  // Nothing of the claims is read before the signature is found good.
  absl::StatusOr<Principal> Verify(std::string_view jwt, const VerifyGate& gate = {}) const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace yagura::auth
