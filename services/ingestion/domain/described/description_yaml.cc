#include <re2/re2.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>
#include <initializer_list>

#include "fmt/format.h"

#include "common/status/status.h"
#include "services/ingestion/domain/described/description.h"
#include "services/ingestion/domain/described/steps.h"
#include "services/ingestion/domain/parsers/fields.h"
#include "services/ingestion/domain/parsers/names.h"

// Reads descriptions. yaml-cpp throws: every exception ends in Description::Parse.
namespace yagura::ingestion {
namespace {

constexpr int kMaxDepth = 8;  // of switches in switches

// What is wrong, and where.
struct Fault : std::exception {
  Fault(const YAML::Node& node, std::string_view what)
      : text(fmt::format("line {}: {}", node.Mark().line + 1, what)) {}
  const char* what() const noexcept override { return text.c_str(); }
  std::string text;
};

void CheckKeys(const YAML::Node& map, std::initializer_list<std::string_view> known) {
  if (!map.IsMap()) throw Fault(map, "a mapping is expected");
  for (const auto& entry : map) {
    const auto key = entry.first.as<std::string>();
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      throw Fault(entry.first, fmt::format("unknown key \"{}\"", key));
    }
  }
}

std::string TextOf(const YAML::Node& node) {
  if (!node.IsScalar()) throw Fault(node, "a text is expected");
  return node.Scalar();
}

// A text, or a list of texts.
std::vector<std::string> TextsOf(const YAML::Node& node) {
  if (node.IsScalar()) return {node.Scalar()};
  if (!node.IsSequence()) throw Fault(node, "a text or a list of texts is expected");
  std::vector<std::string> texts;
  for (const YAML::Node& item : node) texts.push_back(TextOf(item));
  return texts;
}

std::string TextOr(const YAML::Node& map, const char* key, std::string_view otherwise) {
  return map[key] ? TextOf(map[key]) : std::string(otherwise);
}

// A name that a source's setting can have, and no written parser has.
std::string NameOf(const YAML::Node& node) {
  std::string name = TextOf(node);
  const bool known =
      !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
      });
  if (!known) throw Fault(node, "a name is at most 64 of a-z, 0-9 and _");
  const bool written =
      name == "auto" || std::any_of(kWrittenParsers.begin(), kWrittenParsers.end(),
                                    [&](const WrittenParser& other) { return other.name == name; });
  if (written) {
    throw Fault(node, fmt::format("\"{}\" is the name of a parser that is not described", name));
  }
  return name;
}

// Where a text may come from: a field, or one of the parts of a line.
void CheckSource(const std::string& name, const YAML::Node& node) {
  constexpr std::array<std::string_view, 7> kParts{
      "@line", "@body", "@program", "@host", "@process_id", "@message_id", "@message"};
  if (name.starts_with('@') && std::find(kParts.begin(), kParts.end(), name) == kParts.end()) {
    throw Fault(node, fmt::format("a line has no part \"{}\"", name));
  }
}

// A constant of the core that would be silently ignored is a mistake.
void CheckConstant(std::string_view target, const std::string& text, const YAML::Node& node) {
  if (text.empty() || text.find("%{") != text.npos) return;
  const bool unknown =
      (target == "action" && ActionOfWord(text) == event::v1::ACTION_UNSPECIFIED) ||
      (target == "severity" && SeverityOfWord(text) == event::v1::SEVERITY_UNSPECIFIED);
  if (unknown) throw Fault(node, fmt::format("\"{}\" is no {}", text, target));
}

bool FlagOr(const YAML::Node& map, const char* key, bool otherwise) {
  return map[key] ? map[key].as<bool>() : otherwise;
}

// "from" of a step.
std::string SourceOf(const YAML::Node& step) {
  std::string name = TextOr(step, "from", "@body");
  CheckSource(name, step);
  return name;
}

template <typename Value>
Value Or(absl::StatusOr<Value> value, const YAML::Node& node) {
  if (!value.ok()) throw Fault(node, Message(value.status()));
  return *std::move(value);
}

std::unique_ptr<re2::RE2> RegexOf(const YAML::Node& node) {
  RE2::Options options;
  options.set_encoding(RE2::Options::EncodingLatin1);
  options.set_log_errors(false);
  auto regex = std::make_unique<RE2>(TextOf(node), options);
  if (!regex->ok()) throw Fault(node, regex->error());
  return regex;
}

class Reader {
 public:
  explicit Reader(const GrokPatterns& patterns) : patterns_(patterns) {}

