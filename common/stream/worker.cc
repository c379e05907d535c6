#include "common/stream/worker.h"

#include <unistd.h>

#include <algorithm>
#include <optional>
#include <random>
#include <thread>
#include <utility>

#include "fmt/format.h"

#include "common/clock/stop_signal.h"
#include "common/redis/pool.h"
#include "common/status/status.h"
#include "common/stream/batch_runner.h"
#include "common/stream/lease_keeper.h"
#include "common/stream/reader_thread.h"
#include "common/stream/readers.h"

namespace yagura::stream {
namespace {

std::string MakeHolder() {
  char host[256] = {};
  gethostname(host, sizeof(host) - 1);
  std::random_device random;
  return fmt::format("{}:{}:{:08x}", host, getpid(), random());
}

}  // namespace

struct Worker::Impl {
  Impl(std::shared_ptr<redis::Pool> pool, Topic on, Options given, Handler does,
       DeadLetterHook tells, Logger log)
      : flow(std::move(pool)),
        topic(std::move(on)),
        options(std::move(given)),
        handler(std::move(does)),
        on_dead_letter(std::move(tells)),
        logger(std::move(log)) {
    if (options.holder.empty()) options.holder = MakeHolder();
  }

  // What runs between Start and Stop.
  struct Running {
    explicit Running(Impl& impl)
        : keeper(impl.flow, impl.options.lease),
          runner(impl.options, impl.handler, impl.on_dead_letter, stop, impl.logger) {}
    StopSignal stop;
    LeaseKeeper keeper;
    BatchRunner runner;
    std::vector<std::unique_ptr<ReaderThread>> readers;
    std::vector<std::thread> threads;
  };

  const std::shared_ptr<redis::Pool> flow;
  const Topic topic;
  Options options;
  const Handler handler;
  const DeadLetterHook on_dead_letter;
  const Logger logger;
  std::unique_ptr<Running> running;
};

Worker::Worker(std::shared_ptr<redis::Pool> flow, Topic topic, Options options, Handler handler,
               DeadLetterHook on_dead_letter, Logger logger)
    : impl_(std::make_unique<Impl>(std::move(flow), std::move(topic), std::move(options),
                                   std::move(handler), std::move(on_dead_letter),
                                   std::move(logger))) {}

Worker::~Worker() { Stop(); }

void Worker::Start() {
  if (impl_->running != nullptr) return;
  impl_->running = std::make_unique<Impl::Running>(*impl_);
  Impl::Running& running = *impl_->running;
  const int count = std::max(impl_->options.threads, 1);
  for (int i = 0; i < count; ++i) {
    running.readers.push_back(std::make_unique<ReaderThread>(
        ReaderThread::Parts{.flow = impl_->flow,
                            .topic = impl_->topic,
                            .options = impl_->options,
                            .holder = fmt::format("{}#{}", impl_->options.holder, i),
                            .keeper = running.keeper,
                            .runner = running.runner,
                            .stop = running.stop,
                            .logger = impl_->logger}));
    (void)running.readers.back()->Join();  // where Redis is away, it joins once that is back
  }
  for (const auto& reader : running.readers) {
    running.threads.emplace_back([reader = reader.get()] { reader->Run(); });
  }
}

void Worker::Stop() {
  if (impl_->running == nullptr) return;
  impl_->running->stop.Set();
  for (std::thread& thread : impl_->running->threads) thread.join();
  impl_->running.reset();
}

StatusOr<uint64_t> Worker::Lag() const {
  return ReaderLag(*impl_->flow, impl_->topic, impl_->options.reader);
}

}  // namespace yagura::stream
