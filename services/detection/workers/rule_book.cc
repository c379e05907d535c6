#include "services/detection/workers/rule_book.h"

#include <algorithm>

#include "common/status/status.h"
#include "services/detection/domain/rule_resource.h"

namespace yagura::detection {
namespace {

constexpr std::chrono::milliseconds kPause{200};  // so that an import of many is one reload
constexpr std::chrono::seconds kRetry{2};

}  // namespace

RuleBook::RuleBook(store::Store<v1::Rule> rules, std::shared_ptr<redis::Pool> state,
                   MetricsRegistry& metrics, Logger logger)
    : rules_(std::move(rules)),
      state_(std::move(state)),
      in_force_(metrics.GetGauge("yagura_detection_rules", "Rules in force")),
      logger_(std::move(logger)),
      current_(RuleSet::Build({})) {}

RuleBook::~RuleBook() { Stop(); }

absl::Status RuleBook::Reload() {
  const std::lock_guard reload(reload_mutex_);
  YAGURA_ASSIGN_OR_RETURN(std::vector<std::string> tenants, store::ListTenants(*state_));
  const std::string provider(kProviderTenant);
  if (std::find(tenants.begin(), tenants.end(), provider) == tenants.end()) {
    tenants.push_back(provider);
  }
  StringMap<Known> seen;
  std::vector<RuleSet::Entry> entries;
  for (const auto& tenant : tenants) {
    YAGURA_RETURN_IF_ERROR(Collect(tenant, seen, entries));
  }
  known_ = std::move(seen);
  auto next = RuleSet::Build(std::move(entries));
  in_force_->Set(static_cast<double>(next->entries().size()));
  const std::lock_guard lock(mutex_);
  if (next->version() == current_->version()) return absl::OkStatus();
  logger_.Info("rule set in force",
               {{"version", next->version()}, {"rules", next->entries().size()}});
  current_ = std::move(next);
  return absl::OkStatus();
}

absl::Status RuleBook::Collect(const std::string& tenant, StringMap<Known>& seen,
                               std::vector<RuleSet::Entry>& entries) {
  return rules_.raw()->ForEach(tenant, [&](const google::protobuf::Message& message) {
    const auto& rule = static_cast<const v1::Rule&>(message);
    if (!rule.enabled()) return absl::OkStatus();
    Known known;
    const auto found = known_.find(rule.name());
    if (found != known_.end() && found->second.version == rule.version()) {
      known = found->second;
    } else {
      auto parsed = ParseSigma(rule.text());
      if (!parsed.ok()) {
        // It was accepted once: this release knows less, or more.
        logger_.Error("rule refused",
                      {{"rule", rule.name()}, {"reason", Message(parsed.status())}});
        return absl::OkStatus();
      }
      known = {rule.version(), std::make_shared<const ParsedRule>(*std::move(parsed))};
    }
    entries.push_back({tenant == kProviderTenant ? std::string() : tenant, known.parsed});
    seen.emplace(rule.name(), std::move(known));
    return absl::OkStatus();
  });
}

void RuleBook::Start() {
  thread_ = std::thread([this] { Work(); });
}

void RuleBook::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void RuleBook::RequestReload() {
  {
    const std::lock_guard lock(mutex_);
    wanted_ = true;
  }
  wake_.notify_all();
}

void RuleBook::Work() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return wanted_ || stopping_; });
    wake_.wait_for(lock, kPause, [this] { return stopping_; });
    if (stopping_) return;
    wanted_ = false;
    lock.unlock();
    const Status status = Reload();
    lock.lock();
    if (status.ok()) continue;
    logger_.Warning("rules could not be read", {{"reason", Message(status)}});
    wanted_ = true;
    wake_.wait_for(lock, kRetry, [this] { return stopping_; });
  }
}

std::shared_ptr<const RuleSet> RuleBook::Current() const {
  const std::lock_guard lock(mutex_);
  return current_;
}

void RuleBook::OnRecord(const audit::v1::Record& record) {
  if (record.kind() == "detection.rule") RequestReload();
}

void RuleBook::OnReset(std::string_view) { RequestReload(); }

}  // namespace yagura::detection
