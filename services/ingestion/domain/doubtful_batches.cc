#include "services/ingestion/domain/doubtful_batches.h"

#include <functional>

namespace yagura::ingestion {
namespace {

uint64_t HashOf(std::string_view key) { return std::hash<std::string_view>{}(key); }

}  // namespace

void DoubtfulBatches::Note(std::string_view key, SteadyTime now) {
  Forget(now);
  while (order_.size() >= most_) DropOldest();
  const uint64_t hash = HashOf(key);
  since_[hash] = now;
  order_.push_back({now, hash});
}

bool DoubtfulBatches::Take(std::string_view key, SteadyTime now) {
  Forget(now);
  return since_.erase(HashOf(key)) > 0;
}

void DoubtfulBatches::Forget(SteadyTime now) {
  while (!order_.empty() && now - order_.front().at > remember_) DropOldest();
}

void DoubtfulBatches::DropOldest() {
  const Noted& oldest = order_.front();
  const auto found = since_.find(oldest.hash);
  if (found != since_.end() && found->second == oldest.at) since_.erase(found);
  order_.pop_front();
}

}  // namespace yagura::ingestion
