#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace yagura::directory {

// Argon2id through libsodium. Each hash takes `memory_bytes`: at most two run at once, others wait.
// Thread-safe.
class PasswordHasher {
 public:
  PasswordHasher(uint64_t operations, uint64_t memory_bytes);
  // RESOURCE_EXHAUSTED where the memory cannot be had.
  absl::StatusOr<std::string> Hash(std::string_view password);
  // Takes the same time whether or not the password fits.
  bool Verify(std::string_view hash, std::string_view password);
  // For users that do not exist: as long as Verify, and false.
  bool VerifyNothing(std::string_view password);

 private:
  class Turn;
  const uint64_t operations_;
  const uint64_t memory_bytes_;
  std::mutex mutex_;
  std::condition_variable free_;
  int running_ = 0;
  std::string nothing_;  // the hash of something that nobody knows
};

// Secrets of API keys: "ygr_{tenant}_{key}_{64 hex digits}".
struct KeySecret {
  std::string tenant;
  std::string key;
};
std::string NewKeySecret(std::string_view tenant, std::string_view key);
// Whose it claims to be; INVALID_ARGUMENT where it has not the form.
absl::StatusOr<KeySecret> ParseKeySecret(std::string_view secret);
// BLAKE2b-256.
std::string HashKeySecret(std::string_view secret);
// In constant time.
bool SameHash(std::string_view a, std::string_view b);

}  // namespace yagura::directory
