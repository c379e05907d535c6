#include "common/seal/keyring.h"

#include <sodium.h>
#include <sys/stat.h>

#include <algorithm>
#include <optional>

#include "fmt/format.h"

#include "common/blob/file_io.h"
#include "common/seal/sealed_box.h"
#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::seal {
namespace {

constexpr size_t kMaxKekFileBytes = 1 << 20;
constexpr uint32_t kFingerprintVersion = 0;
constexpr uint32_t kFirstSealingVersion = 1;
constexpr std::string_view kKekFileHead =
    "# Key-encryption keys of Yagura: version and key. The last one wraps. Keep secret, keep a "
    "copy.\n";

Status BadKekFile(const std::filesystem::path& file, std::string_view why) {
  return MakeError(absl::StatusCode::kFailedPrecondition, "KEK_FILE_INVALID",
                   fmt::format("{}: {}", file.string(), why));
}

// Tenant ids become file names and parts of keys.
Status CheckTenant(std::string_view tenant) {
  const bool valid = !tenant.empty() && tenant.size() <= 63 &&
                     std::all_of(tenant.begin(), tenant.end(), [](char c) {
                       return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
                     });
  if (!valid) return InvalidField("tenant", "must be 1 to 63 lower-case letters, digits, hyphens");
  return absl::OkStatus();
}

}  // namespace

Keyring::Keyring(std::filesystem::path kek_file, std::shared_ptr<DataKeyStore> data_keys)
    : kek_file_(std::move(kek_file)), store_(std::move(data_keys)) {}

Keyring::~Keyring() = default;

StatusOr<std::unique_ptr<Keyring>> Keyring::Open(const std::filesystem::path& kek_file,
                                                 std::shared_ptr<DataKeyStore> data_keys) {
  if (sodium_init() < 0) return Internal("libsodium cannot be used");
  std::unique_ptr<Keyring> ring(new Keyring(kek_file, std::move(data_keys)));
  std::error_code error;
  if (!std::filesystem::exists(kek_file, error)) {
    // Where another process makes it at the same moment, its key is the one that counts.
    const Status made = ring->AppendKek();
    if (!made.ok() && !absl::IsAlreadyExists(made)) return made;
  }
  YAGURA_RETURN_IF_ERROR(ring->LoadKeks());
  return ring;
}

Status Keyring::LoadKeks() {
  struct stat facts = {};
  if (stat(kek_file_.c_str(), &facts) == 0 && (facts.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    return BadKekFile(kek_file_, "must not be accessible to group or others (chmod 600)");
  }
  YAGURA_ASSIGN_OR_RETURN(std::string text, blob::ReadFile(kek_file_, kMaxKekFileBytes));
  std::map<uint32_t, SecretKey> keks;
  for (const std::string_view line : Split(text, '\n')) {
    if (line.empty() || line.front() == '#') continue;
    const size_t space = line.find(' ');
    const auto version = ParseNumber<uint32_t>(line.substr(0, space));
    if (space == std::string_view::npos || !version) {
      return BadKekFile(kek_file_, "each line must be a version and a key");
    }
    std::optional<std::string> key = Base64Decode(line.substr(space + 1));
    if (!key || key->size() != SecretKey::kBytes) {
      return BadKekFile(kek_file_, fmt::format("key {} is not 32 bytes in base64", *version));
    }
    keks.emplace(*version, SecretKey::FromBytes(*key));
    Wipe(*key);
  }
  Wipe(text);
  if (keks.empty()) return BadKekFile(kek_file_, "has no key");
  const std::lock_guard lock(mutex_);
  keks_ = std::move(keks);
  return absl::OkStatus();
}

Status Keyring::SaveKeks(const std::map<uint32_t, SecretKey>& keks, bool first) {
  std::string text(kKekFileHead);
  for (const auto& [version, key] : keks) {
    text += fmt::format("{} {}\n", version, Base64Encode(key.view()));
  }
  const Status status = blob::WriteFileDurably(
      kek_file_, text, 0600, first ? blob::IfExists::kFail : blob::IfExists::kReplace);
  Wipe(text);
  return status;
}

Status Keyring::AppendKek() {
  std::map<uint32_t, SecretKey> keks;
  {
    const std::lock_guard lock(mutex_);
    keks = keks_;
  }
  const bool first = keks.empty();
  keks.emplace(first ? 1 : keks.rbegin()->first + 1, SecretKey::Random());
  YAGURA_RETURN_IF_ERROR(SaveKeks(keks, first));
  const std::lock_guard lock(mutex_);
  keks_ = std::move(keks);
  return absl::OkStatus();
}

uint32_t Keyring::kek_version() const {
  const std::lock_guard lock(mutex_);
  return keks_.rbegin()->first;
}

StatusOr<std::string> Keyring::Wrap(const DataKeyId& id, const SecretKey& key) const {
  const std::lock_guard lock(mutex_);
  const auto& [version, kek] = *keks_.rbegin();
  return SealBox(kek, version, {"data-key", id.tenant, std::to_string(id.version)}, key.view());
}

StatusOr<SecretKey> Keyring::Unwrap(const DataKeyId& id, std::string_view wrapped) const {
  YAGURA_ASSIGN_OR_RETURN(const uint32_t version, KeyVersionOf(wrapped));
  const std::lock_guard lock(mutex_);
  const auto kek = keks_.find(version);
  if (kek == keks_.end()) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "KEK_MISSING",
                     fmt::format("{} lacks version {}", kek_file_.string(), version));
  }
  YAGURA_ASSIGN_OR_RETURN(
      std::string bytes,
      OpenBox(kek->second, {"data-key", id.tenant, std::to_string(id.version)}, wrapped));
  if (bytes.size() != SecretKey::kBytes) return Internal("a data key has the wrong length");
  SecretKey key = SecretKey::FromBytes(bytes);
  Wipe(bytes);
  return key;
}

