#include "services/config/settings.h"

#include "common/config/settings_reader.h"
#include "common/status/status.h"

namespace yagura::config {

absl::StatusOr<Settings> ReadSettings(SettingsReader& reader) {
  using std::chrono::hours;
  using std::chrono::milliseconds;
  using std::chrono::minutes;
  using std::chrono::seconds;
  Settings s;
  s.kek_file =
      reader.String("kek_file", s.kek_file,
                    "file of the key-encryption keys, the same for all processes of the "
                    "service; empty: keys/kek in the data folder, made at the first start");
  YAGURA_ASSIGN_OR_RETURN(s.blobs, blob::ReadBlobSettings(reader, "sealed texts"));
  s.apply_threads = static_cast<int>(
      reader.Integer("apply_threads", s.apply_threads, 1, 64, "changes that are applied at once"));
  s.max_waiting_changes =
      static_cast<int>(reader.Integer("max_waiting_changes", s.max_waiting_changes, 1, 10'000,
                                      "changes that may wait to be applied; more are refused"));
  s.max_snapshots_at_once = static_cast<int>(
      reader.Integer("max_snapshots_at_once", s.max_snapshots_at_once, 1, 256,
                     "devices that are read at once on request; fewer than the service's threads"));
  s.snapshot_timeout = reader.Duration("snapshot_timeout", s.snapshot_timeout, seconds(1),
                                       minutes(10), "how long reading one device may take");
  s.connect_timeout = reader.Duration("connect_timeout", s.connect_timeout, milliseconds(500),
                                      minutes(2), "one connection to a device with its login");
  s.command_timeout = reader.Duration("command_timeout", s.command_timeout, seconds(1), minutes(10),
                                      "one command on a device");
  s.begin_timeout =
      reader.Duration("begin_timeout", s.begin_timeout, seconds(1), hours(1),
                      "how long we try to reach a device before a change counts as not begun");
  s.recovery_timeout = reader.Duration(
      "recovery_timeout", s.recovery_timeout, seconds(10), hours(24),
      "how long we try to read back a device that a change has cut off, after its own timer");
  return s;
}

}  // namespace yagura::config
