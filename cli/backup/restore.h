#pragma once

#include <cstdint>
#include <filesystem>

#include "absl/status/statusor.h"
#include "cli/backup/backup_key.h"

namespace yagura::cli {

class Work;

struct RestoreOptions {
  std::filesystem::path from;
  std::filesystem::path data_dir;
  KeySource key;
  // Of ClickHouse, with the disks and storage policies that tables name; empty: none.
  std::filesystem::path store_config;
  bool force = false;  // what the data folder holds is moved aside
};

struct RestoreSummary {
  uint64_t files = 0;
  uint64_t rows = 0;                    // of the event store
  bool without_store = false;           // the backup has none
  std::filesystem::path moved_aside;    // what the data folder held; empty: nothing
  std::filesystem::path settings_file;  // that came with the backup; empty: none
};

// Checks the whole backup, then puts everything into a data folder that is new or empty, loads it
// once to see that it can be, and leaves it for `yagura up`. Until it is whole, `up` refuses the
// folder; another restore takes it over.
//
// Errors: those of BackupReader; FAILED_PRECONDITION: DATA_DIR_NOT_EMPTY, ALREADY_RUNNING,
// SCHEMA_TOO_NEW, BACKUP_WITHOUT_DATA (it lacks a Redis), STORE_CONFIG_WANTED, DISK_FULL.
absl::StatusOr<RestoreSummary> Restore(const RestoreOptions& options, Work& work);

}  // namespace yagura::cli
