#pragma once

#include <sys/types.h>

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

// Files that are there whole or not at all.
namespace yagura::blob {

// How WriteFileDurably treats a file of that name.
enum class IfExists {
  kReplace,
  kFail,  // ALREADY_EXISTS, also where another process creates it at the same moment
};

// Writes beside the target, syncs the file, moves it in place, syncs the folder. UNAVAILABLE
// (BLOB_IO).
absl::Status WriteFileDurably(const std::filesystem::path& file, std::string_view bytes,
                              mode_t mode, IfExists if_exists);

// The whole file. NOT_FOUND; RESOURCE_EXHAUSTED (BLOB_TOO_LARGE) beyond `max_bytes`; UNAVAILABLE
// (BLOB_IO).
absl::StatusOr<std::string> ReadFile(const std::filesystem::path& file, size_t max_bytes);

}  // namespace yagura::blob
