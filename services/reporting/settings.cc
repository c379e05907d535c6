#include "services/reporting/settings.h"

#include "common/config/settings_reader.h"
#include "common/status/status.h"

namespace yagura::reporting {

absl::StatusOr<Settings> ReadSettings(config::SettingsReader& reader) {
  Settings settings;
  settings.workers = static_cast<int>(
      reader.Integer("workers", settings.workers, 1, 16, "Reports that are made at once."));
  YAGURA_ASSIGN_OR_RETURN(settings.blobs, blob::ReadBlobSettings(reader, "reports"));
  return settings;
}

}  // namespace yagura::reporting
