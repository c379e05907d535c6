#pragma once

#include "absl/status/statusor.h"

#include "common/rpc/call.h"
#include "yagura/coverage/v1/coverage_service.pb.h"

namespace yagura::archive {

class QueryRunner;

// The answers of CoverageService. Thread-safe.
class CoverageHandlers {
 public:
  explicit CoverageHandlers(const QueryRunner& runner) : runner_(runner) {}

  absl::StatusOr<coverage::v1::ListCoverageResponse> ListCoverage(
      const rpc::Call& call, const coverage::v1::ListCoverageRequest& request) const;

 private:
  const QueryRunner& runner_;
};

}  // namespace yagura::archive
