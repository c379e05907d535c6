#include "common/timer/claims.h"

#include <chrono>

#include "fmt/format.h"

#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::timer {
namespace {

constexpr size_t kMaxId = 512;
constexpr size_t kMaxPayload = 1 << 20;

// KEYS of all scripts: due, work, claim, failed.
constexpr std::string_view kSchedule = R"lua(
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2] .. ' ' .. ARGV[3])
redis.call('HDEL', KEYS[3], ARGV[1])
redis.call('HDEL', KEYS[4], ARGV[1])
return 1
)lua";

constexpr std::string_view kScheduleIfAbsent = R"lua(
if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 1 then return 0 end
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2] .. ' ' .. ARGV[3])
return 1
)lua";

constexpr std::string_view kRemove = R"lua(
local function remove(id)
  redis.call('ZREM', KEYS[1], id)
  for i = 2, 4 do redis.call('HDEL', KEYS[i], id) end
end
)lua";

constexpr std::string_view kCancel = R"lua(
remove(ARGV[1])
return 1
)lua";

constexpr std::string_view kClaim = R"lua(
local id = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, 1)[1]
if not id then return false end
redis.call('ZADD', KEYS[1], ARGV[2], id)
redis.call('HSET', KEYS[3], id, ARGV[3])
return {id, redis.call('HGET', KEYS[2], id) or '', redis.call('HGET', KEYS[4], id) or '0'}
)lua";

constexpr std::string_view kHeld = R"lua(
if redis.call('HGET', KEYS[3], ARGV[1]) ~= ARGV[2] then return 0 end
)lua";

constexpr std::string_view kRenew = R"lua(
redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])
return 1
)lua";

constexpr std::string_view kFinish = R"lua(
remove(ARGV[1])
return 1
)lua";

constexpr std::string_view kFail = R"lua(
redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
redis.call('HINCRBY', KEYS[4], ARGV[1], 1)
return 1
)lua";

constexpr std::string_view kTakeBack = R"lua(
local function begins(text, with) return string.sub(text, 1, #with) == with end
local taken = 0
local claims = redis.call('HGETALL', KEYS[3])
for i = 1, #claims, 2 do
  if begins(claims[i + 1], ARGV[1]) and not begins(claims[i + 1], ARGV[2]) then
    redis.call('HDEL', KEYS[3], claims[i])
    redis.call('ZADD', KEYS[1], 'XX', ARGV[3], claims[i])
    taken = taken + 1
  end
end
return taken
)lua";

template <typename... Parts>
redis::Script Assemble(const Parts&... parts) {
  std::string source;
  (source.append(parts), ...);
  return redis::Script(source);
}

std::string Key(std::string_view queue, std::string_view what) {
  return fmt::format("y:{{timer.{}}}:timer:{}", queue, what);
}

// Rounded up: never early.
std::string Milliseconds(TimePoint time) {
  const auto since = std::chrono::ceil<std::chrono::milliseconds>(time.time_since_epoch());
  return fmt::format("{}", since.count());
}

StatusOr<Timer> ParseWork(std::string_view id, std::string_view work) {
  const size_t space = work.find(' ');
  const auto due = ParseNumber<int64_t>(work.substr(0, space));
  if (space == std::string_view::npos || !due) {
    return Internal(fmt::format("timer {}: its work is not readable", id));
  }
  return Timer{std::string(id), TimePoint(std::chrono::milliseconds(*due)),
               std::string(work.substr(space + 1))};
}

Status CheckId(std::string_view id) {
  if (!id.empty() && id.size() <= kMaxId) return absl::OkStatus();
  return InvalidField("id", fmt::format("wants 1 to {} bytes", kMaxId));
}

Status CheckWork(std::string_view id, std::string_view payload) {
  YAGURA_RETURN_IF_ERROR(CheckId(id));
  if (payload.size() <= kMaxPayload) return absl::OkStatus();
  return InvalidField("payload", fmt::format("is longer than {} bytes", kMaxPayload));
}

}  // namespace

