#include "services/config/storage/vault.h"

#include <utility>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/status/status.h"

namespace yagura::config {
namespace {

using internal::v1::SealedSecret;
using internal::v1::SealedText;

// Creates the resource, or replaces what `fill` sets where it exists. A repeat of the same request
// leaves alone what others have put there since.
template <typename Message, typename Fill>
Status Upsert(store::Store<Message>& store, const store::WriteContext& context,
              const std::string& name, const Fill& fill) {
  Message message;
  message.set_name(name);
  fill(message);
  const Status created = store.Create(context, message).status();
  if (!absl::IsAlreadyExists(created)) return created;
  return store
      .Mutate(context, name,
              [&](Message& current) {
                fill(current);
                return absl::OkStatus();
              })
      .status();
}

// Below 0: the secret is that of a credential of the same name that was made before; 0: its own;
// above: that of a later one.
int AgeOf(const SealedSecret& secret, const v1::Credential& credential) {
  if (!secret.has_credential_create_time()) return 0;
  const TimePoint theirs = FromProto(secret.credential_create_time());
  const TimePoint own = FromProto(credential.create_time());
  return theirs < own ? -1 : theirs > own ? 1 : 0;
}

// "hmac-sha256:0123..." becomes an id.
std::string CandidateName(const v1::Change& change) {
  const std::string& digest = change.candidate_digest();
  return fmt::format("{}/candidates/{}", change.name(),
                     digest.substr(digest.find(':') + 1).substr(0, 60));
}

}  // namespace

Vault::Vault(std::shared_ptr<Stores> stores, std::shared_ptr<blob::BlobStore> blobs,
             std::shared_ptr<seal::Keyring> keyring)
    : stores_(std::move(stores)), blobs_(std::move(blobs)), keyring_(std::move(keyring)) {}

Status Vault::PutSecret(const store::WriteContext& context, const v1::Credential& credential,
                        std::string_view secret) {
  const std::string& name = credential.name();
  YAGURA_ASSIGN_OR_RETURN(const std::string sealed,
                          keyring_->Seal({TenantIdOf(name), "credential", name}, secret));
  return Upsert(stores_->secrets, context, name, [&](SealedSecret& message) {
    if (AgeOf(message, credential) > 0) return;
    message.set_sealed(sealed);
    *message.mutable_credential_create_time() = credential.create_time();
  });
}

Status Vault::PutFirstSecret(const store::WriteContext& context, const v1::Credential& credential,
                             std::string_view secret) {
  const auto stored = stores_->secrets.Get(credential.name());
  if (!stored.ok() && !absl::IsNotFound(stored.status())) return stored.status();
  if (stored.ok() && AgeOf(*stored, credential) >= 0) return absl::OkStatus();
  return PutSecret(context, credential, secret);
}

StatusOr<std::string> Vault::OpenSecret(const std::string& credential) const {
  YAGURA_ASSIGN_OR_RETURN(const v1::Credential owner, stores_->credentials.Get(credential));
  YAGURA_ASSIGN_OR_RETURN(const SealedSecret message, stores_->secrets.Get(credential));
  if (AgeOf(message, owner) != 0) return NotFound(credential);
  return keyring_->Open({TenantIdOf(credential), "credential", credential}, message.sealed());
}

Status Vault::ForgetSecret(const store::WriteContext& context, const std::string& credential) {
  const Status status = stores_->secrets.Delete(context, credential);
  return absl::IsNotFound(status) ? absl::OkStatus() : status;
}

Status Vault::Put(Texts& texts, std::string_view kind, const store::WriteContext& context,
                  const std::string& name, std::string_view text) {
  YAGURA_ASSIGN_OR_RETURN(const std::string sealed,
                          keyring_->Seal({TenantIdOf(name), kind, name}, text));
  YAGURA_ASSIGN_OR_RETURN(const std::string digest, blobs_->Put(sealed));
  // The request id guards the resource that the text belongs to, whose name a repeat makes anew:
  // that one needs its text too.
  store::WriteContext own = context;
  own.request_id.clear();
  return Upsert(texts, own, name, [&](SealedText& message) { message.set_blob(digest); });
}

StatusOr<std::string> Vault::Open(const Texts& texts, std::string_view kind,
                                  const std::string& name) const {
  YAGURA_ASSIGN_OR_RETURN(const SealedText message, texts.Get(name));
  StatusOr<std::string> sealed = blobs_->Get(message.blob());
  if (absl::IsNotFound(sealed.status())) {
    return MakeError(absl::StatusCode::kDataLoss, "BLOB_MISSING",
                     fmt::format("the sealed text of {} is gone", name));
  }
  if (!sealed.ok()) return sealed.status();
  return keyring_->Open({TenantIdOf(name), kind, name}, *sealed);
}

Status Vault::PutSnapshot(const store::WriteContext& context, const std::string& snapshot,
                          std::string_view text) {
  return Put(stores_->snapshot_texts, "snapshot", context, snapshot, text);
}

Status Vault::ForgetSnapshot(const store::WriteContext& context, const std::string& snapshot) {
  store::WriteContext own = context;
  own.request_id.clear();
  YAGURA_ASSIGN_OR_RETURN(const SealedText message, stores_->snapshot_texts.Get(snapshot));
  YAGURA_RETURN_IF_ERROR(stores_->snapshot_texts.Delete(own, snapshot));
  return blobs_->Delete(message.blob());
}

StatusOr<std::string> Vault::OpenSnapshot(const std::string& snapshot) const {
  return Open(stores_->snapshot_texts, "snapshot", snapshot);
}

Status Vault::PutCandidate(const store::WriteContext& context, const v1::Change& change,
                           std::string_view text) {
  return Put(stores_->candidates, "candidate", context, CandidateName(change), text);
}

StatusOr<std::string> Vault::OpenCandidate(const v1::Change& change) const {
  return Open(stores_->candidates, "candidate", CandidateName(change));
}

StatusOr<std::string> Vault::DigestOf(std::string_view tenant, std::string_view text) const {
  YAGURA_ASSIGN_OR_RETURN(const std::string print,
                          keyring_->Fingerprint(tenant, "configuration", text));
  return "hmac-sha256:" + print;
}

StatusOr<Scrubbed> Vault::Scrub(std::string_view tenant, std::string_view text) const {
  return scrubber_.Scrub(text, [&](std::string_view secret) -> StatusOr<std::string> {
    YAGURA_ASSIGN_OR_RETURN(const std::string print,
                            keyring_->Fingerprint(tenant, "secret", secret));
    return print.substr(0, 16);
  });
}

}  // namespace yagura::config
