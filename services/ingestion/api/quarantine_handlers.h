#pragma once

#include "absl/status/statusor.h"

#include "common/clock/clock.h"
#include "common/rpc/call.h"
#include "yagura/ingestion/v1/ingestion_service.pb.h"

namespace yagura::ingestion {

class Quarantine;
class SourceMap;

// `now` is what "now" in the filter means.
absl::StatusOr<v1::ListQuarantinedSourcesResponse> ListQuarantinedSources(
    const Quarantine& quarantine, const SourceMap& sources, const rpc::Call& call,
    const v1::ListQuarantinedSourcesRequest& request, TimePoint now);

}  // namespace yagura::ingestion
