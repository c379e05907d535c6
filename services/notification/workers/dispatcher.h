#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "common/log/log.h"
#include "common/store/projection.h"
#include "services/notification/workers/due_queue.h"
#include "services/notification/workers/sender.h"

namespace yagura::notification {

// Makes every attempt when it is due, on threads of each channel's own: a mail server that hangs
// does not hold up a webhook. Many processes may do so at once; the ledger gives each attempt to
// one.
class Dispatcher {
 public:
  struct Options {
    int mail_threads = 4;
    int webhook_threads = 4;
    std::chrono::milliseconds grace{5'000};  // what attempts under way get at a stop
  };
  Dispatcher(std::shared_ptr<Sender> sender, std::shared_ptr<Holders> holders, const Stores& stores,
             const std::shared_ptr<store::FeedFollower>& feed, std::shared_ptr<const Clock> clock,
             Logger logger, Options options);
  ~Dispatcher();  // stops

  void Start();
  void Stop();
  // Deliveries that have not ended, as far as this process knows.
  size_t pending() const { return queue_.size(); }

 private:
  void ServeChannel(v1::Channel channel);
  void Maintain();
  void Reload();
  void ReleaseDeadHolders();
  void WakeUp();
  bool MayBegin() const;

  const std::shared_ptr<Sender> sender_;
  const std::shared_ptr<Holders> holders_;
  const std::shared_ptr<const Clock> clock_;
  const Logger logger_;
  const Options options_;
  DueQueue queue_;
  store::Projection<v1::Delivery> open_;
  std::shared_ptr<void> watch_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;  // under mutex_
  std::stop_source abort_;
  std::stop_source give_up_;
  std::atomic<std::chrono::steady_clock::rep> renewed_{
      0};  // when our key was last renewed; 0: never
  std::vector<std::thread> threads_;
};

}  // namespace yagura::notification
