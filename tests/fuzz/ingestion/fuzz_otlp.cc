// Requests of OTLP as they stand on the wire, held against what protobuf makes of them.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "opentelemetry/proto/collector/logs/v1/logs_service.pb.h"
#include "services/ingestion/domain/otlp_records.h"

namespace {

using opentelemetry::proto::collector::logs::v1::ExportLogsServiceRequest;
using yagura::ingestion::LineEnvelope;
using yagura::ingestion::OtlpOutcome;

// A byte of a record becomes six at most, where JSON escapes it.
constexpr size_t kMaxLine = 6 * yagura::ingestion::kMaxOtlpRecordBytes + 64;

void Must(bool holds) {
  if (!holds) std::abort();
}

absl::StatusOr<OtlpOutcome> Read(std::string_view bytes) {
  size_t taken = 0;
  auto outcome = yagura::ingestion::ReadOtlp(
      bytes, [&taken](std::string_view line, const LineEnvelope& envelope) {
        ++taken;
        Must(!line.empty() && line.size() <= kMaxLine);
        size_t total = 0;
        for (const auto& field : envelope.fields) total += field.name.size() + field.value.size();
        Must(total < SIZE_MAX);  // and all of it may be looked at
      });
  if (outcome.ok())
    Must(outcome->taken == taken && outcome->why.empty() == (outcome->refused == 0));
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  static_cast<void>(Read(bytes));
  ExportLogsServiceRequest request;
  if (!request.ParseFromString(bytes)) return 0;
  // As a sender of today writes it: each record is taken or told.
  request.DiscardUnknownFields();
  int64_t records = 0;
  for (const auto& logs : request.resource_logs()) {
    for (const auto& scope : logs.scope_logs()) records += scope.log_records_size();
  }
  const auto outcome = Read(request.SerializeAsString());
  Must(outcome.ok());
  Must(static_cast<int64_t>(outcome->taken) + outcome->refused == records);
  return 0;
}
