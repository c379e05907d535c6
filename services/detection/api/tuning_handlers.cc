#include "services/detection/api/tuning_handlers.h"

#include <algorithm>
#include <cmath>

#include "fmt/format.h"

#include "common/rpc/service_registry.h"
#include "common/rpc/standard_methods.h"
#include "common/status/status.h"
#include "common/store/resource_name.h"
#include "common/text/text.h"
#include "services/detection/domain/rule_compiler.h"
#include "services/detection/domain/rule_resource.h"

namespace yagura::detection {
namespace {

constexpr int kMaxValues = 1000;
constexpr size_t kMaxValue = 512;
constexpr size_t kMaxDescription = 512;
constexpr size_t kMaxReason = 1024;
constexpr int64_t kLongestTimespan = 31LL * 86400;
// Of one tenant: all of them go into each rule set.
constexpr int kMaxPlaceholders = 500;
constexpr int kMaxTunings = 5000;
constexpr size_t kMaxSettingsBytes = 1 << 20;

bool IsPlain(std::string_view text) {
  return IsValidUtf8(text) && std::none_of(text.begin(), text.end(), [](char c) {
           return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
         });
}

Status CheckText(std::string_view field, std::string_view text, size_t limit) {
  if (text.size() > limit) return InvalidField(field, fmt::format("longer than {} bytes", limit));
  if (!IsPlain(text)) return InvalidField(field, "not UTF-8 without control characters");
  return absl::OkStatus();
}

Status CheckPlaceholder(const v1::Placeholder& placeholder) {
  if (placeholder.values().empty() || placeholder.values_size() > kMaxValues) {
    return InvalidField("placeholder.values", fmt::format("not 1 to {} of them", kMaxValues));
  }
  for (int i = 0; i < placeholder.values_size(); ++i) {
    const std::string field = fmt::format("placeholder.values[{}]", i);
    if (placeholder.values(i).empty()) return InvalidField(field, "is empty");
    YAGURA_RETURN_IF_ERROR(CheckText(field, placeholder.values(i), kMaxValue));
  }
  return CheckText("placeholder.description", placeholder.description(), kMaxDescription);
}

Status CheckTuning(const v1::RuleTuning& tuning) {
  if (!v1::RuleTuning::Switch_IsValid(tuning.match())) {
    return InvalidField("rule_tuning.match", "is not known");
  }
  if (!event::v1::Severity_IsValid(tuning.severity())) {
    return InvalidField("rule_tuning.severity", "is not known");
  }
  if (tuning.has_count() && !std::isfinite(tuning.count())) {
    return InvalidField("rule_tuning.count", "is not a number");
  }
  const auto& timespan = tuning.timespan();
  if (tuning.has_timespan() &&
      (timespan.nanos() != 0 || timespan.seconds() < 1 || timespan.seconds() > kLongestTimespan)) {
    return InvalidField("rule_tuning.timespan", "not whole seconds from 1 second to 31 days");
  }
  YAGURA_RETURN_IF_ERROR(CheckText("rule_tuning.correlation", tuning.correlation(), 64));
  return CheckText("rule_tuning.reason", tuning.reason(), kMaxReason);
}

// Changes what is there, or makes it.
template <typename M, typename Change>
absl::StatusOr<M> Put(store::Store<M>& store, const rpc::Call& call, const M& wanted,
                      bool allow_missing, int most, const Change& change) {
  const auto update = [&](M& kept) -> Status {
    YAGURA_RETURN_IF_ERROR(rpc::CheckEtag(wanted.etag(), kept));
    change(kept);
    return absl::OkStatus();
  };
  auto changed = store.Mutate(call.write_context(), wanted.name(), update);
  if (changed.status().code() != absl::StatusCode::kNotFound || !allow_missing) return changed;
  if (!wanted.etag().empty()) return changed;
  int count = 0;
  const auto add = [&count](const auto&) {
    ++count;
    return absl::OkStatus();
  };
  YAGURA_RETURN_IF_ERROR(store.ForEach(call.tenant(), add, add));
  if (count >= most) {
    return MakeError(absl::StatusCode::kResourceExhausted, "TOO_MANY",
                     fmt::format("the tenant has {} of them already", most));
  }
  M fresh;
  fresh.set_name(wanted.name());
  change(fresh);
  return store.Create(call.write_context(), std::move(fresh));
}

}  // namespace

TuningHandlers::TuningHandlers(store::Store<v1::Placeholder> placeholders,
                               store::Store<v1::RuleTuning> tunings, store::Store<v1::Rule> rules,
                               std::shared_ptr<store::FeedFollower> feed,
                               std::shared_ptr<RuleBook> rule_book)
    : placeholders_(std::move(placeholders)),
      tunings_(std::move(tunings)),
      rules_(std::move(rules)),
      all_placeholders_(placeholders_, feed),
      all_tunings_(tunings_, feed),
      rule_book_(std::move(rule_book)) {}

void TuningHandlers::Register(rpc::ServiceRegistry& registry) {
  const std::string service = "/yagura.detection.v1.DetectionService/";
  registry.Unary<v1::GetPlaceholderRequest, v1::Placeholder>(
      service + "GetPlaceholder",
      [this](const auto& call, const auto& request) { return GetPlaceholder(call, request); });
  registry.Unary<v1::ListPlaceholdersRequest, v1::ListPlaceholdersResponse>(
      service + "ListPlaceholders",
      [this](const auto& call, const auto& request) { return ListPlaceholders(call, request); });
  registry.Unary<v1::UpdatePlaceholderRequest, v1::Placeholder>(
      service + "UpdatePlaceholder",
      [this](const auto& call, const auto& request) { return UpdatePlaceholder(call, request); });
  registry.Unary<v1::DeletePlaceholderRequest, v1::DeletePlaceholderResponse>(
      service + "DeletePlaceholder",
      [this](const auto& call, const auto& request) { return DeletePlaceholder(call, request); });
  registry.Unary<v1::GetRuleTuningRequest, v1::RuleTuning>(
      service + "GetRuleTuning",
      [this](const auto& call, const auto& request) { return GetTuning(call, request); });
  registry.Unary<v1::ListRuleTuningsRequest, v1::ListRuleTuningsResponse>(
      service + "ListRuleTunings",
      [this](const auto& call, const auto& request) { return ListTunings(call, request); });
  registry.Unary<v1::UpdateRuleTuningRequest, v1::RuleTuning>(
      service + "UpdateRuleTuning",
      [this](const auto& call, const auto& request) { return UpdateTuning(call, request); });
  registry.Unary<v1::DeleteRuleTuningRequest, v1::DeleteRuleTuningResponse>(
      service + "DeleteRuleTuning",
      [this](const auto& call, const auto& request) { return DeleteTuning(call, request); });
}

absl::StatusOr<v1::Placeholder> TuningHandlers::GetPlaceholder(
    const rpc::Call&, const v1::GetPlaceholderRequest& request) const {
  return placeholders_.Get(request.name());
}

absl::StatusOr<v1::ListPlaceholdersResponse> TuningHandlers::ListPlaceholders(
    const rpc::Call& call, const v1::ListPlaceholdersRequest& request) const {
  auto query = rpc::QueryOf(request, "name");
  query.pass_over_unreadable = true;
  auto page = rpc::ListPage(call, query, placeholders_, all_placeholders_);
  if (!page.ok()) return page.status();
  v1::ListPlaceholdersResponse response;
  for (auto& one : page->items) *response.add_placeholders() = std::move(one);
  response.set_next_page_token(page->next_page_token);
  return response;
}

// All that a tenant has set is one text of every rule set.
absl::Status TuningHandlers::CheckRoom(const rpc::Call& call, std::string_view name,
                                       size_t bytes) const {
  YAGURA_ASSIGN_OR_RETURN(const auto settings, rule_book_->SettingsOf(std::string(call.tenant())));
  for (const auto& one : settings.placeholders())
    bytes += one.name() == name ? 0 : one.ByteSizeLong();
  for (const auto& one : settings.tunings()) bytes += one.name() == name ? 0 : one.ByteSizeLong();
  if (bytes <= kMaxSettingsBytes) return absl::OkStatus();
  return MakeError(
      absl::StatusCode::kResourceExhausted, "TOO_MANY",
      fmt::format("the tenant's placeholders and tunings would be longer than {} bytes "
                  "together",
                  kMaxSettingsBytes));
}

absl::StatusOr<v1::Placeholder> TuningHandlers::UpdatePlaceholder(
    const rpc::Call& call, const v1::UpdatePlaceholderRequest& request) {
  const v1::Placeholder& wanted = request.placeholder();
  YAGURA_RETURN_IF_ERROR(CheckPlaceholder(wanted));
  YAGURA_RETURN_IF_ERROR(rule_book_->CheckPlaceholder(call.tenant(), wanted));
  YAGURA_RETURN_IF_ERROR(CheckRoom(call, wanted.name(), wanted.ByteSizeLong()));
  auto put = Put(placeholders_, call, wanted, request.allow_missing(), kMaxPlaceholders,
                 [&wanted](v1::Placeholder& kept) {
                   *kept.mutable_values() = wanted.values();
                   kept.set_description(wanted.description());
                 });
  rule_book_->RequestReload();
  return put;
}

absl::StatusOr<v1::DeletePlaceholderResponse> TuningHandlers::DeletePlaceholder(
    const rpc::Call& call, const v1::DeletePlaceholderRequest& request) {
  YAGURA_RETURN_IF_ERROR(
      placeholders_.Delete(call.write_context(), request.name(), request.etag()));
  rule_book_->RequestReload();
  return v1::DeletePlaceholderResponse();
}

absl::StatusOr<v1::RuleTuning> TuningHandlers::GetTuning(
    const rpc::Call&, const v1::GetRuleTuningRequest& request) const {
  return tunings_.Get(request.name());
}

absl::StatusOr<v1::ListRuleTuningsResponse> TuningHandlers::ListTunings(
    const rpc::Call& call, const v1::ListRuleTuningsRequest& request) const {
  auto query = rpc::QueryOf(request, "update_time desc");
  query.pass_over_unreadable = true;
  auto page = rpc::ListPage(call, query, tunings_, all_tunings_);
  if (!page.ok()) return page.status();
  v1::ListRuleTuningsResponse response;
  for (auto& one : page->items) *response.add_rule_tunings() = std::move(one);
  response.set_next_page_token(page->next_page_token);
  return response;
}

// The tenant's rule of that id, else the provider's.
absl::StatusOr<v1::Rule> TuningHandlers::RuleOf(const rpc::Call& call,
                                                std::string_view rule_id) const {
  auto own = rules_.Get(fmt::format("tenants/{}/rules/{}", call.tenant(), rule_id));
  if (own.status().code() != absl::StatusCode::kNotFound) return own;
  return rules_.Get(fmt::format("tenants/{}/rules/{}", kProviderTenant, rule_id));
}

absl::StatusOr<v1::RuleTuning> TuningHandlers::UpdateTuning(
    const rpc::Call& call, const v1::UpdateRuleTuningRequest& request) {
  const v1::RuleTuning& wanted = request.rule_tuning();
  YAGURA_RETURN_IF_ERROR(CheckTuning(wanted));
  YAGURA_ASSIGN_OR_RETURN(const v1::Rule rule, RuleOf(call, store::LastId(wanted.name())));
  YAGURA_ASSIGN_OR_RETURN(const auto placeholders, rule_book_->PlaceholdersFor(call.tenant()));
  auto parsed = ParseSigma(rule.text(), placeholders);
  if (parsed.ok() && parsed->filter) {
    return InvalidField("rule_tuning.name", "is of a filter, not of a rule");
  }
  if (parsed.ok()) {
    const Status tuned = ApplyTuning(wanted, *parsed);
    if (!tuned.ok()) return InvalidField("rule_tuning", Message(tuned));
  } else if (wanted.has_count() || wanted.has_timespan()) {
    return InvalidField("rule_tuning", Message(parsed.status()));
  }
  YAGURA_RETURN_IF_ERROR(CheckRoom(call, wanted.name(), wanted.ByteSizeLong()));
  auto put =
      Put(tunings_, call, wanted, request.allow_missing(), kMaxTunings, [&](v1::RuleTuning& kept) {
        kept.set_match(wanted.match());
        kept.set_severity(wanted.severity());
        kept.clear_count();
        if (wanted.has_count()) kept.set_count(wanted.count());
        kept.clear_timespan();
        if (wanted.has_timespan()) *kept.mutable_timespan() = wanted.timespan();
        kept.set_correlation(wanted.correlation());
        kept.set_reason(wanted.reason());
        kept.set_title(rule.title());
      });
  rule_book_->RequestReload();
  return put;
}

absl::StatusOr<v1::DeleteRuleTuningResponse> TuningHandlers::DeleteTuning(
    const rpc::Call& call, const v1::DeleteRuleTuningRequest& request) {
  YAGURA_RETURN_IF_ERROR(tunings_.Delete(call.write_context(), request.name(), request.etag()));
  rule_book_->RequestReload();
  return v1::DeleteRuleTuningResponse();
}

}  // namespace yagura::detection
