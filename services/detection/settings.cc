#include "services/detection/settings.h"

#include "common/config/settings_reader.h"
#include "common/stream/topics.h"

namespace yagura::detection {
absl::StatusOr<Settings> ReadSettings(config::SettingsReader& reader) {
  using std::chrono::hours;
  using std::chrono::milliseconds;
  using std::chrono::seconds;
  Settings settings;
  settings.events = stream::ReadTopic(reader, settings.events);
  settings.hits = stream::ReadTopic(reader, settings.hits);
  settings.findings = stream::ReadTopic(reader, settings.findings);
  settings.match_threads = static_cast<int>(reader.Integer(
      "match_threads", settings.match_threads, 1, 64, "Threads that match events with rules."));
  settings.window_threads = static_cast<int>(reader.Integer(
      "window_threads", settings.window_threads, 1, 64, "Threads that hold windows."));
  settings.lease = reader.Duration("lease", settings.lease, milliseconds(500), seconds(60),
                                   "How long a killed worker's shards wait for another.");
  settings.fold = reader.Duration("fold", settings.fold, milliseconds(0), hours(24),
                                  "Matches of a single-event rule about the same subject within "
                                  "this time of each other are one finding.");
  settings.lateness =
      reader.Duration("lateness", settings.lateness, milliseconds(0), hours(24),
                      "How late an event may come and still be counted by a correlation.");
  settings.groups_per_rule = static_cast<int>(
      reader.Integer("groups_per_rule", settings.groups_per_rule, 1, 1'000'000,
                     "Groups of one rule and tenant; more are told by a finding, not counted."));
  settings.content_folder = reader.String(
      "content_folder", settings.content_folder.string(),
      "Folder of Sigma rules that are put into force for all tenants at start; empty: none.");
  return settings;
}

}  // namespace yagura::detection
