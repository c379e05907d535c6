#include "common/clock/proto_time.h"
#include "common/rpc/peer.h"
#include "common/store/change_feed.h"
#include "services/directory/api/directory_api.h"
#include "services/directory/api/standard.h"
#include "services/directory/domain/grants.h"
#include "yagura/directory/v1/directory_service.pb.h"

namespace yagura::directory {
namespace {

using rpc::Call;

constexpr size_t kMaxPasswordBytes = 256;
constexpr size_t kMaxSecretBytes = 512;

// The same for every reason: what is wrong is nobody's business who cannot log in.
absl::Status LoginFailed() {
  return MakeError(absl::StatusCode::kUnauthenticated, "LOGIN_FAILED",
                   "the name or the secret is wrong, or may not be used");
}

class LoginApi {
 public:
  explicit LoginApi(Parts& parts) : parts_(parts) {}

  absl::StatusOr<v1::TokenResponse> Login(const Call& call, const v1::LoginRequest& request) {
    const TimePoint begun = parts_.clock->Now();
    const std::string address = rpc::PeerNetwork(call.peer());
    const bool named = store::IsValidId(request.tenant()) && store::IsValidId(request.user()) &&
                       request.password().size() <= kMaxPasswordBytes;
    const std::string name =
        named ? fmt::format("tenants/{}/users/{}", request.tenant(), request.user()) : "";
    YAGURA_RETURN_IF_ERROR(parts_.throttle->Begin(name, address));
    const Origin origin{call.peer(), call.method()};
    if (!named) return Refuse(origin, std::string(kProvider), "users/?");
    const auto user = CheckPassword(name, request.password());
    const auto active = TenantIsActive(request.tenant());
    for (const absl::Status& status : {user.status(), active.status()}) {
      if (status.ok()) continue;
      // That we cannot tell is not a guess.
      NoteUndecided(parts_.throttle->Undecided(name, address));
      return status;
    }
    if (!*user || (*user)->state() != v1::USER_ACTIVE || !*active) {
      return Refuse(origin, request.tenant(), name);
    }
    YAGURA_RETURN_IF_ERROR(parts_.throttle->Succeeded(name, address));
    return Accept(origin, {request.tenant(), name, begun}, (*user)->roles(), std::nullopt);
  }

  absl::StatusOr<v1::TokenResponse> ExchangeApiKey(const Call& call,
                                                   const v1::ExchangeApiKeyRequest& request) {
    const TimePoint begun = parts_.clock->Now();
    const Origin origin = OriginOf(call, request);
    const std::string network = rpc::PeerNetwork(origin.peer);
    const std::string hash = HashKeySecret(request.secret().substr(0, kMaxSecretBytes + 1));
    YAGURA_ASSIGN_OR_RETURN(const KeyGate::Pass pass, parts_.key_gate->Begin(hash, network));
    const auto secret = request.secret().size() <= kMaxSecretBytes
                            ? ParseKeySecret(request.secret())
                            : absl::StatusOr<KeySecret>(LoginFailed());
    if (!secret.ok()) return RefuseKey(origin, std::string(kProvider), "apiKeys/?");
    const std::string name = fmt::format("tenants/{}/apiKeys/{}", secret->tenant, secret->key);
    const auto checked = CheckSecret(name, hash);
    if (!checked.ok()) {
      parts_.key_gate->Undecided(network, pass);
      return checked.status();
    }
    const std::optional<v1::ApiKey>& key = *checked;
    if (!key) {
      parts_.key_gate->Bad(hash);
      return RefuseKey(origin, secret->tenant, name);
    }
    parts_.key_gate->Good(hash, network, pass);
    YAGURA_ASSIGN_OR_RETURN(const bool active, TenantIsActive(secret->tenant));
    if (!active) return RefuseKey(origin, secret->tenant, name);
    std::optional<TimePoint> end;
    if (key->has_expire_time()) end = FromProto(key->expire_time());
    return Accept(origin, {secret->tenant, name, begun}, key->roles(), end);
  }

  absl::StatusOr<v1::UnblockUserResponse> UnblockUser(const Call& call,
                                                      const v1::UnblockUserRequest& request) {
    YAGURA_RETURN_IF_ERROR(CheckReason(request.reason()));
    auto& users = parts_.store->users.store;
    YAGURA_ASSIGN_OR_RETURN(const v1::User found, users.Get(request.name()));
    const std::string tenant(*store::TenantOf(found.name()));
    YAGURA_RETURN_IF_ERROR(CheckCallerHolds(call.principal(), found.roles(), tenant));
    // The user stays as they are; a repeat is known by its request id and comes here no more.
    const auto unblock = [&](v1::User& user) -> absl::Status {
      audit::v1::Record record = NewRecord({call.peer(), call.method()}, tenant,
                                           call.principal().name, audit::v1::UPDATED, 0);
      record.set_resource(user.name());
      record.set_detail(request.reason());
      YAGURA_RETURN_IF_ERROR(store::AppendRecords(*parts_.state, {record}));
      return parts_.throttle->Forgive(user.name());
    };
    YAGURA_RETURN_IF_ERROR(users.Mutate(call.write_context(), request.name(), unblock).status());
    return v1::UnblockUserResponse();
  }

