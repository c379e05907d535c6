#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "absl/status/statusor.h"

#include "common/seal/secret_key.h"
#include "yagura/backup/v1/manifest.pb.h"

namespace yagura::cli {

// Where the key of a backup comes from.
struct KeySource {
  std::filesystem::path key_file;         // as WriteKeyFile makes it
  std::filesystem::path passphrase_file;  // its first line
  bool plain = false;                     // no encryption, said so
};

// A new random key, mode 0600. ALREADY_EXISTS where there is such a file.
absl::Status WriteKeyFile(const std::filesystem::path& file);

// The key that the files of a new backup are encrypted with, and how to get at it again; none where
// the backup is to be plain. INVALID_ARGUMENT (BACKUP_KEY_WANTED) unless exactly one of the three
// is said: a backup holds every secret of the suite, so that nobody leaves one readable by mistake.
absl::StatusOr<std::optional<seal::SecretKey>> NewBackupKey(const KeySource& source,
                                                            backup::v1::Encryption* encryption);

// The key of an existing backup. INVALID_ARGUMENT (BACKUP_KEY_WANTED) without a source,
// FAILED_PRECONDITION (BACKUP_KEY_WRONG) where it is not the one.
absl::StatusOr<seal::SecretKey> OpenBackupKey(const KeySource& source,
                                              const backup::v1::Encryption& encryption);

// Of manifest.json under the backup's key, in hex: who lacks the key cannot make another.
std::string ManifestTag(const seal::SecretKey& key, std::string_view manifest);

}  // namespace yagura::cli
