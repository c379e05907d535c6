#include "services/archive/workers/tail_hub.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <utility>

#include "common/event/batch_codec.h"
#include "common/redis/pool.h"
#include "common/status/status.h"
#include "yagura/event/v1/event.pb.h"

namespace yagura::archive {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kBlock{500};
constexpr milliseconds kRetry{1'000};
constexpr std::string_view kBatchesPerRead = "64";
constexpr int kEventsPerMessage = 500;
constexpr int kEventsPerSecond = 1'000;  // nobody reads faster

}  // namespace

struct TailHub::Subscription {
  auth::TenantSet tenants;
  filter::Filter filter;
  Push push;
  std::atomic<bool> ended{false};
  // The hub's thread alone:
  v1::TailEventsResponse pending;
  steady_clock::time_point second_began;
  int shown_in_second = 0;
  bool skipped = false;

  // Whether one more event may be shown now.
  bool TakeTurn() {
    const auto now = steady_clock::now();
    if (now - second_began >= std::chrono::seconds(1)) {
      second_began = now;
      shown_in_second = 0;
    }
    if (shown_in_second == kEventsPerSecond) {
      skipped = true;
      return false;
    }
    ++shown_in_second;
    return true;
  }

  void Flush() {
    if (pending.events_size() == 0 || ended) return;
    pending.set_skipped(std::exchange(skipped, false));
    if (!push(std::exchange(pending, {}))) ended = true;
  }
};

TailHub::TailHub(std::shared_ptr<redis::Pool> flow, stream::Topic topic, Logger logger)
    : flow_(std::move(flow)), topic_(std::move(topic)), logger_(std::move(logger)) {}

TailHub::~TailHub() { Stop(); }

void TailHub::Start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
}

void TailHub::Stop() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

std::shared_ptr<void> TailHub::Subscribe(auth::TenantSet tenants, filter::Filter filter,
                                         Push push) {
  auto subscription = std::make_shared<Subscription>();
  subscription->tenants = std::move(tenants);
  subscription->filter = std::move(filter);
  subscription->push = std::move(push);
  const std::lock_guard lock(mutex_);
  subscriptions_.push_back(subscription);
  changed_.notify_all();
  return subscription;
}

TailHub::Subscriptions TailHub::Listeners() {
  Subscriptions alive;
  const std::lock_guard lock(mutex_);
  std::erase_if(subscriptions_, [&alive](const std::weak_ptr<Subscription>& weak) {
    auto subscription = weak.lock();
    if (subscription == nullptr || subscription->ended) return true;
    alive.push_back(std::move(subscription));
    return false;
  });
  return alive;
}

void TailHub::Run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, stop, [this] { return !subscriptions_.empty(); });
    }
    if (stop.stop_requested()) return;
    const Status status = Follow(stop);
    if (status.ok()) continue;
    logger_.Warning("tail cannot read the events", {{"why", Message(status)}});
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, stop, kRetry, [] { return false; });
  }
}

// The last entry of every shard.
Status TailHub::SkipToEnd(std::vector<std::string>* places) const {
  places->assign(static_cast<size_t>(topic_.shards), "0-0");
  for (int shard = 0; shard < topic_.shards; ++shard) {
    const std::string key = stream::StreamKey(topic_.name, shard);
    YAGURA_ASSIGN_OR_RETURN(const redis::Reply last,
                            flow_->Command({"XREVRANGE", key, "+", "-", "COUNT", "1"}));
    if (last.items.empty() || last.items[0].items.empty()) continue;
    (*places)[static_cast<size_t>(shard)] = last.items[0].items[0].text;
  }
  return absl::OkStatus();
}

Status TailHub::Follow(const std::stop_token& stop) {
  std::vector<std::string> keys;
  keys.reserve(static_cast<size_t>(topic_.shards));
  for (int shard = 0; shard < topic_.shards; ++shard) {
    keys.push_back(stream::StreamKey(topic_.name, shard));
  }
  std::vector<std::string> places;
  YAGURA_RETURN_IF_ERROR(SkipToEnd(&places));
  const std::string block = std::to_string(kBlock.count());
  while (!stop.stop_requested()) {
    const Subscriptions listeners = Listeners();
    if (listeners.empty()) return absl::OkStatus();
    redis::Args args = {"XREAD", "COUNT", kBatchesPerRead, "BLOCK", block, "STREAMS"};
    args.insert(args.end(), keys.begin(), keys.end());
    args.insert(args.end(), places.begin(), places.end());
    YAGURA_ASSIGN_OR_RETURN(auto connection, flow_->Acquire());
    YAGURA_ASSIGN_OR_RETURN(const redis::Reply reply, connection->BlockingCommand(args, kBlock));
    for (const redis::Reply& one : reply.items) {  // [key, [[id, [field, value, ...]], ...]]
      if (one.items.size() != 2) return Internal("Redis answered something that is no stream");
      const auto at = std::find(keys.begin(), keys.end(), one.items[0].text) - keys.begin();
      for (const redis::Reply& entry : one.items[1].items) {
        if (entry.items.size() != 2 || at == topic_.shards) continue;
        places[static_cast<size_t>(at)] = entry.items[0].text;
        const auto& fields = entry.items[1].items;
        for (size_t i = 0; i + 1 < fields.size(); i += 2) {
          if (fields[i].text == "p") Show(fields[i + 1].text, listeners);
        }
      }
    }
    for (const auto& listener : listeners) listener->Flush();
  }
  return absl::OkStatus();
}

void TailHub::Show(std::string_view payload, const Subscriptions& subscriptions) const {
  auto batch = event::BatchReader::Open(payload);
  if (!batch.ok()) return;  // the writer tells of it
  Subscriptions interested;
  for (const auto& subscription : subscriptions) {
    if (subscription->tenants.Contains(batch->tenant())) interested.push_back(subscription);
  }
  if (interested.empty()) return;
  event::v1::Event event;
  for (size_t i = 0; i < batch->size(); ++i) {
    if (!batch->Get(i, &event).ok()) return;
    for (const auto& subscription : interested) {
      if (subscription->ended || !subscription->filter.Matches(event)) continue;
      if (!subscription->TakeTurn()) continue;
      *subscription->pending.add_events() = event;
      if (subscription->pending.events_size() == kEventsPerMessage) subscription->Flush();
    }
  }
}

}  // namespace yagura::archive