  std::shared_ptr<const Description> ReadDescription(const YAML::Node& root) {
    CheckKeys(root, {"name", "title", "product", "priority", "plain_structured_data", "recognise",
                     "patterns", "extract", "core"});
    auto description = std::make_shared<Description>();
    for (const char* key : {"name", "title", "product", "recognise"}) {
      if (!root[key]) throw Fault(root, fmt::format("\"{}\" is missing", key));
    }
    description->name = NameOf(root["name"]);
    description->title = TextOf(root["title"]);
    description->product = TextOf(root["product"]);
    description->plain_structured_data = FlagOr(root, "plain_structured_data", false);
    if (root["priority"]) description->priority = root["priority"].as<int>();
    if (const YAML::Node own = root["patterns"]) {
      if (!own.IsMap()) throw Fault(own, "a mapping is expected");
      for (const auto& entry : own) patterns_.Add(TextOf(entry.first), TextOf(entry.second));
    }
    const YAML::Node recognise = root["recognise"];
    if (!recognise.IsSequence() || recognise.size() == 0) {
      throw Fault(recognise, "a list of tests is expected");
    }
    for (const YAML::Node& test : recognise) {
      description->recognisers.push_back(ReadRecogniser(test));
    }
    if (root["extract"]) description->steps = ReadSteps(root["extract"], 0);
    if (root["core"]) description->core = ReadCore(root["core"], /*constants=*/false);
    return description;
  }

 private:
  static Recogniser ReadRecogniser(const YAML::Node& node) {
    CheckKeys(node, {"contains", "starts", "program", "matches"});
    Recogniser test;
    if (node["contains"]) test.contains = TextsOf(node["contains"]);
    test.starts = TextOr(node, "starts", "");
    if (node["program"]) test.program = RegexOf(node["program"]);
    if (node["matches"]) test.matches = RegexOf(node["matches"]);
    if (node.size() == 0) throw Fault(node, "a test without a condition holds for every line");
    return test;
  }

  Steps ReadSteps(const YAML::Node& list, int depth) {
    if (depth > kMaxDepth) throw Fault(list, "switches are nested too deeply");
    if (!list.IsSequence()) throw Fault(list, "a list of steps is expected");
    Steps steps;
    for (const YAML::Node& node : list) {
      if (!node.IsMap()) throw Fault(node, "a step is a mapping");
      if (node["grok"]) {
        steps.push_back(ReadGrok(node));
      } else if (node["kv"]) {
        CheckKeys(node, {"kv"});
        steps.push_back(ReadKeyValue(node["kv"]));
      } else if (node["csv"]) {
        CheckKeys(node, {"csv"});
        steps.push_back(ReadCsv(node["csv"]));
      } else if (node["switch"]) {
        CheckKeys(node, {"switch"});
        steps.push_back(ReadSwitch(node["switch"], depth));
      } else if (node["set"]) {
        CheckKeys(node, {"set"});
        for (auto& step : ReadCore(node["set"], /*constants=*/true)) {
          steps.push_back(std::move(step));
        }
      } else {
        throw Fault(node, "a step is one of grok, kv, csv, switch, set");
      }
    }
    return steps;
  }

  std::unique_ptr<Step> ReadGrok(const YAML::Node& node) const {
    CheckKeys(node, {"grok", "from", "optional"});
    std::vector<Grok> expressions;
    for (const std::string& text : TextsOf(node["grok"])) {
      expressions.push_back(Or(Grok::Compile(text, patterns_), node["grok"]));
    }
    return std::make_unique<GrokStep>(SourceOf(node), std::move(expressions),
                                      !FlagOr(node, "optional", false));
  }

  static std::unique_ptr<Step> ReadKeyValue(const YAML::Node& node) {
    CheckKeys(node, {"from", "separator", "assign", "greedy", "escaped", "prefix"});
    KeyValueFormat format;
    format.separator = TextOr(node, "separator", format.separator);
    format.assign = TextOr(node, "assign", format.assign);
    format.greedy = FlagOr(node, "greedy", false);
    format.escaped = FlagOr(node, "escaped", false);
    if (format.separator.empty() || format.assign.empty()) {
      throw Fault(node, "separator and assign must not be empty");
    }
    return std::make_unique<KeyValueStep>(SourceOf(node), std::move(format),
                                          TextOr(node, "prefix", ""));
  }

  static std::unique_ptr<Step> ReadCsv(const YAML::Node& node) {
    CheckKeys(node, {"from", "separator", "columns"});
    const std::string separator = TextOr(node, "separator", ",");
    if (separator.size() != 1) throw Fault(node, "separator is one character");
    if (!node["columns"]) throw Fault(node, "\"columns\" is missing");
    return std::make_unique<CsvStep>(SourceOf(node), separator.front(), TextsOf(node["columns"]));
  }

