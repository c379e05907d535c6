#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <thread>

#include "fmt/format.h"

#include "common/redis/pool.h"
#include "common/status/status.h"
#include "common/store/change_feed.h"
#include "common/store/feed_entry.h"
#include "common/store/keys.h"
#include "common/text/text.h"

namespace yagura::store {
namespace {

constexpr std::chrono::milliseconds kBlock{200};
constexpr std::chrono::milliseconds kRetryDelay{100};
constexpr std::chrono::milliseconds kMaxRetryDelay{2000};
constexpr std::chrono::seconds kRefresh{1};  // at the latest, however much there is to read
constexpr std::string_view kBlockText = "200";
constexpr std::string_view kBatch = "500";

// The tenants' sequence numbers as they are now.
template <typename Redis>
absl::StatusOr<std::map<std::string, uint64_t>> ReadSequences(Redis& redis) {
  YAGURA_ASSIGN_OR_RETURN(const auto tenants, redis.Command({"SMEMBERS", kTenantsKey}));
  std::map<std::string, uint64_t> sequences;
  if (tenants.items.empty()) return sequences;
  std::vector<std::string> keys;
  keys.reserve(tenants.items.size());
  for (const auto& tenant : tenants.items) keys.push_back(SequenceKey(tenant.text));
  redis::Args args = {"MGET"};
  args.insert(args.end(), keys.begin(), keys.end());
  YAGURA_ASSIGN_OR_RETURN(const auto values, redis.Command(args));
  for (size_t i = 0; i < tenants.items.size() && i < values.items.size(); ++i) {
    sequences[tenants.items[i].text] = ParseNumber<uint64_t>(values.items[i].text).value_or(0);
  }
  return sequences;
}

}  // namespace

struct FeedFollower::Impl {
  Impl(std::shared_ptr<redis::Pool> pool, Logger log)
      : state(std::move(pool)), logger(std::move(log)) {}

  void Run();
  // Reads until the connection breaks or the follower stops.
  absl::Status Follow();
  absl::Status Refresh(redis::Connection& connection, bool reconnected);
  // The followed tenants of which records are missing that nobody can read any more.
  absl::StatusOr<std::vector<std::string>> FindLost(
      redis::Connection& connection, const std::map<std::string, uint64_t>& sequences,
      bool reconnected);
  void Deliver(const redis::Reply& streams);
  void DeliverTenant(const std::string& tenant, const redis::Reply& entries);

  template <typename Call>
  void Tell(const Call& call) {
    std::erase_if(subscribers, [&call](const std::weak_ptr<Subscriber>& weak) {
      const auto subscriber = weak.lock();
      if (subscriber) call(*subscriber);
      return !subscriber;
    });
  }
  void Reset(const std::string& tenant) {
    Tell([&tenant](Subscriber& subscriber) { subscriber.OnReset(tenant); });
  }

  const std::shared_ptr<redis::Pool> state;
  const Logger logger;

  // Held while subscribers are told, so that one that joins misses nothing.
  std::mutex delivery;
  std::vector<std::weak_ptr<Subscriber>> subscribers;
  std::string tenants_position = "$";
  std::chrono::steady_clock::time_point refreshed;

