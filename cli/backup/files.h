#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

// Plain files, with errors that say which and why: FAILED_PRECONDITION (DISK_FULL), UNAVAILABLE
// (FILE_IO), NOT_FOUND.
namespace yagura::cli {

class Work;

absl::Status FileError(std::string_view what, const std::filesystem::path& file, int error);

// A descriptor that is closed when it goes.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor();
  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }

 private:
  int fd_;
};

absl::Status WriteAll(int fd, std::string_view bytes, const std::filesystem::path& file);
// Hands the file over, piece by piece. NOT_FOUND where it has gone.
absl::Status ReadAll(const std::filesystem::path& file,
                     const std::function<absl::Status(std::string_view)>& sink);
// Folders that are made get mode 0700.
absl::Status MakeFolders(const std::filesystem::path& folder);
// Everything that was written to the file system of the folder is on the disk then.
absl::Status SyncFileSystem(const std::filesystem::path& folder);
// Bytes that may still be written below the folder, or its nearest parent that is there.
absl::StatusOr<uint64_t> FreeBytes(const std::filesystem::path& folder);
// FAILED_PRECONDITION (DISK_FULL) where there is less room than `bytes` and a twentieth more.
absl::Status CheckRoom(const std::filesystem::path& folder, uint64_t bytes);

// Path below a folder, of names only: no "..", no root, nothing that SHA256SUMS cannot hold.
bool IsSafePath(std::string_view path);

struct FoundFile {
  std::string path;  // relative
  uint64_t size = 0;
  mode_t mode = 0600;
};
// All plain files below a folder, in order of their paths; links are followed. What goes meanwhile
// and links to nowhere are left out. `skip` is asked for the names directly below.
absl::StatusOr<std::vector<FoundFile>> ListFiles(
    const std::filesystem::path& folder,
    const std::function<bool(const std::string&)>& skip = nullptr);

}  // namespace yagura::cli
