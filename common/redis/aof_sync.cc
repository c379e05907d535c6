#include "common/redis/aof_sync.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include "fmt/format.h"

#include "common/status/status.h"

namespace yagura::redis {
namespace {

Status SyncFile(const std::filesystem::path& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    // A rewrite has just replaced it.
    if (errno == ENOENT) return absl::OkStatus();
    return Unavailable("AOF_SYNC_FAILED", fmt::format("{}: {}", path.string(), strerror(errno)));
  }
  const int result = fdatasync(fd);
  const int error = errno;
  close(fd);
  if (result == 0) return absl::OkStatus();
  return Unavailable("AOF_SYNC_FAILED", fmt::format("{}: {}", path.string(), strerror(error)));
}

}  // namespace

AofSync::AofSync(const std::filesystem::path& data_folder, std::chrono::milliseconds interval)
    : folder_(data_folder / "appendonlydir"), interval_(interval), thread_([this] { Loop(); }) {}

AofSync::~AofSync() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  stopped_.notify_all();
  thread_.join();
  (void)SyncOnce();
}

void AofSync::Loop() {
  std::unique_lock lock(mutex_);
  while (!stopped_.wait_for(lock, interval_, [this] { return stop_; })) {
    lock.unlock();
    (void)SyncOnce();  // tried again in a moment; Redis itself reports a failing disk
    lock.lock();
  }
}

Status AofSync::SyncOnce() const {
  std::error_code missing;
  for (const auto& file : std::filesystem::directory_iterator(folder_, missing)) {
    YAGURA_RETURN_IF_ERROR(SyncFile(file.path()));
  }
  return absl::OkStatus();
}

}  // namespace yagura::redis
