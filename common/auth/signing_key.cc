#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "fmt/format.h"

#include "common/auth/token.h"
#include "common/digest/sha256.h"
#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::auth {
namespace {

unsigned char* Bytes(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }
const unsigned char* Bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

void RequireSodium() {
  if (sodium_init() < 0) std::abort();  // no source of randomness: nothing can be safe
}

// Writes the whole file under a name of its own and links it into place, so that two processes that
// start together agree on one key and nobody reads half of it.
absl::Status CreateSeedFile(const std::filesystem::path& file, const std::string& seed) {
  std::array<char, 9> suffix{};
  randombytes_buf(suffix.data(), 4);
  const auto temporary =
      fmt::format("{}.{}.new", file.string(), HexEncode(std::string_view(suffix.data(), 4)));
  const int fd = open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "KEY_FILE_UNWRITABLE",
                     fmt::format("cannot create {}: {}", temporary, std::strerror(errno)));
  }
  const std::string text = HexEncode(seed) + "\n";
  const bool written =
      write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && fsync(fd) == 0;
  close(fd);
  const bool linked = written && (link(temporary.c_str(), file.c_str()) == 0 || errno == EEXIST);
  const int error = errno;
  unlink(temporary.c_str());
  if (!linked) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "KEY_FILE_UNWRITABLE",
                     fmt::format("cannot write {}: {}", file.string(), std::strerror(error)));
  }
  return absl::OkStatus();
}

}  // namespace

std::string KeyIdOf(std::string_view public_key) { return Sha256Hex(public_key).substr(0, 16); }

SigningKey SigningKey::Generate() {
  RequireSodium();
  SigningKey key;
  key.secret_key_.resize(crypto_sign_SECRETKEYBYTES);
  key.public_key_.resize(crypto_sign_PUBLICKEYBYTES);
  crypto_sign_keypair(Bytes(key.public_key_), Bytes(key.secret_key_));
  key.key_id_ = KeyIdOf(key.public_key_);
  return key;
}

absl::StatusOr<SigningKey> SigningKey::LoadOrCreate(const std::filesystem::path& file) {
  RequireSodium();
  struct stat info {};
  if (stat(file.c_str(), &info) != 0) {
    if (errno != ENOENT) {
      return MakeError(absl::StatusCode::kFailedPrecondition, "KEY_FILE_UNREADABLE",
                       fmt::format("cannot read {}: {}", file.string(), std::strerror(errno)));
    }
    std::string seed(crypto_sign_SEEDBYTES, '\0');
    randombytes_buf(seed.data(), seed.size());
    const absl::Status created = CreateSeedFile(file, seed);
    sodium_memzero(seed.data(), seed.size());
    YAGURA_RETURN_IF_ERROR(created);
    if (stat(file.c_str(), &info) != 0) return Internal("the key file vanished while it was made");
  }
  if ((info.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "KEY_FILE_EXPOSED",
                     fmt::format("{} must not be accessible to others (chmod 600)", file.string()));
  }
  std::ifstream in(file, std::ios::binary);
  std::string text(256, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(in.gcount()));
  auto seed = HexDecode(Trim(text));
  sodium_memzero(text.data(), text.size());
  if (!seed || seed->size() != crypto_sign_SEEDBYTES) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "KEY_FILE_MALFORMED",
                     fmt::format("{} is not an Ed25519 seed of 64 hex digits", file.string()));
  }
  auto key = FromSeed(*seed);
  sodium_memzero(seed->data(), seed->size());
  return key;
}

absl::StatusOr<SigningKey> SigningKey::FromSeed(std::string_view seed) {
  RequireSodium();
  if (seed.size() != crypto_sign_SEEDBYTES) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "KEY_MALFORMED",
                     "an Ed25519 seed has 32 bytes");
  }
  SigningKey key;
  key.secret_key_.resize(crypto_sign_SECRETKEYBYTES);
  key.public_key_.resize(crypto_sign_PUBLICKEYBYTES);
  crypto_sign_seed_keypair(Bytes(key.public_key_), Bytes(key.secret_key_), Bytes(seed));
  key.key_id_ = KeyIdOf(key.public_key_);
  return key;
}

std::string SigningKey::Sign(std::string_view message) const {
  std::string signature(crypto_sign_BYTES, '\0');
  crypto_sign_detached(Bytes(signature), nullptr, Bytes(message), message.size(),
                       Bytes(secret_key_));
  return signature;
}

bool VerifySignature(std::string_view public_key, std::string_view message,
                     std::string_view signature) {
  if (public_key.size() != crypto_sign_PUBLICKEYBYTES || signature.size() != crypto_sign_BYTES) {
    return false;
  }
  RequireSodium();
  return crypto_sign_verify_detached(Bytes(signature), Bytes(message), message.size(),
                                     Bytes(public_key)) == 0;
}

}  // namespace yagura::auth
