#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "common/auth/principal.h"
#include "common/eventstore/client.h"
#include "common/eventstore/row_binary.h"
#include "common/filter/filter.h"
#include "services/archive/domain/time_window.h"
#include "yagura/archive/v1/coverage.pb.h"
#include "yagura/coverage/v1/coverage_service.pb.h"
#include "yagura/ingestion/v1/coverage_report.pb.h"

// The table of coverage: what each start of an ingestion process (an instance) told last of a
// source and hour, and, without tenant and source, when it listened. The store keeps the row with
// the highest sequence, so any number of repeats is one row.
namespace yagura::archive {

// `settings`: of the engine.
std::string CreateCoverage(std::string_view settings);
inline constexpr std::string_view kInsertCoverage =
    "INSERT INTO yagura.coverage (tenant, source, hour, instance, sequence, site, device, lines, "
    "bytes, unparsed, partly_parsed, clock_errors, untimed, lost, kernel_drops, minutes, watched, "
    "first_receive_time, last_receive_time, offsets, offset_counts) FORMAT RowBinary";

// The rows of a report; what is no source is left out. How many.
size_t EncodeCoverage(const ingestion::v1::CoverageReport& report,
                      eventstore::RowBinaryWriter* out);

// Where a list goes on: behind this source and time.
struct CoveragePosition {
  std::string tenant;
  std::string source;
  int64_t start = 0;  // seconds since 1970
  std::string place;  // site, of lines without a source
};

struct CoverageQuestion {
  auth::TenantSet tenants;
  TimeWindow window;  // whole hours
  TimePoint now{};
  coverage::v1::Period period = coverage::v1::RANGE;
  filter::Filter filter;  // over coverage::v1::Coverage
  const CoveragePosition* after = nullptr;
  size_t limit = 0;
};
// Rows for DecodeCoverage by tenant, source, start and, of lines without a source, site. Errors are
// those of Filter::ToSql.
absl::StatusOr<eventstore::Query> CoverageQuery(const CoverageQuestion& question);
coverage::v1::Coverage DecodeCoverage(const eventstore::Row& row);
// The same in short.
v1::CoveredSource CoveredSourceOf(const coverage::v1::Coverage& coverage);
// One row for DecodeCoverageSummary: all sources of the question together; its period, place and
// limit do not count.
absl::StatusOr<eventstore::Query> CoverageSummaryQuery(CoverageQuestion question);
// With its gaps in words.
v1::CoverageSummary DecodeCoverageSummary(const eventstore::Row& row);

// The hours that a window touches.
TimeWindow WholeHours(const TimeWindow& window);

}  // namespace yagura::archive
