#include "services/detection/storage/content_rules.h"

#include <algorithm>
#include <fstream>
#include <sstream>

#include "common/status/status.h"
#include "common/text/text.h"
#include "services/detection/domain/engine/rule_split.h"
#include "services/detection/domain/rule_resource.h"

namespace yagura::detection {
namespace {

store::WriteContext Context() {
  return {.principal = "services/detection",
          .on_behalf_of = "",
          .method = "detection/content",
          .request_id = "",
          .request_digest = "",
          .detail = ""};
}

std::vector<std::filesystem::path> RuleFiles(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  std::error_code error;
  for (std::filesystem::recursive_directory_iterator it(folder, error), end; !error && it != end;
       it.increment(error)) {
    if (it->path().extension() == ".yml") files.push_back(it->path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

Status LoadOne(const std::filesystem::path& file, const std::string& text,
               store::Store<v1::Rule>& rules, const RuleVersions& versions) {
  const RuleVersions::Change change{Context().principal, "", SystemClock()->Now()};
  v1::Rule rule;
  rule.set_text(text);
  rule.set_source(ToValidUtf8(file.filename().string()));
  rule.set_enabled(true);
  rule.set_state(v1::ACTIVE);
  // What no tenant has given values yet is kept, too, and in force for whoever has.
  const Placeholders any_values = {{"", {std::string(kAnyValue)}}};
  YAGURA_ASSIGN_OR_RETURN(const ParsedRule parsed, CompleteRule(rule, any_values));
  rule.set_name(RuleName(kProviderTenant, parsed));
  const auto replace = [&](v1::Rule& kept) -> Status {
    if (kept.version() == rule.version()) return absl::OkStatus();
    // Whether it is on, and in which state, stays as people set it.
    YAGURA_RETURN_IF_ERROR(versions.Replace(rule.text(), change, kept));
    kept.set_source(rule.source());
    return CompleteRule(kept, any_values).status();
  };
  auto kept = rules.Mutate(Context(), rule.name(), replace);
  if (kept.status().code() == absl::StatusCode::kNotFound) {
    YAGURA_RETURN_IF_ERROR(versions.Begin(change, rule));
    kept = rules.Create(Context(), rule);
  }
  // Another process was first with the same content.
  if (kept.status().code() == absl::StatusCode::kAlreadyExists) return absl::OkStatus();
  return kept.status();
}

}  // namespace

absl::StatusOr<int> LoadContentRules(const std::filesystem::path& folder,
                                     store::Store<v1::Rule>& rules, const RuleVersions& versions,
                                     const Logger& logger) {
  int loaded = 0;
  for (const auto& file : RuleFiles(folder)) {
    std::ifstream in(file, std::ios::binary);
    std::stringstream text;
    text << in.rdbuf();
    for (const RulePart& part : SplitRules(text.str())) {
      const Status status = part.InFile(LoadOne(file, part.text, rules, versions));
      if (ErrorReason(status) == "RULE_REFUSED") {
        logger.Error("rule refused", {{"file", file.string()}, {"reason", Message(status)}});
        continue;
      }
      // The one that is kept: the rule book tells of it, and the others are to be in force.
      if (ErrorReason(status) == "STORED_RESOURCE_UNREADABLE") continue;
      if (!status.ok()) return Annotate(status, file.filename().string());
      ++loaded;
    }
  }
  return loaded;
}

}  // namespace yagura::detection
