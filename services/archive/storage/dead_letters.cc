#include "services/archive/storage/dead_letters.h"

#include <utility>

#include "fmt/format.h"

#include "common/redis/pool.h"
#include "common/status/status.h"

namespace yagura::archive {
namespace {

constexpr size_t kMaxErrorText = 1000;

// KEYS dead letters, mark; ARGV seconds, id, reader, error, key, payload.
constexpr std::string_view kWrite = R"lua(#!lua flags=allow-oom
if redis.call('SET', KEYS[2], '1', 'NX', 'EX', ARGV[1]) then
  redis.call('XADD', KEYS[1], '*', 'id', ARGV[2], 'reader', ARGV[3], 'error', ARGV[4],
             'k', ARGV[5], 'p', ARGV[6])
end
return 1
)lua";

constexpr std::string_view kRemembered = "604800";  // a week, in seconds

}  // namespace

DeadLetters::DeadLetters(std::shared_ptr<redis::Pool> flow, stream::Topic topic, std::string reader)
    : flow_(std::move(flow)),
      topic_(std::move(topic)),
      reader_(std::move(reader)),
      write_(kWrite) {}

Status DeadLetters::Write(int shard, const stream::Entry& entry, const Status& error) const {
  const std::string letters = stream::DeadLetterKey(topic_.name, shard);
  const std::string id = entry.id.ToString();
  const std::string mark =
      fmt::format("y:{{s{}}}:archive:buried:{}:{}:{}", shard, topic_.name, id, entry.key);
  const std::string text = error.ToString().substr(0, kMaxErrorText);
  YAGURA_ASSIGN_OR_RETURN(auto connection, flow_->Acquire());
  return write_
      .Run(*connection, {letters, mark}, {kRemembered, id, reader_, text, entry.key, entry.payload})
      .status();
}

}  // namespace yagura::archive
