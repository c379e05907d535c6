#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "common/seal/secret_key.h"

// One sealed value: "YS" 0x01, key version (4 bytes, big endian), nonce (24), ciphertext with tag.
namespace yagura::seal {

// What the value is bound to besides its text. Lengths are part of it: {"ab","c"} is not
// {"a","bc"}.
using BoundTo = std::initializer_list<std::string_view>;

std::string SealBox(const SecretKey& key, uint32_t key_version, BoundTo bound_to,
                    std::string_view text);
// DATA_LOSS (SEAL_BROKEN).
absl::StatusOr<uint32_t> KeyVersionOf(std::string_view box);
// DATA_LOSS (SEAL_BROKEN) where damaged, of another key, or bound to something else.
absl::StatusOr<std::string> OpenBox(const SecretKey& key, BoundTo bound_to, std::string_view box);

}  // namespace yagura::seal
