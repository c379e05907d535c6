#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"

#include "common/log/log.h"
#include "common/metrics/metrics.h"
#include "common/store/change_feed.h"
#include "common/store/store.h"
#include "common/text/text.h"
#include "services/detection/domain/engine/rule_set.h"
#include "services/detection/domain/rule_compiler.h"
#include "services/detection/storage/rule_set_store.h"
#include "yagura/detection/v1/rule.pb.h"

namespace yagura::detection {

// Which rules there are, with the placeholders and tunings of tenants, and since where in each
// shard of "events". Soon after any rule has changed, wherever it was changed, the new set is kept
// and announced in every shard; it is in force from that entry on, for whoever reads it, however
// often. Thread-safe.
class RuleBook final : public store::FeedFollower::Subscriber {
 public:
  RuleBook(store::Store<v1::Rule> rules, std::shared_ptr<redis::Pool> state,
           std::shared_ptr<RuleSetStore> sets, MetricsRegistry& metrics, Logger logger,
           std::shared_ptr<const Clock> clock = SystemClock());
  ~RuleBook() override;  // stops

  // Lets mutes end whose time has come, reads all rules, and announces them where they are others
  // than before.
  absl::Status Reload();
  // Reloads on a thread of its own whenever asked for, at most about five times a second, when a
  // mute ends, and once a minute anyway; also forgets sets that nobody needs any more.
  void Start();
  void Stop();
  void RequestReload();

  // The switches of a shard, in order.
  absl::StatusOr<std::vector<RuleSetSwitch>> Switches(int shard) const;
  // The set of that version, never null. Where it is not kept any more, which only a loss of data
  // can bring about, the latest.
  absl::StatusOr<std::shared_ptr<const RuleSet>> Load(const std::string& version);
  // What placeholders stand for in rules of a tenant. In rules of the provider those that other
  // tenants alone have set stand for kAnyValue: what these values are is not the provider's matter.
  absl::StatusOr<Placeholders> PlaceholdersFor(std::string_view tenant) const;
  // Whether the values fit the rules and filters in force in which they stand for the placeholder:
  // those of the provider, and of the tenant. INVALID_ARGUMENT naming value and rule.
  absl::Status CheckPlaceholder(std::string_view tenant, const v1::Placeholder& placeholder) const;
  // A tenant's placeholders and tunings, as far as they matter to a rule set.
  absl::StatusOr<internal::v1::TenantRules> SettingsOf(const std::string& tenant) const;
  // What the latest Reload read; empty before.
  std::string latest_version() const;
  // Names of the stored rules, filters, placeholders and tunings that the latest Reload could not
  // read and passed over, in order.
  std::vector<std::string> unreadable() const;

  void OnRecord(const audit::v1::Record& record) override;
  void OnReset(std::string_view tenant) override;

 private:
  // Mutes that were seen while reading.
  struct Mutes {
    std::vector<std::string> ended_rules;  // names
    std::vector<std::string> ended_tunings;
    TimePoint next = TimePoint::max();  // end of one that has not

    bool any_ended() const { return !ended_rules.empty() || !ended_tunings.empty(); }
  };
  struct Collected {
    std::vector<RuleSetItem> items;
    std::vector<std::string> texts;
    Mutes mutes;
    std::set<std::string> unreadable;  // names

    void Add(std::string_view tenant, std::string text);
  };
  void Work();
  absl::Status EndMutes(const Mutes& mutes);
  std::chrono::nanoseconds UntilNextEnd() const;
  absl::StatusOr<std::vector<std::string>> Tenants() const;
  // Notes mutes and what it cannot read where `collected` is not null.
  absl::StatusOr<internal::v1::TenantRules> SettingsOf(const std::string& tenant,
                                                       Collected* collected) const;
  absl::StatusOr<Collected> Collect() const;
  void TellUnreadable(std::set<std::string> names);
  // A set and how many texts of it are not in force for somebody, or not as agreed.
  struct Loaded {
    std::shared_ptr<const RuleSet> set;  // null: not loaded
    size_t refused = 0;
  };
  Loaded FindLoaded(const std::string& version);
  Loaded Build(const std::string& version, const std::vector<RuleSetItem>& items,
               const std::vector<std::string>& texts);
  void Tell(const std::vector<RuleCompiler::Refusal>& refusals);

  store::Store<v1::Rule> rules_;
  store::Store<v1::Placeholder> placeholders_;
  store::Store<v1::RuleTuning> tunings_;
  const std::shared_ptr<redis::Pool> state_;
  const std::shared_ptr<RuleSetStore> sets_;
  Gauge* const in_force_;
  Gauge* const refused_;
  Gauge* const unreadable_count_;
  const Logger logger_;
  const std::shared_ptr<const Clock> clock_;

  std::mutex reload_mutex_;   // one reload at a time
  std::mutex compile_mutex_;  // guards compiler_ and told_; taken before load_mutex_
  RuleCompiler compiler_;
  std::set<std::string> told_;  // refusals that are in the log
  std::mutex load_mutex_;       // guards loaded_; never held while anything is compiled
  std::map<std::string, Loaded> loaded_;
  std::vector<std::string> loaded_order_;  // the latest used at the end

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::string latest_version_;
  std::set<std::string> unreadable_;       // as the latest Reload saw it; each is in the log
  TimePoint next_end_ = TimePoint::max();  // of a mute
  bool wanted_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace yagura::detection
