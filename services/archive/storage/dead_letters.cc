#include "services/archive/storage/dead_letters.h"

#include <utility>

#include "fmt/format.h"

#include "common/redis/pool.h"
#include "common/status/status.h"
#include "common/stream/scripts.h"

namespace yagura::archive {
namespace {

constexpr size_t kMaxErrorText = 1000;

constexpr std::string_view kRemembered = "604800";  // a week, in seconds

}  // namespace

DeadLetters::DeadLetters(std::shared_ptr<redis::Pool> flow, stream::Topic topic, std::string reader)
    : flow_(std::move(flow)),
      topic_(std::move(topic)),
      reader_(std::move(reader)),
      write_(stream::WriteDeadLetterScript()) {}

Status DeadLetters::Write(int shard, const stream::Entry& entry, const Status& error) const {
  const std::string letters = stream::DeadLetterKey(topic_.name, shard);
  const std::string id = entry.id.ToString();
  const std::string mark =
      fmt::format("y:{{s{}}}:archive:buried:{}:{}:{}", shard, topic_.name, id, entry.key);
  const std::string text = error.ToString().substr(0, kMaxErrorText);
  YAGURA_ASSIGN_OR_RETURN(auto connection, flow_->Acquire());
  return write_
      .Run(*connection, {letters, stream::DeadLetterSizeKey(topic_.name, shard), mark},
           {kRemembered, std::to_string(stream::kMaxDeadLetters),
            std::to_string(stream::kMaxDeadLetterBytes), id, reader_, text, entry.key,
            entry.payload})
      .status();
}

}  // namespace yagura::archive
