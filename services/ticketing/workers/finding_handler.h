#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"
#include "services/ticketing/domain/ticket_rules.h"
#include "services/ticketing/storage/stores.h"
#include "yagura/detection/v1/finding.pb.h"

namespace yagura::ticketing {

// Opens tickets from findings, or adds to those that are open. Each write has a deterministic name:
// a finding that is handled again, by whomever, changes nothing.
class FindingHandler {
 public:
  struct Options {
    event::v1::Severity min_severity = event::v1::LOW;  // milder findings open no ticket
    Deadlines deadlines;
  };
  FindingHandler(Stores stores, std::shared_ptr<const Clock> clock, Options options);

  // Whether an entry of the stream with this key tells how a finding has grown, "<id>/<events>",
  // and not that it began.
  static bool TellsGrowth(std::string_view key, const detection::v1::Finding& finding);

  // INVALID_ARGUMENT for a finding that names no tenant; UNAVAILABLE while the state Redis is away.
  absl::Status Handle(const detection::v1::Finding& finding);
  // The finding as it has grown: counts, times and evidence of the ticket that has it.
  absl::Status HandleGrowth(const detection::v1::Finding& finding);

 private:
  absl::Status HandleOnce(const std::string& tenant, const detection::v1::Finding& finding);

  Stores stores_;
  std::shared_ptr<const Clock> clock_;
  const Options options_;
};

}  // namespace yagura::ticketing
