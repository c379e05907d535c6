#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"

#include "common/rpc/call.h"
#include "services/archive/domain/time_window.h"
#include "yagura/archive/v1/coverage.pb.h"

namespace yagura::archive {

class QueryRunner;

// On how complete logs an answer to `call` about the window stands, from what ingestion counted in
// the hours that the window touches. Errors are those of QueryRunner.
absl::StatusOr<v1::CoverageSummary> SummarizeCoverage(const QueryRunner& runner,
                                                      const rpc::Call& call,
                                                      const TimeWindow& window);
// As SummarizeCoverage, with what was received and not stored when the events were asked for, also
// where ingestion's counts cannot be read; none where neither is known.
std::optional<v1::CoverageSummary> CoverageWith(const QueryRunner& runner, const rpc::Call& call,
                                                const TimeWindow& window,
                                                v1::PendingEvents pending);
// Adds it, and what it means to `gaps`.
void AddPending(v1::PendingEvents pending, v1::CoverageSummary* summary);
// The same by source.
absl::StatusOr<std::vector<v1::CoveredSource>> CoverageOfSources(const QueryRunner& runner,
                                                                 const rpc::Call& call,
                                                                 const TimeWindow& window,
                                                                 size_t limit);

}  // namespace yagura::archive
