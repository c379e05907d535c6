#include "services/directory/storage/bootstrap.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "fmt/format.h"

#include "common/status/status.h"
#include "common/text/text.h"
#include "services/directory/domain/grants.h"
#include "services/directory/domain/validate.h"
#include "services/directory/storage/password_hasher.h"

namespace yagura::directory {
namespace {

constexpr std::string_view kAdminKey = "bootstrap-admin";
constexpr size_t kMaxKeyFile = 512;

class File {
 public:
  File(const std::filesystem::path& path, int flags) : fd_(open(path.c_str(), flags, 0600)) {}
  ~File() {
    if (fd_ >= 0) close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int fd() const { return fd_; }

 private:
  const int fd_;
};

absl::Status FileError(const std::filesystem::path& path, std::string_view what) {
  return MakeError(absl::StatusCode::kFailedPrecondition, "ADMIN_KEY_FILE",
                   fmt::format("{}: {}: {}", path.string(), what, strerror(errno)));
}

absl::StatusOr<std::string> WriteNewSecret(const std::filesystem::path& path) {
  const std::string secret = NewKeySecret(kProvider, kAdminKey);
  const std::string text = secret + "\n";
  const auto unfinished = std::filesystem::path(path.string() + ".new");
  {
    const File file(unfinished, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW);
    const bool written =
        file.fd() >= 0 && fchmod(file.fd(), 0600) == 0 &&
        write(file.fd(), text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
        fsync(file.fd()) == 0;
    if (!written) return FileError(path, "cannot be written");
  }
  if (rename(unfinished.c_str(), path.c_str()) != 0) return FileError(path, "cannot be written");
  return secret;
}

// The secret in the file; made where there is no file yet.
absl::StatusOr<std::string> LoadOrCreateSecret(const std::filesystem::path& path) {
  const File file(path, O_RDONLY | O_CLOEXEC);
  if (file.fd() < 0 && errno == ENOENT) return WriteNewSecret(path);
  std::array<char, kMaxKeyFile> text{};
  const ssize_t length = file.fd() < 0 ? -1 : read(file.fd(), text.data(), text.size());
  if (length < 0) return FileError(path, "cannot be read");
  const std::string secret(Trim(std::string_view(text.data(), static_cast<size_t>(length))));
  const auto parsed = ParseKeySecret(secret);
  if (!parsed.ok() || parsed->tenant != kProvider || parsed->key != kAdminKey) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "ADMIN_KEY_FILE",
                     fmt::format("{} holds something else than the key of a first start; move it "
                                 "away",
                                 path.string()));
  }
  return secret;
}

template <typename M>
absl::Status Put(store::Store<M>& store, const store::WriteContext& context, const M& message) {
  auto status = store.Create(context, message).status();
  if (status.code() == absl::StatusCode::kAlreadyExists) {
    status = store.Update(context, message).status();
  }
  return status;
}

absl::Status PutTenant(DirectoryStore& store, const store::WriteContext& context,
                       std::string_view id, std::string_view display_name) {
  v1::Tenant tenant;
  tenant.set_name(fmt::format("tenants/{}", id));
  tenant.set_display_name(std::string(display_name));
  YAGURA_RETURN_IF_ERROR(Normalize(tenant));
  const auto status = store.tenants.store.Create(context, tenant).status();
  return status.code() == absl::StatusCode::kAlreadyExists ? absl::OkStatus() : status;
}

}  // namespace

absl::StatusOr<bool> Bootstrap(DirectoryStore& store, const std::filesystem::path& admin_key_file) {
  const auto provider = store.tenants.store.Get(fmt::format("tenants/{}", kProvider));
  if (provider.ok()) return false;
  if (provider.status().code() != absl::StatusCode::kNotFound) return provider.status();
  store::WriteContext context;
  context.principal = "services/directory";
  context.method = "bootstrap";
  YAGURA_RETURN_IF_ERROR(PutTenant(store, context, kQuarantine, "Quarantine"));
  YAGURA_ASSIGN_OR_RETURN(const std::string secret, LoadOrCreateSecret(admin_key_file));
  const std::string name = fmt::format("tenants/{}/apiKeys/{}", kProvider, kAdminKey);
  internal::v1::ApiKeyHash hash;
  hash.set_name(name);
  hash.set_hash(HashKeySecret(secret));
  YAGURA_RETURN_IF_ERROR(Put(store.key_hashes, context, hash));
  v1::ApiKey key;
  key.set_name(name);
  key.set_display_name("First administrator; replace it by keys of your own");
  auto& grant = *key.add_roles();
  grant.set_role("admin");
  grant.add_tenants("*");
  YAGURA_RETURN_IF_ERROR(Put(store.api_keys.store, context, key));
  // Last: it says that all of the above is done.
  YAGURA_RETURN_IF_ERROR(PutTenant(store, context, kProvider, "Provider"));
  return true;
}

}  // namespace yagura::directory
