#include "common/blob/blob_store.h"

#include <algorithm>
#include <system_error>

#include "fmt/format.h"

#include "common/blob/file_io.h"
#include "common/digest/sha256.h"
#include "common/status/status.h"

namespace yagura::blob {
namespace {

namespace fs = std::filesystem;

Status MakeFolder(const fs::path& folder) {
  std::error_code error;
  if (fs::create_directories(folder, error)) {
    fs::permissions(folder, fs::perms::owner_all, error);
  }
  if (error) {
    return Unavailable("BLOB_IO", fmt::format("make {}: {}", folder.string(), error.message()));
  }
  return absl::OkStatus();
}

class FolderStore final : public BlobStore {
 public:
  explicit FolderStore(FolderOptions options) : options_(std::move(options)) {}

  StatusOr<std::string> Put(std::string_view bytes) override {
    if (bytes.size() > options_.max_blob_bytes) {
      return MakeError(
          absl::StatusCode::kResourceExhausted, "BLOB_TOO_LARGE",
          fmt::format("{} bytes, at most {} are kept", bytes.size(), options_.max_blob_bytes));
    }
    std::string digest = DigestOf(bytes);
    // Reading it back costs less than finding out later that an older copy is damaged.
    if (Get(digest).ok()) return digest;
    const fs::path file = FileOf(digest);
    YAGURA_RETURN_IF_ERROR(MakeFolder(file.parent_path()));
    YAGURA_RETURN_IF_ERROR(WriteFileDurably(file, bytes, 0600, IfExists::kReplace));
    return digest;
  }

  StatusOr<std::string> Get(std::string_view digest) const override {
    YAGURA_RETURN_IF_ERROR(CheckDigest(digest));
    YAGURA_ASSIGN_OR_RETURN(std::string bytes, ReadFile(FileOf(digest), options_.max_blob_bytes));
    if (DigestOf(bytes) != digest) {
      return MakeError(absl::StatusCode::kDataLoss, "BLOB_DAMAGED",
                       fmt::format("blob {} is damaged", digest));
    }
    return bytes;
  }

  StatusOr<bool> Contains(std::string_view digest) const override {
    YAGURA_RETURN_IF_ERROR(CheckDigest(digest));
    std::error_code error;
    const bool found = fs::exists(FileOf(digest), error);
    if (error) return Unavailable("BLOB_IO", error.message());
    return found;
  }

  Status Delete(std::string_view digest) override {
    YAGURA_RETURN_IF_ERROR(CheckDigest(digest));
    std::error_code error;
    fs::remove(FileOf(digest), error);
    if (error) return Unavailable("BLOB_IO", error.message());
    return absl::OkStatus();
  }

 private:
  fs::path FileOf(std::string_view digest) const {
    return options_.folder / digest.substr(0, 2) / digest.substr(2);
  }

  const FolderOptions options_;
};

}  // namespace

std::string DigestOf(std::string_view bytes) { return Sha256Hex(bytes); }

Status CheckDigest(std::string_view digest) {
  const bool valid = digest.size() == 64 && std::all_of(digest.begin(), digest.end(), [](char c) {
                       return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
                     });
  if (!valid) return InvalidField("digest", "must be 64 lower-case hex digits");
  return absl::OkStatus();
}

StatusOr<std::unique_ptr<BlobStore>> OpenFolder(FolderOptions options) {
  YAGURA_RETURN_IF_ERROR(MakeFolder(options.folder));
  return std::make_unique<FolderStore>(std::move(options));
}

}  // namespace yagura::blob
