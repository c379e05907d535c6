#include "services/detection/domain/rule_compiler.h"

#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <optional>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/status/status.h"
#include "services/detection/domain/engine/correlation.h"
#include "services/detection/domain/rule_resource.h"

namespace yagura::detection {
namespace {

using internal::v1::TenantRules;

// No text of a rule begins like this: YAML has no such characters.
constexpr char kTenantRulesMark = '\x01';

std::string ShortHash(std::string_view text) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  return HexEncode({reinterpret_cast<const char*>(digest.data()), digest.size()}).substr(0, 12);
}

// Whether placeholders may matter to it.
bool MayExpand(std::string_view text) { return text.find("expand") != std::string_view::npos; }

std::string RuleIdOf(const v1::RuleTuning& tuning) {
  return tuning.name().substr(tuning.name().rfind('/') + 1);
}

}  // namespace

void AddPlaceholders(const TenantRules& tenant, Placeholders& values) {
  for (const auto& placeholder : tenant.placeholders()) {
    values[placeholder.name().substr(placeholder.name().rfind('/') + 1)] = {
        placeholder.values().begin(), placeholder.values().end()};
  }
}

std::string EncodeTenantRules(const TenantRules& rules) {
  return kTenantRulesMark + rules.SerializeAsString();
}

std::optional<TenantRules> DecodeTenantRules(std::string_view text) {
  TenantRules rules;
  if (text.empty() || text.front() != kTenantRulesMark ||
      !rules.ParseFromString(std::string(text.substr(1)))) {
    return std::nullopt;
  }
  return rules;
}

absl::Status ApplyTuning(const v1::RuleTuning& tuning, ParsedRule& rule) {
  ParsedRule tuned = rule;
  if (tuning.severity() != event::v1::SEVERITY_UNSPECIFIED) {
    RuleInfo& info =
        tuned.correlations.empty() ? tuned.rules.front().info : tuned.correlations.front().info;
    info.severity = static_cast<int>(tuning.severity());
  }
  if (tuning.has_count() || tuning.has_timespan()) {
    const auto wanted = std::ranges::find_if(tuned.correlations, [&](const Correlation& one) {
      return tuning.correlation().empty() || one.info.id == tuning.correlation();
    });
    if (wanted == tuned.correlations.end()) {
      return MakeError(absl::StatusCode::kInvalidArgument, "RULE_REFUSED",
                       tuning.correlation().empty()
                           ? "count and timespan are of correlations, and the rule is none"
                           : "the rule has no such correlation");
    }
    CorrelationParameters parameters;
    if (tuning.has_count()) parameters.count = tuning.count();
    if (tuning.has_timespan()) {
      parameters.timespan = std::chrono::seconds(tuning.timespan().seconds());
    }
    YAGURA_RETURN_IF_ERROR(SetParameters(parameters, *wanted));
  }
  // Windows of other numbers must not go on from these.
  tuned.version =
      ShortHash(fmt::format("{} {} {} {} {}", rule.version, static_cast<int>(tuning.severity()),
                            tuning.has_count() ? fmt::format("{}", tuning.count()) : "",
                            tuning.timespan().seconds(), tuning.correlation()));
  rule = std::move(tuned);
  return absl::OkStatus();
}

const RuleCompiler::Kept& RuleCompiler::Parse(const std::string& key, std::string_view text,
                                              const Placeholders& values) {
  auto [known, is_new] = parsed_.try_emplace(key);
  if (!is_new) return known->second;
  auto parsed = ParseSigma(text, values);
  if (parsed.ok()) {
    known->second.rule = std::make_shared<const ParsedRule>(*std::move(parsed));
  } else {
    known->second.refused = std::string(Message(parsed.status()));
  }
  return known->second;
}

void RuleCompiler::Forget() {
  // Of two holders one is the map itself.
  std::erase_if(parsed_, [](const auto& one) { return one.second.rule.use_count() <= 1; });
}

// One rule set. "For" a tenant: as that tenant's events are matched; "" is every tenant that has
// nothing of its own.
class RuleCompiler::Job {
 public:
  Job(RuleCompiler& compiler, const std::vector<Item>& items) : compiler_(compiler) {
    for (const Item& item : items) {
      const auto settings = DecodeTenantRules(item.text);
      if (settings) settings_[item.tenant] = *settings;
    }
    AddPlaceholders(settings_[""], placeholders_[""]);
    for (const auto& [tenant, settings] : settings_) {
      if (tenant.empty()) continue;
      placeholders_[tenant] = placeholders_[""];
      AddPlaceholders(settings, placeholders_[tenant]);
    }
    for (const Item& item : items) {
      if (DecodeTenantRules(item.text)) continue;
      (IsFilter(item) ? filters_ : rules_).push_back(&item);
    }
  }

