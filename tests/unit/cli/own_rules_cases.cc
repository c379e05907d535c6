#include "tests/unit/cli/own_rules_cases.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>

#include "cli/offline_lines.h"
#include "fmt/chrono.h"
#include "fmt/format.h"
#include "fmt/ranges.h"
#include "yaml-cpp/yaml.h"

#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::cli::testing {
namespace {

using std::chrono::seconds;

// 2026-11-23T01:00:00Z, a Monday. Lines are received two days later.
constexpr int64_t kStart = 1'795'395'600;
constexpr char kReceived[] = "2026-11-25T01:00:00Z";

struct Line {
  int64_t time = 0;
  std::string text;
};

int64_t SecondsOf(const std::string& text) {
  static const std::map<char, int64_t> kUnits = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
  const auto unit = kUnits.find(text.empty() ? '?' : text.back());
  const auto number = ParseNumber<int64_t>(std::string_view(text).substr(0, text.size() - 1));
  if (unit == kUnits.end() || !number) throw std::runtime_error("no time span: " + text);
  return *number * unit->second;
}

// "${i}", "${s}", "${ns}" and "${%H:%M:%S}" become what they stand for.
std::string Fill(const std::string& text, int64_t time, int64_t i) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t open = text.find("${", at);
    const size_t close = open == std::string::npos ? open : text.find('}', open);
    out += text.substr(at, open == std::string::npos ? open : open - at);
    if (close == std::string::npos) break;
    const std::string what = text.substr(open + 2, close - open - 2);
    if (what == "i") {
      out += fmt::format("{}", i);
    } else if (what == "s") {
      out += fmt::format("{}", time);
    } else if (what == "ns") {
      out += fmt::format("{}000000000", time);
    } else {
      out += fmt::format(fmt::runtime("{:" + what + "}"), fmt::gmtime(time));
    }
    at = close + 1;
  }
  return out;
}

void AddLines(const YAML::Node& node, std::vector<Line>& lines) {
  const int64_t begin = kStart + SecondsOf(node["at"].as<std::string>("0s"));
  const auto times = node["times"].as<int64_t>(1);
  const int64_t every = SecondsOf(node["every"].as<std::string>("1s"));
  const auto first = node["from"].as<int64_t>(1);
  for (int64_t k = 0; k < times; ++k) {
    const int64_t time = begin + k * every;
    lines.push_back({time, Fill(node["text"].as<std::string>(), time, first + k)});
  }
}

OwnRuleCase ReadCase(const std::string& rule, const YAML::Node& node) {
  for (const auto& entry : node) {
    static const std::vector<std::string> kKeys = {
        "case", "lines", "reversed", "placeholders", "countries", "networks", "findings"};
    const auto key = entry.first.as<std::string>();
    if (std::ranges::find(kKeys, key) == kKeys.end()) throw std::runtime_error("key " + key);
  }
  OwnRuleCase one;
  one.rule = rule;
  one.name = node["case"].as<std::string>();
  std::vector<Line> lines;
  for (const auto& block : node["lines"]) AddLines(block, lines);
  std::stable_sort(lines.begin(), lines.end(),
                   [](const Line& a, const Line& b) { return a.time < b.time; });
  if (node["reversed"].as<bool>(false)) std::reverse(lines.begin(), lines.end());
  for (auto& line : lines) one.lines.push_back(std::move(line.text));
  for (const auto& entry : node["placeholders"]) {
    one.placeholders[entry.first.as<std::string>()] = entry.second.as<std::vector<std::string>>();
  }
  one.countries = node["countries"].as<std::map<std::string, std::string>>(one.countries);
  one.networks = node["networks"].as<std::vector<std::string>>(one.networks);
  one.findings = node["findings"].as<std::vector<std::string>>();
  return one;
}

std::vector<std::filesystem::path> FilesBelow(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.path().extension() == ".yml") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::string NameOf(const std::filesystem::path& file, const std::filesystem::path& folder) {
  return std::filesystem::relative(file, folder).replace_extension().string();
}

