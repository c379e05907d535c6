#include "services/detection/storage/hunt_progress.h"

#include <algorithm>
#include <cmath>

#include "fmt/format.h"

#include "common/redis/pool.h"
#include "common/status/status.h"
#include "common/store/resource_name.h"
#include "common/text/text.h"

namespace yagura::detection {
namespace {

constexpr double kMillion = 1e6;
constexpr std::string_view kLifetimeSeconds = "604800";

// KEYS hash; ARGV lifetime, mode (tell, fill, last), then tenant, progress in millionths and state
// ('r' under way, 'o' over, 'f' failed) of each part.
constexpr std::string_view kTell = R"lua(
local function add(name, by)
  if by ~= 0 then redis.call('HINCRBY', KEYS[1], name, string.format('%.0f', by)) end
end
for i = 3, #ARGV, 3 do
  local field = 't:' .. ARGV[i]
  local progress, state = ARGV[i + 1], ARGV[i + 2]
  local before = redis.call('HGET', KEYS[1], field)
  local was, stood = 0, 'r'
  if before then
    local digits, letter = string.match(before, '^(%d+) (%a)$')
    was, stood = tonumber(digits), letter
  end
  local is_known = before and (ARGV[2] ~= 'tell' or stood ~= 'r')
  if not is_known then
    add('progress', tonumber(progress) - was)
    if state ~= 'r' then add('over', 1) end
    if state == 'f' then add('failed', 1) end
    redis.call('HSET', KEYS[1], field, progress .. ' ' .. state)
  end
end
if ARGV[2] == 'last' then redis.call('HSET', KEYS[1], 'whole', '1') end
redis.call('EXPIRE', KEYS[1], ARGV[1])
return redis.call('HMGET', KEYS[1], 'progress', 'over', 'failed', 'whole')
)lua";

std::string KeyOf(const std::string& hunt) {
  return fmt::format("y:{{{}}}:detection:hunt-progress:{}", store::TenantOf(hunt).value_or(""),
                     store::LastId(hunt));
}

const char* LetterOf(v1::HuntState state) {
  if (state == v1::FAILED) return "f";
  return state == v1::DONE || state == v1::CANCELLED ? "o" : "r";
}

std::string MillionthsOf(const HuntProgress::Part& part) {
  const bool over = *LetterOf(part.state) != 'r';
  return fmt::format("{:.0f}",
                     over ? kMillion : std::floor(kMillion * std::clamp(part.progress, 0.0, 1.0)));
}

}  // namespace

HuntProgress::HuntProgress(std::shared_ptr<redis::Pool> state)
    : state_(std::move(state)), tell_(kTell) {}

absl::StatusOr<HuntProgress::Sum> HuntProgress::Tell(const std::string& hunt,
                                                     const Part& part) const {
  return Run(hunt, "tell", {part});
}

absl::StatusOr<HuntProgress::Sum> HuntProgress::Fill(const std::string& hunt,
                                                     const std::vector<Part>& parts,
                                                     bool last) const {
  return Run(hunt, last ? "last" : "fill", parts);
}

absl::Status HuntProgress::Forget(const std::string& hunt) const {
  const std::string key = KeyOf(hunt);
  return state_->Command({"DEL", key}).status();
}

absl::StatusOr<HuntProgress::Sum> HuntProgress::Run(const std::string& hunt, const char* mode,
                                                    const std::vector<Part>& parts) const {
  const std::string key = KeyOf(hunt);
  std::vector<std::string> millionths;
  millionths.reserve(parts.size());
  redis::Args args = {kLifetimeSeconds, mode};
  for (const auto& part : parts) {
    millionths.push_back(MillionthsOf(part));
    args.insert(args.end(), {part.tenant, millionths.back(), LetterOf(part.state)});
  }
  YAGURA_ASSIGN_OR_RETURN(auto connection, state_->Acquire());
  YAGURA_ASSIGN_OR_RETURN(const auto reply, tell_.Run(*connection, {key}, args));
  if (reply.items.size() != 4) return Internal("the progress of a hunt cannot be read");
  const auto number = [&reply](size_t i) {
    return ParseNumber<uint64_t>(reply.items[i].text).value_or(0);
  };
  Sum sum;
  sum.progress = static_cast<double>(number(0)) / kMillion;
  sum.over = static_cast<uint32_t>(number(1));
  sum.failed = static_cast<uint32_t>(number(2));
  sum.whole = number(3) == 1;
  return sum;
}

}  // namespace yagura::detection
