#pragma once

#include "absl/status/statusor.h"

#include "common/rpc/call.h"
#include "services/archive/api/query_runner.h"
#include "yagura/archive/v1/flow.pb.h"

namespace yagura::archive {

// Answers about the flows that the events make. Thread-safe.
class FlowHandlers {
 public:
  // `runner` must outlive the object.
  explicit FlowHandlers(const QueryRunner& runner) : runner_(runner) {}

  absl::StatusOr<v1::ListFlowsResponse> ListFlows(const rpc::Call& call,
                                                  const v1::ListFlowsRequest& request) const;

 private:
  const QueryRunner& runner_;
};

}  // namespace yagura::archive
