#include "services/ingestion/storage/request_memory.h"

#include <algorithm>
#include <utility>

#include "fmt/format.h"

#include "common/redis/pool.h"
#include "common/status/status.h"
#include "common/stream/scripts.h"
#include "common/stream/topic.h"

namespace yagura::ingestion {
namespace {

constexpr int64_t kPeriods = 4;  // of a window

// KEYS: prefix of the sets. ARGV: seconds of a period, bucket, member, and "1" to remember. Asks
// the period to come, too, for a clock that was set back.
constexpr std::string_view kScript = R"lua(
local period = tonumber(ARGV[1])
local now = math.floor(tonumber(redis.call('TIME')[1]) / period)
local function place(at) return KEYS[1] .. ARGV[2] .. ':' .. string.format('%.0f', at) end
for at = now + 1, now - 4, -1 do
  if redis.call('SISMEMBER', place(at), ARGV[3]) == 1 then return 1 end
end
if ARGV[4] == '1' then
  redis.call('SADD', place(now), ARGV[3])
  redis.call('EXPIREAT', place(now), string.format('%.0f', (now + 5) * period), 'NX')
end
return 0
)lua";

}  // namespace

RequestMemory::RequestMemory(std::shared_ptr<redis::Pool> flow, int shards,
                             std::chrono::seconds window)
    : flow_(std::move(flow)),
      shards_(shards),
      period_(std::to_string(std::max<int64_t>((window.count() + kPeriods - 1) / kPeriods, 1))),
      script_(kScript) {}

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
