#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "services/ingestion/domain/line_pipeline.h"

namespace yagura::ingestion {

// More bytes in one record, or in one resource and scope, are refused.
inline constexpr size_t kMaxOtlpRecordBytes = 1 << 20;

struct OtlpOutcome {
  size_t taken = 0;
  int64_t refused = 0;
  std::string why;  // of the first that was refused
};

// Called for each log record, in order; both are valid during the call only.
using OtlpTaker = std::function<void(std::string_view line, const LineEnvelope& envelope)>;

// Reads the log records of an ExportLogsServiceRequest as it stands on the wire, one by one: what
// is in memory at once is one record, whatever the request says. A text body is the line, in an
// application's own words; any other body, or the attributes where there is none, is it as JSON.
// Original fields: attributes under their own names, those of the resource and the scope with
// "resource." and "scope." before them, and what else a record has as "otel.". Times: the record's,
// else when it was observed. Refused are records with neither body nor attributes, with more than
// 1,000 attributes, 10,000 values or 1 MiB, or with values nested more than 32 deep.
//
// INVALID_ARGUMENT: REQUEST_MALFORMED, of which some records may have been given to `take`, and
// TOO_MANY_RECORDS (more than kMaxRecords records, resources or scopes), of which none was.
absl::StatusOr<OtlpOutcome> ReadOtlp(std::string_view request, const OtlpTaker& take);

}  // namespace yagura::ingestion
