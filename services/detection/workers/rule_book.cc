#include "services/detection/workers/rule_book.h"

#include <algorithm>
#include <deque>
#include <map>
#include <set>

#include "fmt/format.h"

#include "common/status/status.h"
#include "common/store/resource_name.h"
#include "services/detection/domain/rule_resource.h"
#include "services/detection/domain/rule_state.h"
#include "services/detection/storage/kinds.h"

namespace yagura::detection {
namespace {

constexpr std::chrono::milliseconds kPause{200};  // so that an import of many is one reload
// Where rules change all the time each set is kept for a while: from the 20th within a minute on
// they come more slowly.
constexpr std::chrono::seconds kLongPause{5};
constexpr std::chrono::minutes kCounted{1};
constexpr size_t kManySets = 20;
constexpr size_t kMaxTold = 10'000;
constexpr std::chrono::seconds kRetry{2};
constexpr std::chrono::minutes kAnyway{1};
// The one in force, the next, and those of shards that lag behind.
constexpr size_t kLoadedSets = 8;

// For what Reload tells of.
void PassOver(const std::string&) {}

template <typename Stateful>
void NoteMute(const Stateful& one, TimePoint now, std::vector<std::string>& ended,
              TimePoint& next) {
  if (one.state() != v1::MUTED) return;
  if (MuteHasEnded(one, now)) {
    ended.push_back(one.name());
  } else {
    next = std::min(next, FromProto(one.mute_expire_time()));
  }
}

}  // namespace

RuleBook::RuleBook(store::Store<v1::Rule> rules, std::shared_ptr<redis::Pool> state,
                   std::shared_ptr<RuleSetStore> sets, MetricsRegistry& metrics, Logger logger,
                   std::shared_ptr<const Clock> clock)
    : rules_(std::move(rules)),
      placeholders_(state, PlaceholderKind(), SystemClock()),
      tunings_(state, RuleTuningKind(), SystemClock()),
      state_(std::move(state)),
      sets_(std::move(sets)),
      in_force_(metrics.GetGauge("yagura_detection_rules", "Rules in force")),
      refused_(metrics.GetGauge(
          "yagura_detection_rules_refused",
          "Rules and filters that are not in force for a tenant, or not as agreed")),
      unreadable_count_(
          metrics.GetGauge("yagura_detection_rules_unreadable",
                           "Stored rules, filters, placeholders and tunings that cannot be read")),
      logger_(std::move(logger)),
      clock_(std::move(clock)) {}

RuleBook::~RuleBook() { Stop(); }

absl::Status RuleBook::Reload() {
  const std::lock_guard reload(reload_mutex_);
  YAGURA_ASSIGN_OR_RETURN(Collected collected, Collect());
  if (collected.mutes.any_ended()) {
    YAGURA_RETURN_IF_ERROR(EndMutes(collected.mutes));
    YAGURA_ASSIGN_OR_RETURN(collected, Collect());
  }
  TellUnreadable(std::move(collected.unreadable));
  const std::string version = RuleSetVersion(collected.items);
  const std::vector<std::string_view> texts(collected.texts.begin(), collected.texts.end());
  YAGURA_RETURN_IF_ERROR(sets_->Save(version, collected.items, texts));
  // Once it is announced it must be there at once.
  const auto [set, refused] = Build(version, collected.items, collected.texts);
  YAGURA_RETURN_IF_ERROR(sets_->Announce(version));
  in_force_->Set(static_cast<double>(set->entries().size()));
  refused_->Set(static_cast<double>(refused));
  const std::lock_guard lock(mutex_);
  next_end_ = collected.mutes.next;
  if (version == latest_version_) return absl::OkStatus();
  logger_.Info("rule set announced", {{"version", version}, {"rules", set->entries().size()}});
  latest_version_ = version;
  return absl::OkStatus();
}

void RuleBook::TellUnreadable(std::set<std::string> names) {
  unreadable_count_->Set(static_cast<double>(names.size()));
  const std::lock_guard lock(mutex_);
  for (const auto& name : names) {
    if (unreadable_.contains(name)) continue;
    logger_.Error("a stored rule or setting cannot be read and is passed over", {{"name", name}});
  }
  unreadable_ = std::move(names);
}

void RuleBook::Collected::Add(std::string_view tenant, std::string text) {
  items.push_back({tenant == kProviderTenant ? "" : std::string(tenant), DigestOf(text)});
  texts.push_back(std::move(text));
}

// The provider first.
absl::StatusOr<std::vector<std::string>> RuleBook::Tenants() const {
  YAGURA_ASSIGN_OR_RETURN(std::vector<std::string> tenants, store::ListTenants(*state_));
  std::erase(tenants, kProviderTenant);
  tenants.insert(tenants.begin(), std::string(kProviderTenant));
  return tenants;
}

// In an order and without what does not matter to events, so that the same settings are the same
// text.
absl::StatusOr<internal::v1::TenantRules> RuleBook::SettingsOf(const std::string& tenant) const {
  return SettingsOf(tenant, nullptr);
}

absl::StatusOr<internal::v1::TenantRules> RuleBook::SettingsOf(const std::string& tenant,
                                                               Collected* collected) const {
  const store::OnUnreadable unreadable = [collected](const std::string& name) {
    if (collected != nullptr) collected->unreadable.insert(name);
  };
  std::map<std::string, v1::Placeholder> placeholders;
  const auto take_placeholder = [&](const v1::Placeholder& kept) {
    auto& one = placeholders[kept.name()];
    one.set_name(kept.name());
    *one.mutable_values() = kept.values();
    return absl::OkStatus();
  };
  YAGURA_RETURN_IF_ERROR(placeholders_.ForEach(tenant, take_placeholder, unreadable));
  std::map<std::string, v1::RuleTuning> tunings;
  const TimePoint now = clock_->Now();
  const auto take_tuning = [&](const v1::RuleTuning& kept) {
    if (collected != nullptr) {
      NoteMute(kept, now, collected->mutes.ended_tunings, collected->mutes.next);
    }
    auto& one = tunings[kept.name()];
    one = kept;
    one.clear_etag();
    one.clear_create_time();
    one.clear_update_time();
    one.clear_reason();
    one.clear_title();
    one.clear_state_reason();
    one.clear_state_changed_by();
    one.clear_state_change_time();
    one.clear_mute_expire_time();
    v1::RuleTuning nothing;
    nothing.set_name(one.name());
    if (one.ByteSizeLong() == nothing.ByteSizeLong()) tunings.erase(kept.name());
    return absl::OkStatus();
  };
  YAGURA_RETURN_IF_ERROR(tunings_.ForEach(tenant, take_tuning, unreadable));
  internal::v1::TenantRules settings;
  for (auto& [name, one] : placeholders) *settings.add_placeholders() = std::move(one);
  for (auto& [name, one] : tunings) *settings.add_tunings() = std::move(one);
  return settings;
}

// A rule whose time has come is active again, on record; so says the store, not the clock of
// whoever reads it.
absl::Status RuleBook::EndMutes(const Mutes& mutes) {
  const TimePoint now = clock_->Now();
  const store::WriteContext context{.principal = "services/detection",
                                    .on_behalf_of = "",
                                    .method = "detection/mute-ended",
                                    .request_id = "",
                                    .request_digest = "",
                                    .detail = "the mute has ended"};
  const auto end = [&](v1::RuleState state) {
    return [&context, now, state](auto& one) {
      // Unless somebody else was first, or has muted it again.
      if (MuteHasEnded(one, now)) {
        SetState({state, context.detail, context.principal, now, {}}, one);
      }
      return absl::OkStatus();
    };
  };
  for (const auto& name : mutes.ended_rules) {
    const Status status = rules_.Mutate(context, name, end(v1::ACTIVE)).status();
    if (!status.ok() && status.code() != absl::StatusCode::kNotFound) return status;
  }
  for (const auto& name : mutes.ended_tunings) {
    const Status status = tunings_.Mutate(context, name, end(v1::RULE_STATE_UNSPECIFIED)).status();
    if (!status.ok() && status.code() != absl::StatusCode::kNotFound) return status;
  }
  return absl::OkStatus();
}

std::chrono::nanoseconds RuleBook::UntilNextEnd() const {
  if (next_end_ == TimePoint::max()) return kAnyway;
  return std::clamp<std::chrono::nanoseconds>(next_end_ - clock_->Now(), std::chrono::seconds(0),
                                              kAnyway);
}

absl::StatusOr<RuleBook::Collected> RuleBook::Collect() const {
  YAGURA_ASSIGN_OR_RETURN(const auto tenants, Tenants());
  const TimePoint now = clock_->Now();
  Collected collected;
  std::map<std::string, std::string> unmatched;  // the provider's, by id
  for (const auto& tenant : tenants) {
    YAGURA_ASSIGN_OR_RETURN(auto settings, SettingsOf(tenant, &collected));
    std::set<std::string> untold;
    const auto take_rule = [&](const v1::Rule& rule) {
      const v1::RuleState state = StateOf(rule);
      const std::string id(store::LastId(rule.name()));
      if (IsMatched(state)) {
        collected.Add(tenant, rule.text());
      } else if (tenant == kProviderTenant) {
        unmatched[id] = rule.text();
      }
      if (IsUntold(state)) untold.insert(id);
      NoteMute(rule, now, collected.mutes.ended_rules, collected.mutes.next);
      return absl::OkStatus();
    };
    YAGURA_RETURN_IF_ERROR(rules_.ForEach(tenant, take_rule, [&collected](const std::string& name) {
      collected.unreadable.insert(name);
    }));
    for (const auto& id : untold) settings.add_untold_rules(id);
    if (settings.ByteSizeLong() > 0) collected.Add(tenant, EncodeTenantRules(settings));
    for (const auto& tuning : settings.tunings()) {
      const auto rule = unmatched.find(std::string(store::LastId(tuning.name())));
      if (rule == unmatched.end()) continue;
      if (tuning.match() != v1::RuleTuning::ON && !IsMatched(tuning.state())) continue;
      collected.Add(tenant, rule->second);
      if (tenant == kProviderTenant) unmatched.erase(rule);  // for all, as if it were enabled
    }
  }
  return collected;
}

absl::StatusOr<Placeholders> RuleBook::PlaceholdersFor(std::string_view tenant) const {
  Placeholders values;
  if (tenant == kProviderTenant) {
    YAGURA_ASSIGN_OR_RETURN(const auto tenants, Tenants());
    for (const auto& one : tenants) {
      const auto take = [&](const v1::Placeholder& kept) {
        values[std::string(store::LastId(kept.name()))] = {std::string(kAnyValue)};
        return absl::OkStatus();
      };
      YAGURA_RETURN_IF_ERROR(placeholders_.ForEach(one, take, PassOver));
    }
  }
  for (const std::string& one : {std::string(kProviderTenant), std::string(tenant)}) {
    YAGURA_ASSIGN_OR_RETURN(const auto settings, SettingsOf(one));
    AddPlaceholders(settings, values);
  }
  return values;
}

absl::Status RuleBook::CheckPlaceholder(std::string_view tenant,
                                        const v1::Placeholder& placeholder) const {
  std::set<std::string> switched_on;
  std::set<std::string> tenants = {std::string(kProviderTenant), std::string(tenant)};
  for (const auto& one : tenants) {
    const auto take = [&](const v1::RuleTuning& tuning) {
      const bool is_on = tuning.match() == v1::RuleTuning::ON || IsMatched(tuning.state());
      if (is_on) switched_on.emplace(store::LastId(tuning.name()));
      return absl::OkStatus();
    };
    YAGURA_RETURN_IF_ERROR(tunings_.ForEach(one, take, PassOver));
  }
  std::vector<std::string> texts;
  for (const auto& one : tenants) {
    const auto take = [&](const v1::Rule& rule) {
      const bool is_on =
          IsMatched(StateOf(rule)) || switched_on.contains(std::string(store::LastId(rule.name())));
      if (is_on && MayExpand(rule.text())) texts.push_back(rule.text());
      return absl::OkStatus();
    };
    YAGURA_RETURN_IF_ERROR(rules_.ForEach(one, take, PassOver));
  }
  return detection::CheckPlaceholder(placeholder, texts);
}

RuleBook::Loaded RuleBook::FindLoaded(const std::string& version) {
  const std::lock_guard lock(load_mutex_);
  const auto found = loaded_.find(version);
  if (found == loaded_.end()) return {};
  std::erase(loaded_order_, version);
  loaded_order_.push_back(version);
  return found->second;
}

// Each once, until there are very many others.
void RuleBook::Tell(const std::vector<RuleCompiler::Refusal>& refusals) {
  if (told_.size() > kMaxTold) told_.clear();
  for (const auto& one : refusals) {
    if (!told_.insert(fmt::format("{}\n{}\n{}", one.tenant, one.digest, one.reason)).second) {
      continue;
    }
    // It was accepted once: this release knows less, or more, or a placeholder has no value that
    // fits.
    logger_.Warning("rule not in force", {{"tenant", one.tenant.empty() ? "all" : one.tenant},
                                          {"rule", one.rule},
                                          {"title", one.title},
                                          {"text", one.digest},
                                          {"reason", one.reason}});
  }
}

// Who wants a set that is there never waits for one that is being compiled.
RuleBook::Loaded RuleBook::Build(const std::string& version, const std::vector<RuleSetItem>& items,
                                 const std::vector<std::string>& texts) {
  if (auto loaded = FindLoaded(version); loaded.set != nullptr) return loaded;
  const std::lock_guard compile(compile_mutex_);
  if (auto loaded = FindLoaded(version); loaded.set != nullptr) return loaded;
  std::vector<RuleCompiler::Item> parts;
  parts.reserve(items.size());
  for (size_t i = 0; i < items.size(); ++i) {
    parts.push_back({items[i].tenant, items[i].digest, texts[i]});
  }
  auto [entries, refusals] = compiler_.Compile(parts);
  Tell(refusals);
  const Loaded built{RuleSet::Build(std::move(entries)), refusals.size()};
  Loaded oldest;  // goes without the lock
  {
    const std::lock_guard lock(load_mutex_);
    loaded_[version] = built;
    loaded_order_.push_back(version);
    if (loaded_order_.size() > kLoadedSets) {
      oldest = std::move(loaded_[loaded_order_.front()]);
      loaded_.erase(loaded_order_.front());
      loaded_order_.erase(loaded_order_.begin());
    }
  }
  if (oldest.set != nullptr) {
    oldest.set = nullptr;
    compiler_.Forget();
  }
  return built;
}

absl::StatusOr<std::shared_ptr<const RuleSet>> RuleBook::Load(const std::string& version) {
  if (auto loaded = FindLoaded(version); loaded.set != nullptr) return loaded.set;
  const auto items = sets_->Items(version);
  std::vector<std::string> digests;
  for (const auto& item : items.ok() ? *items : std::vector<RuleSetItem>()) {
    digests.push_back(item.digest);
  }
  const auto texts = items.ok() ? sets_->Texts(digests) : items.status();
  if (texts.ok()) return Build(version, *items, *texts).set;
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
  using std::chrono::steady_clock;
  std::deque<steady_clock::time_point> announced;  // within the last minute
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait_for(lock, UntilNextEnd(), [this] { return wanted_ || stopping_; });
    while (!announced.empty() && steady_clock::now() - announced.front() > kCounted) {
      announced.pop_front();
    }
    const bool many = announced.size() >= kManySets;
    wake_.wait_for(lock, many ? std::chrono::milliseconds(kLongPause) : kPause,
                   [this] { return stopping_; });
    if (stopping_) return;
    wanted_ = false;
    const std::string before = latest_version_;
    lock.unlock();
    Status status = Reload();
    if (status.ok()) status = sets_->Prune();
    lock.lock();
    if (latest_version_ != before) announced.push_back(steady_clock::now());
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

std::vector<std::string> RuleBook::unreadable() const {
  const std::lock_guard lock(mutex_);
  return {unreadable_.begin(), unreadable_.end()};
}

void RuleBook::OnRecord(const audit::v1::Record& record) {
  if (record.kind() == "detection.rule" || record.kind() == "detection.placeholder" ||
      record.kind() == "detection.rule_tuning") {
    RequestReload();
  }
}

void RuleBook::OnReset(std::string_view) { RequestReload(); }

}  // namespace yagura::detection
