#include "cli/backup/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "cli/backup/work.h"
#include "fmt/format.h"

#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::cli {
namespace {

namespace fs = std::filesystem;

constexpr size_t kPiece = 1 << 20;
constexpr int kDeepest = 32;
constexpr size_t kLongestPath = 1024;

Status Walk(const fs::path& root, const fs::path& below, int depth,
            const std::function<bool(const std::string&)>& skip, std::vector<FoundFile>* found) {
  const fs::path folder = below.empty() ? root : root / below;
  std::error_code error;
  fs::directory_iterator entry(folder, error);
  if (error == std::errc::no_such_file_or_directory && depth > 0) return absl::OkStatus();
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    if (depth == 0 && skip && skip(entry->path().filename().string())) continue;
    const fs::path path = below / entry->path().filename();
    struct stat status {};
    if (stat(entry->path().c_str(), &status) != 0) {
      if (errno == ENOENT || errno == ELOOP) continue;  // gone, or a link to nowhere
      return FileError("look at", entry->path(), errno);
    }
    if (S_ISDIR(status.st_mode) && depth == kDeepest) {
      return MakeError(absl::StatusCode::kFailedPrecondition, "FILE_NAME_BAD",
                       fmt::format("{}: a backup holds no file so deep, or a link goes round",
                                   EscapeForTerminal(entry->path().string())));
    }
    if (S_ISDIR(status.st_mode)) {
      YAGURA_RETURN_IF_ERROR(Walk(root, path, depth + 1, skip, found));
    }
    if (!S_ISREG(status.st_mode)) continue;
    if (!IsSafePath(path.string())) {
      return MakeError(absl::StatusCode::kFailedPrecondition, "FILE_NAME_BAD",
                       fmt::format("{}: a backup cannot hold a file of this name",
                                   EscapeForTerminal(entry->path().string())));
    }
    found->push_back({path.string(), static_cast<uint64_t>(status.st_size),
                      static_cast<mode_t>(status.st_mode & 0777)});
  }
  if (error) return FileError("read", folder, error.value());
  return absl::OkStatus();
}

}  // namespace

Status FileError(std::string_view what, const fs::path& file, int error) {
  const std::string text = fmt::format("{} {}: {}", what, file.string(), strerror(error));
  if (error == ENOENT) return MakeError(absl::StatusCode::kNotFound, "NO_SUCH_FILE", text);
  const bool full = error == ENOSPC || error == EDQUOT;
  return full ? MakeError(absl::StatusCode::kFailedPrecondition, "DISK_FULL", text)
              : Unavailable("FILE_IO", text);
}

Descriptor::~Descriptor() {
  if (fd_ >= 0) close(fd_);
}

Status WriteAll(int fd, std::string_view bytes, const fs::path& file) {
  while (!bytes.empty()) {
    const ssize_t n = write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return FileError("write", file, errno);
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

Status ReadAll(const fs::path& file, const std::function<Status(std::string_view)>& sink) {
  const Descriptor in(open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!in.valid()) return FileError("open", file, errno);
  std::string piece(kPiece, '\0');
  for (;;) {
    const ssize_t n = read(in.get(), piece.data(), piece.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return FileError("read", file, errno);
    if (n == 0) return absl::OkStatus();
    YAGURA_RETURN_IF_ERROR(sink(std::string_view(piece).substr(0, static_cast<size_t>(n))));
  }
}

Status MakeFolders(const fs::path& folder) {
  std::error_code ignored;
  if (fs::is_directory(folder, ignored)) return absl::OkStatus();
  if (folder.has_parent_path() && folder.parent_path() != folder) {
    YAGURA_RETURN_IF_ERROR(MakeFolders(folder.parent_path()));
  }
  if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
    return FileError("make", folder, errno);
  }
  return absl::OkStatus();
}

Status SyncFileSystem(const fs::path& folder) {
  const Descriptor descriptor(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!descriptor.valid()) return FileError("open", folder, errno);
  if (syncfs(descriptor.get()) != 0) return FileError("sync", folder, errno);
  return absl::OkStatus();
}

StatusOr<uint64_t> FreeBytes(const fs::path& folder) {
  std::error_code error;
  fs::path place = fs::absolute(folder, error);
  while (!place.empty() && !fs::exists(place, error) && place != place.parent_path()) {
    place = place.parent_path();
  }
  struct statvfs room {};
  if (statvfs(place.c_str(), &room) != 0) return FileError("look at", place, errno);
  return static_cast<uint64_t>(room.f_bavail) * room.f_frsize;
}

Status CheckRoom(const fs::path& folder, uint64_t bytes) {
  YAGURA_ASSIGN_OR_RETURN(const uint64_t room, FreeBytes(folder));
  const uint64_t wanted = bytes + bytes / 20;
  if (room >= wanted) return absl::OkStatus();
  return MakeError(absl::StatusCode::kFailedPrecondition, "DISK_FULL",
                   fmt::format("{} has {} free, about {} are needed", folder.string(),
                               BytesText(room), BytesText(wanted)));
}

bool IsSafePath(std::string_view path) {
  if (path.empty() || path.size() > kLongestPath || !IsValidUtf8(path)) return false;
  const bool plain = std::all_of(path.begin(), path.end(), [](char c) {
    return static_cast<unsigned char>(c) >= ' ' && c != '\\' && c != 0x7f;
  });
  if (!plain) return false;
  const auto names = Split(path, '/');
  return std::none_of(names.begin(), names.end(), [](std::string_view name) {
    return name.empty() || name == "." || name == "..";
  });
}

StatusOr<std::vector<FoundFile>> ListFiles(const fs::path& folder,
                                           const std::function<bool(const std::string&)>& skip) {
  std::vector<FoundFile> found;
  YAGURA_RETURN_IF_ERROR(Walk(folder, "", 0, skip, &found));
  std::sort(found.begin(), found.end(),
            [](const FoundFile& a, const FoundFile& b) { return a.path < b.path; });
  return found;
}

}  // namespace yagura::cli
