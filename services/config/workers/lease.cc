#include "services/config/workers/lease.h"

#include <condition_variable>
#include <mutex>

#include "common/redis/pool.h"
#include "common/redis/script.h"
#include "common/status/status.h"
#include "common/store/resource_name.h"

namespace yagura::config {
namespace {

// ARGV holder, lifetime, prefix of the holders that are us (empty: none).
constexpr std::string_view kAcquire = R"lua(
local held = redis.call('GET', KEYS[1])
if held and (ARGV[3] == '' or string.sub(held, 1, #ARGV[3]) ~= ARGV[3]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1)lua";

constexpr std::string_view kRenew = R"lua(
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
return 0)lua";

constexpr std::string_view kRelease = R"lua(
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0)lua";

}  // namespace

StatusOr<std::unique_ptr<Lease>> Lease::Acquire(std::shared_ptr<redis::Pool> state, std::string key,
                                                const std::string& instance,
                                                std::chrono::milliseconds lifetime,
                                                std::function<void()> on_lost) {
  const std::string prefix = instance.empty() ? "" : instance + "/";
  std::string holder = prefix + store::NewUlid();
  const std::string milliseconds = std::to_string(lifetime.count());
  redis::Reply reply;
  {
    YAGURA_ASSIGN_OR_RETURN(auto connection, state->Acquire());
    YAGURA_ASSIGN_OR_RETURN(
        reply, redis::Script(kAcquire).Run(*connection, {key}, {holder, milliseconds, prefix}));
  }
  if (reply.integer == 0) return nullptr;
  return std::unique_ptr<Lease>(
      new Lease(std::move(state), std::move(key), std::move(holder), lifetime, std::move(on_lost)));
}

Lease::Lease(std::shared_ptr<redis::Pool> state, std::string key, std::string holder,
             std::chrono::milliseconds lifetime, std::function<void()> on_lost)
    : state_(std::move(state)),
      key_(std::move(key)),
      holder_(std::move(holder)),
      lifetime_(lifetime),
      on_lost_(std::move(on_lost)),
      renewer_([this](const std::stop_token& stop) { Renew(stop); }) {}

Lease::~Lease() {
  renewer_.request_stop();
  renewer_.join();
  auto connection = state_->Acquire();
  if (connection.ok()) {
    redis::Script(kRelease).Run(**connection, {key_}, {holder_}).status().IgnoreError();
  }
}

void Lease::Renew(const std::stop_token& stop) {
  const redis::Script script(kRenew);
  const std::string milliseconds = std::to_string(lifetime_.count());
  std::mutex mutex;
  std::unique_lock lock(mutex);
  std::condition_variable_any never;
  while (!never.wait_for(lock, stop, lifetime_ / 4, [&] { return stop.stop_requested(); })) {
    auto connection = state_->Acquire();
    // While Redis is away nobody else can take it either.
    if (!connection.ok()) continue;
    const auto reply = script.Run(**connection, {key_}, {holder_, milliseconds});
    if (reply.ok() && reply->integer == 0) {
      on_lost_();
      return;
    }
  }
}

}  // namespace yagura::config
