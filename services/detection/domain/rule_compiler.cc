#include "services/detection/domain/rule_compiler.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/digest/sha256.h"
#include "common/status/status.h"
#include "services/detection/domain/engine/correlation.h"
#include "services/detection/domain/rule_resource.h"
#include "services/detection/domain/rule_state.h"

namespace yagura::detection {
namespace {

using internal::v1::TenantRules;

// No text of a rule begins like this: YAML has no such characters.
constexpr char kTenantRulesMark = '\x01';

// Whatever a text names has values, none of which is looked at.
Placeholders AnyPlaceholders() { return {{"", {std::string(kAnyValue)}}}; }

std::string LastPart(std::string_view name) {
  return std::string(name.substr(name.rfind('/') + 1));
}

std::string RuleIdOf(const v1::RuleTuning& tuning) { return LastPart(tuning.name()); }

}  // namespace

bool MayExpand(std::string_view text) { return text.find("expand") != std::string_view::npos; }

void AddPlaceholders(const TenantRules& tenant, Placeholders& values) {
  for (const auto& placeholder : tenant.placeholders()) {
    values[LastPart(placeholder.name())] = {placeholder.values().begin(),
                                            placeholder.values().end()};
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

absl::Status CheckPlaceholder(const v1::Placeholder& placeholder,
                              const std::vector<std::string>& texts) {
  const std::string id = LastPart(placeholder.name());
  const auto refusal = [&id](std::string_view text, std::vector<std::string> values) {
    Placeholders trial = AnyPlaceholders();
    trial[id] = std::move(values);
    return ParseSigma(text, trial).status();
  };
  for (const auto& text : texts) {
    if (!MayExpand(text)) continue;
    const Status all = refusal(text, {placeholder.values().begin(), placeholder.values().end()});
    if (all.ok()) continue;
    const auto rule = ParseSigma(text, AnyPlaceholders());
    if (!rule.ok()) continue;  // whatever the values
    const auto told = [&rule](const Status& why) {
      return fmt::format("does not fit rule \"{}\" ({}): {}", rule->info().title, rule->info().id,
                         Message(why));
    };
    for (int i = 0; i < placeholder.values_size(); ++i) {
      const Status one = refusal(text, {placeholder.values(i)});
      if (!one.ok()) return InvalidField(fmt::format("placeholder.values[{}]", i), told(one));
    }
    return InvalidField("placeholder.values", told(all));
  }
  return absl::OkStatus();
}

absl::Status ApplyTuning(const v1::RuleTuning& tuning, ParsedRule& rule) {
  const std::string version = rule.version;
  if (tuning.severity() != event::v1::SEVERITY_UNSPECIFIED) {
    RuleInfo& info =
        rule.correlations.empty() ? rule.rules.front().info : rule.correlations.front().info;
    info.severity = static_cast<int>(tuning.severity());
  }
  // Windows of other numbers must not go on from these.
  rule.version =
      Sha256Hex(fmt::format("{} {} {} {} {}", version, static_cast<int>(tuning.severity()),
                            tuning.has_count() ? fmt::format("{}", tuning.count()) : "",
                            tuning.timespan().seconds(), tuning.correlation()))
          .substr(0, 12);
  if (!tuning.has_count() && !tuning.has_timespan()) return absl::OkStatus();
  const auto wanted = std::ranges::find_if(rule.correlations, [&](const Correlation& one) {
    return tuning.correlation().empty() || one.info.id == tuning.correlation();
  });
  if (wanted == rule.correlations.end()) {
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
  return SetParameters(parameters, *wanted);
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
  // Of two holders one is the map itself. What was made first: it does not hold what it is made of,
  // but is looked up by it.
  const auto is_unused = [](const auto& one) { return one.second.rule.use_count() <= 1; };
  std::erase_if(made_, is_unused);
  std::erase_if(parsed_, is_unused);
}

// One rule set. "For" a tenant: as that tenant's events are matched; "" is every tenant that has
// nothing of its own.
class RuleCompiler::Job {
 public:
  Job(RuleCompiler& compiler, const std::vector<Item>& items) : compiler_(compiler) {
    std::map<std::string, TenantRules> settings;
    std::vector<const Item*> texts;
    for (const Item& item : items) {
      if (auto decoded = DecodeTenantRules(item.text)) {
        settings[item.tenant] = *std::move(decoded);
      } else {
        texts.push_back(&item);
      }
    }
    AddPlaceholders(settings[""], placeholders_[""]);
    for (auto& [tenant, of_tenant] : settings) {
      for (auto& tuning : *of_tenant.mutable_tunings()) {
        const std::string rule = RuleIdOf(tuning);
        tunings_[rule].try_emplace(tenant, std::move(tuning));
      }
      for (const auto& rule : of_tenant.untold_rules()) untold_.insert({tenant, rule});
      if (tenant.empty()) continue;
      Placeholders own;
      AddPlaceholders(of_tenant, own);
      for (const auto& [id, values] : own) setters_[id].insert(tenant);
      Placeholders& all = placeholders_[tenant] = placeholders_[""];
      for (auto& [id, values] : own) all[id] = std::move(values);
    }
    for (const Item* item : texts) {
      const Kept& parsed = ParseAnyhow(*item);
      if (parsed.rule == nullptr) {
        Refuse(item->tenant, *item, nullptr, parsed.refused);
      } else if (parsed.rule->filter) {
        filters_.push_back({item, parsed.rule});
      } else {
        rules_.push_back({item, parsed.rule});
      }
    }
  }

  Result Run() {
    for (const Text& rule : rules_) {
      std::vector<const Text*> narrowing;
      for (const Text& filter : filters_) {
        if (filter.any->filter->AppliesTo(*rule.any)) narrowing.push_back(&filter);
      }
      if (!rule.item->tenant.empty()) {
        Add(rule, narrowing, rule.item->tenant, {});
        continue;
      }
      const std::set<std::string> special = TenantsOfTheirOwn(rule, narrowing);
      Add(rule, narrowing, "", {special.begin(), special.end()});
      for (const auto& tenant : special) Add(rule, narrowing, tenant, {});
    }
    return std::move(result_);
  }

 private:
  struct Text {
    const Item* item;
    Parsed any;  // whatever the values of placeholders
  };
  struct Made {
    const Kept* kept;
    std::string key;  // of what it was made of
  };

  const Kept& ParseAnyhow(const Item& item) {
    if (!MayExpand(item.text)) return compiler_.Parse(item.digest, item.text, {});
    return compiler_.Parse(item.digest + "/any", item.text, AnyPlaceholders());
  }

  // For the tenant. Tenants with the same values of all that the text names share it.
  Made Parse(const Text& text, const std::string& tenant) {
    const Item& item = *text.item;
    if (!MayExpand(item.text)) {
      return {&compiler_.Parse(item.digest, item.text, {}), item.digest};
    }
    const auto own = placeholders_.find(tenant);
    const Placeholders& values = own == placeholders_.end() ? placeholders_[""] : own->second;
    std::string named;  // each part behind its size: no two lists are one text
    for (const auto& name : text.any->placeholders) {
      const auto* found = FindPlaceholder(values, name);
      named += fmt::format("{}:{}{},", name.size(), name, found == nullptr ? 0 : found->size());
      if (found == nullptr) continue;
      for (const auto& value : *found) named += fmt::format("{}:{}", value.size(), value);
    }
    std::string key = fmt::format("{}/{}", item.digest, Sha256Hex(named));
    const Kept& kept = compiler_.Parse(key, item.text, values);
    return {&kept, std::move(key)};
  }

  const v1::RuleTuning* TuningOf(const std::string& tenant, const std::string& rule_id) const {
    const auto tunings = tunings_.find(rule_id);
    if (tunings == tunings_.end()) return nullptr;
    for (const std::string& of : {tenant, std::string()}) {
      const auto found = tunings->second.find(of);
      if (found != tunings->second.end()) return &found->second;
    }
    return nullptr;
  }

  void AddSetters(const ParsedRule& of, std::set<std::string>& tenants) const {
    for (const auto& name : of.placeholders) {
      for (const std::string& id : {name, PlaceholderId(name)}) {
        const auto found = setters_.find(id);
        if (found != setters_.end()) tenants.insert(found->second.begin(), found->second.end());
      }
    }
  }

  std::set<std::string> TenantsOfTheirOwn(const Text& rule,
                                          const std::vector<const Text*>& narrowing) const {
    std::set<std::string> tenants;
    AddSetters(*rule.any, tenants);
    for (const Text* filter : narrowing) {
      if (filter->item->tenant.empty()) {
        AddSetters(*filter->any, tenants);
      } else {
        tenants.insert(filter->item->tenant);
      }
    }
    if (const auto tuned = tunings_.find(rule.any->info().id); tuned != tunings_.end()) {
      for (const auto& [tenant, tuning] : tuned->second) tenants.insert(tenant);
      tenants.erase("");
    }
    return tenants;
  }

  // Where the rule stands for a tenant: by the tenant's own word, else as its owner says.
  v1::RuleState StateFor(const Text& rule, const std::string& tenant) const {
    const std::string& id = rule.any->info().id;
    const auto* tuning = tenant.empty() ? nullptr : TuningOf(tenant, id);
    if (tuning != nullptr && tuning->state() != v1::RULE_STATE_UNSPECIFIED) return tuning->state();
    return untold_.contains({rule.item->tenant, id}) ? v1::TEST : v1::ACTIVE;
  }

  void Refuse(const std::string& tenant, const Item& item, const ParsedRule* any,
              std::string_view reason) {
    if (!refused_.insert({tenant, item.digest}).second) return;
    result_.refusals.push_back({tenant, item.digest, any == nullptr ? "" : any->info().id,
                                any == nullptr ? "" : any->info().title, std::string(reason)});
  }

  void Add(const Text& rule, const std::vector<const Text*>& narrowing, const std::string& tenant,
           std::vector<std::string> except) {
    const Made parsed = Parse(rule, tenant);
    if (parsed.kept->rule == nullptr) {
      return Refuse(tenant, *rule.item, rule.any.get(), parsed.kept->refused);
    }
    const auto* tuning = TuningOf(tenant, rule.any->info().id);
    if (tuning != nullptr && tuning->match() == v1::RuleTuning::OFF) return;
    const v1::RuleState state = StateFor(rule, tenant);
    if (!IsMatched(state)) return;
    std::string key = parsed.key;
    std::vector<Parsed> filters;
    for (const Text* filter : narrowing) {
      if (!filter->item->tenant.empty() && filter->item->tenant != tenant) continue;
      const Made how = Parse(*filter, tenant);
      if (how.kept->rule == nullptr) {
        Refuse(tenant, *filter->item, filter->any.get(), how.kept->refused);
        continue;
      }
      filters.push_back(how.kept->rule);
      key += "+" + how.key;
    }
    if (tuning != nullptr) {
      v1::RuleTuning what = *tuning;
      what.clear_name();
      key += "#" + Sha256Hex(what.SerializeAsString());
    }
    const bool untold = IsUntold(state);
    if (untold) key += "#untold";
    const Kept& made = Make(key, parsed.kept->rule, filters, tuning, untold);
    // The rule has become another since. It is in force with its own numbers.
    if (!made.refused.empty()) Refuse(tenant, *rule.item, rule.any.get(), made.refused);
    result_.entries.push_back({tenant, made.rule, std::move(except)});
  }

  const Kept& Make(const std::string& key, const Parsed& rule, const std::vector<Parsed>& filters,
                   const v1::RuleTuning* tuning, bool untold) {
    auto [known, is_new] = compiler_.made_.try_emplace(key);
    Kept& made = known->second;
    if (!is_new) return made;
    made.rule = rule;
    if (filters.empty() && tuning == nullptr && !untold) return made;
    ParsedRule changed = *rule;
    for (const auto& filter : filters) filter->filter->ApplyTo(changed);
    if (tuning != nullptr) {
      const Status tuned = ApplyTuning(*tuning, changed);
      if (!tuned.ok()) made.refused = std::string(Message(tuned));
    }
    if (untold) {
      changed.untold = true;
      // What is told and what is not are no windows of the same.
      changed.version = Sha256Hex(changed.version + " untold").substr(0, 12);
    }
    made.rule = std::make_shared<const ParsedRule>(std::move(changed));
    return made;
  }

  RuleCompiler& compiler_;
  std::map<std::string, std::map<std::string, v1::RuleTuning>> tunings_;  // by rule and tenant
  std::map<std::string, Placeholders> placeholders_;                      // by tenant
  std::map<std::string, std::set<std::string>> setters_;  // tenants with values of their own
  std::vector<Text> rules_;
  std::vector<Text> filters_;
  std::set<std::pair<std::string, std::string>> untold_;   // tenant, rule id
  std::set<std::pair<std::string, std::string>> refused_;  // tenant, digest
  Result result_;
};

RuleCompiler::Result RuleCompiler::Compile(const std::vector<Item>& items) {
  return Job(*this, items).Run();
}

}  // namespace yagura::detection
