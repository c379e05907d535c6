#pragma once

#include <cstddef>

#include "absl/status/statusor.h"

#include "common/eventstore/client.h"
#include "services/archive/domain/selection.h"
#include "yagura/archive/v1/periodic_flow.pb.h"

namespace yagura::archive {

struct PeriodicQuestion {
  size_t least_calls = 12;
  double most_jitter = 0.2;
  size_t limit = 100;
};
// Rows for DecodePeriodicFlow, the most regular first; see PeriodicFlow. Errors are those of
// Filter::ToSql.
absl::StatusOr<eventstore::Query> PeriodicFlowsQuery(const Selection& selection,
                                                     const EventTable& table,
                                                     const PeriodicQuestion& question);
v1::PeriodicFlow DecodePeriodicFlow(const eventstore::Row& row);

}  // namespace yagura::archive
