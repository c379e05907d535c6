#pragma once

#include "absl/status/statusor.h"

#include "common/rpc/call.h"
#include "services/archive/api/query_runner.h"
#include "yagura/archive/v1/hourly_measures.pb.h"
#include "yagura/archive/v1/periodic_flow.pb.h"

namespace yagura::archive {

class EventTable;

// Answers about what the events of an hour come to, and how regularly they come. Thread-safe.
class MeasuresHandlers {
 public:
  // Both must outlive the object.
  MeasuresHandlers(const QueryRunner& runner, const EventTable& table)
      : runner_(runner), table_(table) {}

  absl::StatusOr<v1::ListHourlyMeasuresResponse> ListHourlyMeasures(
      const rpc::Call& call, const v1::ListHourlyMeasuresRequest& request) const;
  absl::StatusOr<v1::ListPeriodicFlowsResponse> ListPeriodicFlows(
      const rpc::Call& call, const v1::ListPeriodicFlowsRequest& request) const;

 private:
  const QueryRunner& runner_;
  const EventTable& table_;
};

}  // namespace yagura::archive