// Compiled once for each set of placeholders.
std::shared_ptr<const detection::RuleSet> RulesWith(const detection::Placeholders& placeholders) {
  static std::map<std::string, std::shared_ptr<const detection::RuleSet>> kept;
  std::map<std::string, std::vector<std::string>> ordered(placeholders.begin(), placeholders.end());
  std::string key;
  for (const auto& [id, values] : ordered)
    key += fmt::format("{}={}\n", id, fmt::join(values, ","));
  auto& set = kept[key];
  if (set != nullptr) return set;
  const auto loaded = LoadRules({SourceFolder() + "/content/sigma"}, placeholders);
  if (!loaded.ok()) throw std::runtime_error(loaded.status().ToString());
  return set = loaded->set;
}

std::shared_ptr<const ingestion::ParserCatalogue> Parsers() {
  static const auto kLoaded = [] {
    OfflineOptions options;
    options.content = SourceFolder() + "/content";
    auto parsers = LoadParsers(options);
    if (!parsers.ok()) throw std::runtime_error(parsers.status().ToString());
    return *parsers;
  }();
  return kLoaded;
}

}  // namespace

void PrintTo(const OwnRuleCase& one, std::ostream* out) { *out << one.rule << ": " << one.name; }

std::string SourceFolder() {
  const char* source = std::getenv("YAGURA_SOURCE_DIR");
  return source != nullptr ? source : ".";
}

std::vector<OwnRuleCase> LoadOwnRuleCases() {
  const std::filesystem::path folder = SourceFolder() + "/tests/unit/cli/own_rules";
  std::vector<OwnRuleCase> cases;
  for (const auto& file : FilesBelow(folder)) {
    try {
      for (const auto& node : YAML::LoadFile(file.string())) {
        cases.push_back(ReadCase(NameOf(file, folder), node));
      }
    } catch (const std::exception& error) {
      throw std::runtime_error(file.string() + ": " + error.what());
    }
  }
  return cases;
}

detection::Placeholders ExamplePlaceholders() {
  return {{"maintenance-hours", {"13", "14", "15"}},
          {"server-destinations", {"203.0.113.0/24"}},
          {"servers", {"10.0.10.0/24", "10.0.20.5/32"}},
          {"watched-hosts", {"10.0.10.0/24", "10.0.30.0/24"}}};
}

std::map<std::string, std::string> OwnRuleNames() {
  const std::filesystem::path folder = SourceFolder() + "/content/sigma";
  std::map<std::string, std::string> names;
  const auto placeholders = ExamplePlaceholders();
  for (const auto& file : FilesBelow(folder)) {
    const auto loaded = LoadRules({file.string()}, placeholders);
    if (!loaded.ok()) throw std::runtime_error(loaded.status().ToString());
    if (!loaded->refused.empty()) throw std::runtime_error(loaded->refused.front());
    for (const auto& entry : loaded->set->entries()) {
      names[entry.rule->info().id] = NameOf(file, folder);
    }
  }
  return names;
}

std::string FindingText(const detection::v1::Finding& finding,
                        const std::map<std::string, std::string>& names) {
  const auto name = names.find(finding.rule_id());
  std::string text = fmt::format(
      "{} {} events", name == names.end() ? finding.title() : name->second, finding.event_count());
  for (const auto& field : finding.matched_fields()) {
    if (!field.value().empty()) text += fmt::format(", {} {}", field.name(), field.value());
  }
  return text;
}

std::vector<detection::v1::Finding> Detect(
    const std::vector<std::string>& lines, const detection::Placeholders& placeholders,
    std::shared_ptr<const ingestion::CurrentEnrichment> enrichment) {
  OfflineOptions options;
  options.received = kReceived;
  auto reader = OfflineLines::Make(options, Parsers());
  if (!reader.ok()) throw std::runtime_error(reader.status().ToString());
  Detector detector(RulesWith(placeholders), (*reader)->receive_time());
  ingestion::Enricher enricher(enrichment);
  for (const auto& line : lines) {
    auto& event = (*reader)->Read(line).event;
    if (enrichment != nullptr) enricher.Enrich("local", &event);
    const auto added = detector.Add(event);
    if (!added.ok()) throw std::runtime_error(added.ToString());
  }
  auto findings = detector.Finish();
  if (!findings.ok()) throw std::runtime_error(findings.status().ToString());
  return *std::move(findings);
}

}  // namespace yagura::cli::testing
