#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "common/auth/token.h"

namespace yagura::archive {

// The key with which this process signs heads: in `folder`/audit-key, sealed with the envelope key
// in `folder`/kek; both are made where there are none. Errors are those of seal::Keyring.
absl::StatusOr<auth::SigningKey> LoadOrCreateAuditKey(const std::filesystem::path& folder);

// Public keys by id, whose signatures count when a chain is verified. They come from outside of
// what is verified: the state Redis, which knows the keys of all sealers, vouches for none.
using TrustedKeys = std::map<std::string, std::string>;

// That of this process, and others from the settings: 32 bytes each, in hex or base64.
// INVALID_ARGUMENT for any other text.
absl::StatusOr<TrustedKeys> TrustedKeysOf(const auth::SigningKey& own,
                                          const std::vector<std::string>& others);

}  // namespace yagura::archive
