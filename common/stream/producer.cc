#include "common/stream/producer.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <utility>

#include "fmt/format.h"

#include "common/redis/pool.h"
#include "common/status/status.h"
#include "common/stream/info.h"
#include "common/stream/scripts.h"

namespace yagura::stream {
namespace {

constexpr size_t kMaxKey = 512;
constexpr size_t kMaxPayload = 16 << 20;
// One script call blocks Redis for as long as it runs.
constexpr size_t kMaxItemsPerCall = 256;
constexpr size_t kMaxBytesPerCall = 1 << 20;
constexpr auto kBudgetCheckInterval = std::chrono::milliseconds(100);

// Whether the flow Redis is above its budget, asked at most every 100 ms. Thread-safe.
class MemoryBudget {
 public:
  explicit MemoryBudget(uint64_t bytes) : bytes_(bytes) {}

  Status Check(redis::Connection& connection) {
    if (bytes_ == 0) return absl::OkStatus();
    std::unique_lock lock(mutex_, std::try_to_lock);
    const auto now = std::chrono::steady_clock::now();
    if (lock.owns_lock() && now >= next_check_) {
      YAGURA_ASSIGN_OR_RETURN(const redis::Reply info, connection.Command({"INFO", "memory"}));
      used_ = InfoNumber(info.text, "used_memory").value_or(0);
      next_check_ = now + kBudgetCheckInterval;
    }
    const uint64_t used = used_;
    if (used <= bytes_) return absl::OkStatus();
    return WithRetryDelay(
        MakeError(absl::StatusCode::kResourceExhausted, "FLOW_FULL",
                  fmt::format("the flow Redis uses {} bytes of {} allowed", used, bytes_)),
        kBudgetCheckInterval);
  }

 private:
  const uint64_t bytes_;
  std::mutex mutex_;
  std::chrono::steady_clock::time_point next_check_;  // guarded by mutex_
  std::atomic<uint64_t> used_ = 0;
};

Status CheckItem(const Topic& topic, const Producer::Item& item) {
  if (item.shard < 0 || item.shard >= topic.shards) {
    return InvalidField("shard", fmt::format("{} is not one of {}", item.shard, topic.shards));
  }
  if (item.key.empty() || item.key.size() > kMaxKey) {
    return InvalidField("key", fmt::format("wants 1 to {} bytes", kMaxKey));
  }
  if (item.payload.size() > kMaxPayload) {
    return InvalidField("payload", fmt::format("is longer than {} bytes", kMaxPayload));
  }
  return absl::OkStatus();
}

}  // namespace

struct Producer::Impl {
  // What is still to be sent to one shard, in order, as places in the caller's items.
  struct Queue {
    int shard;
    std::vector<size_t> places;
    size_t next = 0;
  };
  using Results = std::vector<StatusOr<EntryId>>;

  Impl(std::shared_ptr<redis::Pool> pool, Options given)
      : flow(std::move(pool)), options(given), budget(given.memory_budget_bytes) {}

  // What one script call appends: places [queue->next, end).
  struct Part {
    Queue* queue;
    size_t end;
    std::string stream;
    std::string prefix;
    std::vector<DedupPlace> dedup;
  };

  std::string Period() const { return DedupPeriod(options.dedup_window); }
  void SendRound(redis::Connection& connection, const Topic& topic, std::span<const Item> items,
                 std::vector<Queue>& queues, Results& results) const;
  static Part NextPart(const Topic& topic, std::span<const Item> items, Queue& queue);
  static void Settle(const Part& part, const StatusOr<redis::Reply>& reply, Results& results);

