#include "services/ingestion/workers/fair_executor.h"

#include <algorithm>
#include <utility>

namespace yagura::ingestion {

FairExecutor::FairExecutor(int threads, size_t max_queue)
    : max_queue_(std::max<size_t>(max_queue, 1)) {
  for (int i = 0; i < std::max(threads, 1); ++i) threads_.emplace_back([this] { Work(); });
}

FairExecutor::~FairExecutor() { Stop(); }

bool FairExecutor::TrySubmit(std::string_view who, Job job) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_ || queued_ >= max_queue_) return false;
    auto found = queues_.find(who);
    if (found == queues_.end()) {
      found = queues_.try_emplace(std::string(who)).first;
      turns_.emplace_back(who);
    } else if (found->second.size() + 1 > max_queue_ - queued_) {
      return false;
    }
    found->second.push_back(std::move(job));
    ++queued_;
  }
  wake_.notify_one();
  return true;
}

void FairExecutor::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

void FairExecutor::Work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return stopping_ || queued_ > 0; });
    if (queued_ == 0) return;
    std::string who = std::move(turns_.front());
    turns_.pop_front();
    const auto found = queues_.find(who);
    Job job = std::move(found->second.front());
    found->second.pop_front();
    --queued_;
    if (found->second.empty()) {
      queues_.erase(found);
    } else {
      turns_.push_back(std::move(who));
    }
    lock.unlock();
    job();
    job = nullptr;  // what it holds is released before the lock is taken again
    lock.lock();
  }
}

}  // namespace yagura::ingestion
