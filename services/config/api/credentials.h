#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "google/protobuf/empty.pb.h"

#include "common/clock/clock.h"
#include "common/rpc/call.h"
#include "common/store/projection.h"
#include "services/config/storage/stores.h"
#include "services/config/storage/vault.h"
#include "yagura/config/v1/config_service.pb.h"

namespace yagura::config {

// Credentials: secrets go in and never come out. Thread-safe.
class CredentialHandlers {
 public:
  CredentialHandlers(std::shared_ptr<Stores> stores,
                     std::shared_ptr<const store::Projection<v1::Credential>> all,
                     std::shared_ptr<Vault> vault, std::shared_ptr<const Clock> clock);

  absl::StatusOr<v1::Credential> Create(const rpc::Call& call,
                                        const v1::CreateCredentialRequest& request);
  absl::StatusOr<v1::Credential> Get(const rpc::Call& call,
                                     const v1::GetCredentialRequest& request);
  absl::StatusOr<v1::ListCredentialsResponse> List(const rpc::Call& call,
                                                   const v1::ListCredentialsRequest& request);
  absl::StatusOr<v1::Credential> Update(const rpc::Call& call,
                                        const v1::UpdateCredentialRequest& request);
  absl::StatusOr<google::protobuf::Empty> Delete(const rpc::Call& call,
                                                 const v1::DeleteCredentialRequest& request);

 private:
  // Sets what is shown of the secret.
  absl::Status Describe(const v1::CredentialSecret& secret, v1::Credential& credential) const;

  const std::shared_ptr<Stores> stores_;
  const std::shared_ptr<const store::Projection<v1::Credential>> all_;
  const std::shared_ptr<Vault> vault_;
  const std::shared_ptr<const Clock> clock_;
};

}  // namespace yagura::config
