#include "services/ticketing/workers/finding_handler.h"

#include "fmt/format.h"

#include "common/status/status.h"
#include "common/store/resource_name.h"
#include "services/ticketing/domain/grouping.h"

namespace yagura::ticketing {
namespace {

constexpr int kAttempts = 20;

store::WriteContext Context() {
  store::WriteContext context;
  context.principal = "services/ticketing";
  context.method = "worker/findings";
  return context;
}

}  // namespace

FindingHandler::FindingHandler(Stores stores, std::shared_ptr<const Clock> clock, Options options)
    : stores_(std::move(stores)), clock_(std::move(clock)), options_(options) {}

bool FindingHandler::TellsGrowth(std::string_view key, const detection::v1::Finding& finding) {
  return key.starts_with(fmt::format("{}/", store::LastId(finding.name())));
}

absl::Status FindingHandler::Handle(const detection::v1::Finding& finding) {
  const auto tenant = store::TenantOf(finding.name());
  if (!tenant || !store::IsValidId(*tenant)) {
    return InvalidField("finding.name", "names no tenant");
  }
  if (finding.severity() < options_.min_severity) return absl::OkStatus();
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    absl::Status status = HandleOnce(std::string(*tenant), finding);
    const bool lost_race = absl::IsAlreadyExists(status) || absl::IsAborted(status);
    if (!lost_race) return status;
  }
  return Unavailable("TICKET_CONTENDED", "a ticket changes faster than a finding can join it");
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
  YAGURA_ASSIGN_OR_RETURN(const auto page, stores_.tickets.List(query));
  for (const v1::Ticket& ticket : page.items) {
    if (Place(ticket, finding) != Placement::kKnown) continue;
    return stores_.tickets
        .Mutate(Context(), ticket.name(),
                [&finding](v1::Ticket& kept) {
                  Grow(kept, finding);
                  return absl::OkStatus();
                })
        .status();
  }
  return absl::OkStatus();  // too mild for a ticket, or one of very many
}

absl::Status FindingHandler::HandleOnce(const std::string& tenant,
                                        const detection::v1::Finding& finding) {
  store::ListQuery query;
  query.parent = "tenants/" + tenant;
  query.filter = fmt::format("group_key = \"{}\"", GroupKey(finding));
  query.order_by = "generation desc";
  query.page_size = 3;
  YAGURA_ASSIGN_OR_RETURN(const auto page, stores_.tickets.List(query));
  for (const v1::Ticket& ticket : page.items) {
    if (Place(ticket, finding) == Placement::kKnown) return absl::OkStatus();
  }
  if (page.items.empty() || Place(page.items.front(), finding) == Placement::kOpensNext) {
    const uint32_t generation = page.items.empty() ? 1 : page.items.front().generation() + 1;
    v1::Ticket ticket = OpenTicket(tenant, finding, generation, clock_->Now(), options_.deadlines);
    YAGURA_ASSIGN_OR_RETURN(const int64_t number, stores_.NextNumber(tenant));
    ticket.set_number(number);
    return stores_.tickets.Create(Context(), std::move(ticket)).status();
  }
  const auto joined = stores_.tickets.Mutate(
      Context(), page.items.front().name(), [&](v1::Ticket& ticket) -> absl::Status {
        switch (Place(ticket, finding)) {
          case Placement::kKnown:
            return absl::OkStatus();
          case Placement::kOpensNext:
            return absl::AbortedError("the ticket was resolved meanwhile");
          case Placement::kJoins:
            Join(ticket, finding, options_.deadlines);
        }
        return absl::OkStatus();
      });
  return joined.status();
}

}  // namespace yagura::ticketing
