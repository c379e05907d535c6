#include "cli/backup/backup_key.h"

#include <sodium.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "fmt/format.h"

#include "common/blob/file_io.h"
#include "common/seal/sealed_box.h"
#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::cli {
namespace {

using seal::SecretKey;

constexpr std::string_view kKeyFileHead = "yagura-backup-key-1 ";
constexpr size_t kMostKeyFileBytes = 4096;
constexpr size_t kShortestPassphrase = 12;
constexpr uint32_t kKeyVersion = 1;
constexpr std::string_view kBoundTo = "yagura-backup-key";
// What a manifest may ask of this machine: it comes from outside.
constexpr uint64_t kMostOperations = 64;
constexpr uint64_t kMostMemory = 4ull << 30;

Status BadKeyFile(const std::filesystem::path& file, std::string_view what) {
  return MakeError(absl::StatusCode::kInvalidArgument, "BACKUP_KEY_FILE_BAD",
                   fmt::format("{}: {}", file.string(), what));
}

StatusOr<std::string> ReadSecretFile(const std::filesystem::path& file) {
  struct stat found {};
  if (stat(file.c_str(), &found) != 0) return BadKeyFile(file, strerror(errno));
  if ((found.st_mode & 077) != 0) {
    return BadKeyFile(file, "others than its owner can read it: chmod 600");
  }
  return blob::ReadFile(file, kMostKeyFileBytes);
}

StatusOr<SecretKey> ReadKeyFile(const std::filesystem::path& file) {
  YAGURA_ASSIGN_OR_RETURN(std::string text, ReadSecretFile(file));
  const std::string_view line = Trim(text);
  auto bytes = line.starts_with(kKeyFileHead) ? Base64Decode(line.substr(kKeyFileHead.size()))
                                              : std::nullopt;
  seal::Wipe(text);
  if (!bytes || bytes->size() != SecretKey::kBytes) {
    return BadKeyFile(file, "is no key of a backup: make one with `yagura backup key`");
  }
  SecretKey key = SecretKey::FromBytes(*bytes);
  seal::Wipe(*bytes);
  return key;
}

StatusOr<SecretKey> OfPassphrase(const std::filesystem::path& file,
                                 const backup::v1::Encryption& encryption) {
  if (encryption.salt().size() != crypto_pwhash_SALTBYTES ||
      encryption.operations() > kMostOperations || encryption.memory() > kMostMemory) {
    return MakeError(absl::StatusCode::kInvalidArgument, "BACKUP_KEY_WANTED",
                     "this backup is encrypted with a key file, not a passphrase");
  }
  YAGURA_ASSIGN_OR_RETURN(std::string text, ReadSecretFile(file));
  const std::string_view phrase = Trim(std::string_view(text).substr(0, text.find('\n')));
  if (phrase.size() < kShortestPassphrase) {
    seal::Wipe(text);
    return BadKeyFile(file,
                      fmt::format("a passphrase has {} characters at least", kShortestPassphrase));
  }
  std::array<unsigned char, SecretKey::kBytes> bytes{};
  const int made =
      crypto_pwhash(bytes.data(), bytes.size(), phrase.data(), phrase.size(),
                    reinterpret_cast<const unsigned char*>(encryption.salt().data()),
                    encryption.operations(), encryption.memory(), crypto_pwhash_ALG_ARGON2ID13);
  seal::Wipe(text);
  if (made != 0) return Internal("not enough memory to make a key of the passphrase");
  SecretKey key = SecretKey::FromBytes({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  sodium_memzero(bytes.data(), bytes.size());
  return key;
}

bool OneIsSaid(const KeySource& source) {
  const int said = static_cast<int>(!source.key_file.empty()) +
                   static_cast<int>(!source.passphrase_file.empty()) +
                   static_cast<int>(source.plain);
  return said == 1;
}

StatusOr<SecretKey> OuterKey(const KeySource& source, const backup::v1::Encryption& encryption) {
  if (!source.key_file.empty()) return ReadKeyFile(source.key_file);
  return OfPassphrase(source.passphrase_file, encryption);
}

}  // namespace

Status WriteKeyFile(const std::filesystem::path& file) {
  std::string text = fmt::format("{}{}\n", kKeyFileHead, Base64Encode(SecretKey::Random().view()));
  // Absolute: its folder is synced.
  const Status written =
      blob::WriteFileDurably(std::filesystem::absolute(file), text, 0600, blob::IfExists::kFail);
  seal::Wipe(text);
  return written;
}

StatusOr<std::optional<SecretKey>> NewBackupKey(const KeySource& source,
                                                backup::v1::Encryption* encryption) {
  if (!OneIsSaid(source)) {
    return MakeError(absl::StatusCode::kInvalidArgument, "BACKUP_KEY_WANTED",
                     "a backup holds every secret of the suite: say --key-file (made by `yagura "
                     "backup key --out FILE`) or --passphrase-file to encrypt it, or --plain to "
                     "leave it as readable as its folder is");
  }
  if (source.plain) return std::optional<SecretKey>();
  if (!source.passphrase_file.empty()) {
    std::string salt(crypto_pwhash_SALTBYTES, '\0');
    randombytes_buf(salt.data(), salt.size());
    encryption->set_salt(salt);
    encryption->set_operations(crypto_pwhash_OPSLIMIT_MODERATE);
    encryption->set_memory(crypto_pwhash_MEMLIMIT_MODERATE);
  }
  YAGURA_ASSIGN_OR_RETURN(const SecretKey outer, OuterKey(source, *encryption));
  SecretKey key = SecretKey::Random();
  encryption->set_sealed_key(seal::SealBox(outer, kKeyVersion, {kBoundTo}, key.view()));
  return std::make_optional(std::move(key));
}

StatusOr<SecretKey> OpenBackupKey(const KeySource& source,
                                  const backup::v1::Encryption& encryption) {
  if (source.key_file.empty() && source.passphrase_file.empty()) {
    return MakeError(absl::StatusCode::kInvalidArgument, "BACKUP_KEY_WANTED",
                     fmt::format("the backup is encrypted: give {}",
                                 encryption.salt().empty() ? "--key-file" : "--passphrase-file"));
  }
  if (!source.key_file.empty() && !encryption.salt().empty()) {
    return MakeError(absl::StatusCode::kInvalidArgument, "BACKUP_KEY_WANTED",
                     "this backup is encrypted with a passphrase, not a key file");
  }
  YAGURA_ASSIGN_OR_RETURN(const SecretKey outer, OuterKey(source, encryption));
  auto bytes = seal::OpenBox(outer, {kBoundTo}, encryption.sealed_key());
  if (!bytes.ok() || bytes->size() != SecretKey::kBytes) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "BACKUP_KEY_WRONG",
                     "this is not the key of this backup");
  }
  SecretKey key = SecretKey::FromBytes(*bytes);
  seal::Wipe(*bytes);
  return key;
}

std::string ManifestTag(const SecretKey& key, std::string_view manifest) {
  std::array<unsigned char, crypto_generichash_BYTES> tag{};
  crypto_generichash(tag.data(), tag.size(),
                     reinterpret_cast<const unsigned char*>(manifest.data()), manifest.size(),
                     key.data(), SecretKey::kBytes);
  return HexEncode({reinterpret_cast<const char*>(tag.data()), tag.size()});
}

}  // namespace yagura::cli
