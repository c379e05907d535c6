#include <algorithm>
#include <thread>
#include <utility>

#include "common/clock/stop_signal.h"
#include "common/redis/pool.h"
#include "common/redis/script.h"
#include "common/status/status.h"
#include "common/stream/info.h"
#include "common/stream/scripts.h"
#include "common/stream/worker.h"

namespace yagura::stream {
namespace {

constexpr uint64_t kAofFactor = 4;
// Below this a rewrite is not worth the fork.
constexpr uint64_t kSmallAof = 64 << 20;

}  // namespace

struct Trimmer::Impl {
  Impl(std::shared_ptr<redis::Pool> pool, std::vector<Topic> all, std::chrono::milliseconds every,
       Logger log)
      : flow(std::move(pool)), topics(std::move(all)), interval(every), logger(std::move(log)) {}

  StatusOr<uint64_t> TrimShard(redis::Connection& connection, const Topic& topic, int shard) const;
  Status WatchAof(redis::Connection& connection) const;
  void Loop(Trimmer& trimmer) const;

  const std::shared_ptr<redis::Pool> flow;
  const std::vector<Topic> topics;
  const std::chrono::milliseconds interval;
  const Logger logger;
  const redis::Script trim = TrimScript();
  std::unique_ptr<StopSignal> stop;
  std::thread thread;
};

Trimmer::Trimmer(std::shared_ptr<redis::Pool> flow, std::vector<Topic> topics,
                 std::chrono::milliseconds interval, Logger logger)
    : impl_(std::make_unique<Impl>(std::move(flow), std::move(topics), interval,
                                   std::move(logger))) {}

Trimmer::~Trimmer() { Stop(); }

void Trimmer::Start() {
  if (impl_->stop != nullptr) return;
  impl_->stop = std::make_unique<StopSignal>();
  impl_->thread = std::thread([this] { impl_->Loop(*this); });
}

void Trimmer::Stop() {
  if (impl_->stop == nullptr) return;
  impl_->stop->Set();
  impl_->thread.join();
  impl_->stop.reset();
}

void Trimmer::Impl::Loop(Trimmer& trimmer) const {
  do {
    if (const auto trimmed = trimmer.TrimOnce(); !trimmed.ok()) {
      logger.Warning("cannot trim", {{"error", Message(trimmed.status())}});
    }
  } while (!stop->WaitFor(interval));
}

StatusOr<uint64_t> Trimmer::TrimOnce() {
  YAGURA_ASSIGN_OR_RETURN(auto connection, impl_->flow->Acquire());
  uint64_t sum = 0;
  for (const Topic& topic : impl_->topics) {
    for (int shard = 0; shard < topic.shards; ++shard) {
      YAGURA_ASSIGN_OR_RETURN(const uint64_t trimmed, impl_->TrimShard(*connection, topic, shard));
      sum += trimmed;
    }
  }
  YAGURA_RETURN_IF_ERROR(impl_->WatchAof(*connection));
  return sum;
}

// First whole nodes in steps that do not hold up Redis, then the rest of the first node.
StatusOr<uint64_t> Trimmer::Impl::TrimShard(redis::Connection& connection, const Topic& topic,
                                            int shard) const {
  const std::string key = StreamKey(topic.name, shard);
  uint64_t sum = 0;
  for (const std::string_view how : {"~", "="}) {
    int64_t trimmed = 0;
    do {
      redis::Args args = {how};
      args.insert(args.end(), topic.readers.begin(), topic.readers.end());
      YAGURA_ASSIGN_OR_RETURN(const redis::Reply reply, trim.Run(connection, {key}, args));
      trimmed = std::max<int64_t>(reply.integer, 0);
      sum += static_cast<uint64_t>(trimmed);
    } while (how == "~" && trimmed > 0);
  }
  return sum;
}

// Redis measures the AOF against its size after the last rewrite. After a drained backlog that base
// is large, and the file would stay many times the data.
Status Trimmer::Impl::WatchAof(redis::Connection& connection) const {
  YAGURA_ASSIGN_OR_RETURN(const redis::Reply persistence,
                          connection.Command({"INFO", "persistence"}));
  YAGURA_ASSIGN_OR_RETURN(const redis::Reply memory, connection.Command({"INFO", "memory"}));
  const uint64_t size = InfoNumber(persistence.text, "aof_current_size").value_or(0);
  const uint64_t used = InfoNumber(memory.text, "used_memory").value_or(0);
  const bool rewriting = InfoNumber(persistence.text, "aof_rewrite_in_progress").value_or(0) != 0 ||
                         InfoNumber(persistence.text, "aof_rewrite_scheduled").value_or(0) != 0;
  if (rewriting || size <= kSmallAof || size <= kAofFactor * used) return absl::OkStatus();
  logger.Info("asks for an AOF rewrite", {{"aof_bytes", size}, {"memory_bytes", used}});
  return connection.Command({"BGREWRITEAOF"}).status();
}

}  // namespace yagura::stream
