#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cli/detect/detector.h"

#include "services/detection/domain/engine/pattern.h"
#include "services/ingestion/domain/enrichment/enricher.h"

// What our own rules (content/sigma) are to find in lines of devices: cases in the files of
// tests/unit/cli/own_rules, one file a rule. How a file is written stands in its README.
namespace yagura::cli::testing {

struct OwnRuleCase {
  std::string rule;  // "firewall/port_scan": its file below content/sigma, and the case's
  std::string name;
  std::vector<std::string> lines;
  detection::Placeholders placeholders;
  std::map<std::string, std::string> countries;  // by network, as a GeoIP file says
  std::vector<std::string> networks;             // of the tenant's site, besides private ones
  std::vector<std::string> findings;             // all of them, as FindingText has them
};
// For GoogleTest.
void PrintTo(const OwnRuleCase& one, std::ostream* out);

// All cases of all files; throws where one cannot be read.
std::vector<OwnRuleCase> LoadOwnRuleCases();

// The folder of the sources.
std::string SourceFolder();
// "firewall/port_scan" by the id of each rule below content/sigma.
std::map<std::string, std::string> OwnRuleNames();
// Values for all placeholders of our own rules.
detection::Placeholders ExamplePlaceholders();

// "firewall/port_scan 30 events, src.ip 203.0.113.9, value_count(dst.port) 30".
std::string FindingText(const detection::v1::Finding& finding,
                        const std::map<std::string, std::string>& names);

// What the rules find in lines, as `yagura detect` finds it; `enrichment` null: events stay as they
// are.
std::vector<detection::v1::Finding> Detect(
    const std::vector<std::string>& lines, const detection::Placeholders& placeholders,
    std::shared_ptr<const ingestion::CurrentEnrichment> enrichment = nullptr);

}  // namespace yagura::cli::testing