  v1::GetSigningKeysResponse GetSigningKeys() const {
    v1::GetSigningKeysResponse response;
    response.set_issuer(std::string(kTokenIssuer));
    std::vector<std::string> keys = {parts_.issuer->key().public_key()};
    keys.insert(keys.end(), parts_.retired_keys.begin(), parts_.retired_keys.end());
    for (const auto& public_key : keys) {
      auto& key = *response.add_keys();
      key.set_key_id(auth::KeyIdOf(public_key));
      key.set_public_key(public_key);
    }
    return response;
  }

  static v1::WhoAmIResponse WhoAmI(const Call& call) {
    v1::WhoAmIResponse response;
    response.set_principal(call.principal().name);
    *response.mutable_roles() = FromAuthGrants(call.principal().grants);
    *response.mutable_expire_time() = ToProto(call.principal().expires);
    return response;
  }

 private:
  // Who logs in, and since when: what changes from that time on may not have been seen.
  struct Session {
    std::string tenant;
    std::string name;
    TimePoint begun;
  };

  // Where an attempt comes from: what it is counted by, and what stands on record of it.
  struct Origin {
    std::string peer;  // as gRPC names it
    std::string method;
  };

  // A service that asks for its own senders says which of them it is; anybody else could say
  // anything.
  static Origin OriginOf(const Call& call, const v1::ExchangeApiKeyRequest& request) {
    const bool told = call.principal().is_service() && !request.client_peer().empty();
    return {told ? request.client_peer() : call.peer(), call.method()};
  }

  // The user where the password is right. Takes as long where there is no such user.
  absl::StatusOr<std::optional<v1::User>> CheckPassword(const std::string& name,
                                                        std::string_view password) {
    const auto user = parts_.store->users.store.Get(name);
    const auto hash = parts_.store->passwords.Get(name);
    for (const absl::Status& status : {user.status(), hash.status()}) {
      if (!status.ok() && status.code() != absl::StatusCode::kNotFound) return status;
    }
    const bool theirs = user.ok() && hash.ok() &&
                        (!hash->has_user_create_time() ||
                         FromProto(hash->user_create_time()) == FromProto(user->create_time()));
    if (!theirs) {
      static_cast<void>(parts_.hasher->VerifyNothing(password));
      return std::nullopt;
    }
    if (!parts_.hasher->Verify(hash->hash(), password)) return std::nullopt;
    return *user;
  }

  // The key where the secret is right (`given` is its hash) and it may be used now. With the secret
  // of before it ends when that does. A wrong one costs a single reading.
  absl::StatusOr<std::optional<v1::ApiKey>> CheckSecret(const std::string& name,
                                                        const std::string& given) {
    const auto hash = parts_.store->key_hashes.Get(name);
    if (!hash.ok() && hash.status().code() != absl::StatusCode::kNotFound) return hash.status();
    const bool current = SameHash(given, hash.ok() ? hash->hash() : std::string(32, '\0'));
    const bool previous =
        SameHash(given, hash.ok() ? hash->previous_hash() : std::string(32, '\0'));
    if (!hash.ok() || !(current || previous)) return std::nullopt;
    const auto key = parts_.store->api_keys.store.Get(name);
    if (!key.ok() && key.status().code() != absl::StatusCode::kNotFound) return key.status();
    if (!key.ok() || key->disabled()) return std::nullopt;
    const bool theirs = !hash->has_key_create_time() ||
                        FromProto(hash->key_create_time()) == FromProto(key->create_time());
    if (!theirs) return std::nullopt;
    v1::ApiKey found = *key;
    if (!current && (!found.has_expire_time() ||
                     FromProto(hash->previous_expire_time()) < FromProto(found.expire_time()))) {
      *found.mutable_expire_time() = hash->previous_expire_time();
    }
    const bool expired =
        found.has_expire_time() && FromProto(found.expire_time()) <= parts_.clock->Now();
    if (expired) return std::nullopt;
    return found;
  }

  absl::StatusOr<bool> TenantIsActive(std::string_view tenant) const {
    const auto found = parts_.store->tenants.store.Get(fmt::format("tenants/{}", tenant));
    if (found.ok()) return found->state() != v1::TENANT_SUSPENDED;
    if (found.status().code() == absl::StatusCode::kNotFound) return false;
    return found.status();
  }

