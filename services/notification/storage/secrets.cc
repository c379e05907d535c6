#include "services/notification/storage/secrets.h"

#include "common/clock/proto_time.h"
#include "common/seal/keyring.h"
#include "common/status/status.h"
#include "common/store/resource_name.h"

namespace yagura::notification {
namespace {

constexpr char kSealKind[] = "webhook-secret";

absl::StatusOr<std::string> SecretName(const std::string& contact) {
  YAGURA_ASSIGN_OR_RETURN(const auto ids,
                          store::NamePattern(kContactPattern).Parse(contact, "name"));
  return store::NamePattern(kContactSecretPattern).Format(ids);
}

seal::Binding BindingOf(const std::string& contact) {
  return {store::TenantOf(contact).value_or(""), kSealKind, contact};
}

// Below 0: the secret is that of a contact of the same name that was made before; 0: its own;
// above: that of a later one.
int AgeOf(const internal::v1::ContactSecret& secret, const v1::Contact& contact) {
  if (!secret.has_contact_create_time()) return 0;
  const TimePoint theirs = FromProto(secret.contact_create_time());
  const TimePoint own = FromProto(contact.create_time());
  return theirs < own ? -1 : theirs > own ? 1 : 0;
}

}  // namespace

ContactSecrets::ContactSecrets(Stores stores, std::shared_ptr<seal::Keyring> keyring)
    : stores_(std::move(stores)), keyring_(std::move(keyring)) {}

absl::Status ContactSecrets::Put(const store::WriteContext& context, const v1::Contact& contact,
                                 std::string_view secret) {
  internal::v1::ContactSecret message;
  YAGURA_ASSIGN_OR_RETURN(*message.mutable_name(), SecretName(contact.name()));
  YAGURA_ASSIGN_OR_RETURN(*message.mutable_sealed(),
                          keyring_->Seal(BindingOf(contact.name()), secret));
  *message.mutable_contact_create_time() = contact.create_time();
  const auto created = stores_.secrets.Create(context, message);
  if (!absl::IsAlreadyExists(created.status())) return created.status();
  return stores_.secrets
      .Mutate(context, message.name(),
              [&](internal::v1::ContactSecret& stored) {
                if (AgeOf(stored, contact) <= 0) stored = message;
                return absl::OkStatus();
              })
      .status();
}

absl::Status ContactSecrets::Remove(const store::WriteContext& context,
                                    const std::string& contact) {
  YAGURA_ASSIGN_OR_RETURN(const std::string name, SecretName(contact));
  const absl::Status status = stores_.secrets.Delete(context, name);
  return absl::IsNotFound(status) ? absl::OkStatus() : status;
}

absl::StatusOr<std::string> ContactSecrets::Get(const std::string& contact) const {
  YAGURA_ASSIGN_OR_RETURN(const std::string name, SecretName(contact));
  YAGURA_ASSIGN_OR_RETURN(const v1::Contact owner, stores_.contacts.Get(contact));
  YAGURA_ASSIGN_OR_RETURN(const auto message, stores_.secrets.Get(name));
  if (AgeOf(message, owner) != 0) return NotFound(name);
  return keyring_->Open(BindingOf(contact), message.sealed());
}

}  // namespace yagura::notification
