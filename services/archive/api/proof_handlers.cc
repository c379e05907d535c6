#include "services/archive/api/proof_handlers.h"

#include <utility>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/status/status.h"
#include "services/archive/domain/hold_window.h"

namespace yagura::archive {
namespace {

constexpr int64_t kMostDays = 400;
constexpr size_t kDayText = 10;

StatusOr<int64_t> DayOf(std::string_view field, const std::string& text) {
  const auto time = text.size() == kDayText
                        ? ParseTime(text + "T00:00:00Z")
                        : StatusOr<TimePoint>(absl::InvalidArgumentError("no day"));
  if (!time.ok()) return InvalidField(field, "must be a day as 2026-11-22");
  const int64_t day = std::chrono::floor<std::chrono::days>(*time).time_since_epoch().count();
  if (day < 0 || day > UINT16_MAX) return InvalidField(field, "is out of range");
  return day;
}

std::string DayText(int64_t day) {
  return FormatTime(std::chrono::sys_days(std::chrono::days(day))).substr(0, kDayText);
}

struct Days {
  int64_t first;
  int64_t last;
};

template <typename Request>
StatusOr<Days> DaysOf(const rpc::Call& call, const Request& request) {
  if (call.all_tenants()) return InvalidField("parent", "must be one tenant");
  YAGURA_ASSIGN_OR_RETURN(const int64_t first, DayOf("first_day", request.first_day()));
  if (request.last_day().empty()) return Days{first, first};
  YAGURA_ASSIGN_OR_RETURN(const int64_t last, DayOf("last_day", request.last_day()));
  if (last < first) return InvalidField("last_day", "must not be before the first");
  if (last - first >= kMostDays) {
    return InvalidField("last_day", fmt::format("at most {} days", kMostDays));
  }
  return Days{first, last};
}

}  // namespace

ProofHandlers::ProofHandlers(const ProofStore& store, const HeadMemory& memory,
                             const UnitLedger& ledger, store::Store<v1::LegalHold> holds,
                             TrustedKeys trusted, std::shared_ptr<const Clock> clock)
    : store_(store),
      memory_(memory),
      ledger_(ledger),
      holds_(std::move(holds)),
      trusted_(std::move(trusted)),
      clock_(std::move(clock)) {}

StatusOr<std::vector<EventVerifier::Hold>> ProofHandlers::HoldsOf(const std::string& tenant) const {
  std::vector<EventVerifier::Hold> holds;
  YAGURA_RETURN_IF_ERROR(holds_.ForEach(tenant, [&holds](const v1::LegalHold& hold) {
    if (hold.state() == v1::LegalHold::ACTIVE && hold.has_applied_time()) {
      holds.push_back({WindowOf(hold), FromProto(hold.applied_time())});
    }
    return absl::OkStatus();
  }));
  return holds;
}

Status ProofHandlers::VerifyEvents(const rpc::Call& call, const v1::VerifyEventsRequest& request,
                                   const rpc::Outbox<v1::VerifyEventsResponse>& out) const {
  YAGURA_ASSIGN_OR_RETURN(const Days days, DaysOf(call, request));
  const auto send = [&out](const v1::DayProof& proof, bool done) -> Status {
    v1::VerifyEventsResponse response;
    *response.mutable_proof() = proof;
    response.set_done(done);
    if (out.PushWhenRoom(std::move(response))) return absl::OkStatus();
    return absl::CancelledError("the call is over");
  };
  for (int64_t day = days.first; day <= days.last; ++day) {
    YAGURA_ASSIGN_OR_RETURN(auto holds, HoldsOf(call.tenant()));
    EventVerifier verifier({store_, memory_, ledger_, trusted_, std::move(holds), clock_->Now()},
                           call.tenant(), day);
    const auto proof = verifier.Run(
        call.cancelled(), [&send](const v1::DayProof& so_far) { return send(so_far, false); });
    if (!proof.ok()) return Annotate(proof.status(), "day " + DayText(day));
    YAGURA_RETURN_IF_ERROR(send(*proof, true));
  }
  return absl::OkStatus();
}

StatusOr<v1::ListEventHeadsResponse> ProofHandlers::ListEventHeads(
    const rpc::Call& call, const v1::ListEventHeadsRequest& request) const {
  YAGURA_ASSIGN_OR_RETURN(const Days days, DaysOf(call, request));
  v1::ListEventHeadsResponse response;
  for (int64_t day = days.first; day <= days.last; ++day) {
    YAGURA_ASSIGN_OR_RETURN(auto heads, store_.Heads(call.tenant(), day));
    if (!heads.empty()) *response.add_heads() = std::move(heads.back());
  }
  return response;
}

}  // namespace yagura::archive
