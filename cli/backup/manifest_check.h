#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

#include "yagura/backup/v1/manifest.pb.h"

namespace yagura::cli {

// The backup's name of the file of settings that `backup --settings` takes along.
inline constexpr std::string_view kSettingsName = "settings.yaml";
// Of a backup that runs, in the data folder.
inline constexpr char kStagingFolder[] = "backup-staging";
inline constexpr char kBackupLockFile[] = "backup.lock";

// Whether something directly in a data folder is no file of a service: it comes to a backup by
// other ways, or is of the running processes alone.
bool IsNoFileOfAService(std::string_view name);

// The name that a file of the backup has without the ending of encrypted ones.
std::string NameInBackup(const backup::v1::Manifest& manifest, const backup::v1::File& file);

// Whether a manifest, which may have been made by anybody, asks for nothing but what a restore is
// for: tables of ours by statements that make tables, and each file at a place of its own that is
// its to take. DATA_LOSS (BACKUP_DAMAGED) names what does not fit.
absl::Status CheckManifest(const backup::v1::Manifest& manifest);

}  // namespace yagura::cli
