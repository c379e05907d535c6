#include "services/detection/workers/rule_book.h"

#include <algorithm>

#include "common/status/status.h"
#include "services/detection/domain/rule_resource.h"

namespace yagura::detection {
namespace {

constexpr std::chrono::milliseconds kPause{200};  // so that an import of many is one reload
constexpr std::chrono::seconds kRetry{2};
constexpr std::chrono::minutes kAnyway{1};
// The one in force, the next, and those of shards that lag behind.
constexpr size_t kLoadedSets = 8;

}  // namespace

RuleBook::RuleBook(store::Store<v1::Rule> rules, std::shared_ptr<redis::Pool> state,
                   std::shared_ptr<RuleSetStore> sets, MetricsRegistry& metrics, Logger logger)
    : rules_(std::move(rules)),
      state_(std::move(state)),
      sets_(std::move(sets)),
      in_force_(metrics.GetGauge("yagura_detection_rules", "Rules in force")),
      logger_(std::move(logger)) {}

RuleBook::~RuleBook() { Stop(); }

absl::Status RuleBook::Reload() {
  const std::lock_guard reload(reload_mutex_);
  YAGURA_ASSIGN_OR_RETURN(const Collected collected, Collect());
  const std::string version = RuleSetVersion(collected.items);
  const std::vector<std::string_view> texts(collected.texts.begin(), collected.texts.end());
  YAGURA_RETURN_IF_ERROR(sets_->Save(version, collected.items, texts));
  // Once it is announced it must be there at once.
  const auto set = Build(version, collected.items, collected.texts);
  YAGURA_RETURN_IF_ERROR(sets_->Announce(version));
  in_force_->Set(static_cast<double>(set->entries().size()));
  const std::lock_guard lock(mutex_);
  if (version == latest_version_) return absl::OkStatus();
  logger_.Info("rule set announced", {{"version", version}, {"rules", set->entries().size()}});
  latest_version_ = version;
  return absl::OkStatus();
}

absl::StatusOr<RuleBook::Collected> RuleBook::Collect() const {
  YAGURA_ASSIGN_OR_RETURN(std::vector<std::string> tenants, store::ListTenants(*state_));
  const std::string provider(kProviderTenant);
  if (std::find(tenants.begin(), tenants.end(), provider) == tenants.end()) {
    tenants.push_back(provider);
  }
  Collected collected;
  for (const auto& tenant : tenants) {
    YAGURA_RETURN_IF_ERROR(rules_.ForEach(tenant, [&](const v1::Rule& rule) {
      if (!rule.enabled()) return absl::OkStatus();
      collected.items.push_back({tenant == kProviderTenant ? "" : tenant, DigestOf(rule.text())});
      collected.texts.push_back(rule.text());
      return absl::OkStatus();
    }));
  }
  return collected;
}

std::shared_ptr<const RuleSet> RuleBook::Build(const std::string& version,
                                               const std::vector<RuleSetItem>& items,
                                               const std::vector<std::string>& texts) {
  const std::lock_guard lock(load_mutex_);
  std::erase(loaded_order_, version);
  loaded_order_.push_back(version);
  auto& set = loaded_[version];
  if (set != nullptr) return set;
  std::vector<RuleSet::Entry> entries;
  for (size_t i = 0; i < items.size(); ++i) {
    auto [known, is_new] = parsed_.try_emplace(items[i].digest);
    if (is_new) {
      auto parsed = ParseSigma(texts[i]);
      if (parsed.ok()) {
        known->second = std::make_shared<const ParsedRule>(*std::move(parsed));
      } else {
        // It was accepted once: this release knows less, or more.
        logger_.Error("rule refused", {{"tenant", items[i].tenant},
                                       {"text", items[i].digest},
                                       {"reason", Message(parsed.status())}});
      }
    }
    if (known->second != nullptr) entries.push_back({items[i].tenant, known->second});
  }
  set = RuleSet::Build(std::move(entries));
  const std::shared_ptr<const RuleSet> result = set;
  if (loaded_order_.size() > kLoadedSets) {
    loaded_.erase(loaded_order_.front());
    loaded_order_.erase(loaded_order_.begin());
    // Of two holders one is the map itself.
    std::erase_if(parsed_, [](const auto& one) { return one.second.use_count() <= 1; });
  }
  return result;
}

absl::StatusOr<std::shared_ptr<const RuleSet>> RuleBook::Load(const std::string& version) {
  {
    const std::lock_guard lock(load_mutex_);
    if (const auto found = loaded_.find(version); found != loaded_.end()) {
      std::erase(loaded_order_, version);
      loaded_order_.push_back(version);
      return found->second;
    }
  }
  const auto items = sets_->Items(version);
  std::vector<std::string> digests;
  for (const auto& item : items.ok() ? *items : std::vector<RuleSetItem>()) {
    digests.push_back(item.digest);
  }
  const auto texts = items.ok() ? sets_->Texts(digests) : items.status();
  if (texts.ok()) return Build(version, *items, *texts);
  if (texts.status().code() != absl::StatusCode::kNotFound) return texts.status();
  const std::string latest = latest_version();
  logger_.Error("a rule set is lost, the latest takes its place",
                {{"version", version}, {"latest", latest}});
  if (latest.empty() || latest == version) return Unavailable("NO_RULE_SET", "no rules are known");
  return Load(latest);
}

absl::StatusOr<std::vector<RuleSetSwitch>> RuleBook::Switches(int shard) const {
  return sets_->Switches(shard);
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
    wake_.wait_for(lock, kAnyway, [this] { return wanted_ || stopping_; });
    wake_.wait_for(lock, kPause, [this] { return stopping_; });
    if (stopping_) return;
    wanted_ = false;
    lock.unlock();
    Status status = Reload();
    if (status.ok()) status = sets_->Prune();
    lock.lock();
    if (status.ok()) continue;
    logger_.Warning("rules could not be read", {{"reason", Message(status)}});
    wanted_ = true;
    wake_.wait_for(lock, kRetry, [this] { return stopping_; });
  }
}

std::string RuleBook::latest_version() const {
  const std::lock_guard lock(mutex_);
  return latest_version_;
}

void RuleBook::OnRecord(const audit::v1::Record& record) {
  if (record.kind() == "detection.rule") RequestReload();
}

void RuleBook::OnReset(std::string_view) { RequestReload(); }

}  // namespace yagura::detection
