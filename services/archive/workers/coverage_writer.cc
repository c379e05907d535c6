#include "services/archive/workers/coverage_writer.h"

#include "common/eventstore/client.h"
#include "common/status/status.h"
#include "services/archive/domain/coverage_table.h"

namespace yagura::archive {

CoverageWriter::CoverageWriter(std::shared_ptr<eventstore::Client> client)
    : client_(std::move(client)) {}

Status CoverageWriter::Handle(const std::vector<stream::Entry>& entries) const {
  eventstore::RowBinaryWriter rows;
  size_t count = 0;
  for (const stream::Entry& entry : entries) {
    ingestion::v1::CoverageReport report;
    if (!report.ParseFromString(entry.payload)) {
      return MakeError(absl::StatusCode::kInvalidArgument, "BAD_COVERAGE",
                       "a report of coverage cannot be read");
    }
    count += EncodeCoverage(report, &rows);
  }
  if (count == 0) return absl::OkStatus();
  eventstore::InsertRequest request;
  request.sql = kInsertCoverage;
  const Status status = client_->Insert(request, rows.bytes()).status();
  // The store may be away, or behind in its schema, for as long as it likes.
  if (status.code() == absl::StatusCode::kDeadlineExceeded ||
      status.code() == absl::StatusCode::kFailedPrecondition) {
    return Unavailable("EVENT_STORE_DOWN", Message(status));
  }
  return status;
}

}  // namespace yagura::archive