  const std::shared_ptr<redis::Pool> flow;
  const Options options;
  const redis::Script append = AppendScript();
  const redis::Script append_request = AppendRequestScript();
  std::atomic<bool> shards_apart = false;  // a script may not have keys of several
  MemoryBudget budget;
};

Producer::Producer(std::shared_ptr<redis::Pool> flow, Topic topic, Options options)
    : topic_(std::move(topic)), impl_(std::make_unique<Impl>(std::move(flow), options)) {}
Producer::~Producer() = default;

StatusOr<EntryId> Producer::Append(int shard, std::string_view key, std::string_view payload) {
  const Item item{shard, key, payload};
  return AppendAll({&item, 1}).front();
}

std::vector<StatusOr<EntryId>> Producer::AppendAll(std::span<const Item> items) {
  Impl::Results results(items.size(), Internal("append: Redis answered no id"));
  std::vector<Impl::Queue> queues;
  for (size_t place = 0; place < items.size(); ++place) {
    if (const Status bad = CheckItem(topic_, items[place]); !bad.ok()) {
      results[place] = bad;
      continue;
    }
    auto queue = std::find_if(queues.begin(), queues.end(),
                              [&](const auto& q) { return q.shard == items[place].shard; });
    if (queue == queues.end()) queue = queues.insert(queue, {items[place].shard, {}});
    queue->places.push_back(place);
  }
  const auto refuse_rest = [&](const Status& why) {
    for (const Impl::Queue& queue : queues) {
      for (size_t i = queue.next; i < queue.places.size(); ++i) results[queue.places[i]] = why;
    }
  };
  if (queues.empty()) return results;
  auto lease = impl_->flow->Acquire();
  if (!lease.ok()) {
    refuse_rest(lease.status());
    return results;
  }
  if (const Status full = impl_->budget.Check(**lease); !full.ok()) {
    refuse_rest(full);
    return results;
  }
  const auto unfinished = [](const auto& queue) { return queue.next < queue.places.size(); };
  while (std::any_of(queues.begin(), queues.end(), unfinished)) {
    impl_->SendRound(**lease, topic_, items, queues, results);
  }
  return results;
}

namespace {

Status NotAtOnce(std::string_view reason, std::string_view why) {
  return MakeError(absl::StatusCode::kFailedPrecondition, reason, why);
}

bool FitsOneCall(std::span<const Producer::Item> items) {
  size_t bytes = 0;
  for (const Producer::Item& item : items) bytes += item.payload.size();
  return items.size() <= 1 || (items.size() <= kMaxItemsPerCall && bytes <= kMaxBytesPerCall);
}

}  // namespace

StatusOr<Producer::Appended> Producer::AppendRequest(std::string_view request,
                                                     std::span<const Item> items) {
  for (const Item& item : items) YAGURA_RETURN_IF_ERROR(CheckItem(topic_, item));
  if (impl_->shards_apart) return NotAtOnce("SHARDS_APART", "the shards are not in one Redis");
  if (!FitsOneCall(items)) return NotAtOnce("REQUEST_TOO_LARGE", "too much for one script call");
  std::vector<int> shards;  // those that get something
  std::vector<std::string> key_texts = {RequestPrefix(request, topic_.shards)};
  const std::string period = impl_->Period();
  const DedupPlace place = DedupPlaceOf(request);
  std::vector<std::string> shard_places;
  std::vector<DedupPlace> dedup;
  for (const Item& item : items) {
    auto found = std::find(shards.begin(), shards.end(), item.shard);
    if (found == shards.end()) {
      found = shards.insert(found, item.shard);
      key_texts.push_back(StreamKey(topic_.name, item.shard));
      key_texts.push_back(DedupPrefix(topic_.name, item.shard));
    }
    shard_places.push_back(std::to_string(found - shards.begin() + 1));
    dedup.push_back(DedupPlaceOf(item.key));
  }
  redis::Args args = {period, place.bucket, place.member};
  for (size_t i = 0; i < items.size(); ++i) {
    args.insert(args.end(), {shard_places[i], dedup[i].bucket, dedup[i].member, items[i].key,
                             items[i].payload});
  }
  const redis::Args keys(key_texts.begin(), key_texts.end());
  YAGURA_ASSIGN_OR_RETURN(auto lease, impl_->flow->Acquire());
  YAGURA_RETURN_IF_ERROR(impl_->budget.Check(*lease));
  const auto reply = impl_->append_request.Run(*lease, keys, args);
  if (!reply.ok()) {
    if (ErrorReason(reply.status()) != "REDIS_CROSSSLOT") return FromAppend(reply.status());
    impl_->shards_apart = true;
    return NotAtOnce("SHARDS_APART", "the shards are not in one Redis");
  }
  Appended appended;
  appended.known = !reply->items.empty() && reply->items[0].text == "known";
  if (appended.known) return appended;
  for (size_t i = 1; i < reply->items.size(); ++i) {
    const auto id = EntryId::Parse(reply->items[i].text);
    if (!id) break;
    appended.ids.push_back(*id);
  }
  if (appended.ids.size() != items.size()) return Internal("append: Redis answered no id");
  return appended;
}

// One script call for each shard that still has something.
void Producer::Impl::SendRound(redis::Connection& connection, const Topic& topic,
                               std::span<const Item> items, std::vector<Queue>& queues,
                               Results& results) const {
  const std::string period = Period();
  std::vector<Part> parts;
  for (Queue& queue : queues) {
    if (queue.next < queue.places.size()) parts.push_back(NextPart(topic, items, queue));
  }
  std::vector<redis::Script::Call> calls;
  calls.reserve(parts.size());
  for (const Part& part : parts) {
    auto& [keys, args] = calls.emplace_back();
    keys = {part.stream, part.prefix};
    args.push_back(period);
    for (size_t i = part.queue->next; i < part.end; ++i) {
      const DedupPlace& dedup = part.dedup[i - part.queue->next];
      const Item& item = items[part.queue->places[i]];
      args.insert(args.end(), {dedup.bucket, dedup.member, item.key, item.payload});
    }
  }
  const auto replies = append.RunAll(connection, calls);
  for (size_t i = 0; i < parts.size(); ++i) Settle(parts[i], replies[i], results);
}

Producer::Impl::Part Producer::Impl::NextPart(const Topic& topic, std::span<const Item> items,
                                              Queue& queue) {
  Part part{&queue,
            queue.next,
            StreamKey(topic.name, queue.shard),
            DedupPrefix(topic.name, queue.shard),
            {}};
  size_t bytes = 0;
  while (part.end < queue.places.size() && part.end - queue.next < kMaxItemsPerCall &&
         bytes < kMaxBytesPerCall) {
    const Item& item = items[queue.places[part.end++]];
    bytes += item.payload.size();
    part.dedup.push_back(DedupPlaceOf(item.key));
  }
  return part;
}

void Producer::Impl::Settle(const Part& part, const StatusOr<redis::Reply>& reply,
                            Results& results) {
  Queue& queue = *part.queue;
  if (!reply.ok()) {
    const Status failure = FromAppend(reply.status());
    // The shard gets nothing more either: what comes later must not overtake.
    while (queue.next < queue.places.size()) results[queue.places[queue.next++]] = failure;
    return;
  }
  for (const redis::Reply& item : reply->items) {
    if (queue.next == part.end) break;
    if (const auto id = EntryId::Parse(item.text)) results[queue.places[queue.next]] = *id;
    ++queue.next;
  }
  queue.next = part.end;  // an answer without ids leaves the INTERNAL that the results began with
}

}  // namespace yagura::stream
