#pragma once

#include <chrono>
#include <filesystem>

#include "absl/status/statusor.h"

#include "services/directory/storage/login_throttle.h"

namespace yagura::config {
class SettingsReader;
}

namespace yagura::directory {

struct Settings {
  std::chrono::milliseconds token_lifetime{std::chrono::minutes(15)};
  // Where the first administrator's API key is put; relative to the data folder.
  std::filesystem::path admin_key_file = "admin.key";
  // Ed25519 seed with which tokens are signed; relative to the data folder.
  std::filesystem::path signing_key_file = "signing.key";
  uint64_t password_operations = 2;
  uint64_t password_memory_bytes = 64u << 20;
  ThrottleLimits throttle;
  double unknown_keys_per_second = 50;
};

// Reads the section; unknown keys are reported by the root's Finish.
absl::StatusOr<Settings> ReadSettings(config::SettingsReader& reader);

}  // namespace yagura::directory
