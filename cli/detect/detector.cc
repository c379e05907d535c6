#include "cli/detect/detector.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <tuple>

#include "fmt/format.h"

#include "common/event/event_view.h"
#include "common/status/status.h"
#include "services/detection/domain/findings.h"
#include "services/detection/domain/hits.h"
#include "services/detection/domain/rule_compiler.h"

namespace yagura::cli {
namespace {

using detection::v1::Finding;

constexpr std::string_view kTenant = "local";
constexpr size_t kEventsPerBatch = 1024;
constexpr size_t kBytesPerBatch = 4 << 20;
constexpr std::chrono::minutes kFold{10};  // as the service does without a setting

bool IsRuleFile(const std::filesystem::path& path) {
  return path.extension() == ".yml" || path.extension() == ".yaml";
}

absl::StatusOr<std::vector<std::filesystem::path>> RuleFiles(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  if (fs::is_regular_file(path, error)) return std::vector<fs::path>{path};
  std::vector<fs::path> files;
  for (auto at = fs::recursive_directory_iterator(path, error);
       !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
    if (IsRuleFile(at->path())) files.push_back(at->path());
  }
  if (error || files.empty()) {
    return MakeError(absl::StatusCode::kNotFound, "NO_RULES",
                     fmt::format("{}: {}", path, error ? error.message() : "has no rules"));
  }
  std::sort(files.begin(), files.end());
  return files;
}

// One byte more than a rule may have: what is too long is refused as such.
std::string ReadRule(const std::filesystem::path& path) {
  std::string text(detection::kMaxRuleText + 1, '\0');
  std::ifstream in(path, std::ios::binary);
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(in.gcount()));
  return text;
}

// As the placeholders of all tenants.
std::string SettingsOf(const detection::Placeholders& placeholders) {
  detection::internal::v1::TenantRules settings;
  for (const auto& [id, values] : placeholders) {
    auto& placeholder = *settings.add_placeholders();
    placeholder.set_name("tenants/provider/placeholders/" + id);
    for (const auto& value : values) placeholder.add_values(value);
  }
  return detection::EncodeTenantRules(settings);
}

bool IsEarlier(const Finding& a, const Finding& b) {
  const auto key = [](const Finding& finding) {
    return std::tuple(finding.first_event_time().seconds(), finding.first_event_time().nanos(),
                      std::string_view(finding.rule_id()), std::string_view(finding.name()));
  };
  return key(a) < key(b);
}

}  // namespace

absl::StatusOr<LoadedRules> LoadRules(const std::vector<std::string>& paths,
                                      const detection::Placeholders& placeholders) {
  LoadedRules loaded;
  std::map<std::string, std::string> path_by_id;
  std::vector<std::string> texts;
  std::vector<std::string> kept;  // paths of these
  for (const auto& path : paths) {
    YAGURA_ASSIGN_OR_RETURN(const auto files, RuleFiles(path));
    for (const auto& file : files) {
      std::string text = ReadRule(file);
      const auto rule = detection::ParseSigma(text, placeholders);
      if (!rule.ok()) {
        loaded.refused.push_back(fmt::format("{}: {}", file.string(), Message(rule.status())));
        continue;
      }
      const auto [other, is_new] = path_by_id.try_emplace(rule->info().id, file.string());
      if (!is_new) {
        loaded.refused.push_back(
            fmt::format("{}: {} has the same id", file.string(), other->second));
        continue;
      }
      texts.push_back(std::move(text));
      kept.push_back(file.string());
    }
  }
  detection::RuleCompiler compiler;
  const std::string settings = SettingsOf(placeholders);
  std::vector<detection::RuleCompiler::Item> items = {{"", "", settings}};
  for (size_t i = 0; i < texts.size(); ++i) items.push_back({"", kept[i], texts[i]});
  loaded.set = detection::RuleSet::Build(compiler.Compile(items).entries);
  return loaded;
}

Detector::Detector(std::shared_ptr<const detection::RuleSet> rules, TimePoint now)
    : now_(now), matcher_(std::move(rules)), windows_({.offline = true}), builder_(NextHeader()) {
  for (const auto& entry : matcher_.rules().entries()) {
    titles_[entry.rule->info().id] = entry.rule->info().title;
    for (const auto& rule : entry.rule->rules) titles_[rule.info.id] = rule.info.title;
  }
}

event::BatchHeader Detector::NextHeader() {
  return {std::string(kTenant), event::BatchIdOf({"detect", fmt::to_string(++batches_)}), now_};
}

absl::Status Detector::Add(const event::EventView& event) {
  builder_.Add(event);
  return Added();
}

absl::Status Detector::Add(const event::v1::Event& event) {
  builder_.Add(event);
  return Added();
}

absl::Status Detector::Added() {
  ++events_;
  const bool full = builder_.full() || builder_.size() >= kEventsPerBatch ||
                    builder_.size_bytes() >= kBytesPerBatch;
  return full ? Flush() : absl::OkStatus();
}

absl::Status Detector::Flush() {
  if (builder_.size() == 0) return absl::OkStatus();
  YAGURA_ASSIGN_OR_RETURN(
      auto batch,
      event::BatchReader::Open(builder_.Finish(event::BatchBuilder::Compression::kNone)));
  const detection::HitSource source{0, fmt::format("1-{}", batches_), 1};
  builder_.Reset(NextHeader());
  YAGURA_ASSIGN_OR_RETURN(const auto matches, matcher_.Run(batch));
  for (const auto& match : matches) {
    const auto& target = matcher_.rules().targets()[match.target];
    ++matches_[matcher_.rules().rule(target).rules[target.rule].info.id];
  }
  const auto one_shard = [](std::string_view) { return 0; };
  YAGURA_ASSIGN_OR_RETURN(const auto hits,
                          detection::MakeHits(matcher_, batch, matches, source, one_shard, kFold));
  for (const auto& [shard, hit_batch] : hits) {
    Note(windows_.Apply(hit_batch));
  }
  windows_.Clean();
  return absl::OkStatus();
}

void Detector::Note(const std::vector<detection::Windows::Outcome>& outcomes) {
  for (const auto& outcome : outcomes) {
    if (outcome.closing) continue;
    auto [found, is_new] = findings_.try_emplace(outcome.finding.name(), outcome.finding);
    if (!is_new) detection::MergeFinding(outcome.finding, found->second);
  }
}

absl::StatusOr<std::vector<Finding>> Detector::Finish() {
  YAGURA_RETURN_IF_ERROR(Flush());
  Note(windows_.Finish());
  std::vector<Finding> findings;
  for (auto& [name, finding] : findings_) findings.push_back(std::move(finding));
  findings_.clear();
  std::sort(findings.begin(), findings.end(), IsEarlier);
  return findings;
}

}  // namespace yagura::cli
