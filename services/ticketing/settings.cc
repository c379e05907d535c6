#include "services/ticketing/settings.h"

#include <chrono>

#include "fmt/format.h"

#include "common/config/settings_reader.h"
#include "common/status/status.h"
#include "common/stream/topics.h"

namespace yagura::ticketing {
namespace {

void ReadDeadline(config::SettingsReader& reader, std::string_view priority,
                  std::chrono::minutes& response, std::chrono::minutes& resolution) {
  const auto read = [&](std::string_view what, std::chrono::minutes& value) {
    value = std::chrono::duration_cast<std::chrono::minutes>(reader.Duration(
        fmt::format("{}_{}", priority, what), value, std::chrono::minutes(1),
        std::chrono::hours(24 * 365), fmt::format("{} of {} tickets is due", what, priority)));
  };
  read("response", response);
  read("resolution", resolution);
}

}  // namespace

absl::StatusOr<Settings> ReadSettings(config::SettingsReader& reader) {
  Settings settings;
  settings.findings = stream::ReadTopic(reader, settings.findings);
  settings.finding_threads = static_cast<int>(
      reader.Integer("finding_threads", settings.finding_threads, 1, 16, "threads on findings"));
  const std::string severity =
      reader.String("min_severity", event::v1::Severity_Name(settings.min_severity),
                    "INFORMATIONAL, LOW, MEDIUM, HIGH or CRITICAL: milder findings open no ticket");
  if (!event::v1::Severity_Parse(severity, &settings.min_severity)) {
    return InvalidField("min_severity", "must be INFORMATIONAL, LOW, MEDIUM, HIGH or CRITICAL");
  }
  config::SettingsReader due = reader.Section("due", "how long tickets may wait, from creation");
  ReadDeadline(due, "p1", settings.deadlines.p1_response, settings.deadlines.p1_resolution);
  ReadDeadline(due, "p2", settings.deadlines.p2_response, settings.deadlines.p2_resolution);
  ReadDeadline(due, "p3", settings.deadlines.p3_response, settings.deadlines.p3_resolution);
  ReadDeadline(due, "p4", settings.deadlines.p4_response, settings.deadlines.p4_resolution);
  return settings;
}

}  // namespace yagura::ticketing
