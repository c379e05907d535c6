#include "services/archive/storage/audit_key.h"

#include <memory>
#include <string>
#include <system_error>
#include <utility>

#include "fmt/format.h"

#include "common/blob/file_io.h"
#include "common/seal/keyring.h"
#include "common/seal/secret_key.h"
#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::archive {
namespace {

constexpr size_t kMaxSealedBytes = 4096;
constexpr size_t kPublicKeyBytes = 32;
// Staff's own tenant: the key is the installation's, not a customer's.
constexpr seal::Binding kBinding{"provider", "audit-signing-key", "services/archive"};

}  // namespace

StatusOr<auth::SigningKey> LoadOrCreateAuditKey(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "DATA_FOLDER_UNUSABLE",
                     fmt::format("{}: {}", folder.string(), error.message()));
  }
  YAGURA_ASSIGN_OR_RETURN(std::shared_ptr<seal::DataKeyStore> data_keys,
                          seal::OpenFolderDataKeys(folder / "data-keys"));
  YAGURA_ASSIGN_OR_RETURN(const auto keyring,
                          seal::Keyring::Open(folder / "kek", std::move(data_keys)));
  const std::filesystem::path file = folder / "audit-key";
  auto sealed = blob::ReadFile(file, kMaxSealedBytes);
  if (absl::IsNotFound(sealed.status())) {
    YAGURA_ASSIGN_OR_RETURN(const std::string fresh,
                            keyring->Seal(kBinding, seal::SecretKey::Random().view()));
    const Status written = blob::WriteFileDurably(file, fresh, 0600, blob::IfExists::kFail);
    if (!written.ok() && !absl::IsAlreadyExists(written)) return written;
    sealed = blob::ReadFile(file, kMaxSealedBytes);
  }
  YAGURA_RETURN_IF_ERROR(sealed.status());
  YAGURA_ASSIGN_OR_RETURN(std::string seed, keyring->Open(kBinding, *sealed));
  auto key = auth::SigningKey::FromSeed(seed);
  seal::Wipe(seed);
  return key;
}

StatusOr<TrustedKeys> TrustedKeysOf(const auth::SigningKey& own,
                                    const std::vector<std::string>& others) {
  TrustedKeys keys = {{own.key_id(), own.public_key()}};
  for (const std::string& text : others) {
    auto key = text.size() == 2 * kPublicKeyBytes ? HexDecode(text) : Base64Decode(text);
    if (!key || key->size() != kPublicKeyBytes) {
      return InvalidField("audit.trusted_keys", "not an Ed25519 public key in hex or base64");
    }
    std::string id = auth::KeyIdOf(*key);
    keys[std::move(id)] = *std::move(key);
  }
  return keys;
}

}  // namespace yagura::archive
