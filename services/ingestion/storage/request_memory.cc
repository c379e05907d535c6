#include "services/ingestion/storage/request_memory.h"

#include <utility>

#include "common/redis/pool.h"
#include "common/status/status.h"
#include "common/stream/scripts.h"
#include "common/stream/topic.h"

namespace yagura::ingestion {
RequestMemory::RequestMemory(std::shared_ptr<redis::Pool> flow, int shards,
                             std::chrono::seconds window)
    : flow_(std::move(flow)),
      shards_(shards),
      period_(stream::DedupPeriod(window)),
      script_(stream::RequestScript()) {}

StatusOr<bool> RequestMemory::Knows(std::string_view request) { return Run(request, false); }

Status RequestMemory::Remember(std::string_view request) { return Run(request, true).status(); }

StatusOr<bool> RequestMemory::Run(std::string_view request, bool remember) {
  const std::string prefix = stream::RequestPrefix(request, shards_);
  const stream::DedupPlace place = stream::DedupPlaceOf(request);
  YAGURA_ASSIGN_OR_RETURN(auto lease, flow_->Acquire());
  const auto known =
      script_.Run(*lease, {prefix}, {period_, place.bucket, place.member, remember ? "1" : "0"});
  if (!known.ok()) return stream::FromAppend(known.status());
  return known->integer == 1;
}

}  // namespace yagura::ingestion
