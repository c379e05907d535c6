#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "services/detection/domain/engine/sigma_rule.h"
#include "yagura/detection/v1/rule_coverage.pb.h"

// Whether rules can match with the logs that a tenant sends.
namespace yagura::detection {

// Events that are alike in what most logsources tell them apart by.
struct EventShape {
  std::string product;
  std::string category;
  std::string channel;    // of Windows
  std::string vendor_id;  // Windows: the event id
  uint64_t count = 0;
};

// What is known by then of a condition.
enum class Truth { kFalse, kUnknown, kTrue };

// Whether events of that shape are of the logsource with that test.
Truth IsOf(const Expression& logsource_test, const EventShape& shape);

// Of events of one kind: what `@product` and `@category` are. Other values are not looked at: an
// event that has not come yet may come tomorrow.
struct EventKind {
  std::string product;
  std::string category;

  auto operator<=>(const EventKind&) const = default;
};

// Whether a condition may hold for events that have no other fields than these; of that kind where
// one is given.
Truth MayHold(const Expression& condition, const std::set<std::string>& seen_fields,
              const EventKind* kind = nullptr);

// Every field that the expression looks at.
void AddFields(const Expression& expression, std::set<std::string>& fields);

// The same for rules of the same logsource: "product: windows, category: process_creation".
std::string LogsourceKey(const Logsource& logsource);

// What was seen of one logsource.
struct SeenSource {
  uint64_t events = 0;
  bool fields_known = true;        // false: too much to look at; any field may be there
  std::set<std::string> fields;    // of those that rules ask for
  std::set<EventKind> kinds = {};  // that may be of it; empty: not known
};

// Whether the rule, or the correlation that is outermost in its text, can match. `sources` has
// every logsource of the text by its key. Without `rule`.
v1::RuleCoverage CoverageOf(const ParsedRule& parsed,
                            const std::map<std::string, SeenSource>& sources);

// By technique, in their order; "" for rules without one.
std::vector<v1::TechniqueCoverage> ByTechnique(const std::vector<v1::RuleCoverage>& rules);

}  // namespace yagura::detection
