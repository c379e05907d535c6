#include "services/detection/storage/rule_versions.h"

#include <algorithm>
#include <functional>
#include <iterator>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/status/status.h"
#include "services/detection/storage/rule_set_store.h"

namespace yagura::detection {
namespace {

constexpr int kMostVersions = 50;

store::WriteContext Context() {
  store::WriteContext context;
  context.principal = "services/detection";
  context.method = "detection/rule-versions";
  return context;
}

std::string NameOf(std::string_view rule, int64_t number) {
  return fmt::format("{}/versions/{}", rule, number);
}

// As Rule.version, which follows a new text only later.
std::string VersionOf(std::string_view text) {
  constexpr size_t kDigits = 12;
  return DigestOf(text).substr(0, kDigits);
}

void SetChange(const RuleVersions::Change& change, int64_t number, v1::Rule& rule) {
  rule.set_text_number(number);
  rule.set_text_version(VersionOf(rule.text()));
  rule.set_text_changed_by(change.by);
  rule.set_text_reason(change.reason);
  *rule.mutable_text_change_time() = ToProto(change.at);
}

}  // namespace

v1::RuleVersion RuleVersions::Of(const v1::Rule& rule) {
  v1::RuleVersion version;
  version.set_name(NameOf(rule.name(), rule.text_number()));
  version.set_number(rule.text_number());
  version.set_version(rule.version());
  version.set_text(rule.text());
  version.set_title(rule.title());
  version.set_source(rule.source());
  version.set_changed_by(rule.text_changed_by());
  version.set_reason(rule.text_reason());
  // An earlier release did not tell text and state apart: it is no older than the rule.
  *version.mutable_change_time() =
      rule.has_text_change_time() ? rule.text_change_time() : rule.create_time();
  return version;
}

absl::Status RuleVersions::Begin(const Change& change, v1::Rule& rule) const {
  YAGURA_ASSIGN_OR_RETURN(const auto earlier, List(rule.name()));
  SetChange(change, earlier.empty() ? 1 : earlier.front().number() + 1, rule);
  return absl::OkStatus();
}

absl::Status RuleVersions::Replace(const std::string& text, const Change& change,
                                   v1::Rule& rule) const {
  if (rule.text() == text) return absl::OkStatus();
  YAGURA_RETURN_IF_ERROR(Keep(rule));
  rule.set_text(text);
  SetChange(change, rule.text_number() + 1, rule);
  return absl::OkStatus();
}

absl::Status RuleVersions::Settle(v1::Rule& rule) const {
  // A release that did not note it yet changed all of them at once.
  if (rule.text_version().empty()) return absl::OkStatus();
  return rule.text_version() == VersionOf(rule.text()) ? absl::OkStatus() : NumberAnew(rule);
}

absl::Status RuleVersions::Keep(v1::Rule& rule) const {
  YAGURA_RETURN_IF_ERROR(Settle(rule));
  auto kept = versions_.Create(Context(), Of(rule));
  if (kept.status().code() == absl::StatusCode::kAlreadyExists) {
    kept = versions_.Get(NameOf(rule.name(), rule.text_number()));
    // The same: from before a replacement that did not come about.
    if (kept.ok() && kept->text() != rule.text()) {
      YAGURA_RETURN_IF_ERROR(NumberAnew(rule));
      kept = versions_.Create(Context(), Of(rule));
    }
  }
  if (!kept.ok()) return kept.status();
  if (rule.text_number() < kMostVersions) return absl::OkStatus();
  const auto gone =
      versions_.Delete(Context(), NameOf(rule.name(), rule.text_number() - kMostVersions));
  return gone.code() == absl::StatusCode::kNotFound ? absl::OkStatus() : gone;
}

absl::Status RuleVersions::NumberAnew(v1::Rule& rule) const {
  YAGURA_ASSIGN_OR_RETURN(const auto earlier, List(rule.name()));
  const int64_t newest = earlier.empty() ? 0 : earlier.front().number();
  SetChange({}, std::max(newest, rule.text_number()) + 1, rule);
  rule.clear_text_change_time();
  return absl::OkStatus();
}

absl::StatusOr<std::vector<v1::RuleVersion>> RuleVersions::List(std::string_view rule) const {
  store::ListQuery query;
  query.parent = std::string(rule);  // without an order: no other rule's are walked over
  query.page_size = 2 * kMostVersions;
  query.pass_over_unreadable = true;
  std::vector<v1::RuleVersion> versions;
  do {
    YAGURA_ASSIGN_OR_RETURN(auto page, versions_.List(query));
    std::ranges::move(page.items, std::back_inserter(versions));
    query.page_token = page.next_page_token;
  } while (!query.page_token.empty());
  std::ranges::sort(versions, std::ranges::greater(), &v1::RuleVersion::number);
  if (versions.size() > kMostVersions) versions.resize(kMostVersions);
  return versions;
}

absl::Status RuleVersions::Sweep(std::string_view tenant, const store::Store<v1::Rule>& rules,
                                 TimePoint now, std::chrono::hours keep) const {
  store::ListQuery query;
  query.parent = fmt::format("tenants/{}", tenant);
  query.page_size = 2 * kMostVersions;
  query.pass_over_unreadable = true;
  Kept kept;  // those of a rule follow each other
  do {
    YAGURA_ASSIGN_OR_RETURN(const auto page, versions_.List(query));
    for (const auto& version : page.items) {
      const std::string rule = version.name().substr(0, version.name().rfind("/versions/"));
      if (rule != kept.rule) {
        YAGURA_RETURN_IF_ERROR(SweepOne(kept, rules, now, keep));
        kept = {rule, {}, {}};
      }
      kept.numbers.insert(version.number());
      if (*kept.numbers.rbegin() != version.number()) continue;
      kept.gone_since.reset();
      if (version.has_rule_gone_time()) kept.gone_since = FromProto(version.rule_gone_time());
    }
    query.page_token = page.next_page_token;
  } while (!query.page_token.empty());
  return SweepOne(kept, rules, now, keep);
}

absl::Status RuleVersions::SweepOne(const Kept& kept, const store::Store<v1::Rule>& rules,
                                    TimePoint now, std::chrono::hours keep) const {
  if (kept.numbers.empty()) return absl::OkStatus();
  const absl::Status rule = rules.Get(kept.rule).status();
  const bool is_gone = rule.code() == absl::StatusCode::kNotFound;
  if (!rule.ok() && !is_gone && ErrorReason(rule) != "STORED_RESOURCE_UNREADABLE") return rule;
  if (is_gone && kept.gone_since && *kept.gone_since + keep <= now) {
    // The latest, which says so, at the end: a sweep that was killed goes on.
    for (const int64_t number : kept.numbers) {
      const absl::Status gone = versions_.Delete(Context(), NameOf(kept.rule, number));
      if (!gone.ok() && gone.code() != absl::StatusCode::kNotFound) return gone;
    }
    return absl::OkStatus();
  }
  if (is_gone == kept.gone_since.has_value()) return absl::OkStatus();
  const auto note = [&](v1::RuleVersion& version) {
    version.clear_rule_gone_time();
    if (is_gone) *version.mutable_rule_gone_time() = ToProto(now);
    return absl::OkStatus();
  };
  const std::string latest = NameOf(kept.rule, *kept.numbers.rbegin());
  const absl::Status noted = versions_.Mutate(Context(), latest, note).status();
  return noted.code() == absl::StatusCode::kNotFound ? absl::OkStatus() : noted;
}

}  // namespace yagura::detection
