#include <algorithm>
#include <set>
#include <system_error>

#include "fmt/format.h"

#include "common/blob/file_io.h"
#include "common/seal/keyring.h"
#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::seal {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxWrappedBytes = 4096;

class FolderDataKeys final : public DataKeyStore {
 public:
  explicit FolderDataKeys(fs::path folder) : folder_(std::move(folder)) {}

  StatusOr<std::string> Get(const DataKeyId& id) const override {
    return blob::ReadFile(FileOf(id), kMaxWrappedBytes);
  }

  Status Create(const DataKeyId& id, std::string_view wrapped) override {
    return blob::WriteFileDurably(FileOf(id), wrapped, 0600, blob::IfExists::kFail);
  }

  Status Replace(const DataKeyId& id, std::string_view wrapped) override {
    YAGURA_RETURN_IF_ERROR(Get(id).status());
    return blob::WriteFileDurably(FileOf(id), wrapped, 0600, blob::IfExists::kReplace);
  }

  StatusOr<std::vector<uint32_t>> List(std::string_view tenant) const override {
    std::vector<uint32_t> versions;
    YAGURA_RETURN_IF_ERROR(ForEach([&](const DataKeyId& id) {
      if (id.tenant == tenant) versions.push_back(id.version);
    }));
    std::sort(versions.begin(), versions.end());
    return versions;
  }

  StatusOr<std::vector<std::string>> Tenants() const override {
    std::set<std::string> tenants;
    YAGURA_RETURN_IF_ERROR(ForEach([&](const DataKeyId& id) { tenants.insert(id.tenant); }));
    return std::vector<std::string>(tenants.begin(), tenants.end());
  }

  Status Erase(std::string_view tenant) override {
    YAGURA_ASSIGN_OR_RETURN(const std::vector<uint32_t> versions, List(tenant));
    for (const uint32_t version : versions) {
      std::error_code error;
      fs::remove(FileOf({std::string(tenant), version}), error);
      if (error) return Unavailable("BLOB_IO", error.message());
    }
    return absl::OkStatus();
  }

 private:
  fs::path FileOf(const DataKeyId& id) const {
    return folder_ / fmt::format("{}.{}", id.tenant, id.version);
  }

  template <typename Visit>
  Status ForEach(const Visit& visit) const {
    std::error_code error;
    for (fs::directory_iterator it(folder_, error), end; !error && it != end; it.increment(error)) {
      const std::string name = it->path().filename().string();
      const size_t dot = name.rfind('.');
      // Temporary files begin with a dot and have no number behind it.
      if (dot == std::string::npos || dot == 0) continue;
      const auto version = ParseNumber<uint32_t>(std::string_view(name).substr(dot + 1));
      if (version) visit(DataKeyId{name.substr(0, dot), *version});
    }
    if (error) return Unavailable("BLOB_IO", error.message());
    return absl::OkStatus();
  }

  const fs::path folder_;
};

}  // namespace

StatusOr<std::unique_ptr<DataKeyStore>> OpenFolderDataKeys(const fs::path& folder) {
  std::error_code error;
  if (fs::create_directories(folder, error)) {
    fs::permissions(folder, fs::perms::owner_all, error);
  }
  if (error) return Unavailable("BLOB_IO", error.message());
  return std::make_unique<FolderDataKeys>(folder);
}

}  // namespace yagura::seal
