#include "services/directory/api/directory_api.h"
#include "services/directory/api/standard.h"
#include "services/directory/domain/grants.h"
#include "services/directory/domain/validate.h"
#include "yagura/directory/v1/directory_service.pb.h"

namespace yagura::directory {
namespace {

using rpc::Call;

// Whoever changes a user must hold what the user holds, before and after.
absl::Status CheckMayChange(const Call& call, const v1::User& user) {
  return CheckCallerHolds(call.principal(), user.roles(), *store::TenantOf(user.name()));
}

absl::StatusOr<v1::User> CreateUser(Parts& parts, const Call& call,
                                    const v1::CreateUserRequest& request) {
  v1::User user = request.user();
  YAGURA_ASSIGN_OR_RETURN(*user.mutable_name(),
                          NewName(request.parent(), "users", request.user_id(), "user_id", false));
  user.set_state(v1::USER_ACTIVE);
  YAGURA_RETURN_IF_ERROR(Normalize(user));
  YAGURA_RETURN_IF_ERROR(CheckMayChange(call, user));
  return parts.store->users.store.Create(call.write_context(), std::move(user));
}

absl::StatusOr<v1::ListUsersResponse> ListUsers(Parts& parts, const Call& call,
                                                const v1::ListUsersRequest& request) {
  YAGURA_ASSIGN_OR_RETURN(auto page, ListPage(call, request, request.parent(), parts.store->users));
  v1::ListUsersResponse response;
  for (auto& item : page.items) *response.add_users() = std::move(item);
  response.set_next_page_token(page.next_page_token);
  return response;
}

absl::StatusOr<v1::User> UpdateUser(Parts& parts, const Call& call,
                                    const v1::UpdateUserRequest& request) {
  // Before the mask is applied the user is as stored: looked at first.
  YAGURA_ASSIGN_OR_RETURN(const v1::User before,
                          parts.store->users.store.Get(request.user().name()));
  YAGURA_RETURN_IF_ERROR(CheckMayChange(call, before));
  return UpdateMasked<v1::User>(call, parts.store->users.store, request.user(),
                                request.update_mask(), {"state"},
                                [&call](v1::User& user) -> absl::Status {
                                  YAGURA_RETURN_IF_ERROR(Normalize(user));
                                  return CheckMayChange(call, user);
                                });
}

// Without its password a user of the same name made later has none.
absl::StatusOr<v1::DeleteUserResponse> DeleteUser(Parts& parts, const Call& call,
                                                  const v1::DeleteUserRequest& request) {
  const auto user = parts.store->users.store.Get(request.name());
  if (user.ok()) {
    YAGURA_RETURN_IF_ERROR(CheckMayChange(call, *user));
    YAGURA_RETURN_IF_ERROR(CheckEtag(request.etag(), *user));
    YAGURA_RETURN_IF_ERROR(EndTokens(parts, request.name()));
    const absl::Status deleted =
        parts.store->passwords.Delete(call.write_context(), request.name());
    if (!deleted.ok() && deleted.code() != absl::StatusCode::kNotFound) return deleted;
  }
  YAGURA_RETURN_IF_ERROR(
      parts.store->users.store.Delete(call.write_context(), request.name(), request.etag()));
  YAGURA_RETURN_IF_ERROR(EndTokens(parts, request.name()));
  return v1::DeleteUserResponse();
}

template <typename Request>
absl::StatusOr<v1::User> SetState(Parts& parts, const Call& call, const Request& request,
                                  v1::UserState state) {
  YAGURA_RETURN_IF_ERROR(CheckReason(request.reason()));
  auto changed = parts.store->users.store.Mutate(
      call.write_context(request.reason()), request.name(), [&](v1::User& user) -> absl::Status {
        YAGURA_RETURN_IF_ERROR(CheckEtag(request.etag(), user));
        YAGURA_RETURN_IF_ERROR(CheckMayChange(call, user));
        user.set_state(state);
        return state == v1::USER_DISABLED ? EndTokens(parts, request.name()) : absl::OkStatus();
      });
  if (changed.ok() && state == v1::USER_DISABLED) {
    YAGURA_RETURN_IF_ERROR(EndTokens(parts, request.name()));
  }
  return changed;
}

absl::StatusOr<v1::SetPasswordResponse> SetPassword(Parts& parts, const Call& call,
                                                    const v1::SetPasswordRequest& request) {
  YAGURA_ASSIGN_OR_RETURN(const v1::User user, parts.store->users.store.Get(request.name()));
  YAGURA_RETURN_IF_ERROR(CheckMayChange(call, user));
  YAGURA_RETURN_IF_ERROR(CheckPassword(request.password(), user));
  internal::v1::PasswordHash hash;
  hash.set_name(request.name());
  *hash.mutable_user_create_time() = user.create_time();
  YAGURA_ASSIGN_OR_RETURN(*hash.mutable_hash(), parts.hasher->Hash(request.password()));
  YAGURA_RETURN_IF_ERROR(EndTokens(parts, request.name()));
  auto written = parts.store->passwords.Create(call.write_context(), hash);
  if (written.status().code() == absl::StatusCode::kAlreadyExists) {
    written = parts.store->passwords.Update(call.write_context(), hash);
  }
  YAGURA_RETURN_IF_ERROR(written.status());
  YAGURA_RETURN_IF_ERROR(EndTokens(parts, request.name()));
  YAGURA_RETURN_IF_ERROR(parts.throttle->Forgive(request.name()));
  return v1::SetPasswordResponse();
}

}  // namespace

void RegisterUsers(rpc::ServiceRegistry& registry, Parts& parts) {
  registry.Unary<v1::CreateUserRequest, v1::User>(
      Method("CreateUser"), [&parts](const Call& call, const v1::CreateUserRequest& request) {
        return CreateUser(parts, call, request);
      });
  registry.Unary<v1::GetUserRequest, v1::User>(
      Method("GetUser"), [&parts](const Call&, const v1::GetUserRequest& request) {
        return parts.store->users.store.Get(request.name());
      });
  registry.Unary<v1::ListUsersRequest, v1::ListUsersResponse>(
      Method("ListUsers"), [&parts](const Call& call, const v1::ListUsersRequest& request) {
        return ListUsers(parts, call, request);
      });
  registry.Unary<v1::UpdateUserRequest, v1::User>(
      Method("UpdateUser"), [&parts](const Call& call, const v1::UpdateUserRequest& request) {
        return UpdateUser(parts, call, request);
      });
  registry.Unary<v1::DeleteUserRequest, v1::DeleteUserResponse>(
      Method("DeleteUser"), [&parts](const Call& call, const v1::DeleteUserRequest& request) {
        return DeleteUser(parts, call, request);
      });
  registry.Unary<v1::DisableUserRequest, v1::User>(
      Method("DisableUser"), [&parts](const Call& call, const v1::DisableUserRequest& request) {
        return SetState(parts, call, request, v1::USER_DISABLED);
      });
  registry.Unary<v1::EnableUserRequest, v1::User>(
      Method("EnableUser"), [&parts](const Call& call, const v1::EnableUserRequest& request) {
        return SetState(parts, call, request, v1::USER_ACTIVE);
      });
  registry.Unary<v1::SetPasswordRequest, v1::SetPasswordResponse>(
      Method("SetPassword"), [&parts](const Call& call, const v1::SetPasswordRequest& request) {
        return SetPassword(parts, call, request);
      });
}

}  // namespace yagura::directory
