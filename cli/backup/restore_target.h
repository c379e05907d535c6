#pragma once

#include <cstdint>
#include <filesystem>

#include "absl/status/statusor.h"
#include "cli/up/data_folder.h"

// The data folder that a restore goes into. Errors: FAILED_PRECONDITION: DATA_DIR_NOT_EMPTY where
// it is neither new nor empty, and no restore was broken off there; ALREADY_RUNNING; DISK_FULL;
// those of DataFolder.
namespace yagura::cli {

// Whether a restore of so many bytes may go there, as things are now. Changes nothing. `force`:
// what is there may be moved aside.
absl::Status CheckTarget(const std::filesystem::path& folder, uint64_t bytes, bool force);

// Renames a folder that holds something, with nobody in it; its new name. Empty where there was
// nothing to move.
absl::StatusOr<std::filesystem::path> MoveAside(const std::filesystem::path& folder);

// Takes the folder, marks it as one that `up` refuses, and removes what a restore that was broken
// off has put there. Looks again once nobody else can come: what was put there meanwhile stays.
absl::StatusOr<DataFolder> TakeTarget(const std::filesystem::path& folder, uint64_t bytes);

}  // namespace yagura::cli
