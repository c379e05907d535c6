#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "absl/status/status.h"

#include "common/log/log.h"
#include "common/metrics/metrics.h"
#include "common/store/change_feed.h"
#include "common/store/store.h"
#include "common/text/text.h"
#include "services/detection/domain/engine/rule_set.h"
#include "yagura/detection/v1/rule.pb.h"

namespace yagura::detection {

// The rule set in force, built anew soon after any rule has changed, wherever it was changed.
// Thread-safe.
class RuleBook final : public store::FeedFollower::Subscriber {
 public:
  RuleBook(store::Store<v1::Rule> rules, std::shared_ptr<redis::Pool> state,
           MetricsRegistry& metrics, Logger logger);
  ~RuleBook() override;  // stops

  // Reads all rules now.
  absl::Status Reload();
  // Reloads on a thread of its own whenever asked for, at most about five times a second.
  void Start();
  void Stop();
  void RequestReload();

  // Never null; empty before the first Reload.
  std::shared_ptr<const RuleSet> Current() const;

  void OnRecord(const audit::v1::Record& record) override;
  void OnReset(std::string_view tenant) override;

 private:
  struct Known {
    std::string version;
    std::shared_ptr<const ParsedRule> parsed;
  };
  void Work();
  absl::Status Collect(const std::string& tenant, StringMap<Known>& seen,
                       std::vector<RuleSet::Entry>& entries);

  store::Store<v1::Rule> rules_;
  const std::shared_ptr<redis::Pool> state_;
  Gauge* const in_force_;
  const Logger logger_;

  std::mutex reload_mutex_;  // one reload at a time; guards known_
  StringMap<Known> known_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::shared_ptr<const RuleSet> current_;
  bool wanted_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace yagura::detection
