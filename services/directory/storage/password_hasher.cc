#include "services/directory/storage/password_hasher.h"

#include <sodium.h>

#include <array>
#include <cstdlib>

#include "fmt/format.h"

#include "common/status/status.h"
#include "common/store/resource_name.h"
#include "common/text/text.h"

namespace yagura::directory {
namespace {

constexpr int kAtOnce = 2;
constexpr size_t kSecretBytes = 32;

std::string RandomHex(size_t bytes) {
  std::string random(bytes, '\0');
  randombytes_buf(random.data(), random.size());
  return HexEncode(random);
}

}  // namespace

class PasswordHasher::Turn {
 public:
  explicit Turn(PasswordHasher& hasher) : hasher_(hasher) {
    std::unique_lock lock(hasher_.mutex_);
    hasher_.free_.wait(lock, [this] { return hasher_.running_ < kAtOnce; });
    ++hasher_.running_;
  }
  ~Turn() {
    {
      const std::lock_guard lock(hasher_.mutex_);
      --hasher_.running_;
    }
    hasher_.free_.notify_one();
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  PasswordHasher& hasher_;
};

PasswordHasher::PasswordHasher(uint64_t operations, uint64_t memory_bytes)
    : operations_(operations), memory_bytes_(memory_bytes) {
  if (sodium_init() < 0) std::abort();
  auto nothing = Hash(RandomHex(kSecretBytes));
  if (nothing.ok()) nothing_ = *std::move(nothing);
}

absl::StatusOr<std::string> PasswordHasher::Hash(std::string_view password) {
  const Turn turn(*this);
  std::array<char, crypto_pwhash_STRBYTES> hash{};
  if (crypto_pwhash_str_alg(hash.data(), password.data(), password.size(), operations_,
                            memory_bytes_, crypto_pwhash_ALG_ARGON2ID13) != 0) {
    return MakeError(absl::StatusCode::kResourceExhausted, "PASSWORD_HASH_MEMORY",
                     "no memory to hash a password");
  }
  return std::string(hash.data());
}

bool PasswordHasher::Verify(std::string_view hash, std::string_view password) {
  const Turn turn(*this);
  const std::string terminated(hash);
  return terminated.size() < crypto_pwhash_STRBYTES &&
         crypto_pwhash_str_verify(terminated.c_str(), password.data(), password.size()) == 0;
}

bool PasswordHasher::VerifyNothing(std::string_view password) {
  static_cast<void>(Verify(nothing_, password));
  return false;
}

std::string NewKeySecret(std::string_view tenant, std::string_view key) {
  return fmt::format("ygr_{}_{}_{}", tenant, key, RandomHex(kSecretBytes));
}

absl::StatusOr<KeySecret> ParseKeySecret(std::string_view secret) {
  const auto parts = Split(secret, '_');
  if (parts.size() == 4 && parts[0] == "ygr" && store::IsValidId(parts[1]) &&
      store::IsValidId(parts[2]) && parts[3].size() == 2 * kSecretBytes && HexDecode(parts[3])) {
    return KeySecret{.tenant = std::string(parts[1]), .key = std::string(parts[2])};
  }
  return InvalidField("secret", "is no API key");
}

std::string HashKeySecret(std::string_view secret) {
  std::string hash(crypto_generichash_BYTES, '\0');
  crypto_generichash(reinterpret_cast<unsigned char*>(hash.data()), hash.size(),
                     reinterpret_cast<const unsigned char*>(secret.data()), secret.size(), nullptr,
                     0);
  return hash;
}

bool SameHash(std::string_view a, std::string_view b) {
  return a.size() == b.size() && sodium_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace yagura::directory
