#include "services/detection/domain/engine/rule_split.h"

#include <algorithm>
#include <functional>

#include "fmt/format.h"
#include "yaml-cpp/yaml.h"

#include "common/status/status.h"
#include "common/text/text.h"
#include "services/detection/domain/engine/rule_limits.h"

namespace yagura::detection {
namespace {

constexpr size_t kMaxDocuments = 1'000;
constexpr size_t kMaxWanted = 100;
// Of all correlations; each part looks at those that it reaches.
constexpr size_t kMaxReferences = 20'000;
// Of all parts: correlations may share rules.
constexpr size_t kMaxPartBytes = 16 * kMaxRuleText;

struct Document {
  std::vector<std::string_view> lines;
  int first_line = 1;
  bool has_action = false;  // of old collections: it changes what other documents mean
  std::string id;
  std::string name;
  std::vector<std::string> wanted;  // rules that a correlation refers to, each once
  std::vector<size_t> members;      // which documents these are
  bool is_member = false;
};

bool IsSeparator(std::string_view line) {
  return line.starts_with("---") && (line.size() == 3 || line[3] == ' ' || line[3] == '\r');
}

std::string TextOf(const Document& document) {
  std::string text;
  for (const auto line : document.lines) text.append(line).append("\n");
  return text;
}

std::string Scalar(const YAML::Node& map, const char* key) {
  const YAML::Node node = map[key];
  return node.IsDefined() && node.IsScalar() ? node.Scalar() : std::string();
}

bool IsBlank(const Document& document) {
  return std::ranges::all_of(document.lines, [](std::string_view line) {
    const std::string_view text = Trim(line);
    return text.empty() || text.front() == '#' || IsSeparator(text) || text == "...";
  });
}

// "ab12" of the line "id: 'ab12'  # of us".
std::string WrittenId(const Document& document) {
  for (const std::string_view line : document.lines) {
    if (!line.starts_with("id:")) continue;
    std::string_view value = Trim(line.substr(3, line.find(" #") - 3));
    if (value.size() > 1 && (value.front() == '"' || value.front() == '\'')) {
      value = value.substr(1, value.size() - 2);
    }
    return ToLower(value);
  }
  return {};
}

// What is no YAML is left as it is: a part that is refused by itself.
void Read(Document& document) {
  const std::string text = TextOf(document);
  if (!IsValidUtf8(text)) return;
  try {
    const YAML::Node root = YAML::Load(text);
    if (!root.IsMap()) return;
    document.id = ToLower(Scalar(root, "id"));
    document.name = Scalar(root, "name");
    document.has_action = root["action"].IsDefined();
    const YAML::Node correlation = root["correlation"];
    if (!correlation.IsDefined() || !correlation.IsMap()) return;
    const YAML::Node rules = correlation["rules"];
    if (rules.IsDefined() && rules.IsScalar()) document.wanted = {rules.Scalar()};
    if (!rules.IsDefined() || !rules.IsSequence()) return;
    for (const auto& rule : rules) {
      if (document.wanted.size() == kMaxWanted) break;
      if (!rule.IsScalar() || rule.Scalar().empty()) continue;
      const bool is_new =
          std::ranges::find(document.wanted, rule.Scalar()) == document.wanted.end();
      if (is_new) document.wanted.push_back(rule.Scalar());
    }
  } catch (const YAML::Exception&) {
    return;
  }
}

// One more than kMaxDocuments at most.
std::vector<Document> DocumentsOf(std::string_view text) {
  std::vector<Document> documents;
  Document next;
  int number = 0;
  for (const auto line : Split(text, '\n')) {
    ++number;
    if (IsSeparator(line)) {
      if (!IsBlank(next)) documents.push_back(std::move(next));
      if (documents.size() > kMaxDocuments) return documents;
      next = {};
    }
    if (next.lines.empty()) next.first_line = number;
    next.lines.push_back(line);
  }
  if (!IsBlank(next)) documents.push_back(std::move(next));
  return documents;
}

// False where there are too many.
bool FindMembers(std::vector<Document>& documents) {
  StringMap<std::vector<size_t>> by_id;
  StringMap<std::vector<size_t>> by_name;
  for (size_t i = 0; i < documents.size(); ++i) {
    by_id[documents[i].id].push_back(i);
    by_name[documents[i].name].push_back(i);
  }
  size_t references = 0;
  const auto add = [&](size_t from, const StringMap<std::vector<size_t>>& index,
                       std::string_view wanted) {
    const auto found = index.find(wanted);
    if (found == index.end()) return true;
    references += found->second.size();
    if (references > kMaxReferences) return false;
    for (const size_t member : found->second) {
      if (member == from) continue;
      documents[from].members.push_back(member);
      documents[member].is_member = true;
    }
    return true;
  };
  for (size_t i = 0; i < documents.size(); ++i) {
    for (const auto& wanted : documents[i].wanted) {
      if (wanted.empty()) continue;
      if (!add(i, by_id, ToLower(wanted)) || !add(i, by_name, wanted)) return false;
    }
  }
  return true;
}

// The documents that one refers to and so on, itself included.
std::vector<bool> Reached(const std::vector<Document>& documents, size_t from) {
  std::vector<bool> reached(documents.size());
  std::vector<size_t> ahead = {from};
  reached[from] = true;
  while (!ahead.empty()) {
    const size_t at = ahead.back();
    ahead.pop_back();
    for (const size_t member : documents[at].members) {
      if (reached[member]) continue;
      reached[member] = true;
      ahead.push_back(member);
    }
  }
  return reached;
}

RulePart PartOf(const std::vector<Document>& documents, const std::vector<bool>& which,
                const std::string& id) {
  RulePart part{"", id, {}, ""};
  for (size_t i = 0; i < documents.size(); ++i) {
    if (!which[i]) continue;
    if (!part.text.empty() && !IsSeparator(documents[i].lines.front())) {
      part.text += "---\n";
      part.lines.push_back(documents[i].first_line);
    }
    part.text += TextOf(documents[i]);
    for (size_t line = 0; line < documents[i].lines.size(); ++line) {
      part.lines.push_back(documents[i].first_line + static_cast<int>(line));
    }
  }
  return part;
}

}  // namespace

absl::Status RulePart::InFile(const absl::Status& refused) const {
  if (ErrorReason(refused) == "RULE_REFUSED" && !too_much.empty()) {
    return MakeError(refused.code(), "RULE_REFUSED", too_much, {{"line", "0"}});
  }
  const auto line = ParseNumber<size_t>(GetErrorMetadata(refused)["line"]).value_or(0);
  if (ErrorReason(refused) != "RULE_REFUSED" || line == 0 || line > lines.size()) return refused;
  std::string_view reason = Message(refused);
  const std::string own = fmt::format("line {}: ", line);
  if (reason.starts_with(own)) reason.remove_prefix(own.size());
  return MakeError(refused.code(), "RULE_REFUSED",
                   fmt::format("line {}: {}", lines[line - 1], reason),
                   {{"line", fmt::to_string(lines[line - 1])}});
}

std::vector<RulePart> SplitRules(std::string_view text) {
  RulePart whole{std::string(text), "", {}, ""};
  if (text.size() > kMaxRuleText) return {whole};
  std::vector<Document> documents = DocumentsOf(text);
  if (documents.size() == 1) whole.id = WrittenId(documents.front());
  if (documents.size() < 2) return {whole};
  if (documents.size() > kMaxDocuments) {
    whole.too_much =
        fmt::format("more than {} documents in one file: divide it into several", kMaxDocuments);
    return {whole};
  }
  for (auto& document : documents) Read(document);
  if (std::ranges::any_of(documents, &Document::has_action)) return {whole};
  if (!FindMembers(documents)) {
    whole.too_much =
        fmt::format("correlations refer to more than {} rules in all: divide the file into several",
                    kMaxReferences);
    return {whole};
  }
  std::vector<RulePart> parts;
  size_t bytes = 0;
  std::vector<bool> done(documents.size());
  const auto add = [&](size_t from) {
    if (bytes > kMaxPartBytes) return;
    const auto reached = Reached(documents, from);
    for (size_t i = 0; i < reached.size(); ++i) done[i] = done[i] || reached[i];
    parts.push_back(PartOf(documents, reached, documents[from].id));
    bytes += parts.back().text.size();
  };
  for (size_t i = 0; i < documents.size(); ++i) {
    if (!documents[i].is_member) add(i);
  }
  // Correlations in a circle.
  for (size_t i = 0; i < documents.size(); ++i) {
    if (!done[i]) add(i);
  }
  if (bytes > kMaxPartBytes) {
    whole.too_much = fmt::format(
        "correlations share so much that the rules are more than {} bytes: divide the "
        "file into several",
        kMaxPartBytes);
    return {whole};
  }
  if (parts.size() > 1) return parts;
  whole.id = parts.front().id;
  return {whole};
}

absl::Status RefuseSameId(std::string_view id, std::string_view source) {
  return MakeError(absl::StatusCode::kInvalidArgument, "RULE_REFUSED",
                   fmt::format("{} has the same id {}", source, id), {{"line", "0"}});
}

}  // namespace yagura::detection
