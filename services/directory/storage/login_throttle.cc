#include "services/directory/storage/login_throttle.h"

#include "fmt/format.h"

#include "common/redis/pool.h"
#include "common/redis/script.h"
#include "common/status/status.h"

namespace yagura::directory {
namespace {

// All counters have one slot, whatever tenant the caller claims.
constexpr std::string_view kPrefix = "y:{provider}:directory:login";

// KEYS: counter of the address, and hash of the user's counters ("all", and one an address) where
// there is one. ARGV: window in ms, limits of address, user, and user from one address, and the
// hash's field of the address. Answers 0, or the ms to wait.
constexpr std::string_view kBegin = R"lua(
local wait = 0
local function used_up(key, count, limit)
  if tonumber(count or '0') >= tonumber(limit) then
    wait = math.max(wait, redis.call('PTTL', key), 1)
  end
end
used_up(KEYS[1], redis.call('GET', KEYS[1]), ARGV[2])
if KEYS[2] then
  used_up(KEYS[2], redis.call('HGET', KEYS[2], 'all'), ARGV[3])
  used_up(KEYS[2], redis.call('HGET', KEYS[2], ARGV[5]), ARGV[4])
end
if wait > 0 then return wait end
if redis.call('INCR', KEYS[1]) == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
if KEYS[2] then
  if redis.call('HINCRBY', KEYS[2], 'all', 1) == 1 then
    redis.call('PEXPIRE', KEYS[2], ARGV[1])
  end
  redis.call('HINCRBY', KEYS[2], ARGV[5], 1)
end
return 0)lua";

// KEYS as above. ARGV: the hash's field of the address.
constexpr std::string_view kSucceeded = R"lua(
if tonumber(redis.call('GET', KEYS[1]) or '0') > 0 then redis.call('DECR', KEYS[1]) end
if KEYS[2] then
  local count = tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or '0')
  if count > 0 then
    redis.call('HDEL', KEYS[2], ARGV[1])
    redis.call('HINCRBY', KEYS[2], 'all', -count)
  end
end
return 0)lua";

// KEYS and ARGV as above.
constexpr std::string_view kUndecided = R"lua(
if tonumber(redis.call('GET', KEYS[1]) or '0') > 0 then redis.call('DECR', KEYS[1]) end
if KEYS[2] and tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or '0') > 0 then
  redis.call('HINCRBY', KEYS[2], ARGV[1], -1)
  redis.call('HINCRBY', KEYS[2], 'all', -1)
end
return 0)lua";

std::string UserKey(std::string_view user) { return fmt::format("{}:user:{}", kPrefix, user); }

}  // namespace

LoginThrottle::LoginThrottle(std::shared_ptr<redis::Pool> state, ThrottleLimits limits)
    : state_(std::move(state)), limits_(limits) {}

absl::StatusOr<int64_t> LoginThrottle::Run(const redis::Script& script, std::string_view user,
                                           std::string_view address,
                                           const std::vector<std::string>& args) {
  const std::string address_key = fmt::format("{}:address:{}", kPrefix, address);
  const std::string user_key = UserKey(user);
  redis::Args keys = {address_key};
  if (!user.empty()) keys.push_back(user_key);
  YAGURA_ASSIGN_OR_RETURN(auto lease, state_->Acquire());
  YAGURA_ASSIGN_OR_RETURN(const auto reply,
                          script.Run(*lease, keys, redis::Args(args.begin(), args.end())));
  return reply.integer;
}

absl::Status LoginThrottle::Begin(std::string_view user, std::string_view address) {
  static const redis::Script kBeginScript(kBegin);
  YAGURA_ASSIGN_OR_RETURN(
      const int64_t wait,
      Run(kBeginScript, user, address,
          {std::to_string(limits_.window.count()), std::to_string(limits_.per_address),
           std::to_string(limits_.per_user), std::to_string(limits_.per_user_and_address),
           fmt::format("from {}", address)}));
  if (wait == 0) return absl::OkStatus();
  return WithRetryDelay(MakeError(absl::StatusCode::kResourceExhausted, "LOGIN_THROTTLED",
                                  "too many attempts to log in; wait before the next"),
                        std::chrono::milliseconds(wait));
}

absl::Status LoginThrottle::Succeeded(std::string_view user, std::string_view address) {
  static const redis::Script kSucceededScript(kSucceeded);
  return Run(kSucceededScript, user, address, {fmt::format("from {}", address)}).status();
}

absl::Status LoginThrottle::Undecided(std::string_view user, std::string_view address) {
  static const redis::Script kUndecidedScript(kUndecided);
  return Run(kUndecidedScript, user, address, {fmt::format("from {}", address)}).status();
}

absl::Status LoginThrottle::Forgive(std::string_view user) {
  const std::string key = UserKey(user);
  return state_->Command({"DEL", key}).status();
}

}  // namespace yagura::directory
