#include "services/notification/workers/finding_handler.h"

#include <algorithm>

#include "fmt/format.h"

#include "common/status/status.h"
#include "common/store/resource_name.h"
#include "services/notification/domain/grouping.h"
#include "services/notification/domain/message.h"
#include "services/notification/domain/routing.h"

namespace yagura::notification {
namespace {

constexpr char kProvider[] = "provider";
constexpr int kPlaceAttempts = 20;

store::WriteContext Context() {
  store::WriteContext context;
  context.principal = "services/notification";
  context.method = "worker/findings";
  return context;
}

template <typename M>
absl::Status LoadAll(const store::Store<M>& store, const std::string& tenant, std::vector<M>& out) {
  absl::Status status =
      store.raw()->ForEach(tenant, [&out](const google::protobuf::Message& message) {
        out.push_back(static_cast<const M&>(message));
        return absl::OkStatus();
      });
  std::sort(out.begin(), out.end(), [](const M& a, const M& b) { return a.name() < b.name(); });
  return status;
}

// The alert went on to another state between our reading and our writing: look again.
absl::Status LookAgain() { return absl::AbortedError("the alert changed meanwhile"); }

}  // namespace

FindingHandler::FindingHandler(Stores stores, std::shared_ptr<const Clock> clock, Options options)
    : stores_(std::move(stores)), clock_(std::move(clock)), options_(std::move(options)) {}

bool FindingHandler::TellsGrowth(std::string_view key, const detection::v1::Finding& finding) {
  return key.starts_with(fmt::format("{}/", store::LastId(finding.name())));
}

absl::Status FindingHandler::Handle(const detection::v1::Finding& finding) {
  const auto tenant = store::TenantOf(finding.name());
  if (!tenant || !store::IsValidId(*tenant)) {
    return InvalidField("finding.name", "names no tenant");
  }
  const std::string id(*tenant);
  YAGURA_ASSIGN_OR_RETURN(const Routing routing, LoadRouting(id));
  YAGURA_ASSIGN_OR_RETURN(const v1::Alert alert, Place(id, routing, finding));
  if (alert.state() == v1::RESOLVED) return absl::OkStatus();
  return Deliver(id, routing, alert);
}

absl::Status FindingHandler::HandleGrowth(const detection::v1::Finding& finding) {
  const auto tenant = store::TenantOf(finding.name());
  if (!tenant || !store::IsValidId(*tenant)) {
    return InvalidField("finding.name", "names no tenant");
  }
  store::ListQuery query;
  query.parent = fmt::format("tenants/{}", *tenant);
  query.filter = fmt::format("group_key = \"{}\"", GroupKey(finding));
  query.order_by = "generation desc";
  query.page_size = 3;
  YAGURA_ASSIGN_OR_RETURN(const auto page, stores_.alerts.List(query));
  for (const v1::Alert& alert : page.items) {
    const auto placement = notification::Place(alert, finding, options_.group_window);
    if (placement != Placement::kKnown) continue;
    return stores_.alerts
        .Mutate(Context(), alert.name(),
                [&finding](v1::Alert& kept) {
                  Grow(kept, finding);
                  return absl::OkStatus();
                })
        .status();
  }
  return absl::OkStatus();  // its alert has had so many since that it remembers it no more
}

absl::StatusOr<FindingHandler::Routing> FindingHandler::LoadRouting(
    const std::string& tenant) const {
  Routing routing;
  YAGURA_RETURN_IF_ERROR(LoadAll(stores_.routes, tenant, routing.routes));
  YAGURA_RETURN_IF_ERROR(LoadAll(stores_.contacts, tenant, routing.contacts));
  if (tenant != kProvider) {
    Routing provider;
    YAGURA_RETURN_IF_ERROR(LoadAll(stores_.routes, kProvider, provider.routes));
    YAGURA_RETURN_IF_ERROR(LoadAll(stores_.contacts, kProvider, provider.contacts));
    std::move(provider.routes.begin(), provider.routes.end(), std::back_inserter(routing.routes));
    std::move(provider.contacts.begin(), provider.contacts.end(),
              std::back_inserter(routing.contacts));
  }
  return routing;
}

absl::StatusOr<v1::Alert> FindingHandler::Place(const std::string& tenant, const Routing& routing,
                                                const detection::v1::Finding& finding) {
  for (int attempt = 0; attempt < kPlaceAttempts; ++attempt) {
    auto alert = PlaceOnce(tenant, routing, finding);
    const bool lost_race = absl::IsAlreadyExists(alert.status()) || absl::IsAborted(alert.status());
    if (!lost_race) return alert;
  }
  return Unavailable("ALERT_CONTENDED", "an alert changes faster than a finding can join it");
}

absl::StatusOr<v1::Alert> FindingHandler::PlaceOnce(const std::string& tenant,
                                                    const Routing& routing,
                                                    const detection::v1::Finding& finding) {
  store::ListQuery query;
  query.parent = "tenants/" + tenant;
  query.filter = fmt::format("group_key = \"{}\"", GroupKey(finding));
  query.order_by = "generation desc";
  query.page_size = 3;
  YAGURA_ASSIGN_OR_RETURN(auto page, stores_.alerts.List(query));
  for (v1::Alert& alert : page.items) {
    if (notification::Place(alert, finding, options_.group_window) == Placement::kKnown) {
      return std::move(alert);
    }
  }
  const auto mark = [&routing](v1::Alert& alert) {
    alert.set_unrouted(Targets(routing.routes, routing.contacts, alert).empty());
  };
  const bool joins =
      !page.items.empty() &&
      notification::Place(page.items.front(), finding, options_.group_window) == Placement::kJoins;
  if (!joins) {
    const uint32_t generation = page.items.empty() ? 1 : page.items.front().generation() + 1;
    v1::Alert alert = OpenAlert(tenant, finding, generation);
    mark(alert);
    return stores_.alerts.Create(Context(), std::move(alert));
  }
  return stores_.alerts.Mutate(
      Context(), page.items.front().name(), [&](v1::Alert& alert) -> absl::Status {
        switch (notification::Place(alert, finding, options_.group_window)) {
          case Placement::kKnown:
            return absl::OkStatus();
          case Placement::kOpensNext:
            return LookAgain();
          case Placement::kJoins:
            Join(alert, finding);
            mark(alert);
        }
        return absl::OkStatus();
      });
}

absl::Status FindingHandler::Deliver(const std::string& tenant, const Routing& routing,
                                     const v1::Alert& alert) {
  std::vector<Target> targets = Targets(routing.routes, routing.contacts, alert);
  if (targets.empty() && !options_.fallback_email.empty()) {
    targets.push_back({"", v1::EMAIL, options_.fallback_email});
  }
  for (const Target& target : targets) {
    Text text =
        target.channel == v1::EMAIL ? MailText(alert, options_.portal_url) : WebhookText(alert);
    v1::Delivery delivery = NewDelivery(tenant, DeliveryId(alert, target), target, std::move(text),
                                        options_.id_domain, clock_->Now(), options_.retry);
    delivery.set_alert(alert.name());
    delivery.set_severity(alert.severity());
    const auto created = stores_.deliveries.Create(Context(), std::move(delivery));
    if (!created.ok() && !absl::IsAlreadyExists(created.status())) return created.status();
  }
  return absl::OkStatus();
}

}  // namespace yagura::notification