  Result Run() {
    for (const Item* item : rules_) {
      if (!item->tenant.empty()) {
        Add(*item, item->tenant, {});
        continue;
      }
      const std::set<std::string> special = TenantsOfTheirOwn(*item);
      Add(*item, "", {special.begin(), special.end()});
      for (const auto& tenant : special) Add(*item, tenant, {});
    }
    return std::move(result_);
  }

 private:
  const Kept& Parse(const Item& item, const std::string& tenant) {
    const auto own = placeholders_.find(tenant);
    const Placeholders& values = own == placeholders_.end() ? placeholders_[""] : own->second;
    if (!MayExpand(item.text)) return compiler_.Parse(item.digest, item.text, values);
    std::string key = item.digest;
    std::vector<std::string> names;
    for (const auto& [name, list] : values) names.push_back(name);
    std::ranges::sort(names);
    for (const auto& name : names) {
      key += fmt::format("/{}", name);
      for (const auto& value : values.find(name)->second) key += fmt::format(":{}", value);
    }
    return compiler_.Parse(item.digest + ShortHash(key), item.text, values);
  }

  // With anybody's placeholders, if need be.
  Parsed ParseAnyhow(const Item& item) {
    if (const Parsed& rule = Parse(item, item.tenant).rule) return rule;
    for (const auto& [tenant, values] : placeholders_) {
      if (const Parsed& rule = Parse(item, tenant).rule) return rule;
    }
    return nullptr;
  }

  bool IsFilter(const Item& item) {
    const Parsed parsed = ParseAnyhow(item);
    return parsed != nullptr && parsed->filter.has_value();
  }

  const v1::RuleTuning* TuningOf(const std::string& tenant, const std::string& rule_id) const {
    for (const std::string& of : {tenant, std::string()}) {
      const auto settings = settings_.find(of);
      if (settings == settings_.end()) continue;
      for (const auto& tuning : settings->second.tunings()) {
        if (RuleIdOf(tuning) == rule_id) return &tuning;
      }
    }
    return nullptr;
  }

  std::set<std::string> TenantsOfTheirOwn(const Item& item) {
    std::set<std::string> tenants;
    const Parsed any = ParseAnyhow(item);
    if (any == nullptr) return tenants;
    bool expands = MayExpand(item.text);
    for (const Item* filter : filters_) {
      const Parsed parsed = ParseAnyhow(*filter);
      if (parsed == nullptr || !parsed->filter->AppliesTo(*any)) continue;
      if (!filter->tenant.empty()) tenants.insert(filter->tenant);
      expands = expands || MayExpand(filter->text);
    }
    for (const auto& [tenant, settings] : settings_) {
      if (tenant.empty()) continue;
      if (expands && !settings.placeholders().empty()) tenants.insert(tenant);
      for (const auto& tuning : settings.tunings()) {
        if (RuleIdOf(tuning) == any->info().id) tenants.insert(tenant);
      }
    }
    return tenants;
  }

  void Refuse(const std::string& tenant, const Item& item, std::string_view reason) {
    result_.refusals.push_back({tenant, item.digest, std::string(reason)});
  }

  void Add(const Item& item, const std::string& tenant, std::vector<std::string> except) {
    const Kept& parsed = Parse(item, tenant);
    if (parsed.rule == nullptr) return Refuse(tenant, item, parsed.refused);
    const auto* tuning = TuningOf(tenant, parsed.rule->info().id);
    if (tuning != nullptr && tuning->match() == v1::RuleTuning::OFF) return;
    std::optional<ParsedRule> changed;
    for (const Item* filter : filters_) {
      if (!filter->tenant.empty() && filter->tenant != tenant) continue;
      const Kept& how = Parse(*filter, tenant);
      if (how.rule == nullptr) {
        Refuse(tenant, *filter, how.refused);
        continue;
      }
      if (!how.rule->filter->AppliesTo(*parsed.rule)) continue;
      if (!changed) changed = *parsed.rule;
      how.rule->filter->ApplyTo(*changed);
    }
    if (tuning != nullptr) {
      if (!changed) changed = *parsed.rule;
      const Status tuned = ApplyTuning(*tuning, *changed);
      // The rule has become another since. It is in force with its own numbers.
      if (!tuned.ok()) Refuse(tenant, item, Message(tuned));
    }
    result_.entries.push_back(
        {tenant, changed ? std::make_shared<const ParsedRule>(*std::move(changed)) : parsed.rule,
         std::move(except)});
  }

  RuleCompiler& compiler_;
  std::map<std::string, TenantRules> settings_;
  std::map<std::string, Placeholders> placeholders_;
  std::vector<const Item*> rules_;
  std::vector<const Item*> filters_;
  Result result_;
};

RuleCompiler::Result RuleCompiler::Compile(const std::vector<Item>& items) {
  return Job(*this, items).Run();
}

}  // namespace yagura::detection
