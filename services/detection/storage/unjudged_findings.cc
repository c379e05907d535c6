#include "services/detection/storage/unjudged_findings.h"

#include "fmt/format.h"

#include "common/redis/pool.h"
#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::detection {
namespace {

constexpr char kKey[] = "y:{judging}:detection:unjudged";
constexpr char kPage[] = "1000";
constexpr uint64_t kTellEvery = 1000;

// A hash of names to "<times noted> <milliseconds since 1970> <digest>".
// KEYS hash; ARGV name, now, digest, most.
constexpr std::string_view kNote = R"lua(
local kept = redis.call('HGET', KEYS[1], ARGV[1])
if not kept then
  if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[4]) then return 0 end
  redis.call('HSET', KEYS[1], ARGV[1], '1 ' .. ARGV[2] .. ' ' .. ARGV[3])
  return 1
end
local times, since, told = string.match(kept, '^(%d+) (%d+) (.*)$')
if not times then times, since, told = 0, ARGV[2], '' end
if told == '' then told = ARGV[3] end
redis.call('HSET', KEYS[1], ARGV[1], (tonumber(times) + 1) .. ' ' .. since .. ' ' .. told)
return 1
)lua";

// KEYS hash; ARGV name, text.
constexpr std::string_view kRemove = R"lua(
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
return redis.call('HDEL', KEYS[1], ARGV[1])
)lua";

int64_t Milliseconds(TimePoint time) {
  return std::chrono::floor<std::chrono::milliseconds>(time).time_since_epoch().count();
}

}  // namespace

UnjudgedFindings::UnjudgedFindings(std::shared_ptr<redis::Pool> state,
                                   std::shared_ptr<const Clock> clock, Bounds bounds)
    : state_(std::move(state)),
      clock_(std::move(clock)),
      bounds_(std::move(bounds)),
      note_(kNote),
      remove_(kRemove) {}

absl::Status UnjudgedFindings::Note(const std::string& name, std::string_view told) {
  const std::string now = fmt::format("{}", Milliseconds(clock_->Now()));
  YAGURA_ASSIGN_OR_RETURN(auto connection, state_->Acquire());
  const std::string most = fmt::format("{}", bounds_.most);
  YAGURA_ASSIGN_OR_RETURN(const auto noted,
                          note_.Run(*connection, {kKey}, {name, now, told, most}));
  if (noted.integer != 0) return absl::OkStatus();
  if (bounds_.dropped != nullptr) bounds_.dropped->Add();
  // The first, and then now and then: there may be very many.
  if (const uint64_t before = dropped_.fetch_add(1); before % kTellEvery == 0) {
    bounds_.logger.Warning("a finding is not judged again, as too many wait for it",
                           {{"finding", name}, {"since_the_start", before + 1}});
  }
  return absl::OkStatus();
}

absl::Status UnjudgedFindings::ForEach(const std::function<absl::Status(const One&)>& visit) const {
  const int64_t now = Milliseconds(clock_->Now());
  std::string cursor = "0";
  do {
    YAGURA_ASSIGN_OR_RETURN(const auto reply,
                            state_->Command({"HSCAN", kKey, cursor, "COUNT", kPage}));
    if (reply.items.size() != 2) return Internal("HSCAN gave an unknown answer");
    cursor = reply.items[0].text;
    const auto& pairs = reply.items[1].items;
    for (size_t i = 0; i + 1 < pairs.size(); i += 2) {
      One one{pairs[i].text, "", {}, pairs[i + 1].text};
      const auto parts = Split(one.text, ' ');
      if (parts.size() == 3) {
        const int64_t since = ParseNumber<int64_t>(parts[1]).value_or(now);
        one.age = std::chrono::milliseconds(now - since);
        one.told = std::string(parts[2]);
      }
      YAGURA_RETURN_IF_ERROR(visit(one));
    }
  } while (cursor != "0");
  return absl::OkStatus();
}

absl::Status UnjudgedFindings::Remove(const One& one) {
  YAGURA_ASSIGN_OR_RETURN(auto connection, state_->Acquire());
  return remove_.Run(*connection, {kKey}, {one.name, one.text}).status();
}

}  // namespace yagura::detection
