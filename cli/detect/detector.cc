#include "cli/detect/detector.h"

#include <algorithm>
#include <tuple>

#include "cli/detect/rule_files.h"
#include "fmt/format.h"

#include "common/event/event_view.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "services/detection/domain/engine/rule_split.h"
#include "services/detection/domain/findings.h"
#include "services/detection/domain/hits.h"
#include "services/detection/domain/rule_compiler.h"

namespace yagura::cli {
namespace {

using detection::v1::Finding;

constexpr size_t kEventsPerBatch = 1024;
constexpr size_t kBytesPerBatch = 4 << 20;
constexpr std::chrono::minutes kFold{10};  // as the service does without a setting

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
  std::map<std::string, std::string> source_by_id;
  std::vector<std::pair<std::string, std::string>> kept;  // where from, and text
  const auto take = [&](const std::string& source, const absl::StatusOr<std::string>& text) {
    if (!text.ok()) {
      loaded.refused.push_back(fmt::format("{}: {}", source, Message(text.status())));
      return absl::OkStatus();
    }
    for (auto& part : detection::SplitRules(*text)) {
      const auto rule = detection::ParseSigma(part.text, placeholders);
      absl::Status refused = part.InFile(rule.status());
      if (rule.ok()) {
        const auto [other, is_new] = source_by_id.try_emplace(rule->info().id, source);
        if (!is_new) refused = detection::RefuseSameId(rule->info().id, other->second);
      }
      if (refused.ok()) {
        kept.emplace_back(source, std::move(part.text));
      } else {
        loaded.refused.push_back(fmt::format("{}: {}", source, Message(refused)));
      }
    }
    return absl::OkStatus();
  };
  for (const auto& path : paths) YAGURA_RETURN_IF_ERROR(ForEachRuleFile(path, take));
  detection::RuleCompiler compiler;
  const std::string settings = SettingsOf(placeholders);
  std::vector<detection::RuleCompiler::Item> items = {{"", "", settings}};
  for (size_t i = 0; i < kept.size(); ++i) {
    items.push_back({"", fmt::format("{}#{}", kept[i].first, i), kept[i].second});
  }
  loaded.set = detection::RuleSet::Build(compiler.Compile(items).entries);
  return loaded;
}

Detector::Detector(std::shared_ptr<const detection::RuleSet> rules, TimePoint now,
                   std::string tenant)
    : tenant_(std::move(tenant)),
      now_(now),
      matcher_(std::move(rules)),
      windows_({.offline = true}),
      builder_(NextHeader()) {
  for (const auto& entry : matcher_.rules().entries()) {
    titles_[entry.rule->info().id] = entry.rule->info().title;
    for (const auto& rule : entry.rule->rules) titles_[rule.info.id] = rule.info.title;
  }
}

event::BatchHeader Detector::NextHeader() {
  return {tenant_, event::BatchIdOf({"detect", fmt::to_string(++batches_)}), now_};
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

std::string Detector::MatchTable() const {
  std::vector<std::pair<uint64_t, std::string>> rows;
  for (const auto& [id, count] : matches_) rows.emplace_back(count, id);
  std::sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first > b.first : a.second < b.second;
  });
  std::string text = fmt::format("{:>10}  {:<36}  {}\n", "MATCHES", "RULE", "TITLE");
  for (const auto& [count, id] : rows) {
    const auto title = titles_.find(id);
    text += fmt::format("{:>10}  {:<36}  {}\n", count, id,
                        title == titles_.end() ? "" : EscapeForTerminal(title->second));
  }
  return text;
}

}  // namespace yagura::cli
