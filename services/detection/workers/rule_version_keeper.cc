#include "services/detection/workers/rule_version_keeper.h"

#include "common/status/status.h"

namespace yagura::detection {
namespace {

constexpr char kQueue[] = "rule-versions";
constexpr std::string_view kSweep = "sweep";
constexpr std::chrono::hours kSweepInterval{24};

}  // namespace

RuleVersionKeeper::RuleVersionKeeper(std::shared_ptr<redis::Pool> state, RuleVersions versions,
                                     store::Store<v1::Rule> rules, Options options,
                                     std::shared_ptr<const Clock> clock, Logger logger)
    : state_(std::move(state)),
      versions_(std::move(versions)),
      rules_(std::move(rules)),
      keep_(options.keep),
      clock_(std::move(clock)),
      logger_(std::move(logger)),
      queue_(state_, kQueue),
      timers_(
          state_, kQueue, {.instance = std::move(options.instance)}, clock_,
          [this](const timer::Timer&) { return SweepAndGoOn(); }, logger_) {}

void RuleVersionKeeper::Start() {
  const absl::Status swept = queue_.Schedule(kSweep, clock_->Now(), kSweep);
  if (!swept.ok()) {
    logger_.Warning("texts of deleted rules are not looked for at this start",
                    {{"error", Message(swept)}});
  }
  timers_.Start();
}

void RuleVersionKeeper::Stop() { timers_.Stop(); }

absl::Status RuleVersionKeeper::Sweep() const {
  YAGURA_ASSIGN_OR_RETURN(const auto tenants, store::ListTenants(*state_));
  for (const auto& tenant : tenants) {
    YAGURA_RETURN_IF_ERROR(versions_.Sweep(tenant, rules_, clock_->Now(), keep_));
  }
  return absl::OkStatus();
}

absl::Status RuleVersionKeeper::SweepAndGoOn() {
  YAGURA_RETURN_IF_ERROR(versions_.Reindex());
  YAGURA_RETURN_IF_ERROR(Sweep());
  return queue_.Schedule(kSweep, clock_->Now() + kSweepInterval, kSweep);
}

}  // namespace yagura::detection
