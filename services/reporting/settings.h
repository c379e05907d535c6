#pragma once

#include "absl/status/statusor.h"

#include "common/blob/blob_settings.h"

namespace yagura::config {
class SettingsReader;
}

namespace yagura::reporting {

struct Settings {
  int workers = 1;           // reports that are made at once
  blob::BlobSettings blobs;  // of the reports' files; reports in the data folder by default
};

// Reads this service's keys. The caller calls Finish on the root.
absl::StatusOr<Settings> ReadSettings(config::SettingsReader& reader);

}  // namespace yagura::reporting
