#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/status.h"

#include "services/detection/domain/evidence_blocks.h"
#include "services/detection/domain/group_keys.h"
#include "services/detection/domain/window_budget.h"
#include "yagura/detection/internal/v1/hits.pb.h"
#include "yagura/detection/v1/finding.pb.h"

namespace yagura::detection {

// The windows of one shard of "hits": groups of events by rule, by event time. A value of state:
// the same batches in the same order give the same findings, whatever was killed in between. No
// clock, no Redis. Not thread-safe.
//
// Where further events can only bring a condition about, a group makes a finding when its events
// within `timespan` satisfy it; the events that follow, none more than a time span after the one
// before, belong to the same finding, for a day at most. Events that come up to `lateness` late
// still count, for a finding before the latest one, too, and may begin one. A group is forgotten
// when hits received a time span and `lateness` after its last ones have come.
//
// Any other condition is decided at the end of a window, which begins with the first event of its
// group that no earlier window has and lasts for a time span: when all sources have come `lateness`
// further than that, by receive time; a source that is `silence` behind the latest is not waited
// for. What comes later still does not count.
//
// The matches of a correlation that another one counts go to its groups at once: they are in the
// same shard. Where they are decided at the end of a window they are never late, however far the
// sources have come in one step: windows end in order, and the outer one's after the inner one's.
class Windows {
 public:
  struct Limits {
    std::chrono::nanoseconds lateness{std::chrono::minutes(2)};
    size_t groups_per_rule = 10'000;  // of one tenant
    std::chrono::nanoseconds silence{std::chrono::minutes(10)};
    // Windows end with Finish alone, however late events are: for events of the past.
    bool offline = false;
    // Bytes of all groups, as they are kept. Beyond, groups of the rule and tenant that take the
    // most go, those that would be forgotten first.
    size_t bytes = SIZE_MAX;
    // For events of the past: events may come so much later than `lateness`
    // as long as all groups take no more than `patient_bytes`, and no bound of a rule's groups or
    // of one group is near; beyond, a quarter of it, and so on.
    std::chrono::nanoseconds patience{0};
    size_t patient_bytes = SIZE_MAX;
  };
  explicit Windows(Limits limits)
      : limits_(limits),
        lateness_(std::max(limits.lateness, limits.patience)),
        blocks_(!limits.offline) {}

  // What was kept, before the first Apply, in any order.
  void LoadGroup(const std::string& key, internal::v1::Group group);
  void LoadCheckpoint(uint32_t source_shard, const std::string& source_id);
  void LoadWatermark(uint32_t source_shard, int64_t received);
  void LoadBundle(const std::string& key, internal::v1::RuleBundle bundle);
  void LoadLateness(std::chrono::nanoseconds lateness) { lateness_ = lateness; }
  // False where there is one of that number already; that one stays.
  bool LoadBlock(uint64_t number, std::string packed);
  // What was kept under a name of the store's and cannot be read: it is to be removed there.
  void Drop(const std::string& field) { dropped_.push_back(field); }

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
  std::vector<Outcome> Apply(internal::v1::HitBatch&& batch);
  std::vector<Outcome> Apply(const internal::v1::HitBatch& batch) {
    return Apply(internal::v1::HitBatch(batch));
  }

  // Decides all windows as if no more events could come.
  std::vector<Outcome> Finish();

  // What changed since the last Clean: groups, bundles and blocks of evidence to write (null: to
  // remove), the checkpoints, and the receive times of source shards.
  const std::unordered_map<std::string, const internal::v1::Group*>& dirty_groups() const {
    return dirty_;
  }
  const std::map<std::string, const internal::v1::RuleBundle*>& dirty_bundles() const {
    return dirty_bundles_;
  }
  // Blocks of evidence by their numbers, packed.
  std::map<uint64_t, const std::string*> dirty_blocks() const { return blocks_.Dirty(); }
  // A group with its evidence in it, for who keeps no blocks.
  internal::v1::Group WholeGroup(internal::v1::Group group);
  const std::map<uint32_t, std::string>& dirty_checkpoints() const { return dirty_checkpoints_; }
  const std::map<uint32_t, int64_t>& dirty_watermarks() const { return dirty_watermarks_; }
  // As if all of it had changed: for who keeps it whole.
  void MarkAll();
  const std::vector<std::string>& dropped() const { return dropped_; }
  void Clean();

  size_t size() const { return groups_.size(); }
  // Events that were not counted, as they came too late for what is kept.
  uint64_t late() const { return late_; }
  // How late they may come; it shrinks with `patience` alone.
  std::chrono::nanoseconds lateness() const { return lateness_; }
  // Events that were not counted, as their rule has too many groups.
  uint64_t overflowed() const { return overflowed_; }
  // Groups that went as all took too much, and what those that are there take.
  uint64_t given_up() const { return given_up_; }
  size_t bytes() const { return budget_.bytes(); }
  const EvidenceBlocks& blocks() const { return blocks_; }
  // As of EvidenceBlocks::TakeUnreadable.
  std::vector<std::pair<uint64_t, absl::Status>> TakeUnreadable() {
    return blocks_.TakeUnreadable();
  }

