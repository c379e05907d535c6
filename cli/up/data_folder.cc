#include "cli/up/data_folder.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

#include "cli/data_dir.h"
#include "fmt/format.h"

#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::cli {
namespace {

constexpr std::chrono::seconds kPatience{30};
constexpr size_t kMaxSocketPath = 100;  // sun_path holds 107 bytes; names are short

std::filesystem::path LockFile(const std::filesystem::path& root) { return root / "lock"; }

std::string ReadLock(int fd) {
  std::array<char, 32> text{};
  const ssize_t length = pread(fd, text.data(), text.size() - 1, 0);
  return length > 0 ? std::string(Trim(std::string_view(text.data(), static_cast<size_t>(length))))
                    : "";
}

bool IsAlive(int pid) { return kill(pid, 0) == 0 || errno != ESRCH; }

// Takes the lock; while only the children of a suite that was killed hold it, waits for their end.
bool Lock(int fd) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    const auto pid = ParseNumber<int>(ReadLock(fd));
    if (!pid || IsAlive(*pid) || std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return true;
}

}  // namespace

absl::StatusOr<DataFolder> DataFolder::Take(const std::filesystem::path& root) {
  std::error_code error;
  std::filesystem::create_directories(root, error);
  const auto absolute = std::filesystem::canonical(root, error);
  if (error) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "DATA_DIR_UNUSABLE",
                     fmt::format("{}: {}", root.string(), error.message()));
  }
  chmod(absolute.c_str(), 0700);
  // Children inherit it, and with it the lock: two redis-servers must never meet in one folder.
  const int fd = open(LockFile(absolute).c_str(), O_RDWR | O_CREAT, 0600);
  if (fd < 0) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "DATA_DIR_UNUSABLE",
                     fmt::format("{}: {}", LockFile(absolute).string(), strerror(errno)));
  }
  if (!Lock(fd)) {
    const std::string pid = ReadLock(fd);
    close(fd);
    return MakeError(absl::StatusCode::kFailedPrecondition, "ALREADY_RUNNING",
                     fmt::format("a suite runs in {} already (process {})", absolute.string(), pid),
                     {{"pid", pid}});
  }
  const std::string pid = fmt::format("{}\n", getpid());
  if (ftruncate(fd, 0) != 0 || pwrite(fd, pid.data(), pid.size(), 0) < 0) {
    close(fd);
    return Internal(fmt::format("cannot write {}", LockFile(absolute).string()));
  }
  DataFolder folder(absolute, fd);
  folder.sockets_ = absolute / "run";
  if (folder.sockets_.string().size() + sizeof "/redis-state.sock" > kMaxSocketPath) {
    std::string made = (std::filesystem::temp_directory_path() / "yagura-XXXXXX").string();
    if (mkdtemp(made.data()) == nullptr) return Internal("cannot make a folder for sockets");
    folder.sockets_ = made;
  }
  std::filesystem::create_directories(folder.sockets_, error);
  chmod(folder.sockets_.c_str(), 0700);
  return folder;
}

DataFolder::DataFolder(DataFolder&& other) noexcept
    : root_(std::move(other.root_)),
      sockets_(std::move(other.sockets_)),
      lock_(std::exchange(other.lock_, -1)) {}

DataFolder::~DataFolder() {
  if (lock_ < 0) return;
  std::error_code ignored;
  std::filesystem::remove(EndpointsFile(root_), ignored);
  if (sockets_.parent_path() != root_) std::filesystem::remove_all(sockets_, ignored);
  close(lock_);
}

std::filesystem::path DataFolder::Folder(const std::string& name) const {
  const auto path = root_ / name;
  std::filesystem::create_directories(path);
  return path;
}

std::filesystem::path DataFolder::Socket(const std::string& name) const {
  return sockets_ / (name + ".sock");
}

absl::StatusOr<int> RunningProcess(const std::filesystem::path& root) {
  const absl::Status none = MakeError(absl::StatusCode::kFailedPrecondition, "NOT_RUNNING",
                                      fmt::format("no suite runs in {}", root.string()));
  const int fd = open(LockFile(root).c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return none;
  const bool free = flock(fd, LOCK_SH | LOCK_NB) == 0;
  const auto pid = ParseNumber<int>(ReadLock(fd));
  close(fd);
  if (free || !pid || !IsAlive(*pid)) return none;
  return *pid;
}

}  // namespace yagura::cli
