#include "services/archive/storage/pause_store.h"

#include <utility>

#include "common/redis/pool.h"
#include "common/status/status.h"

namespace yagura::archive {
namespace {

constexpr std::string_view kPauseKey = "y:{-}:archive:pause";
// Hash: process -> "seconds id", when it was last heard of and the pause in which it rests.
constexpr std::string_view kWritersKey = "y:{-}:archive:writers";
// A process tells of itself every five seconds; one that was killed is waited for so long.
constexpr std::string_view kAliveSeconds = "15";

// KEYS pause; ARGV id, milliseconds.
constexpr std::string_view kRenew = R"lua(#!lua flags=allow-oom
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return redis.error_reply('YAGURA_PAUSE_OVER the pause has ended')
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
)lua";

// KEYS pause, writers; ARGV id, seconds for which a process counts as alive.
constexpr std::string_view kLook = R"lua(
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return redis.error_reply('YAGURA_PAUSE_OVER the pause has ended')
end
local now = tonumber(redis.call('TIME')[1])
local writers = redis.call('HGETALL', KEYS[2])
local answer = {0}
for i = 1, #writers, 2 do
  local heard, rests = string.match(writers[i + 1], '^(%d+) (.*)$')
  if not heard or tonumber(heard) + tonumber(ARGV[2]) < now then
    redis.call('HDEL', KEYS[2], writers[i])
  elseif rests == ARGV[1] then
    answer[#answer + 1] = writers[i]
  else
    answer[1] = answer[1] + 1
  end
end
return answer
)lua";

// KEYS pause; ARGV id.
constexpr std::string_view kEnd = R"lua(#!lua flags=allow-oom
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
)lua";

// KEYS pause, writers; ARGV process, pause in which it rests.
constexpr std::string_view kTell = R"lua(#!lua flags=allow-oom
redis.call('HSET', KEYS[2], ARGV[1], redis.call('TIME')[1] .. ' ' .. ARGV[2])
return redis.call('GET', KEYS[1]) or ''
)lua";

Status FromScript(const Status& status) {
  if (ErrorReason(status) != "YAGURA_PAUSE_OVER") return status;
  return MakeError(absl::StatusCode::kAborted, "PAUSE_OVER",
                   "the pause of what is written to the event store was over too soon");
}

}  // namespace

PauseStore::PauseStore(std::shared_ptr<redis::Pool> flow)
    : flow_(std::move(flow)), renew_(kRenew), look_(kLook), end_(kEnd), tell_(kTell) {}

Status PauseStore::Ask(std::string_view id, std::chrono::milliseconds length) const {
  const std::string milliseconds = std::to_string(length.count());
  YAGURA_ASSIGN_OR_RETURN(const redis::Reply reply,
                          flow_->Command({"SET", kPauseKey, id, "NX", "PX", milliseconds}));
  if (!reply.is_nil()) return absl::OkStatus();
  return MakeError(absl::StatusCode::kFailedPrecondition, "PAUSE_HELD",
                   "another backup holds what is written to the event store back just now");
}

Status PauseStore::Renew(std::string_view id, std::chrono::milliseconds length) const {
  YAGURA_ASSIGN_OR_RETURN(auto connection, flow_->Acquire());
  const std::string milliseconds = std::to_string(length.count());
  return FromScript(renew_.Run(*connection, {kPauseKey}, {id, milliseconds}).status());
}

StatusOr<PauseStore::Writers> PauseStore::Look(std::string_view id) const {
  YAGURA_ASSIGN_OR_RETURN(auto connection, flow_->Acquire());
  const auto reply = look_.Run(*connection, {kPauseKey, kWritersKey}, {id, kAliveSeconds});
  YAGURA_RETURN_IF_ERROR(FromScript(reply.status()));
  if (reply->items.empty()) return Internal("the pause has no writers");
  Writers writers;
  writers.awaited = reply->items[0].integer;
  for (size_t i = 1; i < reply->items.size(); ++i) writers.resting.insert(reply->items[i].text);
  return writers;
}

Status PauseStore::End(std::string_view id) const {
  YAGURA_ASSIGN_OR_RETURN(auto connection, flow_->Acquire());
  return end_.Run(*connection, {kPauseKey}, {id}).status();
}

StatusOr<std::string> PauseStore::Tell(std::string_view process, std::string_view rests_in) const {
  YAGURA_ASSIGN_OR_RETURN(auto connection, flow_->Acquire());
  YAGURA_ASSIGN_OR_RETURN(const redis::Reply reply,
                          tell_.Run(*connection, {kPauseKey, kWritersKey}, {process, rests_in}));
  return reply.text;
}

StatusOr<std::string> PauseStore::Asked() const {
  YAGURA_ASSIGN_OR_RETURN(const redis::Reply reply, flow_->Command({"GET", kPauseKey}));
  return reply.text;
}

void PauseStore::Leave(std::string_view process) const {
  (void)flow_->Command({"HDEL", kWritersKey, process});
}

Status PauseStore::Forget(redis::Pool& flow) {
  return flow.Command({"DEL", kPauseKey, kWritersKey}).status();
}

}  // namespace yagura::archive
