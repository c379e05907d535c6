#include "services/detection/api/rule_handlers.h"

#include <algorithm>

#include "fmt/format.h"

#include "common/rpc/service_registry.h"
#include "common/rpc/standard_methods.h"
#include "common/status/status.h"
#include "common/store/resource_name.h"
#include "common/text/characters.h"
#include "common/text/text.h"
#include "services/detection/domain/rule_resource.h"
#include "services/detection/domain/rule_state.h"
#include "services/detection/domain/rule_trial.h"

namespace yagura::detection {
namespace {

constexpr size_t kMaxSource = 512;
constexpr int kMaxImport = 1000;
constexpr size_t kMaxImportBytes = 3 << 20;
constexpr size_t kMaxImportParts = 5000;
constexpr int kMaxTestEvents = 10'000;

// The engine's reason as an error of the request field that holds the text.
Status AsFieldError(const Status& refused, std::string_view field) {
  return ErrorReason(refused) == "RULE_REFUSED" ? InvalidField(field, Message(refused)) : refused;
}

Status CheckSource(const v1::Rule& rule) {
  if (rule.source().size() <= kMaxSource) return absl::OkStatus();
  return InvalidField("rule.source", fmt::format("longer than {} bytes", kMaxSource));
}

Status CheckMask(const google::protobuf::FieldMask& mask) {
  if (mask.paths().empty()) return InvalidField("update_mask", "names no field");
  for (const auto& path : mask.paths()) {
    if (path != "text" && path != "enabled" && path != "source") {
      return InvalidField("update_mask", fmt::format("\"{}\" cannot be changed", path));
    }
  }
  return absl::OkStatus();
}

// What is on or off already stays as it is: on trial, muted.
void Enable(bool enabled, const rpc::Call& call, TimePoint now, v1::Rule& rule) {
  if (IsMatched(StateOf(rule)) != enabled) {
    SetState({enabled ? v1::ACTIVE : v1::RETIRED, "", call.write_context().principal, now, {}},
             rule);
  }
  rule.set_enabled(enabled);
}

}  // namespace

RuleHandlers::RuleHandlers(store::Store<v1::Rule> rules, RuleVersions versions,
                           std::shared_ptr<store::FeedFollower> feed,
                           std::shared_ptr<RuleBook> rule_book, std::shared_ptr<const Clock> clock)
    : rules_(std::move(rules)),
      versions_(std::move(versions)),
      all_tenants_(rules_, std::move(feed)),
      rule_book_(std::move(rule_book)),
      clock_(std::move(clock)) {}

void RuleHandlers::Register(rpc::ServiceRegistry& registry) {
  const std::string service = "/yagura.detection.v1.DetectionService/";
  registry.Unary<v1::CreateRuleRequest, v1::Rule>(
      service + "CreateRule",
      [this](const auto& call, const auto& request) { return Create(call, request); });
  registry.Unary<v1::GetRuleRequest, v1::Rule>(
      service + "GetRule",
      [this](const auto& call, const auto& request) { return Get(call, request); });
  registry.Unary<v1::GetRuleHistoryRequest, v1::RuleHistory>(
      service + "GetRuleHistory",
      [this](const auto& call, const auto& request) { return GetHistory(call, request); });
  registry.Unary<v1::ListRulesRequest, v1::ListRulesResponse>(
      service + "ListRules",
      [this](const auto& call, const auto& request) { return List(call, request); });
  registry.Unary<v1::UpdateRuleRequest, v1::Rule>(
      service + "UpdateRule",
      [this](const auto& call, const auto& request) { return Update(call, request); });
  registry.Unary<v1::DeleteRuleRequest, v1::DeleteRuleResponse>(
      service + "DeleteRule",
      [this](const auto& call, const auto& request) { return Delete(call, request); });
  registry.Unary<v1::ImportRulesRequest, v1::ImportRulesResponse>(
      service + "ImportRules",
      [this](const auto& call, const auto& request) { return Import(call, request); });
  registry.Unary<v1::TestRuleRequest, v1::TestRuleResponse>(
      service + "TestRule",
      [this](const auto& call, const auto& request) { return Test(call, request); });
}

absl::StatusOr<v1::Rule> RuleHandlers::Create(const rpc::Call& call,
                                              const v1::CreateRuleRequest& request) {
  YAGURA_RETURN_IF_ERROR(CheckSource(request.rule()));
  v1::Rule rule;
  rule.set_text(request.rule().text());
  rule.set_enabled(request.rule().enabled());
  rule.set_source(request.rule().source());
  rule.set_state(rule.enabled() ? v1::ACTIVE : v1::DRAFT);
  YAGURA_ASSIGN_OR_RETURN(const auto placeholders, rule_book_->PlaceholdersFor(call.tenant()));
  const auto parsed = CompleteRule(rule, placeholders);
  if (!parsed.ok()) return AsFieldError(parsed.status(), "rule.text");
  rule.set_name(RuleName(call.tenant(), *parsed));
  YAGURA_RETURN_IF_ERROR(versions_.Begin(ChangeOf(call, ""), rule));
  auto created = rules_.Create(call.write_context(), std::move(rule));
  rule_book_->RequestReload();
  return created;
}

absl::StatusOr<v1::Rule> RuleHandlers::Get(const rpc::Call&,
                                           const v1::GetRuleRequest& request) const {
  auto rule = rules_.Get(request.name());
  if (rule.ok()) YAGURA_RETURN_IF_ERROR(versions_.Settle(*rule));
  return rule;
}

RuleVersions::Change RuleHandlers::ChangeOf(const rpc::Call& call,
                                            const std::string& reason) const {
  return {call.write_context().principal, reason, clock_->Now()};
}

absl::StatusOr<v1::RuleHistory> RuleHandlers::GetHistory(
    const rpc::Call&, const v1::GetRuleHistoryRequest& request) const {
  auto rule = rules_.Get(request.name());
  if (!rule.ok() && rule.status().code() != absl::StatusCode::kNotFound) return rule.status();
  if (rule.ok()) YAGURA_RETURN_IF_ERROR(versions_.Settle(*rule));
  YAGURA_ASSIGN_OR_RETURN(auto earlier, versions_.List(request.name()));
  v1::RuleHistory history;
  if (rule.ok()) *history.add_versions() = RuleVersions::Of(*rule);
  for (auto& version : earlier) {
    // A replacement that did not come about leaves the text in place there, too.
    if (rule.ok() && version.number() == rule->text_number() && version.text() == rule->text()) {
      continue;
    }
    *history.add_versions() = std::move(version);
  }
  auto& versions = *history.mutable_versions();
  if (request.version().empty()) {
    for (auto& version : versions) version.clear_text();
  } else {
    const auto wanted = [&request](const v1::RuleVersion& version) {
      return version.version() == request.version() ||
             fmt::to_string(version.number()) == request.version();
    };
    const auto found = std::ranges::find_if(versions, wanted);
    if (found == versions.end()) versions.Clear();
    if (!versions.empty()) {
      v1::RuleVersion one = std::move(*found);
      versions.Clear();
      *versions.Add() = std::move(one);
    }
  }
  if (!versions.empty()) return history;
  return MakeError(absl::StatusCode::kNotFound, "NO_RULE_VERSION",
                   fmt::format("{} has no such version", request.name()));
}

absl::StatusOr<v1::ListRulesResponse> RuleHandlers::List(
    const rpc::Call& call, const v1::ListRulesRequest& request) const {
  auto query = rpc::QueryOf(request, "title");
  query.pass_over_unreadable = true;
  auto page = rpc::ListPage(call, query, rules_, all_tenants_);
  if (!page.ok()) return page.status();
  v1::ListRulesResponse response;
  for (auto& rule : page->items) {
    YAGURA_RETURN_IF_ERROR(versions_.Settle(rule));
    *response.add_rules() = std::move(rule);
  }
  response.set_next_page_token(page->next_page_token);
  if (!request.page_token().empty()) return response;
  const store::TenantScope scope = rpc::ScopeOf(call);
  for (const auto& name : rule_book_->unreadable()) {
    const std::string tenant(store::TenantOf(name).value_or(""));
    const bool is_asked_for = call.all_tenants() ? scope.Contains(tenant) : tenant == call.tenant();
    if (is_asked_for) response.add_unreadable(name);
  }
  return response;
}

absl::StatusOr<v1::Rule> RuleHandlers::Update(const rpc::Call& call,
                                              const v1::UpdateRuleRequest& request) {
  YAGURA_RETURN_IF_ERROR(CheckMask(request.update_mask()));
  YAGURA_RETURN_IF_ERROR(CheckSource(request.rule()));
  YAGURA_ASSIGN_OR_RETURN(const auto placeholders, rule_book_->PlaceholdersFor(call.tenant()));
  const auto change = [&](v1::Rule& rule) -> Status {
    YAGURA_RETURN_IF_ERROR(rpc::CheckEtag(request.rule().etag(), rule));
    YAGURA_RETURN_IF_ERROR(versions_.Settle(rule));
    for (const auto& path : request.update_mask().paths()) {
      if (path == "enabled") Enable(request.rule().enabled(), call, clock_->Now(), rule);
      if (path == "source") rule.set_source(request.rule().source());
      if (path != "text") continue;
      YAGURA_RETURN_IF_ERROR(versions_.Replace(request.rule().text(), ChangeOf(call, ""), rule));
      const auto parsed = CompleteRule(rule, placeholders);
      if (!parsed.ok()) return AsFieldError(parsed.status(), "rule.text");
      if (RuleName(call.tenant(), *parsed) != rule.name()) {
        return InvalidField("rule.text",
                            "has another Sigma id than the rule that it is to replace");
      }
    }
    return absl::OkStatus();
  };
  auto updated = rules_.Mutate(call.write_context(), request.rule().name(), change);
  rule_book_->RequestReload();
  return updated;
}

absl::StatusOr<v1::DeleteRuleResponse> RuleHandlers::Delete(const rpc::Call& call,
                                                            const v1::DeleteRuleRequest& request) {
  if (auto rule = rules_.Get(request.name()); rule.ok()) {
    YAGURA_RETURN_IF_ERROR(versions_.Keep(*rule));
  }
  YAGURA_RETURN_IF_ERROR(rules_.Delete(call.write_context(), request.name(), request.etag()));
  rule_book_->RequestReload();
  return v1::DeleteRuleResponse();
}

absl::StatusOr<v1::ImportRulesResponse> RuleHandlers::Import(
    const rpc::Call& call, const v1::ImportRulesRequest& request) {
  if (request.rules_size() > kMaxImport || request.ByteSizeLong() > kMaxImportBytes) {
    return InvalidField("rules", fmt::format("more than {} texts or {} bytes in one call",
                                             kMaxImport, kMaxImportBytes));
  }
  YAGURA_RETURN_IF_ERROR(CheckReason(request.reason()));
  YAGURA_ASSIGN_OR_RETURN(const auto placeholders, rule_book_->PlaceholdersFor(call.tenant()));
  v1::ImportRulesResponse response;
  std::map<std::string, std::string> sources;
  size_t parts_taken = 0;
  for (const auto& text : request.rules()) {
    const std::string source(CharactersWithin(text.source(), kMaxSource));
    const auto parts = SplitRules(text.text());
    if (parts_taken + parts.size() > kMaxImportParts) {
      auto& result = *response.add_results();
      result.set_source(source);
      result.set_reason(fmt::format("more than {} rules in one call: import the file by itself",
                                    kMaxImportParts));
      response.set_refused(response.refused() + 1);
      continue;
    }
    parts_taken += parts.size();
    for (const RulePart& part : parts) {
      auto& result = *response.add_results();
      result.set_source(source);
      const Status status = ImportOne(call, request, part, placeholders, sources, result);
      if (ErrorReason(status) == "RULE_REFUSED") {
        const Status refused = part.InFile(status);
        result.clear_change();
        result.set_reason(std::string(Message(refused)));
        result.set_line(ParseNumber<int>(GetErrorMetadata(refused)["line"]).value_or(0));
        response.set_refused(response.refused() + 1);
        continue;
      }
      if (!status.ok()) return Annotate(status, source);
      response.set_loaded(response.loaded() + 1);
    }
  }
  if (!request.validate_only()) rule_book_->RequestReload();
  return response;
}

Status RuleHandlers::ImportOne(const rpc::Call& call, const v1::ImportRulesRequest& request,
                               const RulePart& part, const Placeholders& placeholders,
                               std::map<std::string, std::string>& sources,
                               v1::ImportResult& result) {
  v1::Rule rule;
  rule.set_text(part.text);
  rule.set_source(result.source());
  rule.set_enabled(true);
  rule.set_state(v1::ACTIVE);
  YAGURA_ASSIGN_OR_RETURN(const ParsedRule parsed, CompleteRule(rule, placeholders));
  rule.set_name(RuleName(call.tenant(), parsed));
  const auto [first, is_new] = sources.try_emplace(rule.name(), result.source());
  if (!is_new) return RefuseSameId(parsed.info().id, first->second);
  result.set_change(v1::ImportResult::ADDED);
  const auto change = ChangeOf(call, request.reason());
  const auto replace = [&](v1::Rule& kept) -> Status {
    result.set_change(kept.text() == rule.text() ? v1::ImportResult::UNCHANGED
                                                 : v1::ImportResult::CHANGED);
    if (request.validate_only()) return absl::OkStatus();
    YAGURA_RETURN_IF_ERROR(versions_.Replace(rule.text(), change, kept));
    kept.set_source(rule.source());
    return CompleteRule(kept, placeholders).status();
  };
  absl::StatusOr<v1::Rule> kept;
  if (request.validate_only()) {
    kept = rules_.Get(rule.name());
    if (kept.ok()) YAGURA_RETURN_IF_ERROR(replace(*kept));
    if (kept.status().code() == absl::StatusCode::kNotFound) kept = rule;
  } else {
    // Importing the same again changes nothing, so each write is repeatable without the request id,
    // which the rules of one call share.
    auto context = call.write_context();
    context.request_id.clear();
    context.request_digest.clear();
    context.detail = request.reason();
    kept = rules_.Mutate(context, rule.name(), replace);
    if (kept.status().code() == absl::StatusCode::kNotFound) {
      YAGURA_RETURN_IF_ERROR(versions_.Begin(change, rule));
      kept = rules_.Create(context, rule);
    }
  }
  if (!kept.ok()) return kept.status();
  result.set_rule(kept->name());
  result.set_state(StateOf(*kept));
  return absl::OkStatus();
}

absl::StatusOr<v1::TestRuleResponse> RuleHandlers::Test(const rpc::Call& call,
                                                        const v1::TestRuleRequest& request) const {
  if (request.events_size() > kMaxTestEvents) {
    return InvalidField("events", fmt::format("more than {} of them", kMaxTestEvents));
  }
  YAGURA_ASSIGN_OR_RETURN(const auto placeholders, rule_book_->PlaceholdersFor(call.tenant()));
  auto parsed = ParseSigma(request.text(), placeholders);
  if (!parsed.ok()) return AsFieldError(parsed.status(), "text");
  if (parsed->filter) return InvalidField("text", "is a filter: it matches nothing by itself");
  return TryRule(call.tenant(), *std::move(parsed), request.events(), clock_->Now());
}

}  // namespace yagura::detection