StatusOr<SecretKey> Keyring::DataKey(const DataKeyId& id) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = cache_.find(id); found != cache_.end()) return found->second;
  }
  YAGURA_ASSIGN_OR_RETURN(const std::string wrapped, store_->Get(id));
  YAGURA_ASSIGN_OR_RETURN(SecretKey key, Unwrap(id, wrapped));
  const std::lock_guard lock(mutex_);
  cache_.emplace(id, key);
  return key;
}

StatusOr<SecretKey> Keyring::DataKeyOrNew(const DataKeyId& id) {
  StatusOr<SecretKey> key = DataKey(id);
  if (!absl::IsNotFound(key.status())) return key;
  YAGURA_ASSIGN_OR_RETURN(const std::string wrapped, Wrap(id, SecretKey::Random()));
  const Status created = store_->Create(id, wrapped);
  if (!created.ok() && !absl::IsAlreadyExists(created)) return created;
  return DataKey(id);  // ours, or that of who was faster
}

StatusOr<uint32_t> Keyring::SealingVersion(std::string_view tenant) {
  {
    const std::lock_guard lock(mutex_);
    const auto found = sealing_version_.find(tenant);
    if (found != sealing_version_.end()) return found->second;
  }
  YAGURA_ASSIGN_OR_RETURN(const std::vector<uint32_t> versions, store_->List(tenant));
  const uint32_t newest = versions.empty() ? 0 : versions.back();
  const uint32_t version = std::max(newest, kFirstSealingVersion);
  const std::lock_guard lock(mutex_);
  return sealing_version_.emplace(tenant, version).first->second;
}

StatusOr<std::string> Keyring::Seal(const Binding& binding, std::string_view text) {
  YAGURA_RETURN_IF_ERROR(CheckTenant(binding.tenant));
  YAGURA_ASSIGN_OR_RETURN(const uint32_t version, SealingVersion(binding.tenant));
  YAGURA_ASSIGN_OR_RETURN(const SecretKey key,
                          DataKeyOrNew({std::string(binding.tenant), version}));
  return SealBox(key, version, {"value", binding.tenant, binding.kind, binding.id}, text);
}

StatusOr<std::string> Keyring::Open(const Binding& binding, std::string_view sealed) {
  YAGURA_RETURN_IF_ERROR(CheckTenant(binding.tenant));
  YAGURA_ASSIGN_OR_RETURN(const uint32_t version, KeyVersionOf(sealed));
  YAGURA_ASSIGN_OR_RETURN(const SecretKey key, DataKey({std::string(binding.tenant), version}));
  return OpenBox(key, {"value", binding.tenant, binding.kind, binding.id}, sealed);
}

