#include "services/detection/settings.h"

#include "common/config/settings_reader.h"
#include "common/stream/topics.h"

namespace yagura::detection {
namespace {

// When a log source counts as silent, and when its volume as changed.
SourceWatch::Limits ReadSourceLimits(config::SettingsReader reader) {
  using std::chrono::duration_cast;
  using std::chrono::hours;
  using std::chrono::milliseconds;
  using std::chrono::minutes;
  SourceWatch::Limits limits;
  const auto span = [&reader](const char* key, std::chrono::nanoseconds* value, milliseconds least,
                              const char* help) {
    *value = reader.Duration(key, duration_cast<milliseconds>(*value), least, hours(24 * 31), help);
  };
  span("silence_least", &limits.silence_least, milliseconds(100),
       "A source without a limit of its own is never told as silent before.");
  span("silence_most", &limits.silence_most, minutes(1),
       "Nor later, however long its usual pauses are.");
  span("learning", &limits.learning, milliseconds(0),
       "How long a source must be known before it may be told as silent within an hour.");
  span("ingestion_gap", &limits.ingestion_gap, milliseconds(1000),
       "An ingestion process that did not listen for so long is told.");
  span("ingester_gone", &limits.ingester_gone, minutes(1),
       "After so long without a word of an ingestion process others watch its sources.");
  limits.volume.factor = static_cast<double>(
      reader.Integer("volume_factor", static_cast<int64_t>(limits.volume.factor), 2, 1000,
                     "So many times more or fewer lines an hour than usual are told."));
  limits.volume.lines = static_cast<uint64_t>(
      reader.Integer("volume_lines", static_cast<int64_t>(limits.volume.lines), 1, 1'000'000'000,
                     "Where it is at least so many lines more or fewer."));
  return limits;
}

void ReadHunts(config::SettingsReader reader, Settings* settings) {
  using std::chrono::hours;
  settings->hunt_threads = static_cast<int>(
      reader.Integer("threads", settings->hunt_threads, 1, 16, "Tenants that are hunted at once."));
  settings->hunt_keep = std::chrono::duration_cast<hours>(
      reader.Duration("keep", settings->hunt_keep, hours(1), hours(24 * 366),
                      "How long after its end a hunt is kept, with its results."));
  settings->hunt_events = static_cast<uint64_t>(reader.Integer(
      "events", static_cast<int64_t>(settings->hunt_events), 1, 1'000'000'000'000,
      "Most events of a tenant that a hunt looks at one by one; its result says where "
      "that was not all."));
}

}  // namespace

absl::StatusOr<Settings> ReadSettings(config::SettingsReader& reader) {
  using std::chrono::hours;
  using std::chrono::milliseconds;
  using std::chrono::seconds;
  Settings settings;
  settings.events = stream::ReadTopic(reader, settings.events);
  settings.hits = stream::ReadTopic(reader, settings.hits);
  settings.findings = stream::ReadTopic(reader, settings.findings);
  settings.coverage = stream::ReadCoverageTopic(reader, settings.coverage);
  settings.sources =
      ReadSourceLimits(reader.Section("sources", "Log sources that fall silent or change."));
  auto observation = reader.Section(
      "observation", "Hours of devices that differ from the same hour of the weeks before.");
  settings.observation_lateness = observation.Duration(
      "lateness", settings.observation_lateness, milliseconds(0), hours(23),
      "An hour is judged so long after its end; what comes later counts in it, but changes no "
      "judgement.");
  settings.observation_catch_up = std::chrono::hours(
      observation.Integer("catch_up_hours", settings.observation_catch_up.count(), 1, 24 * 31,
                          "Hours that were not judged for so long are passed over."));
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
  settings.silence =
      reader.Duration("silence", settings.silence, seconds(1), hours(24),
                      "A shard of events that is this far behind the latest, by receive time, is "
                      "not waited for where a correlation is decided at the end of its window.");
  settings.groups_per_rule = static_cast<int>(
      reader.Integer("groups_per_rule", settings.groups_per_rule, 1, 1'000'000,
                     "Groups of one rule and tenant; more are told by a finding, not counted."));
  settings.window_bytes = reader.Bytes(
      "window_bytes", settings.window_bytes, 4 << 20, uint64_t{64} << 30,
      "What open windows may take in all shards of hits together, as they are kept in the flow "
      "Redis; each shard has an equal part. Beyond, those of the rule and tenant that take the "
      "most "
      "are given up, the oldest first, and a finding tells. In memory they take about twice that.");
  settings.content_folder = reader.String(
      "content_folder", settings.content_folder.string(),
      "Folder of Sigma rules that are put into force for all tenants at start; empty: none.");
  settings.advice_folder =
      reader.String("advice_folder", settings.advice_folder.string(),
                    "Folder of cause and countermeasure for classes of findings; empty: none.");
  settings.kev_file = reader.String(
      "kev_file", settings.kev_file.string(),
      "CISA's catalogue of known exploited vulnerabilities as JSON, for the impact of findings; "
      "read anew when it changes; empty: none.");
  ReadHunts(reader.Section("hunt", "Questions over stored events."), &settings);
  auto rule_texts = reader.Section("rule_texts", "The texts that rules had.");
  settings.rule_texts_keep = std::chrono::duration_cast<hours>(rule_texts.Duration(
      "keep", settings.rule_texts_keep, hours(24), hours(24 * 3660),
      "How long those of a rule are kept after it was deleted; findings name them."));
  return settings;
}

}  // namespace yagura::detection
