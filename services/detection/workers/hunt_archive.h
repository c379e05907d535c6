#pragma once

#include <functional>
#include <string>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"
#include "yagura/archive/v1/archive_service.pb.h"

namespace yagura::detection {

// What a hunt asks of the stored events of one tenant. Thread-safe.
class HuntArchive {
 public:
  struct Question {
    std::string tenant;
    std::string filter;
    TimePoint start;  // of receipt
    TimePoint end;
    std::string page_token;  // empty: from the start
  };
  // On how complete logs an answer stands.
  struct Logs {
    archive::v1::CoverageSummary coverage;
    uint64_t event_count = 0;
    TimePoint first_receive_time{};
  };
  // Given each message; false ends the reading.
  using Visit = std::function<bool(archive::v1::SearchEventsResponse& message)>;

  virtual ~HuntArchive() = default;
  // The events in order of receipt, as ExportEvents sends them: where the last message had a
  // next_page_token there are more. DEADLINE_EXCEEDED where the archive takes longer than a call
  // may.
  virtual absl::Status Read(const Question& question, const Visit& visit) = 0;
  virtual absl::StatusOr<Logs> Describe(const std::string& tenant, TimePoint start,
                                        TimePoint end) = 0;
};

}  // namespace yagura::detection
