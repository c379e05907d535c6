#include "services/config/api/credentials.h"

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "services/config/api/common.h"
#include "services/config/domain/validate.h"
#include "services/config/transport/ssh_connector.h"

namespace yagura::config {
namespace {

const std::string& TextOf(const v1::CredentialSecret& secret) {
  return secret.has_password() ? secret.password() : secret.private_key();
}

struct Parts {
  bool display_name = false;
  bool user_name = false;
};

StatusOr<Parts> PartsOf(const v1::UpdateCredentialRequest& request) {
  if (request.update_mask().paths().empty()) {
    const bool all = request.secret().secret_case() == v1::CredentialSecret::SECRET_NOT_SET;
    return Parts{all, all};
  }
  Parts parts;
  for (const std::string& path : request.update_mask().paths()) {
    if (path == "display_name") {
      parts.display_name = true;
    } else if (path == "user_name") {
      parts.user_name = true;
    } else {
      return InvalidField("update_mask", fmt::format("\"{}\" cannot be updated", path));
    }
  }
  return parts;
}

}  // namespace

CredentialHandlers::CredentialHandlers(std::shared_ptr<Stores> stores,
                                       std::shared_ptr<const store::Projection<v1::Credential>> all,
                                       std::shared_ptr<Vault> vault,
                                       std::shared_ptr<const Clock> clock)
    : stores_(std::move(stores)),
      all_(std::move(all)),
      vault_(std::move(vault)),
      clock_(std::move(clock)) {}

Status CredentialHandlers::Describe(const v1::CredentialSecret& secret,
                                    v1::Credential& credential) const {
  YAGURA_RETURN_IF_ERROR(Validate(secret));
  *credential.mutable_secret_update_time() = ToProto(clock_->Now());
  credential.clear_public_key();
  if (secret.has_password()) {
    credential.set_secret_kind(v1::PASSWORD);
    return absl::OkStatus();
  }
  YAGURA_ASSIGN_OR_RETURN(*credential.mutable_public_key(), PublicKeyOf(secret.private_key()));
  credential.set_secret_kind(v1::PRIVATE_KEY);
  return absl::OkStatus();
}

StatusOr<v1::Credential> CredentialHandlers::Create(const rpc::Call& call,
                                                    const v1::CreateCredentialRequest& request) {
  YAGURA_ASSIGN_OR_RETURN(const std::string id, IdOrNew("credential_id", request.credential_id()));
  v1::Credential credential;
  credential.set_name(fmt::format("{}/credentials/{}", request.parent(), id));
  credential.set_display_name(request.credential().display_name());
  credential.set_user_name(request.credential().user_name());
  YAGURA_RETURN_IF_ERROR(Validate(credential));
  YAGURA_RETURN_IF_ERROR(Describe(request.secret(), credential));
  // The name first: who loses the race for it must not touch the winner's secret.
  YAGURA_ASSIGN_OR_RETURN(v1::Credential created,
                          stores_->credentials.Create(call.write_context(), std::move(credential)));
  YAGURA_RETURN_IF_ERROR(
      vault_->PutFirstSecret(call.write_context(), created, TextOf(request.secret())));
  return created;
}

StatusOr<v1::Credential> CredentialHandlers::Get(const rpc::Call&,
                                                 const v1::GetCredentialRequest& request) {
  return stores_->credentials.Get(request.name());
}

StatusOr<v1::ListCredentialsResponse> CredentialHandlers::List(
    const rpc::Call& call, const v1::ListCredentialsRequest& request) {
  YAGURA_ASSIGN_OR_RETURN(auto page, ListPage(call, QueryOf(request), stores_->credentials, *all_));
  v1::ListCredentialsResponse response;
  for (auto& credential : page.items) *response.add_credentials() = std::move(credential);
  response.set_next_page_token(std::move(page.next_page_token));
  return response;
}

StatusOr<v1::Credential> CredentialHandlers::Update(const rpc::Call& call,
                                                    const v1::UpdateCredentialRequest& request) {
  YAGURA_ASSIGN_OR_RETURN(const Parts parts, PartsOf(request));
  const bool new_secret = request.secret().secret_case() != v1::CredentialSecret::SECRET_NOT_SET;
  const v1::Credential& given = request.credential();
  YAGURA_ASSIGN_OR_RETURN(v1::Credential updated,
                          stores_->credentials.Mutate(
                              call.write_context(new_secret ? "secret replaced" : ""), given.name(),
                              [&](v1::Credential& credential) {
                                YAGURA_RETURN_IF_ERROR(CheckEtag(given.etag(), credential));
                                if (parts.display_name)
                                  credential.set_display_name(given.display_name());
                                if (parts.user_name) credential.set_user_name(given.user_name());
                                if (new_secret)
                                  YAGURA_RETURN_IF_ERROR(Describe(request.secret(), credential));
                                return Validate(credential);
                              }));
  if (new_secret) {
    YAGURA_RETURN_IF_ERROR(
        vault_->PutSecret(call.write_context(), updated, TextOf(request.secret())));
  }
  return updated;
}

StatusOr<google::protobuf::Empty> CredentialHandlers::Delete(
    const rpc::Call& call, const v1::DeleteCredentialRequest& request) {
  store::ListQuery users;
  users.parent = fmt::format("tenants/{}", call.tenant());
  users.filter = fmt::format("credential = {}", QuoteJson(request.name()));
  users.page_size = 1;
  YAGURA_ASSIGN_OR_RETURN(const auto page, stores_->devices.List(users));
  if (!page.items.empty()) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "CREDENTIAL_IN_USE",
                     fmt::format("{} uses it", page.items[0].name()));
  }
  const auto credential = stores_->credentials.Get(request.name());
  if (credential.ok()) {
    YAGURA_RETURN_IF_ERROR(CheckEtag(request.etag(), *credential));
    // The secret first: what is left of a crash is a name without one.
    YAGURA_RETURN_IF_ERROR(vault_->ForgetSecret(call.write_context(), request.name()));
  }
  YAGURA_RETURN_IF_ERROR(
      stores_->credentials.Delete(call.write_context(), request.name(), request.etag()));
  return google::protobuf::Empty();
}

}  // namespace yagura::config
