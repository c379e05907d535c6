#include "services/directory/api/directory_api.h"
#include "services/directory/api/standard.h"
#include "services/directory/domain/grants.h"
#include "services/directory/domain/validate.h"
#include "yagura/directory/v1/directory_service.pb.h"

namespace yagura::directory {
namespace {

using rpc::Call;

absl::Status CheckMayChange(const Call& call, const v1::ApiKey& key) {
  return CheckCallerHolds(call.principal(), key.roles(), *store::TenantOf(key.name()));
}

absl::StatusOr<v1::CreateApiKeyResponse> CreateApiKey(Parts& parts, const Call& call,
                                                      const v1::CreateApiKeyRequest& request) {
  v1::ApiKey key = request.api_key();
  YAGURA_ASSIGN_OR_RETURN(*key.mutable_name(), NewName(request.parent(), "apiKeys",
                                                       request.api_key_id(), "api_key_id", true));
  YAGURA_RETURN_IF_ERROR(Normalize(key));
  YAGURA_RETURN_IF_ERROR(CheckMayChange(call, key));
  v1::CreateApiKeyResponse response;
  YAGURA_ASSIGN_OR_RETURN(*response.mutable_api_key(),
                          parts.store->api_keys.store.Create(call.write_context(), std::move(key)));
  const std::string& name = response.api_key().name();
  const std::string secret = NewKeySecret(call.tenant(), store::LastId(name));
  internal::v1::ApiKeyHash hash;
  hash.set_name(name);
  hash.set_hash(HashKeySecret(secret));
  // Without the request id: where a repeat finds that the first attempt ended before this, it gets
  // a secret after all; where the hash exists, the secret has been shown and is not known any more.
  auto context = call.write_context();
  context.request_id.clear();
  const auto written = parts.store->key_hashes.Create(context, hash);
  if (written.ok()) {
    response.set_secret(secret);
  } else if (written.status().code() != absl::StatusCode::kAlreadyExists) {
    return written.status();
  }
  return response;
}

absl::StatusOr<v1::ListApiKeysResponse> ListApiKeys(Parts& parts, const Call& call,
                                                    const v1::ListApiKeysRequest& request) {
  YAGURA_ASSIGN_OR_RETURN(auto page,
                          ListPage(call, request, request.parent(), parts.store->api_keys));
  v1::ListApiKeysResponse response;
  for (auto& item : page.items) *response.add_api_keys() = std::move(item);
  response.set_next_page_token(page.next_page_token);
  return response;
}

absl::StatusOr<v1::ApiKey> UpdateApiKey(Parts& parts, const Call& call,
                                        const v1::UpdateApiKeyRequest& request) {
  YAGURA_ASSIGN_OR_RETURN(const v1::ApiKey before,
                          parts.store->api_keys.store.Get(request.api_key().name()));
  YAGURA_RETURN_IF_ERROR(CheckMayChange(call, before));
  return UpdateMasked<v1::ApiKey>(call, parts.store->api_keys.store, request.api_key(),
                                  request.update_mask(), {},
                                  [&call](v1::ApiKey& key) -> absl::Status {
                                    YAGURA_RETURN_IF_ERROR(Normalize(key));
                                    return CheckMayChange(call, key);
                                  });
}

// The secret goes first: a key that is half deleted is of no use to anybody.
absl::StatusOr<v1::DeleteApiKeyResponse> DeleteApiKey(Parts& parts, const Call& call,
                                                      const v1::DeleteApiKeyRequest& request) {
  const auto key = parts.store->api_keys.store.Get(request.name());
  if (key.ok()) {
    YAGURA_RETURN_IF_ERROR(CheckMayChange(call, *key));
    YAGURA_RETURN_IF_ERROR(CheckEtag(request.name(), request.etag(), key->etag()));
    const absl::Status deleted =
        parts.store->key_hashes.Delete(call.write_context(), request.name());
    if (!deleted.ok() && deleted.code() != absl::StatusCode::kNotFound) return deleted;
  }
  YAGURA_RETURN_IF_ERROR(
      parts.store->api_keys.store.Delete(call.write_context(), request.name(), request.etag()));
  return v1::DeleteApiKeyResponse();
}

}  // namespace

void RegisterApiKeys(rpc::ServiceRegistry& registry, Parts& parts) {
  registry.Unary<v1::CreateApiKeyRequest, v1::CreateApiKeyResponse>(
      Method("CreateApiKey"), [&parts](const Call& call, const v1::CreateApiKeyRequest& request) {
        return CreateApiKey(parts, call, request);
      });
  registry.Unary<v1::GetApiKeyRequest, v1::ApiKey>(
      Method("GetApiKey"), [&parts](const Call&, const v1::GetApiKeyRequest& request) {
        return parts.store->api_keys.store.Get(request.name());
      });
  registry.Unary<v1::ListApiKeysRequest, v1::ListApiKeysResponse>(
      Method("ListApiKeys"), [&parts](const Call& call, const v1::ListApiKeysRequest& request) {
        return ListApiKeys(parts, call, request);
      });
  registry.Unary<v1::UpdateApiKeyRequest, v1::ApiKey>(
      Method("UpdateApiKey"), [&parts](const Call& call, const v1::UpdateApiKeyRequest& request) {
        return UpdateApiKey(parts, call, request);
      });
  registry.Unary<v1::DeleteApiKeyRequest, v1::DeleteApiKeyResponse>(
      Method("DeleteApiKey"), [&parts](const Call& call, const v1::DeleteApiKeyRequest& request) {
        return DeleteApiKey(parts, call, request);
      });
}

}  // namespace yagura::directory
