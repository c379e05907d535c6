#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace yagura::rpc {

// Threads of one App's own and a bounded queue before them: a flood for one App never takes the
// threads of another, and Apps that call each other cannot wait for each other's threads.
// Thread-safe.
class Executor {
 public:
  using Job = std::function<void()>;
  Executor(int threads, size_t max_queue);
  ~Executor();  // stops

  // False where the queue is full or the executor has stopped.
  bool TrySubmit(Job job);
  // For the next step of something that has been admitted already; never refused for the bound.
  // After Stop it runs in the caller.
  void Submit(Job job);
  // Runs what is queued, then ends the threads.
  void Stop();
  size_t queued() const;

 private:
  void Work();

  const size_t max_queue_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Job> queue_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace yagura::rpc
