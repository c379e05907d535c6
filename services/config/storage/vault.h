#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "common/blob/blob_store.h"
#include "common/seal/keyring.h"
#include "common/store/store.h"
#include "services/config/domain/scrubber.h"
#include "services/config/storage/stores.h"

namespace yagura::config {

// Where secrets and full texts go, and the only way back to them. Thread-safe.
//
// Errors beside those of store, blobs and keyring: DATA_LOSS where a sealed text is damaged.
class Vault {
 public:
  Vault(std::shared_ptr<Stores> stores, std::shared_ptr<blob::BlobStore> blobs,
        std::shared_ptr<seal::Keyring> keyring);

  // A credential's secret, replaced where there is one already, but not where that belongs to a
  // credential of the same name that was made later. `credential` is as the writer's own change
  // left it: of a late repeat, the one of then.
  absl::Status PutSecret(const store::WriteContext& context, const v1::Credential& credential,
                         std::string_view secret);
  // NOT_FOUND where the credential has none of its own.
  absl::StatusOr<std::string> OpenSecret(const std::string& credential) const;
  absl::Status ForgetSecret(const store::WriteContext& context, const std::string& credential);

  // The first secret of a new credential; leaves alone one of its own that is there.
  absl::Status PutFirstSecret(const store::WriteContext& context, const v1::Credential& credential,
                              std::string_view secret);

  // The full text of a snapshot, or of a change's candidate with that digest.
  absl::Status PutSnapshot(const store::WriteContext& context, const std::string& snapshot,
                           std::string_view text);
  absl::StatusOr<std::string> OpenSnapshot(const std::string& snapshot) const;
  // Takes back a text whose snapshot is not kept after all.
  absl::Status ForgetSnapshot(const store::WriteContext& context, const std::string& snapshot);
  absl::Status PutCandidate(const store::WriteContext& context, const v1::Change& change,
                            std::string_view text);
  absl::StatusOr<std::string> OpenCandidate(const v1::Change& change) const;

  // "hmac-sha256:..." of a full text: see Snapshot.digest.
  absl::StatusOr<std::string> DigestOf(std::string_view tenant, std::string_view text) const;
  absl::StatusOr<Scrubbed> Scrub(std::string_view tenant, std::string_view text) const;

 private:
  using Texts = store::Store<internal::v1::SealedText>;
  absl::Status Put(Texts& texts, std::string_view kind, const store::WriteContext& context,
                   const std::string& name, std::string_view text);
  absl::StatusOr<std::string> Open(const Texts& texts, std::string_view kind,
                                   const std::string& name) const;

  const std::shared_ptr<Stores> stores_;
  const std::shared_ptr<blob::BlobStore> blobs_;
  const std::shared_ptr<seal::Keyring> keyring_;
  const Scrubber scrubber_;
};

}  // namespace yagura::config
