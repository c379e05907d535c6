#include "services/detection/domain/engine/sigma_rule.h"

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <sstream>

#include "fmt/format.h"
#include "yaml-cpp/eventhandler.h"
#include "yaml-cpp/yaml.h"

#include "common/digest/sha256.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "services/detection/domain/engine/condition.h"
#include "services/detection/domain/engine/correlation.h"
#include "services/detection/domain/engine/field_mapping.h"
#include "services/detection/domain/engine/logsource.h"
#include "services/detection/domain/engine/selection.h"
#include "services/detection/domain/engine/yaml_text.h"

namespace yagura::detection {
namespace {

constexpr int kMaxValues = 20'000;
constexpr size_t kMaxDocuments = 64;
constexpr size_t kMaxFilterRules = 10'000;

std::string VersionOf(std::string_view text) { return Sha256Hex(text).substr(0, 12); }

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
  MapFields(rule.logsource, rule.condition);
  CollectFields(rule.condition, rule.fields);
  return rule;
}

// `rules: any`, or a list of ids and names.
Status ParseFilterRules(const YAML::Node& node, SigmaFilter& filter) {
  const YAML::Node rules = node["rules"];
  if (!rules.IsDefined()) return RefuseAt(node, "filter: rules is missing");
  YAGURA_ASSIGN_OR_RETURN(filter.rules, OptionalTexts(node, "rules", kMaxFilterRules));
  if (filter.rules.empty()) return RefuseAt(rules, "filter: rules names none");
  filter.any_rule = rules.IsScalar() && ToLower(rules.Scalar()) == "any";
  for (auto& rule : filter.rules) {
    if (IsUuid(ToLower(rule))) rule = ToLower(rule);
  }
  return absl::OkStatus();
}

absl::StatusOr<SigmaFilter> ParseFilter(const YAML::Node& document, SelectionContext& context) {
  SigmaFilter filter;
  YAGURA_ASSIGN_OR_RETURN(filter.info, ParseInfo(document));
  YAGURA_ASSIGN_OR_RETURN(filter.logsource, ParseLogsource(document));
  const YAML::Node node = document["filter"];
  if (!node.IsMap()) return RefuseAt(node, "filter is not a map");
  if (document["detection"].IsDefined()) {
    return RefuseAt(document["detection"], "a filter has no detection of its own");
  }
  YAGURA_RETURN_IF_ERROR(RefuseRepeatedKeys(node));
  YAGURA_RETURN_IF_ERROR(ParseFilterRules(node, filter));
  Selections selections;
  for (const auto& entry : node) {
    const std::string& name = entry.first.Scalar();
    if (name == "condition" || name == "rules") continue;
    YAGURA_ASSIGN_OR_RETURN(Expression selection, ParseSelection(entry.second, context));
    selections.emplace_back(name, std::move(selection));
  }
  YAGURA_ASSIGN_OR_RETURN(filter.condition, ParseConditions(node, selections));
  MapFields(filter.logsource, filter.condition);
  CollectFields(filter.condition, filter.fields);
  return filter;
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
                                          SelectionContext& context) {
  ParsedRule parsed;
  std::vector<YAML::Node> correlations;
  std::vector<RuleInfo> infos;
  for (const auto& document : documents) {
    if (document.IsNull()) continue;
    if (!document.IsMap()) return RefuseAt(document, "not a Sigma rule");
    YAGURA_RETURN_IF_ERROR(RefuseUnusable(document));
    if (document["action"].IsDefined()) {
      return RefuseAt(document["action"], "\"action\" documents are not supported");
    }
    if (document["filter"].IsDefined()) {
      if (documents.size() > 1) return RefuseAt(document, "a filter stands in a text of its own");
      YAGURA_ASSIGN_OR_RETURN(parsed.filter, ParseFilter(document, context));
      return parsed;
    }
    if (document["correlation"].IsDefined()) {
      YAGURA_ASSIGN_OR_RETURN(RuleInfo info, ParseInfo(document));
      correlations.push_back(document);
      infos.push_back(std::move(info));
      continue;
    }
    YAGURA_ASSIGN_OR_RETURN(SingleRule rule, ParseSingle(document, context));
    parsed.rules.push_back(std::move(rule));
  }
  if (parsed.rules.empty() && correlations.empty()) {
    return RefuseAt(YAML::Node(), "no rule in the text");
  }
  parsed.uses.resize(parsed.rules.size());
  if (correlations.empty()) {
    if (parsed.rules.size() > 1) {
      return RefuseAt(documents.back(),
                      "several rules in one text, and no correlation of them: give each by itself, "
                      "or import the file");
    }
    return parsed;
  }
  YAGURA_RETURN_IF_ERROR(ParseCorrelations(correlations, std::move(infos), parsed));
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

bool IsWithin(const std::string& wanted, const std::string& value) {
  return wanted.empty() || EqualsIgnoreCase(wanted, value);
}

}  // namespace

bool SigmaFilter::Names(const SingleRule& rule) const {
  if (!IsWithin(logsource.product, rule.logsource.product) ||
      !IsWithin(logsource.category, rule.logsource.category) ||
      !IsWithin(logsource.service, rule.logsource.service)) {
    return false;
  }
  return any_rule || std::ranges::any_of(rules, [&rule](const std::string& one) {
           return one == rule.info.id || one == rule.info.name;
         });
}

bool SigmaFilter::AppliesTo(const ParsedRule& parsed) const {
  return std::ranges::any_of(parsed.rules, [this](const SingleRule& rule) { return Names(rule); });
}

void SigmaFilter::ApplyTo(ParsedRule& parsed) const {
  for (SingleRule& rule : parsed.rules) {
    if (!Names(rule)) continue;
    Expression both;
    both.type = Expression::Type::kAnd;
    both.children.push_back(std::move(rule.condition));
    both.children.push_back(condition);
    rule.condition = std::move(both);
  }
}

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
    SelectionContext context{placeholders, kMaxValues};
    YAGURA_ASSIGN_OR_RETURN(ParsedRule parsed, ParseDocuments(documents, context));
    parsed.version = VersionOf(text);
    parsed.placeholders.assign(context.used.begin(), context.used.end());
    std::ranges::sort(parsed.placeholders);
    return parsed;
  } catch (const YAML::Exception& error) {
    const int line = error.mark.is_null() ? 0 : error.mark.line + 1;
    return MakeError(absl::StatusCode::kInvalidArgument, "RULE_REFUSED",
                     fmt::format("line {}: not YAML: {}", line, error.msg),
                     {{"line", fmt::format("{}", line)}});
  }
}

}  // namespace yagura::detection
