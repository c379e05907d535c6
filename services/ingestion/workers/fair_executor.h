#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "common/text/text.h"

namespace yagura::ingestion {

// Threads and a bounded queue before them that several share: each who waits gets its turn after
// one job of every other, and nobody may have more waiting than there is room left for all others.
// Thread-safe.
class FairExecutor {
 public:
  using Job = std::function<void()>;
  FairExecutor(int threads, size_t max_queue);
  ~FairExecutor();  // stops

  // False where there is no room for `who`, or the executor has stopped.
  bool TrySubmit(std::string_view who, Job job);
  // Runs what is queued, then ends the threads.
  void Stop();

 private:
  void Work();

  const size_t max_queue_;
  std::mutex mutex_;
  std::condition_variable wake_;
  StringMap<std::deque<Job>> queues_;  // of those who wait
  std::deque<std::string> turns_;      // each of them once
  size_t queued_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace yagura::ingestion
