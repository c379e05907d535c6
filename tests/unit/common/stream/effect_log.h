#pragma once

#include <map>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/stream/topic.h"

namespace yagura::stream {

// A store as readers of a stream should have: an effect is idempotent by the entry's key, and a
// holder whose epoch is older than one already seen is refused. Thread-safe.
class EffectLog {
 public:
  struct Effect {
    EntryId id;
    std::string key;
  };

  // False: refused, the epoch is stale.
  bool Apply(const std::string& reader, int shard, uint64_t epoch, const Entry& entry) {
    const std::lock_guard lock(mutex_);
    Place& place = places_[{reader, shard}];
    if (epoch < place.epoch) return false;
    place.epoch = epoch;
    ++calls_;
    if (place.keys.insert(entry.key).second) place.effects.push_back({entry.id, entry.key});
    return true;
  }
  std::vector<Effect> Of(const std::string& reader, int shard) const {
    const std::lock_guard lock(mutex_);
    const auto found = places_.find({reader, shard});
    return found == places_.end() ? std::vector<Effect>() : found->second.effects;
  }
  int size() const {
    const std::lock_guard lock(mutex_);
    size_t sum = 0;
    for (const auto& [where, place] : places_) sum += place.effects.size();
    return static_cast<int>(sum);
  }
  // How often an effect was asked for, repeats included.
  int calls() const {
    const std::lock_guard lock(mutex_);
    return calls_;
  }

 private:
  struct Place {
    uint64_t epoch = 0;
    std::set<std::string> keys;
    std::vector<Effect> effects;
  };
  mutable std::mutex mutex_;
  std::map<std::pair<std::string, int>, Place> places_;
  int calls_ = 0;
};

}  // namespace yagura::stream
