#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "common/seal/secret_key.h"

// Envelope encryption of data at rest. A key-encryption key (KEK) lives in a file; each tenant has
// data keys, which are kept wrapped by the KEK; what is sealed is bound to its tenant, kind and id.
// XChaCha20-Poly1305 throughout (libsodium). Nothing here logs, and no error carries a key or text.
namespace yagura::seal {

// Which data key of a tenant. Version 0 is the key of fingerprints, 1 and up seal.
struct DataKeyId {
  std::string tenant;
  uint32_t version = 0;
  auto operator<=>(const DataKeyId&) const = default;
};

// Where wrapped data keys are kept. Thread-safe.
class DataKeyStore {
 public:
  virtual ~DataKeyStore() = default;
  // NOT_FOUND where there is none.
  virtual absl::StatusOr<std::string> Get(const DataKeyId& id) const = 0;
  // ALREADY_EXISTS where there is one: the first to create a key wins.
  virtual absl::Status Create(const DataKeyId& id, std::string_view wrapped) = 0;
  // NOT_FOUND where there is none.
  virtual absl::Status Replace(const DataKeyId& id, std::string_view wrapped) = 0;
  // Versions of a tenant, ascending.
  virtual absl::StatusOr<std::vector<uint32_t>> List(std::string_view tenant) const = 0;
  virtual absl::StatusOr<std::vector<std::string>> Tenants() const = 0;
  // Forgets all keys of a tenant: what they sealed can never be opened again.
  virtual absl::Status Erase(std::string_view tenant) = 0;
};

// Files "<folder>/<tenant>.<version>", mode 0600.
absl::StatusOr<std::unique_ptr<DataKeyStore>> OpenFolderDataKeys(
    const std::filesystem::path& folder);

// What a sealed value belongs to; it opens under the same three only.
struct Binding {
  std::string_view tenant;
  std::string_view kind;  // "credential", "snapshot"
  std::string_view id;    // the resource name
};

// Thread-safe. Keys stay in memory once used and are overwritten when the ring goes.
//
// Errors: FAILED_PRECONDITION (KEK_FILE_INVALID, KEK_MISSING: wrapped by a version that the file
// lacks), DATA_LOSS (SEAL_BROKEN: damaged, or of another binding), INVALID_ARGUMENT for a bad
// tenant id, and those of the store.
class Keyring {
 public:
  // Reads the KEK file; makes it (mode 0600) with a first key where it does not exist. A file that
  // others may read is refused.
  static absl::StatusOr<std::unique_ptr<Keyring>> Open(const std::filesystem::path& kek_file,
                                                       std::shared_ptr<DataKeyStore> data_keys);
  ~Keyring();

  absl::StatusOr<std::string> Seal(const Binding& binding, std::string_view text);
  absl::StatusOr<std::string> Open(const Binding& binding, std::string_view sealed);

  // HMAC-SHA-256 under a key of the tenant, 64 hex digits: equal for equal texts of one purpose,
  // and no help in guessing them for who lacks the key. Outlives every rotation.
  absl::StatusOr<std::string> Fingerprint(std::string_view tenant, std::string_view purpose,
                                          std::string_view text);

  // A new KEK version; then wraps every data key anew. The old versions stay in the file until
  // PruneKeks. Run again after a crash or an error: it carries on.
  absl::Status RotateKek();
  absl::Status RewrapAll();
  // Drops all KEK versions but the newest, after checking that no data key needs them.
  absl::Status PruneKeks();
  // A new data key for what the tenant seals from now on.
  absl::Status RotateDataKey(std::string_view tenant);
  // Forgets the tenant's data keys: nothing that it sealed can be opened again, by anyone.
  absl::Status EraseTenant(std::string_view tenant);

  uint32_t kek_version() const;

 private:
  Keyring(std::filesystem::path kek_file, std::shared_ptr<DataKeyStore> data_keys);

  absl::Status LoadKeks();
  absl::Status SaveKeks(const std::map<uint32_t, SecretKey>& keks, bool first);
  absl::Status AppendKek();
  absl::StatusOr<SecretKey> DataKey(const DataKeyId& id);
  absl::StatusOr<SecretKey> DataKeyOrNew(const DataKeyId& id);
  absl::StatusOr<uint32_t> SealingVersion(std::string_view tenant);
  absl::Status RewrapTenant(std::string_view tenant);
  absl::StatusOr<std::string> Wrap(const DataKeyId& id, const SecretKey& key) const;
  absl::StatusOr<SecretKey> Unwrap(const DataKeyId& id, std::string_view wrapped) const;

  const std::filesystem::path kek_file_;
  const std::shared_ptr<DataKeyStore> store_;
  mutable std::mutex mutex_;  // guards what follows; never held over a call of the store
  std::map<uint32_t, SecretKey> keks_;
  std::map<DataKeyId, SecretKey> cache_;
  std::map<std::string, uint32_t, std::less<>> sealing_version_;
};

}  // namespace yagura::seal
