#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/clock/clock.h"
#include "yagura/notification/v1/delivery.pb.h"

namespace yagura::notification {

// Which deliveries wait for an attempt, and since when, in memory. The ledger decides; this only
// says where to look. Thread-safe.
class DueQueue {
 public:
  // At most `per_target` attempts at once go to one webhook address or one contact, so that one
  // slow receiver does not take every thread of its channel.
  explicit DueQueue(size_t per_target) : per_target_(per_target) {}

  // What is known of a delivery now; one that has ended is forgotten.
  void Put(const v1::Delivery& delivery);
  // Forgets it, unless it is in hand.
  void Remove(const std::string& name);
  std::set<std::string> Names() const;

  // The delivery of this channel that has been due the longest; it is in hand until Done.
  std::optional<std::string> Take(v1::Channel channel, TimePoint now);
  void Done(const std::string& name);

  // Who holds attempts that are not in hand here.
  std::set<std::string> Holders() const;
  // That holder is gone: what it held is due.
  void Release(const std::string& holder);

  size_t size() const;
  size_t in_hand() const;

 private:
  struct Entry {
    v1::Channel channel;
    std::string target;
    std::string holder;  // of an attempt under way; empty: none
    TimePoint due;
    bool in_hand = false;
  };
  using Order = std::set<std::pair<TimePoint, std::string>>;

  void Enqueue(const std::string& name, const Entry& entry);
  void Dequeue(const std::string& name, const Entry& entry);

  const size_t per_target_;
  mutable std::mutex mutex_;
  std::unordered_map<std::string, Entry> entries_;
  std::map<v1::Channel, Order> order_;  // those without a holder that are not in hand
  std::map<std::string, size_t> busy_;  // target to attempts in hand
};

}  // namespace yagura::notification
