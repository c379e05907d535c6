#include "services/detection/domain/engine/sigma_rule.h"

#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <set>
#include <sstream>

#include "fmt/format.h"
#include "yaml-cpp/eventhandler.h"
#include "yaml-cpp/yaml.h"

#include "common/status/status.h"
#include "common/text/text.h"
#include "services/detection/domain/engine/condition.h"
#include "services/detection/domain/engine/logsource.h"
#include "services/detection/domain/engine/selection.h"

namespace yagura::detection {
namespace {

constexpr int kMaxValues = 20'000;
constexpr size_t kMaxDocuments = 32;
constexpr size_t kMaxGroupBy = 8;

std::string VersionOf(std::string_view text) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  return HexEncode({reinterpret_cast<const char*>(digest.data()), digest.size()}).substr(0, 12);
}

bool IsUuid(std::string_view text) {
  if (text.size() != 36) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool hyphen = i == 8 || i == 13 || i == 18 || i == 23;
    const char c = text[i];
    const bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
    if (hyphen ? c != '-' : !hex) return false;
  }
  return true;
}

// The text of an optional scalar; refuses anything else under that key.
absl::StatusOr<std::string> OptionalText(const YAML::Node& map, const char* key, size_t limit) {
  const YAML::Node node = map[key];
  if (!node.IsDefined() || node.IsNull()) return std::string();
  if (!node.IsScalar()) return RefuseAt(node, fmt::format("{} is not text", key));
  if (node.Scalar().size() > limit) {
    return RefuseAt(node, fmt::format("{} is longer than {} bytes", key, limit));
  }
  return node.Scalar();
}

absl::StatusOr<std::vector<std::string>> OptionalTexts(const YAML::Node& map, const char* key,
                                                       size_t limit) {
  std::vector<std::string> texts;
  const YAML::Node node = map[key];
  if (!node.IsDefined() || node.IsNull()) return texts;
  if (node.IsScalar()) return std::vector<std::string>{node.Scalar()};
  if (!node.IsSequence()) return RefuseAt(node, fmt::format("{} is not a list", key));
  for (const auto& item : node) {
    if (item.IsNull()) continue;
    if (!item.IsScalar()) return RefuseAt(item, fmt::format("{}: an entry is not text", key));
    if (texts.size() == limit) return RefuseAt(item, fmt::format("{} has too many entries", key));
    texts.push_back(item.Scalar().substr(0, 1024));
  }
  return texts;
}

absl::StatusOr<int> SeverityOf(const YAML::Node& document) {
  YAGURA_ASSIGN_OR_RETURN(const std::string level, OptionalText(document, "level", 32));
  constexpr std::array<std::string_view, 5> kLevels = {"informational", "low", "medium", "high",
                                                       "critical"};
  if (level.empty()) return 3;
  for (size_t i = 0; i < kLevels.size(); ++i) {
    if (level == kLevels[i]) return static_cast<int>(i) + 1;
  }
  return RefuseAt(document["level"], fmt::format("level \"{}\" is not known", level));
}

absl::StatusOr<RuleInfo> ParseInfo(const YAML::Node& document) {
  RuleInfo info;
  YAGURA_ASSIGN_OR_RETURN(info.title, OptionalText(document, "title", 512));
  if (info.title.empty()) return RefuseAt(document, "title is missing");
  YAGURA_ASSIGN_OR_RETURN(info.id, OptionalText(document, "id", 64));
  info.id = ToLower(info.id);
  if (!IsUuid(info.id)) return RefuseAt(document, "id is missing or not a UUID");
  YAGURA_ASSIGN_OR_RETURN(info.name, OptionalText(document, "name", 256));
  YAGURA_ASSIGN_OR_RETURN(info.description, OptionalText(document, "description", 65536));
  YAGURA_ASSIGN_OR_RETURN(info.severity, SeverityOf(document));
  YAGURA_ASSIGN_OR_RETURN(info.tags, OptionalTexts(document, "tags", 64));
  for (auto& tag : info.tags) tag = ToLower(tag);
  YAGURA_ASSIGN_OR_RETURN(info.false_positives, OptionalTexts(document, "falsepositives", 64));
  return info;
}

