#include "services/notification/storage/secrets.h"

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

}  // namespace

ContactSecrets::ContactSecrets(Stores stores, std::shared_ptr<seal::Keyring> keyring)
    : stores_(std::move(stores)), keyring_(std::move(keyring)) {}

absl::Status ContactSecrets::Put(const store::WriteContext& context, const std::string& contact,
                                 std::string_view secret) {
  internal::v1::ContactSecret message;
  YAGURA_ASSIGN_OR_RETURN(*message.mutable_name(), SecretName(contact));
  YAGURA_ASSIGN_OR_RETURN(*message.mutable_sealed(), keyring_->Seal(BindingOf(contact), secret));
  const auto created = stores_.secrets.Create(context, message);
  if (absl::IsAlreadyExists(created.status())) {
    return stores_.secrets.Update(context, message).status();
  }
  return created.status();
}

absl::Status ContactSecrets::Remove(const store::WriteContext& context,
                                    const std::string& contact) {
  YAGURA_ASSIGN_OR_RETURN(const std::string name, SecretName(contact));
  const absl::Status status = stores_.secrets.Delete(context, name);
  return absl::IsNotFound(status) ? absl::OkStatus() : status;
}

absl::StatusOr<std::string> ContactSecrets::Get(const std::string& contact) const {
  YAGURA_ASSIGN_OR_RETURN(const std::string name, SecretName(contact));
  YAGURA_ASSIGN_OR_RETURN(const auto message, stores_.secrets.Get(name));
  return keyring_->Open(BindingOf(contact), message.sealed());
}

}  // namespace yagura::notification
