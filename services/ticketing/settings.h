#pragma once

#include "absl/status/statusor.h"

#include "common/stream/topics.h"
#include "services/ticketing/domain/ticket_rules.h"

namespace yagura::config {
class SettingsReader;
}

namespace yagura::ticketing {

struct Settings {
  stream::Topic findings = stream::FindingsTopic();
  int finding_threads = 1;
  event::v1::Severity min_severity = event::v1::LOW;
  Deadlines deadlines;
};

// Reads this service's keys. The caller calls Finish on the root; a value that no type says is
// wrong is an INVALID_ARGUMENT here.
absl::StatusOr<Settings> ReadSettings(config::SettingsReader& reader);

}  // namespace yagura::ticketing
