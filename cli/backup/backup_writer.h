#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "cli/backup/files.h"
#include "cli/backup/sealed_stream.h"
#include "cli/backup/work.h"

#include "common/seal/secret_key.h"
#include "yagura/backup/v1/manifest.pb.h"

namespace yagura::cli {

// Names in the folder of a backup.
inline constexpr std::string_view kManifestFile = "manifest.json";
inline constexpr std::string_view kManifestTagFile = "manifest.tag";  // of an encrypted one
inline constexpr std::string_view kSumsFile = "SHA256SUMS";           // the last that is written
inline constexpr std::string_view kUnfinishedFile = "UNFINISHED";     // until then, locked
inline constexpr std::string_view kSealedEnding = ".enc";
inline constexpr uint32_t kBackupFormat = 1;

// A backup in the making: a folder, mode 0700, of files with mode 0600. It is whole once SHA256SUMS
// is there, which Finish writes last; until then it is taken away again when the object goes. Where
// the process is killed it stays, with the file UNFINISHED, and the next backup into the folder
// takes its place.
class BackupWriter {
 public:
  // The folder must be new, empty, or that of a backup that was killed: ALREADY_EXISTS else
  // (BACKUP_EXISTS, BACKUP_RUNS where another process writes to it).
  static absl::StatusOr<std::unique_ptr<BackupWriter>> Create(const std::filesystem::path& folder,
                                                              std::optional<seal::SecretKey> key,
                                                              Work& work);
  ~BackupWriter();

  // One file that is being written. Finish says that it is whole.
  class File {
   public:
    ~File();
    absl::Status Add(std::string_view bytes);
    absl::Status Finish();

   private:
    friend class BackupWriter;
    struct Impl;
    explicit File(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
  };
  // `name` is relative to the folder. Several files may be written at once by several threads.
  absl::StatusOr<std::unique_ptr<File>> NewFile(const std::string& name, uint32_t mode = 0600);
  // A copy. NOT_FOUND where there is no such file (any more): nothing is in the backup then.
  absl::Status Copy(const std::filesystem::path& from, const std::string& name,
                    uint32_t mode = 0600);

  // Adds the files, makes everything durable, writes manifest and sums; how many files there are.
  absl::StatusOr<uint64_t> Finish(backup::v1::Manifest manifest);

 private:
  BackupWriter(std::filesystem::path folder, bool made, std::unique_ptr<Descriptor> unfinished,
               std::optional<seal::SecretKey> key, Work& work);
  void Note(backup::v1::File file);

  const std::filesystem::path folder_;
  const bool made_;                               // by us
  const std::unique_ptr<Descriptor> unfinished_;  // the file UNFINISHED, locked
  const std::optional<seal::SecretKey> key_;
  Work& work_;
  bool finished_ = false;
  std::mutex mutex_;
  std::map<std::string, backup::v1::File> files_;  // guarded by mutex_
};

}  // namespace yagura::cli