StatusOr<std::string> Keyring::Fingerprint(std::string_view tenant, std::string_view purpose,
                                           std::string_view text) {
  YAGURA_RETURN_IF_ERROR(CheckTenant(tenant));
  YAGURA_ASSIGN_OR_RETURN(const SecretKey key,
                          DataKeyOrNew({std::string(tenant), kFingerprintVersion}));
  crypto_auth_hmacsha256_state state;
  crypto_auth_hmacsha256_init(&state, key.data(), SecretKey::kBytes);
  const std::string head = fmt::format("{} {}\n", purpose.size(), purpose);
  for (const std::string_view part : {std::string_view(head), text}) {
    crypto_auth_hmacsha256_update(&state, reinterpret_cast<const unsigned char*>(part.data()),
                                  part.size());
  }
  unsigned char mac[crypto_auth_hmacsha256_BYTES];
  crypto_auth_hmacsha256_final(&state, mac);
  sodium_memzero(&state, sizeof(state));
  return HexEncode({reinterpret_cast<const char*>(mac), sizeof(mac)});
}

Status Keyring::RotateKek() {
  YAGURA_RETURN_IF_ERROR(AppendKek());
  return RewrapAll();
}

Status Keyring::RewrapTenant(std::string_view tenant) {
  YAGURA_ASSIGN_OR_RETURN(const std::vector<uint32_t> versions, store_->List(tenant));
  for (const uint32_t version : versions) {
    const DataKeyId id{std::string(tenant), version};
    YAGURA_ASSIGN_OR_RETURN(const std::string wrapped, store_->Get(id));
    YAGURA_ASSIGN_OR_RETURN(const uint32_t by, KeyVersionOf(wrapped));
    if (by == kek_version()) continue;
    YAGURA_ASSIGN_OR_RETURN(const SecretKey key, Unwrap(id, wrapped));
    YAGURA_ASSIGN_OR_RETURN(const std::string again, Wrap(id, key));
    YAGURA_RETURN_IF_ERROR(store_->Replace(id, again));
  }
  return absl::OkStatus();
}

Status Keyring::RewrapAll() {
  YAGURA_ASSIGN_OR_RETURN(const std::vector<std::string> tenants, store_->Tenants());
  for (const std::string& tenant : tenants) YAGURA_RETURN_IF_ERROR(RewrapTenant(tenant));
  return absl::OkStatus();
}

Status Keyring::PruneKeks() {
  YAGURA_RETURN_IF_ERROR(RewrapAll());
  std::map<uint32_t, SecretKey> newest;
  {
    const std::lock_guard lock(mutex_);
    if (keks_.size() == 1) return absl::OkStatus();
    newest.insert(*keks_.rbegin());
  }
  YAGURA_RETURN_IF_ERROR(SaveKeks(newest, /*first=*/false));
  const std::lock_guard lock(mutex_);
  keks_ = std::move(newest);
  return absl::OkStatus();
}

Status Keyring::EraseTenant(std::string_view tenant) {
  YAGURA_RETURN_IF_ERROR(CheckTenant(tenant));
  YAGURA_RETURN_IF_ERROR(store_->Erase(tenant));
  const std::lock_guard lock(mutex_);
  std::erase_if(cache_, [&](const auto& entry) { return entry.first.tenant == tenant; });
  sealing_version_.erase(std::string(tenant));
  return absl::OkStatus();
}

Status Keyring::RotateDataKey(std::string_view tenant) {
  YAGURA_RETURN_IF_ERROR(CheckTenant(tenant));
  YAGURA_ASSIGN_OR_RETURN(const std::vector<uint32_t> versions, store_->List(tenant));
  const uint32_t next = (versions.empty() ? 0 : versions.back()) + 1;
  const DataKeyId id{std::string(tenant), next};
  YAGURA_RETURN_IF_ERROR(DataKeyOrNew(id).status());
  const std::lock_guard lock(mutex_);
  sealing_version_[std::string(tenant)] = next;
  return absl::OkStatus();
}

}  // namespace yagura::seal
