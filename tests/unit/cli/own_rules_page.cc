#include "tests/unit/cli/own_rules_page.h"

#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>
#include <vector>

#include "fmt/format.h"
#include "fmt/ranges.h"
#include "yaml-cpp/yaml.h"

#include "common/text/text.h"
#include "tests/unit/cli/own_rules_cases.h"

namespace yagura::cli::testing {
namespace {

struct Document {
  YAML::Node node;
  std::string text;
};

std::vector<Document> DocumentsOf(const std::string& rule) {
  std::ifstream in(SourceFolder() + "/content/sigma/" + rule + ".yml");
  std::stringstream whole;
  whole << in.rdbuf();
  const std::string text = whole.str();
  std::vector<Document> documents;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find("\n---\n", at), text.size());
    documents.push_back({YAML::Load(text.substr(at, end - at)), text.substr(at, end - at)});
    at = end + 5;
  }
  return documents;
}

std::vector<std::string> TextsOf(const YAML::Node& node) {
  return node.as<std::vector<std::string>>(std::vector<std::string>());
}

// What the comments within the correlation say.
std::string ReasonOf(const Document& document) {
  const size_t begin = document.text.find("\ncorrelation:\n");
  std::vector<std::string> parts;
  if (begin == std::string::npos) return "";
  bool goes_on = false;
  for (const auto line : Split(std::string_view(document.text).substr(begin), '\n')) {
    const std::string_view trimmed = Trim(line);
    const bool is_comment = trimmed.starts_with("#");
    if (is_comment && goes_on) {
      parts.back() += " " + std::string(Trim(trimmed.substr(1)));
    } else if (is_comment) {
      parts.emplace_back(Trim(trimmed.substr(1)));
    }
    goes_on = is_comment;
  }
  return fmt::format("{}", fmt::join(parts, " "));
}

std::string ConditionOf(const YAML::Node& correlation) {
  std::vector<std::string> comparisons;
  std::string measure = correlation["type"].as<std::string>();
  for (const auto& entry : correlation["condition"]) {
    if (entry.first.as<std::string>() == "field") {
      measure += fmt::format(" of `{}`", entry.second.as<std::string>());
    } else {
      comparisons.push_back(
          fmt::format("{} {}", entry.first.as<std::string>(), entry.second.as<std::string>()));
    }
  }
  return fmt::format("{} {} within {}, by `{}`", measure, fmt::join(comparisons, ", "),
                     correlation["timespan"].as<std::string>(),
                     fmt::join(TextsOf(correlation["group-by"]), "`, `"));
}

std::set<std::string> PlaceholdersIn(const std::vector<Document>& documents) {
  std::set<std::string> names;
  for (const auto& document : documents) {
    for (size_t at = document.text.find("expand: '%"); at != std::string::npos;
         at = document.text.find("expand: '%", at + 1)) {
      const size_t begin = at + 9;
      names.insert(document.text.substr(begin, document.text.find('\'', begin) - begin));
    }
  }
  return names;
}

std::string Techniques(const YAML::Node& tags) {
  std::string text;
  for (const auto& tag : TextsOf(tags)) {
    if (!tag.starts_with("attack.t") || tag.size() < 9 || tag[8] < '0' || tag[8] > '9') continue;
    text += fmt::format(", T{}", tag.substr(8));
  }
  return text;
}

std::string SectionOf(const std::string& rule) {
  const auto documents = DocumentsOf(rule);
  const auto outer = std::ranges::find_if(documents, [&](const Document& one) {
    return documents.size() == 1 || !one.node["name"].IsDefined();
  });
  const YAML::Node& node = outer->node;
  const auto id = node["id"].as<std::string>();
  std::string text =
      fmt::format("### {}\n\n`{}`, {}{}, `{}`\n\n{}\n\n", node["title"].as<std::string>(), rule,
                  node["level"].as<std::string>(), Techniques(node["tags"]), id,
                  node["description"].as<std::string>());
  if (!node["correlation"].IsDefined()) {
    text += "- Found: each event; those of ten minutes about the same are one finding\n";
  }
  for (const auto& document : documents) {
    const YAML::Node& correlation = document.node["correlation"];
    if (!correlation.IsDefined()) continue;
    const bool inner = document.node["name"].IsDefined();
    text += fmt::format("- {}: {}\n", inner ? "Counted" : "Found", ConditionOf(correlation));
    if (const auto why = ReasonOf(document); !why.empty()) text += fmt::format("- Why: {}\n", why);
  }
  for (const auto& name : PlaceholdersIn(documents)) {
    text += fmt::format("- In force for tenants that have `{}`\n", name);
  }
  if (node["correlation"].IsDefined()) {
    text += fmt::format(
        "- To agree on other numbers: `yagura tuning set {} --tenant T --count N --timespan {}`\n",
        id, node["correlation"]["timespan"].as<std::string>());
  }
  return text +
         fmt::format("- May be right: {}\n\n", fmt::join(TextsOf(node["falsepositives"]), "; "));
}

}  // namespace

std::string OwnRulesPage() {
  std::vector<std::string> rules;
  for (const auto& [id, rule] : OwnRuleNames()) rules.push_back(rule);
  std::ranges::sort(rules);
  std::string page;
  std::string chapter;
  for (const auto& rule : rules) {
    const std::string folder = rule.substr(0, rule.find('/'));
    if (folder != chapter) page += fmt::format("## {}\n\n", folder);
    chapter = folder;
    page += SectionOf(rule);
  }
  page.pop_back();
  return page;
}

}  // namespace yagura::cli::testing
