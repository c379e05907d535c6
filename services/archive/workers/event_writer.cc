#include "services/archive/workers/event_writer.h"

#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <map>
#include <utility>

#include "fmt/format.h"

#include "common/status/status.h"

namespace yagura::archive {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kIdleBlock{100};  // over all shards of a thread
constexpr milliseconds kShortestBlock{5};

std::string NewHolder() {
  uint64_t noise = 0;
  if (getrandom(&noise, sizeof(noise), 0) < 0) noise = static_cast<uint64_t>(getpid());
  return fmt::format("archive-{}-{:016x}", getpid(), noise);
}

}  // namespace

EventWriter::EventWriter(const Parts& parts, WriterOptions options, int threads)
    : options_(std::move(options)),
      threads_count_(std::clamp(threads, 1, parts.topic.shards)),
      gate_(parts.gate),
      holder_(options_.holder.empty() ? NewHolder() : options_.holder),
      plans_(parts.flow, parts.topic, options_.reader),
      inserter_(parts.client, parts.table, parts.retention, parts.proofs),
      dead_letters_(parts.flow, parts.topic, options_.reader),
      storer_(inserter_, dead_letters_, parts.logger),
      leases_(parts.flow, options_.lease),
      share_(parts.flow, parts.topic, {options_.reader, holder_, options_.lease}),
      shared_{parts.flow, parts.topic, plans_, storer_, parts.spool, leases_, parts.logger},
      health_(static_cast<size_t>(parts.topic.shards)) {}

EventWriter::~EventWriter() { Stop(); }

void EventWriter::Start() {
  for (int i = 0; i < threads_count_; ++i) {
    threads_.emplace_back([this, i](const std::stop_token& stop) { Run(stop, i); });
  }
  threads_.emplace_back([this](const std::stop_token& stop) { DrainLoop(stop); });
}

void EventWriter::Stop() {
  if (threads_.empty()) return;
  for (std::jthread& thread : threads_) thread.request_stop();
  threads_.clear();
  share_.Leave();
}

void EventWriter::Report(int shard, const Status& status) {
  // Another holder of the shard is as it should be.
  const bool fine = status.ok() || ErrorReason(status) == "LEASE_HELD";
  const std::lock_guard lock(mutex_);
  Status& known = health_[static_cast<size_t>(shard)];
  if (!fine && known.ok()) {
    shared_.logger.Warning("events are not being stored",
                           {{"shard", shard}, {"why", Message(status)}});
  } else if (fine && !known.ok()) {
    shared_.logger.Info("events are being stored again", {{"shard", shard}});
  }
  known = fine ? absl::OkStatus() : status;
}

Status EventWriter::Health() const {
  const std::lock_guard lock(mutex_);
  for (const Status& status : health_) {
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

// One step of a shard that this process holds, or may take.
bool EventWriter::Step(Item& item, milliseconds block) {
  if (std::chrono::steady_clock::now() < item.next) return false;
  const auto pass = WriteGate::Enter(gate_, block);
  if (!pass) return false;
  if (item.taken && share_.LetGo()) {
    item.writer.Finish();
    item.taken = false;
    Report(item.shard, absl::OkStatus());
    item.next = std::chrono::steady_clock::now() + options_.retry;
    return true;
  }
  if (!item.taken && !share_.Take()) return false;
  const Status status = item.writer.Step(block);
  item.taken = item.writer.held();
  if (!item.taken) share_.GiveBack();
  Report(item.shard, status);
  if (!status.ok()) item.next = std::chrono::steady_clock::now() + options_.retry;
  return true;
}

void EventWriter::Run(const std::stop_token& stop, int thread) {
  std::vector<Item> items;
  for (int shard = thread; shard < shared_.topic.shards; shard += threads_count_) {
    items.push_back({shard, ShardWriter(shard, holder_, options_, shared_), {}, false});
  }
  const milliseconds block = std::max(kShortestBlock, kIdleBlock / static_cast<int>(items.size()));
  std::mutex wait_mutex;
  std::condition_variable_any wake;
  while (!stop.stop_requested()) {
    bool any = false;
    for (Item& item : items) any |= !stop.stop_requested() && Step(item, block);
    if (!any) {
      std::unique_lock lock(wait_mutex);
      wake.wait_for(lock, stop, block, [] { return false; });
    }
  }
  for (Item& item : items) {
    // Without a pass what was read is left to the next holder.
    if (const auto pass = WriteGate::Enter(gate_, kIdleBlock); pass) item.writer.Finish();
  }
}

// Stores the oldest range that the spool has of a shard. Needs no lease: the token sees to it that
// a range which somebody else repeats meanwhile is stored once.
Status EventWriter::DrainOne(int shard, int* failures) {
  const auto pass = WriteGate::Enter(gate_, kIdleBlock);
  if (!pass) return Unavailable("WRITING_PAUSED", "writing to the event store pauses");
  YAGURA_ASSIGN_OR_RETURN(auto range, shared_.spool.Oldest(shard));
  if (!range.has_value()) return absl::OkStatus();
  YAGURA_ASSIGN_OR_RETURN(
      const auto stored,
      storer_.Store(
          *range, [this](const RangeData& split) { return shared_.spool.Put(split); }, failures));
  shared_.events += stored.events;
  shared_.broken += stored.buried;
  *failures = 0;
  return shared_.spool.Remove(*range);
}

void EventWriter::DrainLoop(const std::stop_token& stop) {
  std::mutex wait_mutex;
  std::condition_variable_any wake;
  std::map<int, int> failures;  // of each shard's oldest range
  while (!stop.stop_requested()) {
    bool more = false;
    for (const int shard : shared_.spool.Shards()) {
      const Status status = DrainOne(shard, &failures[shard]);
      more = more || status.ok();
      if (status.code() == absl::StatusCode::kDataLoss) {
        failures[shard] = 0;
        shared_.logger.Error(Message(status), {{"shard", shard}});
      }
    }
    if (more) continue;
    std::unique_lock lock(wait_mutex);
    wake.wait_for(lock, stop, options_.retry, [] { return false; });
  }
}

}  // namespace yagura::archive