  std::mutex mutex;
  std::condition_variable changed;
  std::map<std::string, uint64_t> positions;  // last delivered, a tenant; under both mutexes
  bool started = false;                       // the first refresh is done
  bool stopping = false;
  std::thread thread;
};

void FeedFollower::Impl::Run() {
  auto delay = kRetryDelay;
  while (true) {
    const auto began = std::chrono::steady_clock::now();
    const absl::Status status = Follow();
    std::unique_lock lock(mutex);
    if (stopping) return;
    logger.Warning("change feed interrupted", {{"error", Message(status)}});
    if (std::chrono::steady_clock::now() - began > kMaxRetryDelay) delay = kRetryDelay;
    if (changed.wait_for(lock, delay, [this] { return stopping; })) return;
    delay = std::min(delay * 2, kMaxRetryDelay);
  }
}

absl::Status FeedFollower::Impl::Follow() {
  YAGURA_ASSIGN_OR_RETURN(auto connection, redis::Connection::Connect(state->endpoint()));
  YAGURA_RETURN_IF_ERROR(Refresh(connection, true));
  while (true) {
    std::vector<std::string> keys = {std::string(kTenantsFeedKey)};
    std::vector<std::string> ids = {tenants_position};
    {
      const std::lock_guard lock(mutex);
      if (stopping) return absl::OkStatus();
      for (const auto& [tenant, position] : positions) {
        keys.push_back(FeedKey(tenant));
        ids.push_back(fmt::format("{}-0", position));
      }
    }
    redis::Args args = {"XREAD", "COUNT", kBatch, "BLOCK", kBlockText, "STREAMS"};
    args.insert(args.end(), keys.begin(), keys.end());
    args.insert(args.end(), ids.begin(), ids.end());
    YAGURA_ASSIGN_OR_RETURN(const auto streams, connection.BlockingCommand(args, kBlock));
    if (streams.is_nil()) {
      YAGURA_RETURN_IF_ERROR(Refresh(connection, false));
      continue;
    }
    const bool new_tenants =
        std::any_of(streams.items.begin(), streams.items.end(), [](const redis::Reply& stream) {
          return stream.items.size() == 2 && stream.items[0].text == kTenantsFeedKey;
        });
    Deliver(streams);
    const bool due = std::chrono::steady_clock::now() - refreshed >= kRefresh;
    if (new_tenants || due) YAGURA_RETURN_IF_ERROR(Refresh(connection, false));
  }
}

// After a reconnect a sequence number below ours tells that Redis came back with older data (a
// restored backup). Behind with nothing left to read: all of it was trimmed.
absl::StatusOr<std::vector<std::string>> FeedFollower::Impl::FindLost(
    redis::Connection& connection, const std::map<std::string, uint64_t>& sequences,
    bool reconnected) {
  std::map<std::string, uint64_t> followed;
  {
    const std::lock_guard lock(mutex);
    followed = positions;
  }
  std::vector<std::string> lost;
  for (const auto& [tenant, position] : followed) {
    const auto sequence = sequences.find(tenant);
    if (sequence == sequences.end() || sequence->second == position) continue;
    if (sequence->second < position) {
      if (reconnected) lost.push_back(tenant);
      continue;
    }
    const std::string from = fmt::format("{}-0", position + 1);
    YAGURA_ASSIGN_OR_RETURN(
        const auto left, connection.Command({"XRANGE", FeedKey(tenant), from, "+", "COUNT", "1"}));
    if (left.items.empty()) lost.push_back(tenant);
  }
  return lost;
}

// Takes up tenants that are new, and finds those of which records are lost. All questions are asked
// before anything is told or noted: what is noted is told, whatever becomes of the connection.
absl::Status FeedFollower::Impl::Refresh(redis::Connection& connection, bool reconnected) {
  if (tenants_position == "$") {
    YAGURA_ASSIGN_OR_RETURN(const auto last, connection.Command({"XREVRANGE", kTenantsFeedKey, "+",
                                                                 "-", "COUNT", "1"}));
    const bool any = !last.items.empty() && !last.items[0].items.empty();
    tenants_position = any ? last.items[0].items[0].text : "0-0";
  }
  YAGURA_ASSIGN_OR_RETURN(const auto sequences, ReadSequences(connection));
  YAGURA_ASSIGN_OR_RETURN(const auto lost, FindLost(connection, sequences, reconnected));
  refreshed = std::chrono::steady_clock::now();
  const std::lock_guard delivering(delivery);
  // A tenant that came while we followed is followed from its first record: watchers hear all.
  const bool from_first = started;
  std::map<std::string, uint64_t> moved;
  {
    const std::lock_guard lock(mutex);
    for (const auto& [tenant, sequence] : sequences) {
      if (!positions.contains(tenant)) moved.emplace(tenant, from_first ? 0 : sequence);
    }
  }
  for (const auto& [tenant, position] : moved) {
    Tell([&, &name = tenant](Subscriber& subscriber) { subscriber.OnStart(name, from_first); });
  }
  for (const auto& tenant : lost) {
    Reset(tenant);
    moved[tenant] = sequences.at(tenant);
  }
  // Only now: who has waited for these positions finds that their subscribers know.
  const std::lock_guard lock(mutex);
  for (const auto& [tenant, position] : moved) positions[tenant] = position;
  started = true;
  changed.notify_all();
  return absl::OkStatus();
}

void FeedFollower::Impl::Deliver(const redis::Reply& streams) {
  for (const auto& stream : streams.items) {
    if (stream.items.size() != 2) continue;
    const std::string& key = stream.items[0].text;
    const auto& entries = stream.items[1];
    if (key == kTenantsFeedKey) {
      if (!entries.items.empty() && !entries.items.back().items.empty()) {
        tenants_position = entries.items.back().items[0].text;
      }
      continue;
    }
    const size_t open = key.find('{');
    const size_t close = key.find('}');
    if (open == std::string::npos || close == std::string::npos || close < open) continue;
    DeliverTenant(key.substr(open + 1, close - open - 1), entries);
  }
}

void FeedFollower::Impl::DeliverTenant(const std::string& tenant, const redis::Reply& entries) {
  const std::lock_guard delivering(delivery);
  uint64_t position = 0;
  {
    const std::lock_guard lock(mutex);
    position = positions[tenant];
  }
  for (const auto& entry : entries.items) {
    const auto sequence = entry.items.empty() ? std::nullopt : SequenceOfId(entry.items[0].text);
    if (!sequence) continue;
    // Numbers have no gaps: what is missing was trimmed before we saw it.
    if (*sequence != position + 1) Reset(tenant);
    position = *sequence;
    const auto record = ParseFeedEntry(entry, tenant);
    if (!record.ok()) {
      logger.Error("change record skipped", {{"tenant", tenant}, {"sequence", *sequence}});
      Reset(tenant);
      continue;
    }
    Tell([&record](Subscriber& subscriber) { subscriber.OnRecord(*record); });
  }
  const std::lock_guard lock(mutex);
  positions[tenant] = position;
  changed.notify_all();
}

FeedFollower::FeedFollower(std::shared_ptr<redis::Pool> state, Logger logger)
    : impl_(std::make_unique<Impl>(std::move(state), logger.Named("store/feed"))) {}

FeedFollower::~FeedFollower() { Stop(); }

void FeedFollower::Start() {
  if (impl_->thread.joinable()) return;
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stopping = false;
  }
  impl_->thread = std::thread([this] { impl_->Run(); });
}

