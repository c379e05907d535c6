#include "services/archive/storage/hold_rounds.h"

#include <utility>

#include "common/redis/pool.h"
#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::archive {
namespace {

constexpr std::string_view kRound = "y:{-}:archive:hold-round";
constexpr std::string_view kMembers = "y:{-}:archive:hold-members";

// Inserting depends on it, so it works while Redis is at its memory limit.
constexpr std::string_view kCommon = R"lua(#!lua flags=allow-oom
local function now()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end
local function round() return tonumber(redis.call('GET', KEYS[1]) or '0') end
)lua";

// KEYS round, members; ARGV member, round that it knows. A member is "<round> <when heard, ms>".
constexpr std::string_view kAnnounce = R"lua(
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2] .. ' ' .. string.format('%.0f', now()))
return round()
)lua";

// KEYS round, members; ARGV round, ms after which a member is gone -> {round of now, lagging...}
constexpr std::string_view kLook = R"lua(
local t = now()
local found = {string.format('%.0f', round())}
local members = redis.call('HGETALL', KEYS[2])
for i = 1, #members, 2 do
  local known, heard = string.match(members[i + 1], '^(%d+) (%d+)$')
  if not known or t - tonumber(heard) > tonumber(ARGV[2]) then
    redis.call('HDEL', KEYS[2], members[i])
  elseif tonumber(known) < tonumber(ARGV[1]) then
    found[#found + 1] = members[i]
  end
end
return found
)lua";

redis::Script Assemble(std::string_view script) {
  return redis::Script(std::string(kCommon).append(script));
}

}  // namespace

HoldRounds::HoldRounds(std::shared_ptr<redis::Pool> state)
    : state_(std::move(state)), announce_(Assemble(kAnnounce)), look_(Assemble(kLook)) {}

StatusOr<uint64_t> HoldRounds::Begin() const {
  YAGURA_ASSIGN_OR_RETURN(const redis::Reply reply, state_->Command({"INCR", kRound}));
  return static_cast<uint64_t>(reply.integer);
}

StatusOr<uint64_t> HoldRounds::Announce(const std::string& member, uint64_t round) const {
  YAGURA_ASSIGN_OR_RETURN(auto connection, state_->Acquire());
  YAGURA_ASSIGN_OR_RETURN(const redis::Reply reply, announce_.Run(*connection, {kRound, kMembers},
                                                                  {member, std::to_string(round)}));
  return static_cast<uint64_t>(reply.integer);
}

Status HoldRounds::Leave(const std::string& member) const {
  return state_->Command({"HDEL", kMembers, member}).status();
}

StatusOr<HoldRounds::State> HoldRounds::Look(uint64_t round, std::chrono::milliseconds gone) const {
  YAGURA_ASSIGN_OR_RETURN(auto connection, state_->Acquire());
  YAGURA_ASSIGN_OR_RETURN(const redis::Reply reply,
                          look_.Run(*connection, {kRound, kMembers},
                                    {std::to_string(round), std::to_string(gone.count())}));
  if (reply.items.empty()) return Internal("the script of the holds gave an unknown answer");
  State state;
  state.now = ParseNumber<uint64_t>(reply.items[0].text).value_or(0);
  for (size_t i = 1; i < reply.items.size(); ++i) state.lagging.push_back(reply.items[i].text);
  return state;
}

}  // namespace yagura::archive
