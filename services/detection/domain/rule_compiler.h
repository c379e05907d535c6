#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "common/text/text.h"
#include "services/detection/domain/engine/rule_set.h"
#include "yagura/detection/internal/v1/tenant_rules.pb.h"

namespace yagura::detection {

// Adds placeholders by their ids; what was there is replaced.
void AddPlaceholders(const internal::v1::TenantRules& tenant, Placeholders& values);

// What a tenant's placeholders and tunings are in a rule set; nothing for a rule's text.
std::string EncodeTenantRules(const internal::v1::TenantRules& rules);
std::optional<internal::v1::TenantRules> DecodeTenantRules(std::string_view text);

// Changes a rule as agreed: its severity and numbers, and its version. RULE_REFUSED where its
// correlation cannot keep the numbers: these stay its own then.
absl::Status ApplyTuning(const v1::RuleTuning& tuning, ParsedRule& rule);

// Whether new values of a placeholder fit wherever `texts`, rules and filters, use it.
// INVALID_ARGUMENT naming the value, as a field of an API's request, and the rule.
absl::Status CheckPlaceholder(const v1::Placeholder& placeholder,
                              const std::vector<std::string>& texts);

// Whether placeholders may matter to a text.
bool MayExpand(std::string_view text);

// Puts the texts of a rule set together: rules and filters of all tenants and of single ones, with
// the placeholders and tunings of tenants. A rule that is different for some tenants becomes an
// entry for each of them and one for all others; tenants for whom it is alike share it. Keeps what
// it has made. Not thread-safe.
class RuleCompiler {
 public:
  struct Item {
    std::string tenant;  // tenant id; empty: all tenants
    std::string digest;  // SHA-256 of the text
    std::string_view text;
  };
  // A text that is not in force for a tenant, or not as agreed; told once.
  struct Refusal {
    std::string tenant;
    std::string digest;
    std::string rule;  // Sigma id and title, where the text can be read at all
    std::string title;
    std::string reason;
  };
  struct Result {
    std::vector<RuleSet::Entry> entries;
    std::vector<Refusal> refusals;
  };
  Result Compile(const std::vector<Item>& items);
  // Forgets what no set holds any more.
  void Forget();

 private:
  using Parsed = std::shared_ptr<const ParsedRule>;  // null: refused
  class Job;
  struct Kept {
    Parsed rule;
    std::string refused;
  };
  const Kept& Parse(const std::string& key, std::string_view text, const Placeholders& values);

  StringMap<Kept> parsed_;  // by digest, and by the digest of values where placeholders matter
  StringMap<Kept> made_;    // filtered and tuned: by the keys of all that made it
};

}  // namespace yagura::detection
