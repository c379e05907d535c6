#include <algorithm>
#include <atomic>
#include <exception>
#include <map>
#include <mutex>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "fmt/format.h"

#include "common/clock/stop_signal.h"
#include "common/status/status.h"
#include "common/timer/claims.h"
#include "common/timer/timer.h"

namespace yagura::timer {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kOutagePause(100);

std::string RandomName() {
  std::random_device random;
  return fmt::format("{:08x}{:08x}", random(), random());
}

}  // namespace

struct TimerWorker::Impl {
  Impl(std::shared_ptr<redis::Pool> state, std::string_view queue, Options given,
       std::shared_ptr<const Clock> time, Handler does, Logger log)
      : claims(std::move(state), queue),
        options(std::move(given)),
        clock(std::move(time)),
        handler(std::move(does)),
        logger(std::move(log)) {}

  void Work();
  void TakeBack() const;
  void KeepClaims();
  StatusOr<bool> DoNext();
  Status Call(const Timer& timer) const;
  void Settle(const Claims::Claimed& claimed, const Status& result);
  TimePoint RetryAt(int failures) const;
  TimePoint LeaseEnd() const { return clock->Now() + options.lease; }

  const Claims claims;
  const Options options;
  const std::shared_ptr<const Clock> clock;
  const Handler handler;
  const Logger logger;
  const std::string name =
      options.instance.empty() ? RandomName() : options.instance + "/" + RandomName();

  std::atomic<uint64_t> next_token = 0;
  std::mutex mutex;
  std::map<std::string, Claims::Claimed> at_work;  // by token; guarded by mutex
  std::unique_ptr<StopSignal> stop;
  std::unique_ptr<StopSignal> stop_keeper;
  std::vector<std::thread> threads;
  std::thread keeper;
};

TimerWorker::TimerWorker(std::shared_ptr<redis::Pool> state, std::string_view queue,
                         Options options, std::shared_ptr<const Clock> clock, Handler handler,
                         Logger logger)
    : impl_(std::make_unique<Impl>(std::move(state), queue, std::move(options), std::move(clock),
                                   std::move(handler), std::move(logger))) {}

TimerWorker::~TimerWorker() { Stop(); }

void TimerWorker::Start() {
  if (impl_->stop != nullptr) return;
  impl_->stop = std::make_unique<StopSignal>();
  impl_->stop_keeper = std::make_unique<StopSignal>();
  impl_->keeper = std::thread([this] { impl_->KeepClaims(); });
  for (int i = 0; i < std::max(impl_->options.threads, 1); ++i) {
    impl_->threads.emplace_back([this] { impl_->Work(); });
  }
}

// The keeper goes last: handlers in progress keep their claims to the end.
void TimerWorker::Stop() {
  if (impl_->stop == nullptr) return;
  impl_->stop->Set();
  for (std::thread& thread : impl_->threads) thread.join();
  impl_->threads.clear();
  impl_->stop_keeper->Set();
  impl_->keeper.join();
  impl_->stop.reset();
}

void TimerWorker::Impl::Work() {
  while (!stop->IsSet()) {
    const auto found = DoNext();
    if (found.ok() && *found) continue;
    if (!found.ok()) {
      logger.Warning("cannot look for due timers", {{"error", Message(found.status())}});
    }
    stop->WaitFor(found.ok() ? options.poll : std::max(options.poll, kOutagePause));
  }
}

// False where nothing is due.
StatusOr<bool> TimerWorker::Impl::DoNext() {
  const std::string token = fmt::format("{}-{}", name, next_token++);
  YAGURA_ASSIGN_OR_RETURN(const auto claimed, claims.Claim(clock->Now(), LeaseEnd(), token));
  if (!claimed) return false;
  {
    const std::lock_guard lock(mutex);
    at_work.emplace(token, *claimed);
  }
  Settle(*claimed, Call(claimed->timer));
  const std::lock_guard lock(mutex);
  at_work.erase(token);
  return true;
}

Status TimerWorker::Impl::Call(const Timer& timer) const {
  try {
    return handler(timer);
  } catch (const std::exception& error) {
    return Internal(error.what());
  }
}

// Redis away at this moment is waited out, since the work is done and should not be done again.
void TimerWorker::Impl::Settle(const Claims::Claimed& claimed, const Status& result) {
  if (!result.ok()) {
    logger.Warning(
        "timer failed",
        {{"id", claimed.timer.id}, {"failures", claimed.failures + 1}, {"error", Message(result)}});
  }
  while (true) {
    const auto settled =
        result.ok() ? claims.Finish(claimed) : claims.Fail(claimed, RetryAt(claimed.failures));
    if (settled.ok()) return;
    if (stop->WaitFor(kOutagePause)) return;  // it comes again once the claim has run out
  }
}

TimePoint TimerWorker::Impl::RetryAt(int failures) const {
  const auto doubled = options.first_retry * (1LL << std::clamp(failures, 0, 20));
  return clock->Now() + std::min<milliseconds>(doubled, options.longest_retry);
}

// What a process of our name had in hand when it was killed.
void TimerWorker::Impl::TakeBack() const {
  if (options.instance.empty()) return;
  while (true) {
    const auto taken = claims.TakeBack(options.instance + "/", name + "-", clock->Now());
    if (taken.ok()) {
      if (*taken > 0) logger.Info("takes back timers in hand at a kill", {{"timers", *taken}});
      return;
    }
    if (stop_keeper->WaitFor(kOutagePause)) return;
  }
}

void TimerWorker::Impl::KeepClaims() {
  TakeBack();
  while (!stop_keeper->WaitFor(std::max(options.lease / 3, milliseconds(1)))) {
    std::vector<Claims::Claimed> busy;
    {
      const std::lock_guard lock(mutex);
      for (const auto& [token, claimed] : at_work) busy.push_back(claimed);
    }
    for (const Claims::Claimed& claimed : busy) {
      (void)claims.Renew(claimed,
                         LeaseEnd());  // where it is lost, its end changes nothing any more
    }
  }
}

}  // namespace yagura::timer
