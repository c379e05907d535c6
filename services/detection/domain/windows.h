#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "yagura/detection/internal/v1/hits.pb.h"
#include "yagura/detection/v1/finding.pb.h"

namespace yagura::detection {

// The windows of one shard of "hits": groups of events by rule, counted by event time. A value of
// state: the same batches in the same order give the same findings, whatever was killed in between.
// No clock, no Redis. Not thread-safe.
//
// A group makes a finding when `threshold` of its events lie within `timespan`; the events that
// follow, none more than a time span after the one before, belong to the same finding, for a day at
// most. Events that come up to `lateness` late still count. A group is forgotten when hits received
// a time span and `lateness` after its last ones have come.
class Windows {
 public:
  struct Limits {
    std::chrono::nanoseconds lateness{std::chrono::minutes(2)};
    size_t groups_per_rule = 10'000;  // of one tenant
  };
  explicit Windows(Limits limits) : limits_(limits) {}

  // What was kept, before the first Apply.
  void LoadGroup(const std::string& key, internal::v1::Group group);
  void LoadCheckpoint(uint32_t source_shard, const std::string& source_id);

  // A finding that began or grew. `finding` is complete but for the evidence of one that grew,
  // which is that of the new events alone, and the times that the store sets.
  struct Outcome {
    v1::Finding finding;
    bool began = false;
    // Others are to be told: it began, has doubled, grew on for a minute of event time since they
    // were told, or its window has closed. The same events tell the same counts, however often.
    bool tells = false;
    // Its window closed without a further event: name, count and times are all that is set.
    bool closing = false;
  };
  // Counts a batch, unless its source id is at or below the shard's checkpoint.
  std::vector<Outcome> Apply(const internal::v1::HitBatch& batch);

  // What changed since the last Clean: groups to write (null: to remove), and the checkpoints.
  const std::map<std::string, const internal::v1::Group*>& dirty_groups() const { return dirty_; }
  const std::map<uint32_t, std::string>& dirty_checkpoints() const { return dirty_checkpoints_; }
  void Clean();

  size_t size() const { return groups_.size(); }
  uint64_t late() const { return late_; }
  uint64_t overflowed() const { return overflowed_; }

 private:
  using Group = internal::v1::Group;
  struct Order {
    int64_t expires;
    std::string key;
    auto operator<=>(const Order&) const = default;
  };

  bool IsNew(const internal::v1::HitBatch& batch);
  void Forget(std::set<Order>& order, int64_t watermark, std::vector<Outcome>& outcomes);
  Group* Find(const std::string& key, const internal::v1::HitBatch& batch,
              const internal::v1::RuleSummary& rule, std::vector<Outcome>& outcomes);
  void Touch(const std::string& key, Group& group, uint32_t source_shard, int64_t expires);
  void Count(Group& group, const internal::v1::HitBatch& batch,
             const internal::v1::RuleSummary& rule, const internal::v1::Hit& hit,
             std::vector<Outcome>& outcomes);

  const Limits limits_;
  std::map<std::string, Group> groups_;
  std::map<uint32_t, std::set<Order>> by_expiry_;        // by source shard
  std::map<std::string, size_t, std::less<>> per_rule_;  // "tenant\nrule id"
  std::map<uint32_t, std::string> checkpoints_;
  int64_t latest_ = INT64_MIN;  // receive time over all shards
  std::map<std::string, const Group*> dirty_;
  std::map<uint32_t, std::string> dirty_checkpoints_;
  uint64_t late_ = 0;
  uint64_t overflowed_ = 0;
};

}  // namespace yagura::detection