 private:
  using Group = internal::v1::Group;
  using Hit = internal::v1::Hit;
  using RuleSummary = internal::v1::RuleSummary;
  using Levels = google::protobuf::RepeatedPtrField<internal::v1::OuterLevel>;
  using Pieces = google::protobuf::RepeatedPtrField<internal::v1::EvidenceRef>;
  struct Order {
    int64_t expires;
    std::string key;
    auto operator<=>(const Order&) const = default;
  };
  struct Kept {
    Group group;
    // Where it is in by_expiry_: at its `expires` or before. It moves on when its turn comes.
    int64_t queued = INT64_MIN;
    bool has_changed = false;  // since the last batch
    bool is_dirty = false;     // is in `dirty_`
  };
  struct Bundle {
    internal::v1::RuleBundle rules;
    size_t groups = 0;  // that need it
  };
  // Whence and when what is being counted came.
  struct Place {
    std::string tenant;
    uint32_t source_shard = 0;
    int64_t received = 0;
  };

  // A match of a correlation on its way to the one that counts it.
  struct Passed {
    Place place;
    std::string bundle;
    std::string rule_id;
    Hit hit;
  };

  // Whether a hit may come too late for its window, or follows from windows that have just ended.
  enum class Arrival { kFromSource, kFromWindow };

  class Counting;

  void FinishLoad();
  void TakeBlock(internal::v1::HitBatch& batch);
  v1::Finding Describe(std::string_view tenant, std::string_view finding_id,
                       const RuleSummary& rule, const Hit& hit);
  void ShowEvidence(const Pieces& pieces, v1::Finding& finding);
  bool IsNew(const internal::v1::HitBatch& batch);
  void NoteRules(const internal::v1::HitBatch& batch);
  void Take(const Place& place, const RuleSummary& rule, const Hit& hit, Arrival arrival,
            std::vector<Outcome>& outcomes);
  Kept* Find(const std::string& key, const Place& place, const RuleSummary& rule,
             std::vector<Outcome>& outcomes);
  void Count(const std::string& key, Group& group, const Place& place, const RuleSummary& rule,
             const Hit& hit, std::vector<Outcome>& outcomes);
  void Collect(const std::string& key, Kept& kept, const RuleSummary& rule, const Hit& hit,
               Arrival arrival);
  void Touch(const std::string& key, Kept& kept, const Place& place, const RuleSummary& rule);
  void Wait(const std::string& key, Kept& kept, const RuleSummary& rule);
  void DecideUntil(int64_t watermark, std::vector<Outcome>& outcomes);
  void Decide(const std::string& key, std::vector<Outcome>& outcomes);
  void Pass(const Place& place, const RuleSummary& rule, const Levels& levels, int64_t time,
            const Hit& about, const Pieces& evidence);
  void TakePassed(Arrival arrival, std::vector<Outcome>& outcomes);
  void SweepBundles();
  void Forget(std::set<Order>& order, int64_t watermark, std::vector<Outcome>& outcomes);
  void Erase(const std::string& key);
  void Change(const std::string& key, Kept& kept);
  void Measure();
  void KeepBudget(int64_t received, std::vector<Outcome>& outcomes);
  bool IsPatient() const { return lateness_ > limits_.lateness; }
  void NoteBounds(const Group& group);
  bool IsTight() const;
  void BeLessPatient(int64_t received, std::vector<Outcome>& outcomes);
  void ShortenWaits(std::chrono::nanoseconds lateness);
  void GiveUp(const std::string& key, std::vector<Outcome>& outcomes);
  int64_t Grace(const RuleSummary& rule) const;
  int64_t Watermark() const;
  const RuleSummary* RuleOf(const std::string& bundle, const std::string& rule_id) const;

  const Limits limits_;
  std::chrono::nanoseconds lateness_;
  bool is_group_full_ = false;  // one came near its bounds
  std::unordered_map<std::string, Kept> groups_;
  GroupKeys keys_;
  std::map<uint32_t, std::set<Order>> by_expiry_;        // by source shard
  std::set<Order> waiting_;                              // for the end of their windows
  std::map<std::string, size_t, std::less<>> per_rule_;  // "tenant\nrule id"
  std::map<std::string, Bundle> bundles_;                // "text id/version"
  std::set<std::string> idle_bundles_;                   // that no group may need any more
  std::deque<Passed> passed_;
  std::map<uint32_t, std::string> checkpoints_;
  std::map<uint32_t, int64_t> watermarks_;  // latest receive time of each source shard
  int64_t latest_ = INT64_MIN;              // receive time over all shards
  std::vector<std::string> dropped_;
  std::unordered_map<std::string, const Group*> dirty_;
  std::map<std::string, const internal::v1::RuleBundle*> dirty_bundles_;
  std::map<uint32_t, std::string> dirty_checkpoints_;
  std::map<uint32_t, int64_t> dirty_watermarks_;
  uint64_t late_ = 0;
  uint64_t overflowed_ = 0;
  WindowBudget budget_;
  std::vector<std::string> changed_;  // groups since the last batch
  std::vector<std::string> inlined_;  // groups that were loaded with their evidence in them
  EvidenceBlocks blocks_;
  uint64_t given_up_ = 0;
};

}  // namespace yagura::detection