Claims::Claims(std::shared_ptr<redis::Pool> state, std::string_view queue)
    : state_(std::move(state)),
      due_key_(Key(queue, "due")),
      work_key_(Key(queue, "work")),
      claim_key_(Key(queue, "claim")),
      failed_key_(Key(queue, "failed")),
      schedule_(kSchedule),
      schedule_if_absent_(kScheduleIfAbsent),
      cancel_(Assemble(kRemove, kCancel)),
      claim_(kClaim),
      renew_(Assemble(kHeld, kRenew)),
      finish_(Assemble(kRemove, kHeld, kFinish)),
      fail_(Assemble(kHeld, kFail)),
      take_back_(kTakeBack) {}

StatusOr<redis::Reply> Claims::Run(const redis::Script& script, const redis::Args& args) const {
  YAGURA_ASSIGN_OR_RETURN(auto connection, state_->Acquire());
  return script.Run(*connection, {due_key_, work_key_, claim_key_, failed_key_}, args);
}

StatusOr<bool> Claims::RunHeld(const redis::Script& script, const redis::Args& args) const {
  YAGURA_ASSIGN_OR_RETURN(const redis::Reply reply, Run(script, args));
  return reply.integer == 1;
}

Status Claims::Schedule(std::string_view id, TimePoint due, std::string_view payload) const {
  YAGURA_RETURN_IF_ERROR(CheckWork(id, payload));
  const std::string due_text = Milliseconds(due);
  return Run(schedule_, {id, due_text, payload}).status();
}

StatusOr<bool> Claims::ScheduleIfAbsent(std::string_view id, TimePoint due,
                                        std::string_view payload) const {
  YAGURA_RETURN_IF_ERROR(CheckWork(id, payload));
  const std::string due_text = Milliseconds(due);
  return RunHeld(schedule_if_absent_, {id, due_text, payload});
}

Status Claims::Cancel(std::string_view id) const {
  YAGURA_RETURN_IF_ERROR(CheckId(id));
  return Run(cancel_, {id}).status();
}

StatusOr<std::optional<Timer>> Claims::Find(std::string_view id) const {
  YAGURA_RETURN_IF_ERROR(CheckId(id));
  YAGURA_ASSIGN_OR_RETURN(const redis::Reply work, state_->Command({"HGET", work_key_, id}));
  if (work.is_nil()) return std::nullopt;
  YAGURA_ASSIGN_OR_RETURN(Timer timer, ParseWork(id, work.text));
  return timer;
}

StatusOr<uint64_t> Claims::Size() const {
  YAGURA_ASSIGN_OR_RETURN(const redis::Reply size, state_->Command({"ZCARD", due_key_}));
  return static_cast<uint64_t>(size.integer);
}

StatusOr<std::optional<Claims::Claimed>> Claims::Claim(TimePoint now, TimePoint until,
                                                       std::string_view token) const {
  // Rounded down, other than what is due: never early.
  const std::string now_text = fmt::format(
      "{}", std::chrono::floor<std::chrono::milliseconds>(now.time_since_epoch()).count());
  const std::string until_text = Milliseconds(until);
  YAGURA_ASSIGN_OR_RETURN(const redis::Reply reply, Run(claim_, {now_text, until_text, token}));
  if (reply.items.size() != 3) return std::nullopt;
  YAGURA_ASSIGN_OR_RETURN(Timer timer, ParseWork(reply.items[0].text, reply.items[1].text));
  return Claimed{std::move(timer), std::string(token),
                 ParseNumber<int>(reply.items[2].text).value_or(0)};
}

StatusOr<bool> Claims::Renew(const Claimed& claimed, TimePoint until) const {
  const std::string until_text = Milliseconds(until);
  return RunHeld(renew_, {claimed.timer.id, claimed.token, until_text});
}

StatusOr<bool> Claims::Finish(const Claimed& claimed) const {
  return RunHeld(finish_, {claimed.timer.id, claimed.token});
}

StatusOr<bool> Claims::Fail(const Claimed& claimed, TimePoint retry_at) const {
  const std::string retry_text = Milliseconds(retry_at);
  return RunHeld(fail_, {claimed.timer.id, claimed.token, retry_text});
}

StatusOr<int64_t> Claims::TakeBack(std::string_view prefix, std::string_view own,
                                   TimePoint now) const {
  const std::string now_text = Milliseconds(now);
  YAGURA_ASSIGN_OR_RETURN(const redis::Reply reply, Run(take_back_, {prefix, own, now_text}));
  return reply.integer;
}

}  // namespace yagura::timer
