#include "services/archive/api/hold_handlers.h"

#include <utility>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/rpc/standard_methods.h"
#include "common/status/status.h"
#include "common/store/resource_name.h"
#include "common/text/text.h"

namespace yagura::archive {
namespace {

constexpr size_t kMostReason = 1024;
constexpr int kMostActive = 1000;
// Times that the store's receive times can be compared with.
constexpr int64_t kLatestSecond = 4'102'444'800;  // 2100-01-01

Status CheckReason(std::string_view field, std::string_view reason) {
  if (reason.empty() || reason.size() > kMostReason || !IsValidUtf8(reason)) {
    return InvalidField(field, fmt::format("must be UTF-8 of 1 to {} bytes", kMostReason));
  }
  return absl::OkStatus();
}

Status CheckTime(std::string_view field, const google::protobuf::Timestamp& time) {
  if (time.seconds() < 0 || time.seconds() >= kLatestSecond || time.nanos() < 0) {
    return InvalidField(field, "must be of the years 1970 to 2099");
  }
  return absl::OkStatus();
}

Status CheckHold(const v1::LegalHold& hold) {
  YAGURA_RETURN_IF_ERROR(CheckReason("legal_hold.reason", hold.reason()));
  if (!hold.has_start_time()) return InvalidField("legal_hold.start_time", "must be set");
  YAGURA_RETURN_IF_ERROR(CheckTime("legal_hold.start_time", hold.start_time()));
  if (!hold.has_end_time()) return absl::OkStatus();
  YAGURA_RETURN_IF_ERROR(CheckTime("legal_hold.end_time", hold.end_time()));
  if (FromProto(hold.end_time()) <= FromProto(hold.start_time())) {
    return InvalidField("legal_hold.end_time", "must be after the start");
  }
  return absl::OkStatus();
}

}  // namespace

HoldHandlers::HoldHandlers(store::Store<v1::LegalHold> holds,
                           std::shared_ptr<store::FeedFollower> feed,
                           std::shared_ptr<const Clock> clock, std::function<void()> changed)
    : holds_(std::move(holds)),
      all_(holds_, std::move(feed)),
      clock_(std::move(clock)),
      changed_(std::move(changed)) {}

StatusOr<v1::LegalHold> HoldHandlers::Create(const rpc::Call& call,
                                             const v1::CreateLegalHoldRequest& request) {
  YAGURA_RETURN_IF_ERROR(CheckHold(request.legal_hold()));
  int active = 0;
  YAGURA_RETURN_IF_ERROR(holds_.ForEach(call.tenant(), [&active](const v1::LegalHold& hold) {
    if (hold.state() == v1::LegalHold::ACTIVE) ++active;
    return absl::OkStatus();
  }));
  if (active >= kMostActive) {
    return MakeError(absl::StatusCode::kResourceExhausted, "TOO_MANY",
                     fmt::format("the tenant has {} active holds already", kMostActive));
  }
  const std::string id =
      request.legal_hold_id().empty() ? store::NewUlid() : request.legal_hold_id();
  v1::LegalHold hold;
  hold.set_name(fmt::format("{}/legalHolds/{}", request.parent(), id));
  hold.set_reason(request.legal_hold().reason());
  *hold.mutable_start_time() = request.legal_hold().start_time();
  if (request.legal_hold().has_end_time()) {
    *hold.mutable_end_time() = request.legal_hold().end_time();
  }
  hold.set_state(v1::LegalHold::ACTIVE);
  hold.set_created_by(call.principal().name);
  const store::WriteContext context = call.write_context(hold.reason());
  auto created = holds_.Create(context, std::move(hold));
  changed_();
  return created;
}

StatusOr<v1::LegalHold> HoldHandlers::Get(const rpc::Call& /*call*/,
                                          const v1::GetLegalHoldRequest& request) const {
  return holds_.Get(request.name());
}

StatusOr<v1::ListLegalHoldsResponse> HoldHandlers::List(
    const rpc::Call& call, const v1::ListLegalHoldsRequest& request) const {
  auto page = rpc::ListPage(call, request, "create_time desc", holds_, all_);
  if (!page.ok()) return page.status();
  v1::ListLegalHoldsResponse response;
  for (auto& hold : page->items) *response.add_legal_holds() = std::move(hold);
  response.set_next_page_token(page->next_page_token);
  return response;
}

StatusOr<v1::LegalHold> HoldHandlers::Release(const rpc::Call& call,
                                              const v1::ReleaseLegalHoldRequest& request) {
  YAGURA_RETURN_IF_ERROR(CheckReason("reason", request.reason()));
  auto released = holds_.Mutate(
      call.write_context(request.reason()), request.name(), [&](v1::LegalHold& hold) -> Status {
        YAGURA_RETURN_IF_ERROR(rpc::CheckEtag(request.etag(), hold));
        if (hold.state() != v1::LegalHold::ACTIVE) {
          return MakeError(absl::StatusCode::kFailedPrecondition, "HOLD_RELEASED",
                           fmt::format("{} was released already", hold.name()));
        }
        hold.set_state(v1::LegalHold::RELEASED);
        *hold.mutable_release_time() = ToProto(clock_->Now());
        hold.set_released_by(call.principal().name);
        hold.set_release_reason(request.reason());
        return absl::OkStatus();
      });
  changed_();
  return released;
}

}  // namespace yagura::archive