absl::StatusOr<Logsource> ParseLogsource(const YAML::Node& document) {
  const YAML::Node node = document["logsource"];
  if (!node.IsDefined() || !node.IsMap()) return RefuseAt(document, "logsource is missing");
  for (const auto& entry : node) {
    const std::string& key = entry.first.Scalar();
    // `definition` tells people how to set up logging; it tests nothing.
    if (key != "product" && key != "category" && key != "service" && key != "definition") {
      return RefuseAt(entry.first, fmt::format("logsource key \"{}\" is not known", key));
    }
  }
  Logsource source;
  YAGURA_ASSIGN_OR_RETURN(source.product, OptionalText(node, "product", 128));
  YAGURA_ASSIGN_OR_RETURN(source.category, OptionalText(node, "category", 128));
  YAGURA_ASSIGN_OR_RETURN(source.service, OptionalText(node, "service", 128));
  if (source.product.empty() && source.category.empty() && source.service.empty()) {
    return RefuseAt(node, "logsource names neither product nor category nor service");
  }
  return source;
}

absl::StatusOr<Expression> ParseConditions(const YAML::Node& detection,
                                           const Selections& selections) {
  const YAML::Node node = detection["condition"];
  if (!node.IsDefined() || node.IsNull()) return RefuseAt(detection, "condition is missing");
  std::vector<Expression> any;
  const auto parse = [&any, &selections](const YAML::Node& text) -> Status {
    if (!text.IsScalar()) return RefuseAt(text, "condition is not text");
    auto condition = ParseCondition(text.Scalar(), selections);
    if (!condition.ok()) return RefuseAt(text, Message(condition.status()));
    any.push_back(std::move(*condition));
    return absl::OkStatus();
  };
  if (node.IsSequence()) {
    if (node.size() == 0 || node.size() > 16) return RefuseAt(node, "condition: 1 to 16 of them");
    for (const auto& item : node) YAGURA_RETURN_IF_ERROR(parse(item));
  } else {
    YAGURA_RETURN_IF_ERROR(parse(node));
  }
  if (any.size() == 1) return std::move(any.front());
  Expression expression;
  expression.type = Expression::Type::kOr;
  expression.children = std::move(any);
  return expression;
}

void CollectFields(const Expression& expression, std::vector<std::string>& fields) {
  if (!expression.field.empty() &&
      std::find(fields.begin(), fields.end(), expression.field) == fields.end()) {
    fields.push_back(expression.field);
  }
  if (!expression.other_field.empty() &&
      std::find(fields.begin(), fields.end(), expression.other_field) == fields.end()) {
    fields.push_back(expression.other_field);
  }
  for (const auto& child : expression.children) CollectFields(child, fields);
}

absl::StatusOr<SingleRule> ParseSingle(const YAML::Node& document, SelectionContext& context) {
  SingleRule rule;
  YAGURA_ASSIGN_OR_RETURN(rule.info, ParseInfo(document));
  YAGURA_ASSIGN_OR_RETURN(rule.logsource, ParseLogsource(document));
  auto logsource_test = LogsourceTest(rule.logsource);
  if (!logsource_test.ok()) {
    return RefuseAt(document["logsource"], Message(logsource_test.status()));
  }
  rule.logsource_test = std::move(*logsource_test);
  const YAML::Node detection = document["detection"];
  if (!detection.IsDefined() || !detection.IsMap()) {
    return RefuseAt(document, "detection is missing");
  }
  Selections selections;
  for (const auto& entry : detection) {
    const std::string& name = entry.first.Scalar();
    if (name == "condition") continue;
    if (name == "timeframe") {
      return RefuseAt(entry.first, "timeframe is not supported; use a correlation");
    }
    YAGURA_ASSIGN_OR_RETURN(Expression selection, ParseSelection(entry.second, context));
    selections.emplace_back(name, std::move(selection));
  }
  YAGURA_ASSIGN_OR_RETURN(rule.condition, ParseConditions(detection, selections));
  CollectFields(rule.condition, rule.fields);
  return rule;
}

absl::StatusOr<std::chrono::nanoseconds> ParseTimespan(const YAML::Node& node) {
  const std::string text = node.IsDefined() && node.IsScalar() ? node.Scalar() : std::string();
  const auto amount =
      ParseNumber<int64_t>(std::string_view(text).substr(0, text.empty() ? 0 : text.size() - 1));
  const std::map<char, int64_t> units = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
  const auto unit = units.find(text.empty() ? '?' : text.back());
  if (!amount || unit == units.end() || *amount < 1 || *amount > 31 * 86400 ||
      *amount * unit->second > 31 * 86400) {
    return RefuseAt(node, "timespan is not a number with s, m, h or d, of at most 31 days");
  }
  return std::chrono::seconds(*amount * unit->second);
}

