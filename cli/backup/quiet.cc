#include "cli/backup/quiet.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "fmt/format.h"

#include "common/redis/pool.h"
#include "common/status/status.h"
#include "common/store/resource_name.h"
#include "common/store/store.h"
#include "common/stream/scripts.h"
#include "common/stream/topic.h"
#include "common/text/text.h"
#include "services/archive/storage/plan_store.h"
#include "services/archive/storage/seal_store.h"

namespace yagura::cli {
namespace {

using std::chrono::milliseconds;
using Steady = std::chrono::steady_clock;

constexpr milliseconds kLease{10'000};
constexpr milliseconds kRenewEvery{1'000};
constexpr milliseconds kLongest{90'000};
constexpr std::chrono::seconds kRestPatience{60};
constexpr std::chrono::minutes kFinishPatience{3};
constexpr milliseconds kLook{50};
constexpr milliseconds kBetweenTries{1'000};
constexpr int kMostShards = 256;
// The topic of events, and who stores them.
constexpr char kTopic[] = "events";
constexpr char kReader[] = "archive";

void Wait(milliseconds time, const std::stop_token& stop) {
  std::mutex mutex;
  std::unique_lock lock(mutex);
  std::condition_variable_any wake;
  wake.wait_for(lock, stop, time, [] { return false; });
}

Status Stopped() { return MakeError(absl::StatusCode::kCancelled, "STOPPED", "stopped"); }

Status Behind(const std::string& what) {
  return MakeError(absl::StatusCode::kFailedPrecondition, "STORE_BEHIND",
                   fmt::format("{}: the event store is down or refuses it; a backup needs it to "
                               "be well",
                               what));
}

}  // namespace

StatusOr<std::string> CommittedEntry(redis::Pool& flow, std::string_view topic, int shard,
                                     std::string_view reader) {
  const std::string key = stream::StreamKey(topic, shard);
  const auto groups = flow.Command({"XINFO", "GROUPS", key});
  if (ErrorReason(groups.status()) == "REDIS_ERR") return std::string();  // no such stream yet
  YAGURA_RETURN_IF_ERROR(groups.status());
  for (const redis::Reply& group : groups->items) {
    std::string name;
    std::string last;
    for (size_t i = 0; i + 1 < group.items.size(); i += 2) {
      if (group.items[i].text == "name") name = group.items[i + 1].text;
      if (group.items[i].text == "last-delivered-id") last = group.items[i + 1].text;
    }
    if (name == reader) return last;
  }
  return std::string();
}

// Each pause has an id of its own: who rested in the one before may not have seen its end yet.
QuietTime::QuietTime(Parts parts)
    : parts_(std::move(parts)), id_(store::NewUlid()), pause_(parts_.flow), begun_(Steady::now()) {}

QuietTime::~QuietTime() { End(); }

StatusOr<std::unique_ptr<QuietTime>> QuietTime::Begin(Parts parts, const std::stop_token& stop) {
  const auto deadline = Steady::now() + kFinishPatience;
  for (;;) {
    auto quiet = std::unique_ptr<QuietTime>(new QuietTime(parts));
    Status status = quiet->pause_.Ask(quiet->id_, kLease);
    if (status.ok()) {
      quiet->KeepUp();
      YAGURA_RETURN_IF_ERROR(quiet->AwaitRest(stop));
      status = quiet->CheckFinished();
      if (status.ok()) return quiet;
      quiet->End();
    }
    const std::string reason = ErrorReason(status);
    const bool passing = reason == "STORE_BEHIND" || reason == "PAUSE_HELD";
    if (!passing || Steady::now() > deadline) return status;
    Wait(kBetweenTries, stop);
    if (stop.stop_requested()) return Stopped();
  }
}

// As long as this process lives, but not for ever.
void QuietTime::KeepUp() {
  renewing_ = std::jthread([this](const std::stop_token& stop) {
    while (!stop.stop_requested() && Steady::now() - begun_ < kLongest) {
      Wait(kRenewEvery, stop);
      if (!stop.stop_requested()) (void)pause_.Renew(id_, kLease);  // its end is seen by StillQuiet
    }
  });
}

Status QuietTime::AwaitRest(const std::stop_token& stop) {
  const auto deadline = Steady::now() + kRestPatience;
  for (;;) {
    YAGURA_ASSIGN_OR_RETURN(auto writers, pause_.Look(id_));
    if (writers.awaited == 0 && !writers.resting.empty()) {
      resting_ = std::move(writers.resting);
      return absl::OkStatus();
    }
    if (stop.stop_requested()) return Stopped();
    if (Steady::now() > deadline) {
      if (writers.awaited == 0) {
        return MakeError(absl::StatusCode::kFailedPrecondition, "NO_ARCHIVE",
                         "no archive tells that it rests: does it run, and know this flow Redis?");
      }
      return Behind(fmt::format("{} processes have not finished what they write", writers.awaited));
    }
    Wait(kLook, stop);
  }
}

Status QuietTime::CheckShard(int shard) {
  const archive::PlanStore plans(parts_.flow, {kTopic, kMostShards, {}}, kReader);
  YAGURA_ASSIGN_OR_RETURN(const std::string committed,
                          CommittedEntry(*parts_.flow, kTopic, shard, kReader));
  backup::v1::ShardPosition& position = shards_.emplace_back();
  position.set_shard(static_cast<uint32_t>(shard));
  position.set_stored_entry(committed);
  YAGURA_ASSIGN_OR_RETURN(const auto plan, plans.Load(shard));
  if (!plan) return absl::OkStatus();
  const auto last = stream::EntryId::Parse(plan->last_entry());
  const auto stored = stream::EntryId::Parse(committed);
  if (last && stored && *last <= *stored) return absl::OkStatus();
  return Behind(fmt::format("an insert of shard {} that was begun is not finished", shard));
}

Status QuietTime::CheckFinished() {
  shards_.clear();
  const std::string key = stream::ShardsKey(kTopic);
  YAGURA_ASSIGN_OR_RETURN(const redis::Reply reply, parts_.flow->Command({"GET", key}));
  const int shards = std::clamp(ParseNumber<int>(reply.text).value_or(0), 0, kMostShards);
  for (int shard = 0; shard < shards; ++shard) YAGURA_RETURN_IF_ERROR(CheckShard(shard));
  YAGURA_ASSIGN_OR_RETURN(const auto tenants, store::ListTenants(*parts_.state));
  YAGURA_ASSIGN_OR_RETURN(const auto feeds, archive::SealStore(parts_.state).Look(tenants));
  for (const auto& [tenant, feed] : feeds) {
    if (feed.planned)
      return Behind(fmt::format("a seal of the records of {} is not finished", tenant));
  }
  return absl::OkStatus();
}

Status QuietTime::StillQuiet() const {
  YAGURA_ASSIGN_OR_RETURN(const auto writers, pause_.Look(id_));
  const bool all_there = std::includes(writers.resting.begin(), writers.resting.end(),
                                       resting_.begin(), resting_.end());
  if (writers.awaited == 0 && all_there) return absl::OkStatus();
  return MakeError(absl::StatusCode::kAborted, "PAUSE_OVER",
                   "a process that writes to the event store did not rest to the end of the pause");
}

void QuietTime::End() {
  if (ended_ != Steady::time_point{}) return;
  renewing_.request_stop();
  if (renewing_.joinable()) renewing_.join();
  ended_ = Steady::now();
  (void)pause_.End(id_);  // else it ends by itself
}

milliseconds QuietTime::length() const {
  const auto end = ended_ != Steady::time_point{} ? ended_ : Steady::now();
  return std::chrono::duration_cast<milliseconds>(end - begun_);
}

}  // namespace yagura::cli
