#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "services/notification/storage/stores.h"

namespace yagura::seal {
class Keyring;
}

namespace yagura::notification {

// The webhook secrets of contacts, sealed for tenant and contact. Thread-safe.
class ContactSecrets {
 public:
  ContactSecrets(Stores stores, std::shared_ptr<seal::Keyring> keyring);
  // Replaces what is there, but not the secret of a contact of the same name that was made later.
  // `contact` is as the writer's own change left it: of a late repeat, the one of then.
  absl::Status Put(const store::WriteContext& context, const v1::Contact& contact,
                   std::string_view secret);
  // `contact` is the contact's name. Nothing happens where there is none.
  absl::Status Remove(const store::WriteContext& context, const std::string& contact);
  // NOT_FOUND where the contact has none of its own.
  absl::StatusOr<std::string> Get(const std::string& contact) const;

 private:
  Stores stores_;
  std::shared_ptr<seal::Keyring> keyring_;
};

}  // namespace yagura::notification