absl::StatusOr<uint64_t> ParseThreshold(const YAML::Node& correlation) {
  const YAML::Node node = correlation["condition"];
  if (!node.IsDefined() || !node.IsMap() || node.size() != 1) {
    return RefuseAt(node.IsDefined() ? node : correlation,
                    "correlation: condition is not one comparison");
  }
  const auto entry = *node.begin();
  const std::string& op = entry.first.Scalar();
  if (op != "gte" && op != "gt") {
    return RefuseAt(node, fmt::format("correlation: condition \"{}\" is not supported: what comes "
                                      "too seldom has no event to tell; gte or gt",
                                      op));
  }
  const auto value = entry.second.IsScalar() ? ParseNumber<uint64_t>(entry.second.Scalar())
                                             : std::optional<uint64_t>();
  if (!value || *value >= kMaxThreshold || (op == "gte" && *value == 0)) {
    return RefuseAt(node, fmt::format("correlation: not a number from 1 to {}", kMaxThreshold - 1));
  }
  return op == "gt" ? *value + 1 : *value;
}

absl::StatusOr<Correlation> ParseCorrelation(const YAML::Node& document,
                                             const std::vector<SingleRule>& rules) {
  Correlation correlation;
  YAGURA_ASSIGN_OR_RETURN(correlation.info, ParseInfo(document));
  const YAML::Node node = document["correlation"];
  if (!node.IsMap()) return RefuseAt(node, "correlation is not a map");
  for (const auto& entry : node) {
    constexpr std::array<std::string_view, 6> kKeys = {"type",     "rules",     "group-by",
                                                       "timespan", "condition", "generate"};
    if (std::find(kKeys.begin(), kKeys.end(), entry.first.Scalar()) == kKeys.end()) {
      return RefuseAt(entry.first,
                      fmt::format("correlation: \"{}\" is not supported", entry.first.Scalar()));
    }
  }
  YAGURA_ASSIGN_OR_RETURN(const std::string type, OptionalText(node, "type", 64));
  if (type != "event_count") {
    return RefuseAt(node["type"].IsDefined() ? node["type"] : node,
                    fmt::format("correlation type \"{}\" is not supported: event_count", type));
  }
  YAGURA_ASSIGN_OR_RETURN(const auto names, OptionalTexts(node, "rules", kMaxDocuments));
  for (const auto& name : names) {
    const auto found = std::find_if(rules.begin(), rules.end(), [&name](const SingleRule& rule) {
      return rule.info.id == ToLower(name) || (!name.empty() && rule.info.name == name);
    });
    if (found == rules.end()) {
      return RefuseAt(node["rules"], fmt::format("correlation: the text has no rule \"{}\"", name));
    }
    correlation.rules.push_back(static_cast<size_t>(found - rules.begin()));
  }
  if (correlation.rules.empty()) return RefuseAt(node, "correlation: rules is missing");
  YAGURA_ASSIGN_OR_RETURN(correlation.group_by, OptionalTexts(node, "group-by", kMaxGroupBy));
  YAGURA_ASSIGN_OR_RETURN(correlation.timespan, ParseTimespan(node["timespan"]));
  YAGURA_ASSIGN_OR_RETURN(correlation.threshold, ParseThreshold(node));
  YAGURA_ASSIGN_OR_RETURN(const std::string generate, OptionalText(node, "generate", 8));
  correlation.generate = generate == "true";
  return correlation;
}

// YAML forbids a key that stands twice; its reader here would see one of them alone.
Status RefuseRepeatedKeys(const YAML::Node& map) {
  std::set<std::string> seen;
  for (const auto& entry : map) {
    if (entry.first.IsScalar() && !seen.insert(entry.first.Scalar()).second) {
      return RefuseAt(entry.first, fmt::format("\"{}\" stands twice", entry.first.Scalar()));
    }
  }
  return absl::OkStatus();
}

