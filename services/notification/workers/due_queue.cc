#include "services/notification/workers/due_queue.h"

#include "common/clock/proto_time.h"

namespace yagura::notification {

void DueQueue::Enqueue(const std::string& name, const Entry& entry) {
  if (entry.in_hand || !entry.holder.empty()) return;
  order_[entry.channel].emplace(entry.due, name);
}

void DueQueue::Dequeue(const std::string& name, const Entry& entry) {
  order_[entry.channel].erase({entry.due, name});
}

void DueQueue::Put(const v1::Delivery& delivery) {
  const bool open = delivery.state() == v1::PENDING || delivery.state() == v1::SENDING;
  const std::lock_guard lock(mutex_);
  const auto [found, is_new] = entries_.try_emplace(delivery.name());
  Entry& entry = found->second;
  if (!is_new) Dequeue(delivery.name(), entry);
  if (!open && !entry.in_hand) {
    entries_.erase(found);
    return;
  }
  if (!entry.in_hand) {  // `busy_` counts by the target at the time of Take
    entry.channel = delivery.channel();
    entry.target = delivery.channel() == v1::WEBHOOK ? delivery.target() : std::string();
  }
  entry.due =
      delivery.has_next_attempt_time() ? FromProto(delivery.next_attempt_time()) : TimePoint{};
  entry.holder = delivery.state() == v1::SENDING && !delivery.attempts().empty()
                     ? delivery.attempts().rbegin()->holder()
                     : std::string();
  Enqueue(delivery.name(), entry);
}

void DueQueue::Remove(const std::string& name) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(name);
  if (found == entries_.end() || found->second.in_hand) return;
  Dequeue(name, found->second);
  entries_.erase(found);
}

std::set<std::string> DueQueue::Names() const {
  const std::lock_guard lock(mutex_);
  std::set<std::string> names;
  for (const auto& [name, entry] : entries_) names.insert(name);
  return names;
}

std::optional<std::string> DueQueue::Take(v1::Channel channel, TimePoint now) {
  const std::lock_guard lock(mutex_);
  for (const auto& [due, name] : order_[channel]) {
    if (due > now) break;
    Entry& entry = entries_.at(name);
    if (!entry.target.empty() && busy_[entry.target] >= per_target_) continue;
    std::string taken = name;
    if (!entry.target.empty()) ++busy_[entry.target];
    entry.in_hand = true;
    order_[channel].erase({due, taken});
    return taken;
  }
  return std::nullopt;
}

void DueQueue::Done(const std::string& name) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(name);
  if (found == entries_.end() || !found->second.in_hand) return;
  Entry& entry = found->second;
  entry.in_hand = false;
  if (!entry.target.empty()) {
    const auto busy = busy_.find(entry.target);
    if (busy != busy_.end() && --busy->second == 0) busy_.erase(busy);
  }
  // What has ended since has neither a due time nor a holder.
  if (entry.due == TimePoint{} && entry.holder.empty()) {
    entries_.erase(found);
  } else {
    Enqueue(name, entry);
  }
}

std::set<std::string> DueQueue::Holders() const {
  const std::lock_guard lock(mutex_);
  std::set<std::string> holders;
  for (const auto& [name, entry] : entries_) {
    if (!entry.in_hand && !entry.holder.empty()) holders.insert(entry.holder);
  }
  return holders;
}

void DueQueue::Release(const std::string& holder) {
  const std::lock_guard lock(mutex_);
  for (auto& [name, entry] : entries_) {
    if (entry.in_hand || entry.holder != holder) continue;
    entry.holder.clear();
    entry.due = TimePoint::min();
    Enqueue(name, entry);
  }
}

size_t DueQueue::size() const {
  const std::lock_guard lock(mutex_);
  return entries_.size();
}

size_t DueQueue::in_hand() const {
  const std::lock_guard lock(mutex_);
  size_t count = 0;
  for (const auto& [name, entry] : entries_) count += entry.in_hand ? 1 : 0;
  return count;
}

}  // namespace yagura::notification
