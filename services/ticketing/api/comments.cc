#include "services/ticketing/api/comments.h"

#include "fmt/format.h"

#include "common/filter/filter.h"
#include "common/rpc/call.h"
#include "common/status/status.h"
#include "common/store/resource_name.h"
#include "common/text/text.h"
#include "services/ticketing/domain/ticket_rules.h"

namespace yagura::ticketing {
namespace {

// Staff see and write what customers do not; which roles are staff is common/auth's table.
bool IsStaff(const rpc::Call& call) {
  return call.principal().Allows("ticketing.comments.internal", call.tenant());
}

// Nanoseconds since 1970 in hex, and something that no other comment has.
std::string NewCommentId(TimePoint now) {
  return fmt::format("{:016x}-{}", now.time_since_epoch().count(), store::NewUlid().substr(16));
}

absl::Status ValidateComment(const v1::Comment& comment) {
  FieldErrors errors;
  if (comment.text().empty() || comment.text().size() > 64 * 1024 || !IsValidUtf8(comment.text())) {
    errors.Add("comment.text", "must be 1 byte to 64 KiB of UTF-8");
  }
  if (comment.visibility() != v1::INTERNAL && comment.visibility() != v1::PUBLIC) {
    errors.Add("comment.visibility", "must be INTERNAL or PUBLIC");
  }
  return errors.ToStatus();
}

}  // namespace

CommentsApi::CommentsApi(Stores stores, std::shared_ptr<const Clock> clock)
    : stores_(std::move(stores)), clock_(std::move(clock)) {}

absl::StatusOr<v1::Comment> CommentsApi::Add(const rpc::Call& call,
                                             const v1::AddCommentRequest& request) {
  YAGURA_RETURN_IF_ERROR(ValidateComment(request.comment()));
  const bool staff = IsStaff(call);
  const v1::Visibility visibility = request.comment().visibility();
  if (!staff && visibility == v1::INTERNAL) {
    return MakeError(absl::StatusCode::kPermissionDenied, "INTERNAL_COMMENT",
                     "internal comments are the provider's staff's");
  }
  YAGURA_RETURN_IF_ERROR(stores_.tickets.Get(request.parent()).status());
  v1::Comment comment;
  comment.set_name(fmt::format("{}/comments/{}", request.parent(), NewCommentId(clock_->Now())));
  comment.set_text(request.comment().text());
  comment.set_visibility(visibility);
  comment.set_author(call.principal().name);
  YAGURA_ASSIGN_OR_RETURN(comment,
                          stores_.comments.Create(call.write_context(), std::move(comment)));
  YAGURA_RETURN_IF_ERROR(NoteOnTicket(call, request.parent(), staff, visibility));
  return comment;
}

absl::Status CommentsApi::NoteOnTicket(const rpc::Call& call, const std::string& ticket, bool staff,
                                       v1::Visibility visibility) {
  if (visibility != v1::PUBLIC) return absl::OkStatus();
  // Under the comment's request id too: a repeat does what a crash left undone, and never moves a
  // ticket that somebody has moved since.
  const auto noted = stores_.tickets.Mutate(
      call.write_context(), ticket, [this, &call, staff](v1::Ticket& current) -> absl::Status {
        if (staff) {
          if (current.reporter() != call.principal().name) NoteResponse(current, clock_->Now());
        } else if (current.state() == v1::WAITING_FOR_CUSTOMER) {
          current.set_state(v1::IN_PROGRESS);
          current.set_state_changed_by(call.principal().name);
        }
        return absl::OkStatus();
      });
  return noted.status();
}

absl::StatusOr<v1::ListCommentsResponse> CommentsApi::List(
    const rpc::Call& call, const v1::ListCommentsRequest& request) const {
  // Alone first: joined below it must not reach out of its parentheses.
  YAGURA_RETURN_IF_ERROR(filter::Filter::Parse(request.filter(),
                                               filter::Schema(v1::Comment::descriptor()),
                                               clock_->Now())
                             .status());
  store::ListQuery query;
  query.parent = request.parent();
  query.filter = request.filter();
  if (!IsStaff(call)) {
    query.filter = request.filter().empty()
                       ? "visibility = PUBLIC"
                       : fmt::format("visibility = PUBLIC AND ({})", request.filter());
  }
  // Names begin with the time.
  if (request.order_by().empty() || request.order_by() == "create_time") {
    query.order_by = "name";
  } else if (request.order_by() == "create_time desc") {
    query.order_by = "name desc";
  } else {
    return InvalidField("order_by", "must be \"create_time\" or \"create_time desc\"");
  }
  query.page_size = request.page_size();
  query.page_token = request.page_token();
  YAGURA_RETURN_IF_ERROR(stores_.tickets.Get(request.parent()).status());
  YAGURA_ASSIGN_OR_RETURN(auto page, stores_.comments.List(query));
  v1::ListCommentsResponse response;
  for (v1::Comment& comment : page.items) *response.add_comments() = std::move(comment);
  response.set_next_page_token(page.next_page_token);
  return response;
}

void CommentsApi::Register(rpc::ServiceRegistry& registry) {
  const std::string service = "/yagura.ticketing.v1.TicketingService/";
  registry.Unary<v1::AddCommentRequest, v1::Comment>(
      service + "AddComment", [this](const auto& call, const auto& r) { return Add(call, r); });
  registry.Unary<v1::ListCommentsRequest, v1::ListCommentsResponse>(
      service + "ListComments", [this](const auto& call, const auto& r) { return List(call, r); });
}

}  // namespace yagura::ticketing
