#include "common/blob/file_io.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "fmt/format.h"

#include "common/status/status.h"

namespace yagura::blob {
namespace {

Status IoError(std::string_view what, const std::filesystem::path& file, int error) {
  return Unavailable("BLOB_IO", fmt::format("{} {}: {}", what, file.string(), strerror(error)));
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }

 private:
  int fd_;
};

Status WriteAll(int fd, std::string_view bytes, const std::filesystem::path& file) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return IoError("write", file, errno);
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

Status SyncFolder(const std::filesystem::path& folder) {
  const Descriptor descriptor(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!descriptor.valid()) return IoError("open", folder, errno);
  if (fsync(descriptor.get()) != 0) return IoError("sync", folder, errno);
  return absl::OkStatus();
}

Status FillTemporary(std::string& name, std::string_view bytes, mode_t mode) {
  const Descriptor descriptor(mkostemp(name.data(), O_CLOEXEC));
  if (!descriptor.valid()) return IoError("create", name, errno);
  if (fchmod(descriptor.get(), mode) != 0) return IoError("chmod", name, errno);
  YAGURA_RETURN_IF_ERROR(WriteAll(descriptor.get(), bytes, name));
  if (fsync(descriptor.get()) != 0) return IoError("sync", name, errno);
  return absl::OkStatus();
}

Status MoveInPlace(const std::string& temporary, const std::filesystem::path& file,
                   IfExists if_exists) {
  if (if_exists == IfExists::kReplace) {
    if (rename(temporary.c_str(), file.c_str()) != 0) return IoError("rename", file, errno);
    return absl::OkStatus();
  }
  // A hard link refuses an existing name atomically, which rename does not.
  if (link(temporary.c_str(), file.c_str()) != 0) {
    if (errno == EEXIST) {
      return MakeError(absl::StatusCode::kAlreadyExists, "FILE_EXISTS", file.string());
    }
    return IoError("link", file, errno);
  }
  unlink(temporary.c_str());
  return absl::OkStatus();
}

}  // namespace

Status WriteFileDurably(const std::filesystem::path& file, std::string_view bytes, mode_t mode,
                        IfExists if_exists) {
  std::string temporary = (file.parent_path() / ".new-XXXXXX").string();
  Status status = FillTemporary(temporary, bytes, mode);
  if (status.ok()) status = MoveInPlace(temporary, file, if_exists);
  if (!status.ok()) {
    unlink(temporary.c_str());
    return status;
  }
  return SyncFolder(file.parent_path());
}

StatusOr<std::string> ReadFile(const std::filesystem::path& file, size_t max_bytes) {
  const Descriptor descriptor(open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!descriptor.valid()) {
    if (errno == ENOENT) return NotFound(file.filename().string());
    return IoError("open", file, errno);
  }
  struct stat facts = {};
  if (fstat(descriptor.get(), &facts) != 0) return IoError("stat", file, errno);
  if (static_cast<size_t>(facts.st_size) > max_bytes) {
    return MakeError(absl::StatusCode::kResourceExhausted, "BLOB_TOO_LARGE",
                     fmt::format("{} bytes, at most {} are read", facts.st_size, max_bytes));
  }
  std::string bytes(static_cast<size_t>(facts.st_size), '\0');
  size_t filled = 0;
  while (filled < bytes.size()) {
    const ssize_t got = read(descriptor.get(), bytes.data() + filled, bytes.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return IoError("read", file, errno);
    if (got == 0) break;
    filled += static_cast<size_t>(got);
  }
  bytes.resize(filled);
  return bytes;
}

}  // namespace yagura::blob
