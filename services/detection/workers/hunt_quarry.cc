#include "services/detection/workers/hunt_quarry.h"

#include <string_view>
#include <utility>

#include "fmt/format.h"

#include "common/status/status.h"
#include "services/detection/domain/findings.h"
#include "services/detection/domain/indicators.h"
#include "services/detection/domain/tags.h"

namespace yagura::detection {
namespace {

using internal::v1::HuntPlan;

constexpr size_t kMaxTaggedRules = 50;

std::vector<std::string> CvesOf(const ParsedRule& rule) {
  std::vector<std::string> cves;
  const auto add = [&cves](const RuleInfo& info) {
    for (const auto& tag : info.tags) {
      if (std::string cve = CveOf(tag); !cve.empty()) cves.push_back(std::move(cve));
    }
  };
  add(rule.info());
  for (const auto& single : rule.rules) add(single.info);
  return cves;
}

// Placeholders that a rule names and the tenant has no values for are told as such: values are set
// for whoever asked.
absl::Status WhyNotHere(const std::string& text, const Placeholders& placeholders,
                        const absl::Status& refused) {
  const auto any = ParseSigma(text, {{"", {std::string(kAnyValue)}}});
  std::string missing;
  for (const auto& name : any.ok() ? any->placeholders : std::vector<std::string>()) {
    if (FindPlaceholder(placeholders, name) != nullptr) continue;
    missing += fmt::format("{}%{}%", missing.empty() ? "" : ", ", name);
  }
  if (missing.empty()) return refused;
  return MakeError(absl::StatusCode::kInvalidArgument, kNoPlaceholderValue,
                   fmt::format("The rule names placeholders that have no value for this tenant: "
                               "{}.",
                               missing));
}

}  // namespace

absl::StatusOr<HuntQuarry> HuntQuarries::Make(const v1::Hunt& hunt, const HuntPlan& plan,
                                              const std::string& tenant) const {
  if (hunt.has_vulnerability()) return OfVulnerability(hunt, tenant);
  if (hunt.has_rule()) return OfRule(hunt, plan, tenant);
  HuntQuarry quarry;
  YAGURA_ASSIGN_OR_RETURN(auto indicators, ParseIndicators(plan.indicator_text()));
  quarry.digest = ShortDigest({plan.indicator_text()});
  quarry.probe = NewIndicatorProbe(std::move(indicators));
  YAGURA_ASSIGN_OR_RETURN(quarry.products,
                          ProductsOf(hunt.product(), {}, parts_.surroundings->kev().get()));
  return quarry;
}

absl::StatusOr<HuntQuarry> HuntQuarries::OfRule(const v1::Hunt& hunt, const HuntPlan& plan,
                                                const std::string& tenant) const {
  YAGURA_ASSIGN_OR_RETURN(const auto placeholders, parts_.placeholders(tenant));
  auto parsed = ParseSigma(plan.rule_text(), placeholders);
  if (!parsed.ok()) return WhyNotHere(plan.rule_text(), placeholders, parsed.status());
  ParsedRule rule = *std::move(parsed);
  HuntQuarry quarry;
  YAGURA_ASSIGN_OR_RETURN(
      quarry.products, ProductsOf(hunt.product(), CvesOf(rule), parts_.surroundings->kev().get()));
  std::string values;
  for (const auto& name : rule.placeholders) {
    values += name + "\n";
    if (const auto* found = FindPlaceholder(placeholders, name)) {
      for (const auto& value : *found) values += value + "\n";
    }
  }
  quarry.digest = ShortDigest({plan.rule_text(), values});
  quarry.probe = NewRuleProbe(tenant, std::move(rule), windows_);
  return quarry;
}

absl::StatusOr<HuntQuarry> HuntQuarries::OfVulnerability(const v1::Hunt& hunt,
                                                         const std::string& tenant) const {
  const std::string& cve = hunt.vulnerability().cve();
  const auto kev = parts_.surroundings->kev();
  HuntQuarry quarry;
  YAGURA_ASSIGN_OR_RETURN(quarry.products, ProductsOf(hunt.product(), {cve}, kev.get()));
  if (quarry.products.empty()) {
    quarry.remarks.emplace_back(
        kev == nullptr ? "Which product it is about is not known: none was named, and no catalogue "
                         "of known exploited vulnerabilities (CISA KEV) is loaded (setting "
                         "kev_file)."
                       : "Which product it is about is not known: it is not in CISA's catalogue, "
                         "and none was named.");
  }
  YAGURA_ASSIGN_OR_RETURN(const auto placeholders, parts_.placeholders(tenant));
  YAGURA_ASSIGN_OR_RETURN(const auto texts, parts_.rules_about(tenant, cve));
  std::vector<ParsedRule> rules;
  std::vector<std::string_view> parts = {cve};
  for (const auto& product : quarry.products) parts.push_back(product.name);
  for (const std::string& text : texts) {
    auto rule = ParseSigma(text, placeholders);
    if (!rule.ok()) {
      // Why says what is in the rule, which is not for everybody who reads the result.
      parts_.logger.Warning("a rule about a vulnerability cannot be matched",
                            {{"tenant", tenant}, {"cve", cve}, {"error", Message(rule.status())}});
      quarry.remarks.emplace_back("A rule about it cannot be matched here.");
    } else if (!rule->correlations.empty() || rule->filter) {
      quarry.remarks.push_back(
          fmt::format("The correlation \"{}\" is not looked at.", rule->info().title));
    } else if (rules.size() == kMaxTaggedRules) {
      quarry.remarks.push_back(fmt::format("Only {} rules are looked at.", kMaxTaggedRules));
      break;
    } else {
      parts.push_back(text);
      rules.push_back(*std::move(rule));
    }
  }
  quarry.digest = ShortDigest(parts);
  quarry.probe = NewVulnerabilityProbe(tenant, cve, std::move(rules), quarry.products);
  return quarry;
}

}  // namespace yagura::detection