void FeedFollower::Stop() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
  }
  impl_->changed.notify_all();
  if (impl_->thread.joinable()) impl_->thread.join();
}

void FeedFollower::Subscribe(std::weak_ptr<Subscriber> subscriber) {
  const std::lock_guard delivering(impl_->delivery);
  std::vector<std::string> tenants;
  {
    const std::lock_guard lock(impl_->mutex);
    for (const auto& [tenant, position] : impl_->positions) tenants.push_back(tenant);
  }
  if (const auto locked = subscriber.lock()) {
    for (const auto& tenant : tenants) locked->OnStart(tenant, false);
    impl_->subscribers.push_back(std::move(subscriber));
  }
}

absl::Status FeedFollower::CatchUp(std::chrono::milliseconds timeout) {
  YAGURA_ASSIGN_OR_RETURN(const auto target, ReadSequences(*impl_->state));
  std::unique_lock lock(impl_->mutex);
  const bool caught_up = impl_->changed.wait_for(lock, timeout, [this, &target] {
    return impl_->started && std::all_of(target.begin(), target.end(), [this](const auto& wanted) {
             const auto position = impl_->positions.find(wanted.first);
             return position != impl_->positions.end() && position->second >= wanted.second;
           });
  });
  if (caught_up) return absl::OkStatus();
  return Unavailable("CHANGE_FEED_BEHIND", "the change feed has not caught up in time");
}

}  // namespace yagura::store