  std::unique_ptr<Step> ReadSwitch(const YAML::Node& node, int depth) {
    CheckKeys(node, {"on", "cases", "otherwise"});
    if (!node["on"] || !node["cases"] || !node["cases"].IsMap()) {
      throw Fault(node, "\"on\" and a mapping \"cases\" are needed");
    }
    std::vector<SwitchStep::Case> cases;
    for (const auto& entry : node["cases"]) {
      SwitchStep::Case one;
      const std::string values = TextOf(entry.first);
      for (const std::string_view value : Split(values, ',')) one.values.emplace_back(Trim(value));
      one.steps = ReadSteps(entry.second, depth + 1);
      cases.push_back(std::move(one));
    }
    Steps otherwise;
    if (node["otherwise"]) otherwise = ReadSteps(node["otherwise"], depth + 1);
    CheckSource(TextOf(node["on"]), node);
    return std::make_unique<SwitchStep>(TextOf(node["on"]), std::move(cases), std::move(otherwise));
  }

  static Steps ReadCore(const YAML::Node& map, bool constants) {
    if (!map.IsMap()) throw Fault(map, "a mapping from core names is expected");
    Steps steps;
    for (const auto& entry : map) {
      const std::string target = TextOf(entry.first);
      const auto add = [&](const YAML::Node& rule) {
        steps.push_back(std::make_unique<CoreStep>(ReadRule(target, entry.first, rule, constants)));
      };
      if (entry.second.IsSequence() && entry.second.size() > 0 && entry.second[0].IsMap()) {
        for (const YAML::Node& rule : entry.second) add(rule);
      } else {
        add(entry.second);
      }
    }
    return steps;
  }

  static CoreStep::Rule ReadRule(const std::string& target, const YAML::Node& where,
                                 const YAML::Node& node, bool constant) {
    CoreStep::Rule rule;
    if (node.IsMap()) {
      CheckKeys(node, {"from", "join", "value", "values", "format", "unit"});
      if (node["from"]) rule.from = TextsOf(node["from"]);
      rule.join = FlagOr(node, "join", false);
      if (node["value"]) rule.value = Or(Template::Parse(TextOf(node["value"])), node);
      ReadValues(node["values"], &rule);
    } else if (constant) {
      rule.value = Or(Template::Parse(TextOf(node)), node);
    } else {
      rule.from = TextsOf(node);
    }
    if (rule.from.empty() == !rule.value) {
      throw Fault(node, "either \"from\" or \"value\" is needed");
    }
    for (const std::string& name : rule.from) CheckSource(name, node);
    for (const auto& [word, meaning] : rule.values) CheckConstant(target, meaning, node);
    if (node.IsScalar() && constant) CheckConstant(target, node.Scalar(), node);
    if (node.IsMap() && node["value"]) CheckConstant(target, TextOf(node["value"]), node);
    SetTarget(target, where, node, &rule);
    return rule;
  }

  static void ReadValues(const YAML::Node& values, CoreStep::Rule* rule) {
    if (!values) return;
    if (!values.IsMap()) throw Fault(values, "a mapping is expected");
    for (const auto& entry : values) {
      const std::string words = TextOf(entry.first);
      for (const std::string_view word : Split(words, ',')) {
        rule->values.emplace(ToLower(Trim(word)), TextOf(entry.second));
      }
    }
  }

  static void SetTarget(const std::string& target, const YAML::Node& where, const YAML::Node& node,
                        CoreStep::Rule* rule) {
    if (target == "event_time") {
      std::vector<std::string> formats{"iso"};
      if (node.IsMap() && node["format"]) formats = TextsOf(node["format"]);
      for (const std::string& format : formats) {
        rule->formats.push_back(Or(TimeFormat::Parse(format), node));
      }
      return;
    }
    if (node.IsMap() && node["format"]) throw Fault(node, "only event_time has a format");
    if (target == "duration") {
      const std::string unit = node.IsMap() ? TextOr(node, "unit", "s") : "s";
      rule->clock = unit == "clock";
      if (!rule->clock) rule->unit = UnitOf(unit, node);
      return;
    }
    if (node.IsMap() && node["unit"]) throw Fault(node, "only duration has a unit");
    rule->set = FindCoreSetter(target);
    if (rule->set == nullptr) {
      throw Fault(where, fmt::format("the core has no \"{}\"", target));
    }
  }

  static std::chrono::nanoseconds UnitOf(std::string_view unit, const YAML::Node& node) {
    if (unit == "s") return std::chrono::seconds(1);
    if (unit == "ms") return std::chrono::milliseconds(1);
    if (unit == "us") return std::chrono::microseconds(1);
    if (unit == "min") return std::chrono::minutes(1);
    throw Fault(node, "a unit is one of s, ms, us, min, clock");
  }

  GrokPatterns patterns_;
};

}  // namespace

absl::StatusOr<std::shared_ptr<const Description>> Description::Parse(
    std::string_view yaml, const GrokPatterns& patterns) {
  try {
    return Reader(patterns).ReadDescription(YAML::Load(std::string(yaml)));
  } catch (const std::exception& error) {  // Fault and what yaml-cpp throws
    return InvalidField("parser", error.what());
  }
}

}  // namespace yagura::ingestion
