#include "services/archive/workers/shard_share.h"

#include <algorithm>
#include <utility>

#include "common/redis/pool.h"
#include "common/stream/scripts.h"

namespace yagura::archive {
namespace {

using std::chrono::milliseconds;

constexpr int kLooksPerLease = 8;
constexpr milliseconds kShortestPause{5};
constexpr milliseconds kLongestPause{500};

}  // namespace

ShardShare::ShardShare(std::shared_ptr<redis::Pool> flow, stream::Topic topic, Member member)
    : flow_(std::move(flow)),
      topic_(std::move(topic)),
      member_(std::move(member)),
      script_(stream::MemberScript()),
      share_(static_cast<size_t>(topic_.shards)) {}

// With Redis away the last answer counts.
void ShardShare::Refresh() {
  const auto now = std::chrono::steady_clock::now();
  if (now < next_) return;
  next_ = now + std::clamp(member_.lease / kLooksPerLease, kShortestPause, kLongestPause);
  auto connection = flow_->Acquire();
  if (!connection.ok()) return;
  const std::string key = stream::MembersKey(topic_.name, member_.reader);
  const auto members =
      script_.Run(**connection, {key}, {member_.holder, std::to_string(member_.lease.count())});
  if (!members.ok()) return;
  const auto processes = static_cast<size_t>(std::max<int64_t>(members->integer, 1));
  share_ = (static_cast<size_t>(topic_.shards) + processes - 1) / processes;
}

bool ShardShare::Take() {
  const std::lock_guard lock(mutex_);
  Refresh();
  if (held_ >= share_) return false;
  ++held_;
  return true;
}

void ShardShare::GiveBack() {
  const std::lock_guard lock(mutex_);
  --held_;
}

bool ShardShare::LetGo() {
  const std::lock_guard lock(mutex_);
  Refresh();
  if (held_ <= share_) return false;
  --held_;
  return true;
}

void ShardShare::Leave() {
  const std::string key = stream::MembersKey(topic_.name, member_.reader);
  (void)flow_->Command({"ZREM", key, member_.holder});
}

}  // namespace yagura::archive
