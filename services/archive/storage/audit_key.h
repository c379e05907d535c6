#pragma once

#include <filesystem>

#include "absl/status/statusor.h"

#include "common/auth/token.h"

namespace yagura::archive {

// The key with which this process signs heads: in `folder`/audit-key, sealed with the envelope key
// in `folder`/kek; both are made where there are none. Errors are those of seal::Keyring.
absl::StatusOr<auth::SigningKey> LoadOrCreateAuditKey(const std::filesystem::path& folder);

}  // namespace yagura::archive
