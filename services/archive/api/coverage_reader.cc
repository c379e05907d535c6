#include "services/archive/api/coverage_reader.h"

#include <utility>

#include "common/eventstore/client.h"
#include "common/status/status.h"
#include "services/archive/api/query_runner.h"
#include "services/archive/domain/coverage_table.h"
#include "services/archive/storage/unstored_events.h"

namespace yagura::archive {
namespace {

CoverageQuestion QuestionOf(const QueryRunner& runner, const rpc::Call& call,
                            const TimeWindow& window, size_t limit) {
  CoverageQuestion question;
  question.tenants = call.scope();
  question.window = WholeHours(window);
  question.now = runner.clock().Now();
  question.limit = limit;
  return question;
}

}  // namespace

StatusOr<v1::CoverageSummary> SummarizeCoverage(const QueryRunner& runner, const rpc::Call& call,
                                                const TimeWindow& window) {
  YAGURA_ASSIGN_OR_RETURN(eventstore::Query query,
                          CoverageSummaryQuery(QuestionOf(runner, call, window, 0)));
  YAGURA_ASSIGN_OR_RETURN(const eventstore::Table result, runner.Select(call, std::move(query)));
  if (result.rows.empty()) return v1::CoverageSummary();
  return DecodeCoverageSummary(result.rows[0]);
}

void AddPending(v1::PendingEvents pending, v1::CoverageSummary* summary) {
  std::string text = PendingText(pending);
  if (text.empty()) return;
  summary->add_gaps(std::move(text));
  *summary->mutable_pending() = std::move(pending);
}

std::optional<v1::CoverageSummary> CoverageWith(const QueryRunner& runner, const rpc::Call& call,
                                                const TimeWindow& window,
                                                v1::PendingEvents pending) {
  auto coverage = SummarizeCoverage(runner, call, window);
  if (!coverage.ok() && PendingText(pending).empty()) return std::nullopt;
  v1::CoverageSummary summary = coverage.ok() ? *std::move(coverage) : v1::CoverageSummary();
  AddPending(std::move(pending), &summary);
  return summary;
}

StatusOr<std::vector<v1::CoveredSource>> CoverageOfSources(const QueryRunner& runner,
                                                           const rpc::Call& call,
                                                           const TimeWindow& window, size_t limit) {
  YAGURA_ASSIGN_OR_RETURN(eventstore::Query query,
                          CoverageQuery(QuestionOf(runner, call, window, limit)));
  YAGURA_ASSIGN_OR_RETURN(const eventstore::Table result, runner.Select(call, std::move(query)));
  std::vector<v1::CoveredSource> sources;
  for (const eventstore::Row& row : result.rows)
    sources.push_back(CoveredSourceOf(DecodeCoverage(row)));
  return sources;
}

}  // namespace yagura::archive
