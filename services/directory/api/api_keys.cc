#include "common/clock/proto_time.h"
#include "services/directory/api/directory_api.h"
#include "services/directory/api/standard.h"
#include "services/directory/domain/grants.h"
#include "services/directory/domain/validate.h"
#include "yagura/directory/v1/directory_service.pb.h"

namespace yagura::directory {
namespace {

using rpc::Call;

constexpr std::chrono::hours kGracePeriod{24};
constexpr std::chrono::hours kMaxGracePeriod{24 * 30};

absl::Status CheckMayChange(const Call& call, const v1::ApiKey& key) {
  return CheckCallerHolds(call.principal(), key.roles(), *store::TenantOf(key.name()));
}

bool IsOf(const internal::v1::ApiKeyHash& hash, const v1::ApiKey& key) {
  return !hash.has_key_create_time() ||
         FromProto(hash.key_create_time()) == FromProto(key.create_time());
}

// A secret for a new key; empty where it has one, which has been shown and is not known any more,
// and where the key is gone: a late repeat speaks of one that may have a successor by now.
absl::StatusOr<std::string> GiveSecret(Parts& parts, const Call& call, const v1::ApiKey& key) {
  const auto current = parts.store->api_keys.store.Get(key.name());
  if (current.status().code() == absl::StatusCode::kNotFound) return std::string();
  YAGURA_RETURN_IF_ERROR(current.status());
  if (FromProto(current->create_time()) != FromProto(key.create_time())) return std::string();
  const std::string secret = NewKeySecret(call.tenant(), store::LastId(key.name()));
  internal::v1::ApiKeyHash hash;
  hash.set_name(key.name());
  hash.set_hash(HashKeySecret(secret));
  *hash.mutable_key_create_time() = key.create_time();
  // Without the request id: where a repeat finds that the first attempt ended before this, it gets
  // a secret after all.
  auto context = call.write_context();
  context.request_id.clear();
  auto written = parts.store->key_hashes.Create(context, hash);
  if (written.status().code() == absl::StatusCode::kAlreadyExists) {
    YAGURA_ASSIGN_OR_RETURN(const auto known, parts.store->key_hashes.Get(key.name()));
    const bool older = known.has_key_create_time() &&
                       FromProto(known.key_create_time()) < FromProto(key.create_time());
    if (!older) return std::string();
    // Left by a key of the same name that is gone.
    hash.set_etag(known.etag());
    written = parts.store->key_hashes.Update(context, hash);
  }
  YAGURA_RETURN_IF_ERROR(written.status());
  return secret;
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
  YAGURA_ASSIGN_OR_RETURN(*response.mutable_secret(), GiveSecret(parts, call, response.api_key()));
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
  auto changed = UpdateMasked<v1::ApiKey>(
      call, parts.store->api_keys.store, request.api_key(), request.update_mask(), {},
      [&](v1::ApiKey& key) -> absl::Status {
        YAGURA_RETURN_IF_ERROR(Normalize(key));
        YAGURA_RETURN_IF_ERROR(CheckMayChange(call, key));
        return key.disabled() ? EndTokens(parts, key.name()) : absl::OkStatus();
      });
  if (changed.ok() && changed->disabled()) {
    YAGURA_RETURN_IF_ERROR(EndTokens(parts, changed->name()));
  }
  return changed;
}

absl::StatusOr<std::chrono::nanoseconds> GracePeriod(const v1::RotateApiKeyRequest& request) {
  if (!request.has_grace_period()) return kGracePeriod;
  const auto period = FromProto(request.grace_period());
  if (period >= period.zero() && period <= kMaxGracePeriod) return period;
  return InvalidField("grace_period", "is not between 0 and 30 days");
}

absl::StatusOr<v1::RotateApiKeyResponse> RotateApiKey(Parts& parts, const Call& call,
                                                      const v1::RotateApiKeyRequest& request) {
  v1::RotateApiKeyResponse response;
  YAGURA_ASSIGN_OR_RETURN(*response.mutable_api_key(),
                          parts.store->api_keys.store.Get(request.name()));
  const v1::ApiKey& key = response.api_key();
  YAGURA_RETURN_IF_ERROR(CheckMayChange(call, key));
  YAGURA_RETURN_IF_ERROR(CheckEtag(request.etag(), key));
  YAGURA_ASSIGN_OR_RETURN(const auto grace, GracePeriod(request));
  const std::string secret = NewKeySecret(call.tenant(), store::LastId(key.name()));
  const std::string new_hash = HashKeySecret(secret);
  YAGURA_ASSIGN_OR_RETURN(
      const auto hash,
      parts.store->key_hashes.Mutate(
          call.write_context(), key.name(), [&](internal::v1::ApiKeyHash& stored) -> absl::Status {
            stored.clear_previous_hash();
            stored.clear_previous_expire_time();
            if (grace == grace.zero()) {
              YAGURA_RETURN_IF_ERROR(EndTokens(parts, key.name()));
            } else if (IsOf(stored, key)) {
              stored.set_previous_hash(stored.hash());
              *stored.mutable_previous_expire_time() = ToProto(parts.clock->Now() + grace);
            }
            stored.set_hash(new_hash);
            *stored.mutable_key_create_time() = key.create_time();
            return absl::OkStatus();
          }));
  // A repeat finds what the first made.
  if (hash.hash() == new_hash) response.set_secret(secret);
  if (hash.has_previous_expire_time()) {
    *response.mutable_previous_expire_time() = hash.previous_expire_time();
  } else {
    YAGURA_RETURN_IF_ERROR(EndTokens(parts, key.name()));
  }
  return response;
}

// The secret goes first: a key that is half deleted is of no use to anybody.
absl::StatusOr<v1::DeleteApiKeyResponse> DeleteApiKey(Parts& parts, const Call& call,
                                                      const v1::DeleteApiKeyRequest& request) {
  const auto key = parts.store->api_keys.store.Get(request.name());
  if (key.ok()) {
    YAGURA_RETURN_IF_ERROR(CheckMayChange(call, *key));
    YAGURA_RETURN_IF_ERROR(CheckEtag(request.etag(), *key));
    YAGURA_RETURN_IF_ERROR(EndTokens(parts, request.name()));
    const absl::Status deleted =
        parts.store->key_hashes.Delete(call.write_context(), request.name());
    if (!deleted.ok() && deleted.code() != absl::StatusCode::kNotFound) return deleted;
  }
  YAGURA_RETURN_IF_ERROR(
      parts.store->api_keys.store.Delete(call.write_context(), request.name(), request.etag()));
  YAGURA_RETURN_IF_ERROR(EndTokens(parts, request.name()));
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
  registry.Unary<v1::RotateApiKeyRequest, v1::RotateApiKeyResponse>(
      Method("RotateApiKey"), [&parts](const Call& call, const v1::RotateApiKeyRequest& request) {
        return RotateApiKey(parts, call, request);
      });
  registry.Unary<v1::DeleteApiKeyRequest, v1::DeleteApiKeyResponse>(
      Method("DeleteApiKey"), [&parts](const Call& call, const v1::DeleteApiKeyRequest& request) {
        return DeleteApiKey(parts, call, request);
      });
}

}  // namespace yagura::directory
