#pragma once

#include <chrono>
#include <string>

#include "absl/status/statusor.h"

#include "common/blob/blob_settings.h"

namespace yagura::config {

class SettingsReader;

struct Settings {
  std::string kek_file;      // empty: keys/kek in the data folder
  blob::BlobSettings blobs;  // of sealed texts; blobs in the data folder by default
  int apply_threads = 4;
  int max_waiting_changes = 100;
  int max_snapshots_at_once = 2;  // below the threads of the App, so that calls without SSH go on
  std::chrono::milliseconds snapshot_timeout{30'000};
  std::chrono::milliseconds connect_timeout{5'000};
  std::chrono::milliseconds command_timeout{20'000};
  std::chrono::milliseconds begin_timeout{120'000};
  std::chrono::milliseconds recovery_timeout{600'000};
};

// Reads this service's keys. The caller calls Finish on the root.
absl::StatusOr<Settings> ReadSettings(SettingsReader& reader);

}  // namespace yagura::config
