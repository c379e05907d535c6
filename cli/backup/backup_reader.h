#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/backup/backup_key.h"
#include "cli/backup/sealed_stream.h"

#include "common/seal/secret_key.h"
#include "yagura/backup/v1/manifest.pb.h"

namespace yagura::cli {

class Work;

// A backup that was made. Errors: FAILED_PRECONDITION (BACKUP_INCOMPLETE: it was broken off or is
// no backup, BACKUP_TOO_NEW, BACKUP_NOT_ENCRYPTED), DATA_LOSS (BACKUP_DAMAGED, with the files),
// those of OpenBackupKey.
class BackupReader {
 public:
  // Reads manifest and sums, which must agree, and nothing else. What the manifest asks for is what
  // a restore is for (CheckManifest).
  static absl::StatusOr<BackupReader> Open(const std::filesystem::path& folder);

  const backup::v1::Manifest& manifest() const { return manifest_; }
  bool encrypted() const { return manifest_.has_encryption(); }
  uint64_t bytes() const;
  // Takes the key, and checks that the manifest was made with it. A plain one, which anybody may
  // have made, is taken where the source says that it is plain, and never with a key.
  absl::Status Unlock(const KeySource& source);

  // Reads every file: its bytes are those of the manifest, and with the key it opens.
  absl::Status Verify(Work& work) const;

  // Names without the ending of encrypted files, below `prefix`, with what the manifest says.
  std::vector<std::pair<std::string, const backup::v1::File*>> FilesBelow(
      std::string_view prefix) const;
  // Hands the bytes over, decrypted; they are checked on the way.
  absl::Status Read(const backup::v1::File& file, Work& work, const ByteSink& sink) const;
  // Into a new file.
  absl::Status Extract(const backup::v1::File& file, const std::filesystem::path& to,
                       Work& work) const;

 private:
  BackupReader(std::filesystem::path folder, std::string manifest_text)
      : folder_(std::move(folder)), manifest_text_(std::move(manifest_text)) {}
  absl::Status CheckSums(const std::map<std::string, std::string>& sums) const;
  std::string NameOf(const backup::v1::File& file) const;

  std::filesystem::path folder_;
  std::string manifest_text_;
  backup::v1::Manifest manifest_;
  std::optional<seal::SecretKey> key_;
};

}  // namespace yagura::cli
