#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "services/ingestion/domain/record.h"

namespace opentelemetry::proto::collector::logs::v1 {
class ExportLogsServiceRequest;
}

namespace yagura::ingestion {

struct OtlpRecords {
  std::vector<Record> records;
  int64_t refused = 0;
  std::string why;  // of the first that was refused
};

// The log records of a request. A text body is the line; any other body, or the attributes where
// there is none, is it as JSON. Original fields: attributes under their own names, those of the
// resource and the scope with "resource." and "scope." before them, and what else a record has as
// "otel.". Times: the record's, else when it was observed. Refused are records with neither body
// nor attributes, with more than 1,000 attributes, or with values nested more than 32 deep.
OtlpRecords ReadOtlp(
    const opentelemetry::proto::collector::logs::v1::ExportLogsServiceRequest& request);

}  // namespace yagura::ingestion
