#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "absl/status/statusor.h"
#include "cli/backup/backup_key.h"

namespace yagura::cli {

class Work;

struct BackupOptions {
  std::filesystem::path data_dir;
  std::filesystem::path to;  // new or empty
  KeySource key;
  std::filesystem::path settings_file;  // taken along; empty: none
  // Where the parts are; empty: as the running suite of the data folder tells.
  std::string state_address;
  std::string flow_address;
  std::string store_address;
  std::filesystem::path redis_password_file;  // of addresses that are given here
  bool without_store = false;
};

struct BackupSummary {
  uint64_t files = 0;
  uint64_t bytes = 0;
  uint64_t rows = 0;                // of the event store
  uint64_t pause_milliseconds = 0;  // in which nothing was written to the event store
};

// Takes a backup of a suite that runs. What was acknowledged when it is called is in it.
//
// Errors: FAILED_PRECONDITION (NOT_RUNNING, DISK_FULL, STORE_NOT_HERE, STORE_BEHIND: the event
// store does not take what waits for it), ALREADY_EXISTS (BACKUP_EXISTS, BACKUP_RUNS),
// INVALID_ARGUMENT (BACKUP_KEY_WANTED and the like), CANCELLED, and those of the parts. Nothing is
// left behind then.
absl::StatusOr<BackupSummary> TakeBackup(const BackupOptions& options, Work& work);

}  // namespace yagura::cli
