#include "services/archive/storage/job_lease.h"

#include <utility>

#include "common/redis/pool.h"
#include "common/status/status.h"
#include "common/stream/scripts.h"

namespace yagura::archive {
namespace {

// KEYS lease; ARGV holder, lease ms -> epoch.
constexpr std::string_view kAcquire = R"lua(
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local held = redis.call('HMGET', KEYS[1], 'holder', 'until')
if held[1] and held[1] ~= '' and held[1] ~= ARGV[1] and tonumber(held[2]) > now then
  return redis.error_reply('YAGURA_LEASE_HELD by another')
end
local epoch = redis.call('HINCRBY', KEYS[1], 'epoch', 1)
redis.call('HSET', KEYS[1], 'holder', ARGV[1], 'until',
           string.format('%.0f', now + tonumber(ARGV[2])))
return epoch
)lua";

}  // namespace

JobLease::JobLease(std::shared_ptr<redis::Pool> state, std::string key, std::string holder,
                   std::chrono::milliseconds length)
    : state_(std::move(state)),
      key_(std::move(key)),
      holder_(std::move(holder)),
      length_(length),
      acquire_(kAcquire),
      renew_(stream::RenewScript()),
      release_(stream::ReleaseScript()) {}

StatusOr<uint64_t> JobLease::Acquire() const {
  YAGURA_ASSIGN_OR_RETURN(auto connection, state_->Acquire());
  const auto epoch = acquire_.Run(*connection, {key_}, {holder_, std::to_string(length_.count())});
  if (!epoch.ok()) return stream::FromScript(epoch.status());
  return static_cast<uint64_t>(epoch->integer);
}

Status JobLease::Fence(uint64_t epoch) const {
  YAGURA_ASSIGN_OR_RETURN(auto connection, state_->Acquire());
  return stream::FromScript(
      renew_
          .Run(*connection, {key_},
               {holder_, std::to_string(epoch), std::to_string(length_.count())})
          .status());
}

void JobLease::Release(uint64_t epoch) const {
  auto connection = state_->Acquire();
  if (!connection.ok()) return;  // it runs out
  static_cast<void>(release_.Run(**connection, {key_}, {holder_, std::to_string(epoch)}));
}

}  // namespace yagura::archive