  absl::StatusOr<v1::TokenResponse> Accept(const Origin& origin, const Session& session,
                                           const RoleGrants& roles, std::optional<TimePoint> end) {
    const TimePoint now = parts_.clock->Now();
    auto lifetime =
        std::chrono::duration_cast<std::chrono::seconds>(parts_.settings.token_lifetime);
    if (end) lifetime = std::min(lifetime, std::chrono::ceil<std::chrono::seconds>(*end - now));
    auth::Principal principal;
    principal.name = session.name;
    principal.issued = session.begun;
    principal.grants = ToAuthGrants(roles, session.tenant);
    v1::TokenResponse response;
    response.set_token(parts_.issuer->Issue(principal, lifetime));
    response.set_principal(session.name);
    *response.mutable_expire_time() = ToProto(now + lifetime);
    // Nobody gets a token that is not on record.
    YAGURA_RETURN_IF_ERROR(Record(origin, session.tenant, session.name, audit::v1::LOGGED_IN, 0));
    parts_.logins->Add();
    return response;
  }

  // Nobody guesses 256 random bits, so that a good key is taken whatever else comes from its
  // address: a relay or a proxy is one address for many. What is bounded is what bad ones leave on
  // record, and they do not count against people who log in with passwords from there.
  absl::Status RefuseKey(const Origin& origin, const std::string& tenant, std::string_view name) {
    const std::string address = fmt::format("keys {}", rpc::PeerNetwork(origin.peer));
    YAGURA_RETURN_IF_ERROR(parts_.throttle->Begin("", address));
    return Refuse(origin, tenant, name);
  }

  void NoteUndecided(const absl::Status& given_back) {
    if (given_back.ok()) return;
    parts_.logger.Warning("a log-in that could not be checked counts as a failed one",
                          {{"error", Message(given_back)}});
  }

  absl::Status Refuse(const Origin& origin, const std::string& tenant, std::string_view name) {
    parts_.failed_logins->Add();
    // Of tenants that do not exist there is no feed; what is claimed is told in the provider's.
    const auto known = parts_.store->tenants.store.Get("tenants/" + tenant);
    const absl::Status recorded =
        Record(origin, known.ok() ? tenant : std::string(kProvider), name, audit::v1::DENIED,
               static_cast<int>(absl::StatusCode::kUnauthenticated));
    if (!recorded.ok()) {
      parts_.logger.Warning("refused log-in is not on record", {{"error", Message(recorded)}});
    }
    return LoginFailed();
  }

  absl::Status Record(const Origin& origin, const std::string& tenant, std::string_view name,
                      audit::v1::Action action, int code) const {
    return store::AppendRecords(*parts_.state, {NewRecord(origin, tenant, name, action, code)});
  }

  audit::v1::Record NewRecord(const Origin& origin, const std::string& tenant,
                              std::string_view name, audit::v1::Action action, int code) const {
    audit::v1::Record record;
    *record.mutable_time() = ToProto(parts_.clock->Now());
    record.set_tenant(tenant);
    record.set_principal(std::string(name));
    record.set_method(origin.method);
    record.set_action(action);
    record.set_resource(std::string(name));
    record.set_kind("directory.session");
    record.set_detail("from " + rpc::PeerAddress(origin.peer));
    record.set_status_code(code);
    return record;
  }

  Parts& parts_;
};

}  // namespace

void RegisterLogin(rpc::ServiceRegistry& registry, Parts& parts) {
  const auto api = std::make_shared<LoginApi>(parts);
  registry.Unary<v1::LoginRequest, v1::TokenResponse>(
      Method("Login"), [api](const Call& call, const v1::LoginRequest& request) {
        return api->Login(call, request);
      });
  registry.Unary<v1::ExchangeApiKeyRequest, v1::TokenResponse>(
      Method("ExchangeApiKey"), [api](const Call& call, const v1::ExchangeApiKeyRequest& request) {
        return api->ExchangeApiKey(call, request);
      });
  registry.Unary<v1::UnblockUserRequest, v1::UnblockUserResponse>(
      Method("UnblockUser"), [api](const Call& call, const v1::UnblockUserRequest& request) {
        return api->UnblockUser(call, request);
      });
  registry.Unary<v1::GetSigningKeysRequest, v1::GetSigningKeysResponse>(
      Method("GetSigningKeys"),
      [api](const Call&, const v1::GetSigningKeysRequest&)
          -> absl::StatusOr<v1::GetSigningKeysResponse> { return api->GetSigningKeys(); });
  registry.Unary<v1::WhoAmIRequest, v1::WhoAmIResponse>(
      Method("WhoAmI"),
      [](const Call& call, const v1::WhoAmIRequest&) -> absl::StatusOr<v1::WhoAmIResponse> {
        return LoginApi::WhoAmI(call);
      });
}

}  // namespace yagura::directory
