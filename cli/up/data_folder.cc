#include "cli/up/data_folder.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
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
constexpr char kMarker[] = "yagura-data";

absl::Status Unusable(const std::filesystem::path& path, const std::string& why) {
  return MakeError(absl::StatusCode::kFailedPrecondition, "DATA_DIR_UNUSABLE",
                   fmt::format("{}: {}", path.string(), why));
}

std::filesystem::path LockFile(const std::filesystem::path& root) { return root / "lock"; }

std::string ReadLock(int fd) {
  std::array<char, 32> text{};
  const ssize_t length = pread(fd, text.data(), text.size() - 1, 0);
  return length > 0 ? std::string(Trim(std::string_view(text.data(), static_cast<size_t>(length))))
                    : "";
}

// What /proc says of a process under a name ("SigPnd:"), in hex; 0 where it does not say.
uint64_t ProcessMask(std::string_view status, std::string_view name) {
  const size_t at = status.find(name);
  if (at == std::string_view::npos) return 0;
  const std::string_view line = status.substr(at + name.size());
  return std::strtoull(std::string(Trim(line.substr(0, line.find('\n')))).c_str(), nullptr, 16);
}

// It was killed, or has ended: what is left of it is to be cleared away, by the kernel or by its
// parent.
bool IsEnding(int pid) {
  constexpr uint64_t kExiting = 0x4;  // PF_EXITING
  constexpr uint64_t kKill = uint64_t{1} << (SIGKILL - 1);
  const auto read = [pid](const char* file) {
    std::stringstream text;
    text << std::ifstream(fmt::format("/proc/{}/{}", pid, file)).rdbuf();
    return text.str();
  };
  const std::string stat = read("stat");
  // "PID (NAME) STATE PPID PGRP SESSION TTY TPGID FLAGS ..."; a name may have anything in it.
  if (const size_t name_end = stat.rfind(')'); name_end != std::string::npos) {
    std::istringstream rest(stat.substr(name_end + 1));
    char state = 0;
    int64_t skipped = 0;
    uint64_t flags = 0;
    rest >> state >> skipped >> skipped >> skipped >> skipped >> skipped >> flags;
    if (state == 'Z' || state == 'X' || (rest && (flags & kExiting) != 0)) return true;
  }
  const std::string status = read("status");
  return ((ProcessMask(status, "\nSigPnd:") | ProcessMask(status, "\nShdPnd:")) & kKill) != 0;
}

bool IsAlive(int pid) { return (kill(pid, 0) == 0 || errno != ESRCH) && !IsEnding(pid); }

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

// The marker; or what a suite had made before there was one.
bool IsOurs(const std::filesystem::path& root) {
  std::error_code error;
  return std::filesystem::is_regular_file(root / kMarker, error) ||
         (std::filesystem::is_regular_file(LockFile(root), error) &&
          std::filesystem::is_directory(root / "redis-state", error));
}

bool HasRestoreMarker(const std::filesystem::path& root) {
  std::error_code error;
  return std::filesystem::is_regular_file(root / kRestoreMarker, error);
}

// Nothing in it but what a fresh file system has at its root.
absl::StatusOr<bool> IsEmpty(const std::filesystem::path& root) {
  std::error_code error;
  std::filesystem::directory_iterator entries(root, error);
  if (error) return Unusable(root, error.message());
  return std::all_of(begin(entries), end(entries),
                     [](const auto& entry) { return entry.path().filename() == "lost+found"; });
}

// Refuses what is somebody else's before anything in it is touched.
absl::Status CheckFree(const std::filesystem::path& root) {
  std::error_code error;
  const auto status = std::filesystem::status(root, error);
  if (!std::filesystem::status_known(status)) return Unusable(root, error.message());
  if (!std::filesystem::exists(status)) return absl::OkStatus();
  if (!std::filesystem::is_directory(status)) return Unusable(root, "is not a folder");
  if (IsOurs(root) || HasRestoreMarker(root)) return absl::OkStatus();
  YAGURA_ASSIGN_OR_RETURN(const bool empty, IsEmpty(root));
  if (empty) return absl::OkStatus();
  return Unusable(root, fmt::format("holds other files and is no data folder of Yagura (it has no "
                                    "file {}): name a new or an empty folder",
                                    kMarker));
}

// Makes the folder ours, and private. Its path without symbolic links.
absl::StatusOr<std::filesystem::path> Claim(const std::filesystem::path& root) {
  YAGURA_RETURN_IF_ERROR(CheckFree(root));
  std::error_code error;
  std::filesystem::create_directories(root, error);
  if (error) return Unusable(root, error.message());
  const auto absolute = std::filesystem::canonical(root, error);
  if (error) return Unusable(root, error.message());
  if (chmod(absolute.c_str(), 0700) != 0) return Unusable(absolute, strerror(errno));
  const auto marker = absolute / kMarker;
  const int fd = open(marker.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return Unusable(marker, strerror(errno));
  close(fd);
  return absolute;
}

}  // namespace

absl::StatusOr<DataFolder> DataFolder::Take(const std::filesystem::path& root) {
  if (HasRestoreMarker(root)) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "RESTORE_UNFINISHED",
                     fmt::format("a restore into {} was broken off: run it again, or name another "
                                 "folder",
                                 root.string()));
  }
  YAGURA_ASSIGN_OR_RETURN(const auto absolute, Claim(root));
  return TakeClaimed(absolute);
}

absl::StatusOr<DataFolder> DataFolder::TakeForRestore(const std::filesystem::path& root) {
  YAGURA_ASSIGN_OR_RETURN(const auto absolute, Claim(root));
  return TakeClaimed(absolute);
}

absl::StatusOr<DataFolder> DataFolder::TakeClaimed(const std::filesystem::path& absolute) {
  // Children inherit it, and with it the lock: two redis-servers must never meet in one folder.
  const int fd = open(LockFile(absolute).c_str(), O_RDWR | O_CREAT, 0600);
  if (fd < 0) return Unusable(LockFile(absolute), strerror(errno));
  if (!Lock(fd)) {
    const std::string pid = ReadLock(fd);
    close(fd);
    return MakeError(absl::StatusCode::kFailedPrecondition, "ALREADY_RUNNING",
                     fmt::format("a suite runs in {} already (process {})", absolute.string(), pid),
                     {{"pid", pid}});
  }
  // Of one that was killed: nobody is to go there, nor to take it for ours.
  std::error_code stale;
  std::filesystem::remove(EndpointsFile(absolute), stale);
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
  std::error_code error;
  std::filesystem::create_directories(folder.sockets_, error);
  if (error) return Unusable(folder.sockets_, error.message());
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
  const auto untold = [&root](const std::string& why) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "DATA_DIR_UNREADABLE",
                     fmt::format("cannot tell whether a suite runs in {}: {}", root.string(), why));
  };
  const int fd = open(LockFile(root).c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return errno == ENOENT || errno == ENOTDIR ? none : untold(strerror(errno));
  if (!IsOurs(root)) {
    close(fd);
    return none;
  }
  const bool free = flock(fd, LOCK_SH | LOCK_NB) == 0;
  const auto pid = ParseNumber<int>(ReadLock(fd));
  close(fd);
  if (free || !pid || !IsAlive(*pid)) return none;
  return *pid;
}

}  // namespace yagura::cli
