#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "common/eventstore/client.h"
#include "common/filter/filter.h"
#include "services/archive/domain/selection.h"
#include "yagura/archive/v1/hourly_measures.pb.h"

// The table of hourly measures: what the events of an hour of a device come to, added up as they
// come in by a materialised view over the table of events.
namespace yagura::archive {

// `settings` as of every table that is inserted into with tokens: a repeated insert of events is
// dropped here by a token that the store makes of theirs.
std::string CreateMeasures(std::string_view settings);
std::string CreateMeasuresView();

// As SQL over the table of events: `end` ("src", "dst") is an address inside or outside.
std::string InsideSql(std::string_view end);
std::string OutsideSql(std::string_view end);

// HourlyMeasures: what filters speak about.
filter::Schema MeasuresSchema();

// Where a list goes on: behind this one.
struct MeasuresPlace {
  std::string tenant;
  std::string device;
  std::string site;
  int64_t start = 0;  // seconds since 1970
};
// Rows for DecodeMeasures by tenant, device, site and hour: those of the hours that the window
// touches. Errors are those of Filter::ToSql.
absl::StatusOr<eventstore::Query> MeasuresQuery(const Selection& selection,
                                                const MeasuresPlace* after, size_t limit);
v1::HourlyMeasures DecodeMeasures(const eventstore::Row& row);

// One row with one column: since when events are added up, seconds since 1970.
eventstore::Query MeasuresKnownSince();

}  // namespace yagura::archive
