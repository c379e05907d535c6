#pragma once

#include <filesystem>

#include "absl/status/statusor.h"

#include "services/directory/storage/directory_store.h"

namespace yagura::directory {

// What must exist before anybody can do anything: the tenants "provider" and "quarantine", and an
// API key of an administrator over all tenants, whose secret lies in `admin_key_file` (mode 0600).
// May be cut off anywhere and done again. Does nothing where the provider exists: a key that the
// operator has deleted stays deleted. True where this was the first start.
absl::StatusOr<bool> Bootstrap(DirectoryStore& store, const std::filesystem::path& admin_key_file);

}  // namespace yagura::directory
