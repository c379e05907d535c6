#pragma once

#include <string>

#include "CLI/CLI.hpp"
#include "cli/commands/command.h"
#include "cli/time_range.h"

#include "common/clock/proto_time.h"
#include "common/status/status.h"
#include "yagura/archive/v1/coverage.pb.h"
#include "yagura/archive/v1/time_range.pb.h"

// What the commands share that look at stored events.
namespace yagura::cli {

inline constexpr char kFilterHelp[] =
    "AIP-160 filter: 'src.ip = 10.0.0.0/8 AND action = BLOCKED', original fields as "
    "'fields.policyid = \"7\"', bare words search the raw line; what an event does not tell is 0 "
    "or "
    "empty: 'dst.port < 1024 AND dst.port:*'";

struct RangeOptions {
  std::string tenant;
  std::string filter;
  std::string since = "24h";
  std::string until = "now";
  bool happened = false;
};

// FILTER or --filter, --tenant, --since, --until.
void AddRangeOptions(CLI::App& command, RangeOptions& options,
                     const char* filter_help = kFilterHelp);

// --happened: the range is one of the events' own times.
void AddHappenedOption(CLI::App& command, RangeOptions& options);
// What an answer about events is to be taken with: "note: ..." for each gap of its coverage.
std::string CoverageNotes(const archive::v1::CoverageSummary& summary);

template <typename Request>
absl::Status FillRange(const RangeOptions& options, Request& request) {
  const TimePoint now = SystemClock()->Now();
  request.set_parent(TenantParent(options.tenant));
  request.set_filter(options.filter);
  YAGURA_ASSIGN_OR_RETURN(const auto since, ParseWhen(options.since, now));
  *request.mutable_range()->mutable_start_time() = ToProto(since);
  if (options.until != "now") {
    YAGURA_ASSIGN_OR_RETURN(const auto until, ParseWhen(options.until, now));
    *request.mutable_range()->mutable_end_time() = ToProto(until);
  }
  if (options.happened) request.mutable_range()->set_basis(archive::v1::HAPPENED);
  return absl::OkStatus();
}

// `yagura event aggregate`.
void AddAggregate(Program& program, CLI::App& group);

}  // namespace yagura::cli
