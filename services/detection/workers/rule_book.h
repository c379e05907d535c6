#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
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
           std::shared_ptr<RuleSetStore> sets, MetricsRegistry& metrics, Logger logger);
  ~RuleBook() override;  // stops

  // Reads all rules now, and announces them where they are others than before.
  absl::Status Reload();
  // Reloads on a thread of its own whenever asked for, at most about five times a second, and once
  // a minute anyway; also forgets sets that nobody needs any more.
  void Start();
  void Stop();
  void RequestReload();

  // The switches of a shard, in order.
  absl::StatusOr<std::vector<RuleSetSwitch>> Switches(int shard) const;
  // The set of that version, never null. Where it is not kept any more, which only a loss of data
  // can bring about, the latest.
  absl::StatusOr<std::shared_ptr<const RuleSet>> Load(const std::string& version);
  // What placeholders stand for in rules of a tenant; in rules of the provider what they stand for
  // in any.
  absl::StatusOr<Placeholders> PlaceholdersFor(std::string_view tenant) const;
  // What the latest Reload read; empty before.
  std::string latest_version() const;

  void OnRecord(const audit::v1::Record& record) override;
  void OnReset(std::string_view tenant) override;

 private:
  struct Collected {
    std::vector<RuleSetItem> items;
    std::vector<std::string> texts;

    void Add(std::string_view tenant, std::string text);
  };
  void Work();
  absl::StatusOr<std::vector<std::string>> Tenants() const;
  absl::StatusOr<internal::v1::TenantRules> SettingsOf(const std::string& tenant) const;
  absl::StatusOr<Collected> Collect() const;
  std::shared_ptr<const RuleSet> Build(const std::string& version,
                                       const std::vector<RuleSetItem>& items,
                                       const std::vector<std::string>& texts);

  store::Store<v1::Rule> rules_;
  store::Store<v1::Placeholder> placeholders_;
  store::Store<v1::RuleTuning> tunings_;
  const std::shared_ptr<redis::Pool> state_;
  const std::shared_ptr<RuleSetStore> sets_;
  Gauge* const in_force_;
  const Logger logger_;

  std::mutex reload_mutex_;  // one reload at a time
  std::mutex load_mutex_;    // guards compiler_ and loaded_
  RuleCompiler compiler_;
  std::map<std::string, std::shared_ptr<const RuleSet>> loaded_;
  std::vector<std::string> loaded_order_;  // the latest used at the end

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::string latest_version_;
  bool wanted_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace yagura::detection