// What says of itself that it is not to be used as it is.
Status RefuseUnusable(const YAML::Node& document) {
  YAGURA_RETURN_IF_ERROR(RefuseRepeatedKeys(document));
  const YAML::Node detection = document["detection"];
  if (detection.IsDefined() && detection.IsMap()) {
    YAGURA_RETURN_IF_ERROR(RefuseRepeatedKeys(detection));
  }
  YAGURA_ASSIGN_OR_RETURN(const std::string taxonomy, OptionalText(document, "taxonomy", 128));
  if (!taxonomy.empty() && taxonomy != "sigma") {
    return RefuseAt(document["taxonomy"], fmt::format("taxonomy \"{}\" is not known", taxonomy));
  }
  YAGURA_ASSIGN_OR_RETURN(const std::string status, OptionalText(document, "status", 128));
  if (status == "unsupported") {
    return RefuseAt(document["status"], "the rule says of itself that it is unsupported");
  }
  return absl::OkStatus();
}

absl::StatusOr<ParsedRule> ParseDocuments(const std::vector<YAML::Node>& documents,
                                          const Placeholders& placeholders) {
  ParsedRule parsed;
  SelectionContext context{placeholders, kMaxValues};
  YAML::Node correlation;
  bool has_correlation = false;
  for (const auto& document : documents) {
    if (document.IsNull()) continue;
    if (!document.IsMap()) return RefuseAt(document, "not a Sigma rule");
    YAGURA_RETURN_IF_ERROR(RefuseUnusable(document));
    if (document["action"].IsDefined()) {
      return RefuseAt(document["action"], "\"action\" documents are not supported");
    }
    if (document["correlation"].IsDefined()) {
      if (has_correlation) return RefuseAt(document, "more than one correlation in one text");
      correlation.reset(document);
      has_correlation = true;
      continue;
    }
    YAGURA_ASSIGN_OR_RETURN(SingleRule rule, ParseSingle(document, context));
    parsed.rules.push_back(std::move(rule));
  }
  if (parsed.rules.empty()) return RefuseAt(YAML::Node(), "no rule in the text");
  if (!has_correlation) {
    if (parsed.rules.size() > 1) {
      return RefuseAt(documents.back(), "several rules in one text without a correlation");
    }
    return parsed;
  }
  YAGURA_ASSIGN_OR_RETURN(parsed.correlation, ParseCorrelation(correlation, parsed.rules));
  if (parsed.correlation->rules.size() < parsed.rules.size() && !parsed.correlation->generate) {
    return RefuseAt(correlation, "a rule of the text is not counted by its correlation");
  }
  return parsed;
}

// What YAML allows (YAML 1.2, 5.1), near enough. yaml-cpp guesses encodings and takes 0x04 for the
// end.
bool IsYamlText(std::string_view text) {
  return IsValidUtf8(text) && std::none_of(text.begin(), text.end(), [](char c) {
           const bool control = static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
           return control && c != '\t' && c != '\n' && c != '\r';
         });
}

// Lets a text pass by.
class Ignore final : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t,
                const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}
};

// yaml-cpp 0.7 makes empty documents without end out of some texts ("," is one): they are counted
// before any is made.
bool HasTooManyDocuments(const std::string& text) {
  std::istringstream in(text);
  YAML::Parser parser(in);
  Ignore ignore;
  for (size_t i = 0; i <= kMaxDocuments; ++i) {
    if (!parser.HandleNextDocument(ignore)) return false;
  }
  return true;
}

}  // namespace

absl::StatusOr<ParsedRule> ParseSigma(std::string_view text, const Placeholders& placeholders) {
  if (text.size() > kMaxRuleText) {
    return RefuseAt(YAML::Node(), fmt::format("longer than {} bytes", kMaxRuleText));
  }
  if (!IsYamlText(text)) {
    return RefuseAt(YAML::Node(), "not YAML: not UTF-8, or with control characters");
  }
  try {
    const std::string whole(text);
    if (HasTooManyDocuments(whole)) return RefuseAt(YAML::Node(), "too many documents");
    const auto documents = YAML::LoadAll(whole);
    YAGURA_ASSIGN_OR_RETURN(ParsedRule parsed, ParseDocuments(documents, placeholders));
    parsed.version = VersionOf(text);
    return parsed;
  } catch (const YAML::Exception& error) {
    const int line = error.mark.is_null() ? 0 : error.mark.line + 1;
    return MakeError(absl::StatusCode::kInvalidArgument, "RULE_REFUSED",
                     fmt::format("line {}: not YAML: {}", line, error.msg),
                     {{"line", fmt::format("{}", line)}});
  }
}

}  // namespace yagura::detection
