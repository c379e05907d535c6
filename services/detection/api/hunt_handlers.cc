#include "services/detection/api/hunt_handlers.h"

#include <algorithm>
#include <set>
#include <utility>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/filter/filter.h"
#include "common/rpc/call.h"
#include "common/rpc/service_registry.h"
#include "common/rpc/standard_methods.h"
#include "common/status/status.h"
#include "common/store/page_token.h"
#include "common/store/resource_name.h"
#include "common/text/printable.h"
#include "common/text/text.h"
#include "services/detection/domain/event_filter.h"
#include "services/detection/domain/indicators.h"
#include "services/detection/domain/product_presence.h"
#include "services/detection/domain/rule_resource.h"
#include "services/detection/domain/tags.h"

namespace yagura::detection {
namespace {

constexpr std::string_view kCreatePermission = "detection.hunts.create";
constexpr std::string_view kReadRulePermission = "detection.rules.get";
constexpr std::chrono::hours kDefaultRange{30 * 24};
constexpr std::chrono::hours kLongestRange{400 * 24};
constexpr size_t kMaxTitle = 200;
constexpr size_t kMaxEventFilter = 2 * 1024;
constexpr size_t kMaxTenants = 2'000;
constexpr int kMaxHunts = 500;
constexpr int kMaxRunning = 20;
constexpr int kDefaultPage = 50;
constexpr int kLargestPage = 1'000;
constexpr int kChunk = 50;  // results read at once

absl::Status AsFieldError(const absl::Status& refused, std::string_view field) {
  return ErrorReason(refused) == "RULE_REFUSED" ? InvalidField(field, Message(refused)) : refused;
}

absl::Status TooMany(std::string_view message) {
  return MakeError(absl::StatusCode::kResourceExhausted, "TOO_MANY", message);
}

// The same whether the tenant or the rule exists or not.
absl::Status Denied(std::string_view permission) {
  return MakeError(absl::StatusCode::kPermissionDenied, "PERMISSION_DENIED",
                   fmt::format("the permission {} is not granted for this", permission),
                   {{"permission", std::string(permission)}});
}

// No customer: hunted where it is named alone.
bool IsOurOwn(std::string_view tenant) {
  return tenant == kProviderTenant || tenant == "quarantine";
}

std::string TitleOf(const v1::Hunt& hunt) {
  if (hunt.has_vulnerability()) return hunt.vulnerability().cve();
  if (hunt.has_rule()) return Printable(hunt.rule().title(), kMaxTitle);
  const uint32_t count = hunt.indicators().indicator_count();
  return fmt::format("{} indicator{}", count, count == 1 ? "" : "s");
}

void DropTexts(v1::Hunt& hunt) {
  if (hunt.has_rule()) hunt.mutable_rule()->clear_text();
  if (hunt.has_indicators()) hunt.mutable_indicators()->clear_text();
}

v1::HuntResult WithoutEvidence(v1::HuntResult result) {
  result.clear_evidence();
  return result;
}

absl::StatusOr<int> PageSize(int asked) {
  if (asked < 0) return InvalidField("page_size", "must not be negative");
  return asked == 0 ? kDefaultPage : std::min(asked, kLargestPage);
}

}  // namespace

HuntHandlers::HuntHandlers(Parts parts)
    : parts_(std::move(parts)), all_tenants_(parts_.store->hunts, parts_.feed) {}

void HuntHandlers::Register(rpc::ServiceRegistry& registry) {
  const std::string service = "/yagura.detection.v1.DetectionService/";
  registry.Unary<v1::CreateHuntRequest, v1::Hunt>(
      service + "CreateHunt",
      [this](const auto& call, const auto& request) { return Create(call, request); });
  registry.Unary<v1::GetHuntRequest, v1::Hunt>(
      service + "GetHunt",
      [this](const auto& call, const auto& request) { return Get(call, request); });
  registry.Unary<v1::ListHuntsRequest, v1::ListHuntsResponse>(
      service + "ListHunts",
      [this](const auto& call, const auto& request) { return List(call, request); });
  registry.Watch<v1::WatchHuntRequest, v1::WatchHuntResponse>(
      service + "WatchHunt", [this](const auto& call, const auto& request, const auto& outbox) {
        return Watch(call, request, outbox);
      });
  registry.Unary<v1::CancelHuntRequest, v1::Hunt>(
      service + "CancelHunt",
      [this](const auto& call, const auto& request) { return Cancel(call, request); });
  registry.Unary<v1::DeleteHuntRequest, v1::DeleteHuntResponse>(
      service + "DeleteHunt",
      [this](const auto& call, const auto& request) { return Delete(call, request); });
  registry.Unary<v1::GetHuntResultRequest, v1::HuntResult>(
      service + "GetHuntResult",
      [this](const auto& call, const auto& request) { return GetResult(call, request); });
  registry.Unary<v1::ListHuntResultsRequest, v1::ListHuntResultsResponse>(
      service + "ListHuntResults",
      [this](const auto& call, const auto& request) { return ListResults(call, request); });
}

absl::StatusOr<v1::Hunt> HuntHandlers::Create(const rpc::Call& call,
                                              const v1::CreateHuntRequest& request) {
  const v1::Hunt& asked = request.hunt();
  v1::Hunt hunt;
  Plan plan;
  if (asked.title() != Printable(asked.title(), kMaxTitle)) {
    return InvalidField("hunt.title", "has control characters or more than 200 bytes");
  }
  hunt.set_title(asked.title());
  *hunt.mutable_start_time() = asked.start_time();
  if (!asked.has_start_time()) hunt.clear_start_time();
  *hunt.mutable_end_time() = asked.end_time();
  if (!asked.has_end_time()) hunt.clear_end_time();
  YAGURA_RETURN_IF_ERROR(SetRange(hunt));
  if (asked.event_filter().size() > kMaxEventFilter) {
    return InvalidField("hunt.event_filter", fmt::format("longer than {} bytes", kMaxEventFilter));
  }
  // Without the time of day: later it would mean another one.
  if (const auto parsed = filter::Filter::Parse(asked.event_filter(), filter::EventSchema());
      !parsed.ok()) {
    return InvalidField("hunt.event_filter", Message(parsed.status()));
  }
  hunt.set_event_filter(asked.event_filter());
  hunt.set_product(asked.product());
  switch (asked.question_case()) {
    case v1::Hunt::kRule:
      *hunt.mutable_rule() = asked.rule();
      break;
    case v1::Hunt::kIndicators:
      *hunt.mutable_indicators() = asked.indicators();
      break;
    case v1::Hunt::kVulnerability:
      *hunt.mutable_vulnerability() = asked.vulnerability();
      break;
    default:
      return InvalidField("hunt", "asks nothing: a rule, indicators or a vulnerability");
  }
  YAGURA_RETURN_IF_ERROR(TakeQuestion(call, hunt, plan));
  if (hunt.title().empty()) hunt.set_title(TitleOf(hunt));
  YAGURA_ASSIGN_OR_RETURN(const auto tenants, TenantsOf(call, request));
  for (const auto& tenant : tenants) plan.add_tenants(tenant);
  hunt.set_tenant_count(static_cast<uint32_t>(tenants.size()));
  YAGURA_RETURN_IF_ERROR(CheckRoom(request.parent()));
  hunt.set_name(fmt::format("{}/hunts/{}", request.parent(), store::NewUlid()));
  hunt.set_state(v1::QUEUED);
  hunt.set_requester(call.principal().name);
  YAGURA_RETURN_IF_ERROR(parts_.worker->Announce(hunt.name()));
  auto context = call.write_context(hunt.title());
  YAGURA_ASSIGN_OR_RETURN(hunt, parts_.store->hunts.Create(context, std::move(hunt)));
  // A repeat of the request may find everything there.
  plan.set_name(HuntStore::PlanName(hunt.name()));
  context.request_id.clear();
  context.request_digest.clear();
  const auto kept = parts_.store->plans.Create(context, std::move(plan));
  if (!kept.ok() && kept.status().code() != absl::StatusCode::kAlreadyExists) return kept.status();
  YAGURA_RETURN_IF_ERROR(parts_.worker->Begin(hunt.name()));
  return hunt;
}

absl::Status HuntHandlers::SetRange(v1::Hunt& hunt) const {
  const TimePoint now = parts_.clock->Now();
  const TimePoint end = hunt.has_end_time() ? FromProto(hunt.end_time()) : now;
  const TimePoint start =
      hunt.has_start_time() ? FromProto(hunt.start_time()) : end - kDefaultRange;
  if (end > now) return InvalidField("hunt.end_time", "lies in the future");
  if (start >= end) return InvalidField("hunt.start_time", "is not before the end");
  if (end - start > kLongestRange) {
    return InvalidField("hunt.start_time", "is more than 400 days before the end");
  }
  *hunt.mutable_start_time() = ToProto(start);
  *hunt.mutable_end_time() = ToProto(end);
  return absl::OkStatus();
}

// Checks the question, and leaves its text to the plan.
absl::Status HuntHandlers::TakeQuestion(const rpc::Call& call, v1::Hunt& hunt, Plan& plan) const {
  std::vector<std::string> cves;
  if (hunt.has_rule()) {
    YAGURA_RETURN_IF_ERROR(TakeRule(call, hunt, plan, cves));
  } else if (hunt.has_indicators()) {
    auto& question = *hunt.mutable_indicators();
    YAGURA_ASSIGN_OR_RETURN(const auto indicators, ParseIndicators(question.text()));
    question.set_indicator_count(static_cast<uint32_t>(indicators.size()));
    plan.set_indicator_text(question.text());
  } else {
    YAGURA_RETURN_IF_ERROR(TakeVulnerability(hunt));
    cves.push_back(hunt.vulnerability().cve());
  }
  DropTexts(hunt);
  YAGURA_ASSIGN_OR_RETURN(const auto products,
                          ProductsOf(hunt.product(), cves, parts_.surroundings->kev().get()));
  for (const auto& product : products) hunt.add_products(product.shown());
  return absl::OkStatus();
}

absl::Status HuntHandlers::TakeRule(const rpc::Call& call, v1::Hunt& hunt, Plan& plan,
                                    std::vector<std::string>& cves) const {
  auto& question = *hunt.mutable_rule();
  if (question.rule().empty() == question.text().empty()) {
    return InvalidField("hunt.rule", "needs either a rule or a text");
  }
  std::string text = question.text();
  if (!question.rule().empty()) {
    const store::NamePattern pattern("tenants/{tenant}/rules/{rule}");
    YAGURA_ASSIGN_OR_RETURN(const auto ids, pattern.Parse(question.rule(), "hunt.rule.rule"));
    if (!call.principal().TenantsFor(kReadRulePermission).Contains(ids.front())) {
      return Denied(kReadRulePermission);
    }
    YAGURA_ASSIGN_OR_RETURN(const v1::Rule rule, parts_.rules.Get(question.rule()));
    text = rule.text();
  }
  YAGURA_ASSIGN_OR_RETURN(const auto placeholders,
                          parts_.rule_book->PlaceholdersFor(call.tenant()));
  const auto parsed = ParseSigma(text, placeholders);
  if (!parsed.ok()) return AsFieldError(parsed.status(), "hunt.rule.text");
  if (parsed->filter) {
    return InvalidField("hunt.rule.text", "is a filter: it matches nothing by itself");
  }
  question.set_title(parsed->info().title);
  question.set_rule_id(parsed->info().id);
  question.set_rule_version(parsed->version);
  for (const auto& tag : parsed->info().tags) {
    if (std::string cve = CveOf(tag); !cve.empty()) cves.push_back(std::move(cve));
  }
  plan.set_rule_text(std::move(text));
  return absl::OkStatus();
}

absl::Status HuntHandlers::TakeVulnerability(v1::Hunt& hunt) const {
  auto& question = *hunt.mutable_vulnerability();
  const std::string_view given = Trim(question.cve());
  const auto cves = CvesIn(given);
  if (cves.size() != 1 || cves.front() != ToUpper(given)) {
    return InvalidField("hunt.vulnerability.cve", "is no CVE id, \"CVE-2021-44228\"");
  }
  question.set_cve(cves.front());
  question.clear_known_exploited();
  question.clear_description();
  const auto kev = parts_.surroundings->kev();
  const auto* entry = kev == nullptr ? nullptr : kev->Find(question.cve());
  if (entry == nullptr) return absl::OkStatus();
  question.set_known_exploited(true);
  question.set_description(entry->name);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> HuntHandlers::TenantsOf(
    const rpc::Call& call, const v1::CreateHuntRequest& request) const {
  const auto may = call.principal().TenantsFor(kCreatePermission);
  YAGURA_ASSIGN_OR_RETURN(const auto known, store::ListTenants(*parts_.state));
  std::set<std::string> tenants(request.tenants().begin(), request.tenants().end());
  const bool all = tenants.erase("-") > 0 || (tenants.empty() && call.tenant() == kProviderTenant);
  if (tenants.empty() && !all) tenants.insert(call.tenant());
  // Whoever may do so under the parent may end and delete the hunt.
  const auto is_parent = [&call](const auto& tenant) { return tenant == call.tenant(); };
  if (call.tenant() != kProviderTenant && (all || !std::ranges::all_of(tenants, is_parent))) {
    return InvalidField("tenants", fmt::format("names others than the parent's {}, which hunts "
                                               "under tenants/{} alone may",
                                               call.tenant(), kProviderTenant));
  }
  for (const auto& tenant : tenants) {
    if (!may.Contains(tenant) || !std::ranges::binary_search(known, tenant)) {
      return Denied(kCreatePermission);
    }
  }
  for (const auto& tenant : known) {
    if (all && may.Contains(tenant) && !IsOurOwn(tenant)) tenants.insert(tenant);
  }
  if (tenants.empty()) return InvalidField("tenants", "there is none to hunt in");
  if (tenants.size() > kMaxTenants) {
    return InvalidField("tenants", fmt::format("more than {} tenants", kMaxTenants));
  }
  return std::vector<std::string>(tenants.begin(), tenants.end());
}

absl::Status HuntHandlers::CheckRoom(const std::string& parent) const {
  YAGURA_ASSIGN_OR_RETURN(const auto page, parts_.store->hunts.List({.parent = parent,
                                                                     .filter = "",
                                                                     .order_by = "create_time desc",
                                                                     .page_size = kMaxHunts,
                                                                     .page_token = ""}));
  if (page.items.size() >= kMaxHunts) {
    return TooMany(fmt::format("{} hunts are kept there: delete some", kMaxHunts));
  }
  const auto running =
      std::ranges::count_if(page.items, [](const auto& hunt) { return !IsOver(hunt.state()); });
  if (running >= kMaxRunning) {
    return TooMany(fmt::format("{} hunts are under way there", kMaxRunning));
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::Hunt> HuntHandlers::Get(const rpc::Call&,
                                           const v1::GetHuntRequest& request) const {
  YAGURA_ASSIGN_OR_RETURN(v1::Hunt hunt, parts_.store->hunts.Get(request.name()));
  const auto plan = parts_.store->plans.Get(HuntStore::PlanName(hunt.name()));
  if (!plan.ok() && plan.status().code() != absl::StatusCode::kNotFound) return plan.status();
  if (plan.ok() && hunt.has_rule()) hunt.mutable_rule()->set_text(plan->rule_text());
  if (plan.ok() && hunt.has_indicators()) {
    hunt.mutable_indicators()->set_text(plan->indicator_text());
  }
  return hunt;
}

absl::StatusOr<v1::ListHuntsResponse> HuntHandlers::List(
    const rpc::Call& call, const v1::ListHuntsRequest& request) const {
  auto page = rpc::ListPage(call, request, "create_time desc", parts_.store->hunts, all_tenants_);
  if (!page.ok()) return page.status();
  v1::ListHuntsResponse response;
  for (auto& hunt : page->items) *response.add_hunts() = std::move(hunt);
  response.set_next_page_token(page->next_page_token);
  return response;
}

absl::StatusOr<std::shared_ptr<void>> HuntHandlers::Watch(
    const rpc::Call& call, const v1::WatchHuntRequest& request,
    const rpc::Outbox<v1::WatchHuntResponse>& outbox) {
  const auto send = [outbox](const v1::Hunt& hunt) {
    v1::WatchHuntResponse response;
    *response.mutable_hunt() = hunt;
    outbox.Push(std::move(response));
    if (IsOver(hunt.state())) outbox.Finish(absl::OkStatus());
  };
  // Subscribed before it is read: nothing is missed in between.
  auto subscription = all_tenants_.Watch(
      {.all = false, .tenants = {call.tenant()}},
      [name = request.name(), send](const audit::v1::Record& record, const v1::Hunt* hunt) {
        if (record.resource() == name && hunt != nullptr) send(*hunt);
      });
  YAGURA_ASSIGN_OR_RETURN(const auto hunt, parts_.store->hunts.Get(request.name()));
  send(hunt);
  return subscription;
}

absl::StatusOr<v1::Hunt> HuntHandlers::Cancel(const rpc::Call& call,
                                              const v1::CancelHuntRequest& request) {
  const TimePoint now = parts_.clock->Now();
  return parts_.store->hunts.Mutate(call.write_context(), request.name(), [now](v1::Hunt& hunt) {
    if (IsOver(hunt.state())) return absl::OkStatus();
    hunt.set_state(v1::CANCELLED);
    *hunt.mutable_finish_time() = ToProto(now);
    return absl::OkStatus();
  });
}

absl::StatusOr<v1::DeleteHuntResponse> HuntHandlers::Delete(const rpc::Call& call,
                                                            const v1::DeleteHuntRequest& request) {
  const auto hunt = parts_.store->hunts.Get(request.name());
  if (hunt.ok() && !IsOver(hunt->state())) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "HUNT_RUNNING",
                     "the hunt is under way: cancel it first");
  }
  if (hunt.ok()) YAGURA_RETURN_IF_ERROR(parts_.worker->Remove(request.name(), false));
  YAGURA_RETURN_IF_ERROR(
      parts_.store->hunts.Delete(call.write_context(), request.name(), request.etag()));
  YAGURA_RETURN_IF_ERROR(parts_.worker->Remove(request.name(), true));
  return v1::DeleteHuntResponse();
}

absl::StatusOr<v1::HuntResult> HuntHandlers::GetResult(
    const rpc::Call&, const v1::GetHuntResultRequest& request) const {
  return parts_.store->results.Get(request.name());
}

absl::StatusOr<v1::ListHuntResultsResponse> HuntHandlers::ListResults(
    const rpc::Call& call, const v1::ListHuntResultsRequest& request) const {
  const store::NamePattern pattern("tenants/{tenant}/hunts/{hunt}");
  if (!request.hunt().empty()) {
    YAGURA_RETURN_IF_ERROR(pattern.Parse(request.hunt(), "hunt").status());
  }
  if (call.all_tenants()) return ListResultsOfAll(call, request);
  store::ListQuery query = rpc::QueryOf(request, "create_time desc");
  if (!request.hunt().empty()) {
    query.filter =
        JoinFilters({fmt::format("hunt = {}", QuoteFilterText(request.hunt())), request.filter()});
  }
  YAGURA_ASSIGN_OR_RETURN(auto page, parts_.store->results.List(query));
  v1::ListHuntResultsResponse response;
  for (auto& result : page.items) *response.add_hunt_results() = WithoutEvidence(std::move(result));
  response.set_next_page_token(page.next_page_token);
  return response;
}

// Those of one hunt, by the tenants that it is about and the caller may see.
absl::StatusOr<v1::ListHuntResultsResponse> HuntHandlers::ListResultsOfAll(
    const rpc::Call& call, const v1::ListHuntResultsRequest& request) const {
  if (request.hunt().empty()) return InvalidField("hunt", "is required with \"tenants/-\"");
  if (!request.order_by().empty()) return InvalidField("order_by", "must be empty here");
  YAGURA_ASSIGN_OR_RETURN(const int page_size, PageSize(request.page_size()));
  YAGURA_ASSIGN_OR_RETURN(
      const auto fitting,
      filter::Filter::Parse(request.filter(),
                            filter::Schema(v1::HuntResult::descriptor()).Search("title"),
                            parts_.clock->Now()));
  const std::string identity =
      fmt::format("hunt_results\n{}\n{}", request.hunt(), request.filter());
  std::string after;
  if (!request.page_token().empty()) {
    YAGURA_ASSIGN_OR_RETURN(after, store::DecodePageToken(identity, request.page_token()));
  }
  v1::ListHuntResultsResponse response;
  const auto plan = parts_.store->plans.Get(HuntStore::PlanName(request.hunt()));
  if (plan.status().code() == absl::StatusCode::kNotFound) return response;
  if (!plan.ok()) return plan.status();
  const auto scope = call.scope();
  std::vector<std::string> tenants;
  for (const auto& tenant : plan->tenants()) {
    if (tenant > after && scope.Contains(tenant)) tenants.push_back(tenant);
  }
  std::ranges::sort(tenants);
  for (size_t at = 0; at < tenants.size();) {
    std::vector<std::string> names;
    const size_t first = at;
    for (; at < tenants.size() && names.size() < kChunk; ++at) {
      names.push_back(HuntStore::ResultName(tenants[at], request.hunt()));
    }
    YAGURA_ASSIGN_OR_RETURN(auto found, parts_.store->results.GetMany(names));
    for (size_t i = 0; i < found.size(); ++i) {
      if (!found[i] || found[i]->hunt() != request.hunt() || !fitting.Matches(*found[i])) continue;
      *response.add_hunt_results() = WithoutEvidence(*std::move(found[i]));
      if (response.hunt_results_size() < page_size) continue;
      const size_t last = first + i;
      if (last + 1 < tenants.size()) {
        response.set_next_page_token(store::EncodePageToken(identity, tenants[last]));
      }
      return response;
    }
  }
  return response;
}

}  // namespace yagura::detection
