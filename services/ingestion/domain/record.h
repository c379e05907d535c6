#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/clock/clock.h"

namespace yagura::ingestion {

// One log record of a request, with what came beside its text.
struct Record {
  std::string line;
  bool truncated = false;
  std::optional<TimePoint> event_time;
  std::string host;
  std::string program;
  int severity = 0;      // v1::Severity
  bool is_text = false;  // an application's own, as in LineEnvelope
  std::vector<std::pair<std::string, std::string>> fields;
};

}  // namespace yagura::ingestion
