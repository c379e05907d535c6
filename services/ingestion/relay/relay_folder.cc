#include "services/ingestion/relay/relay_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "fmt/format.h"

#include "common/blob/file_io.h"
#include "common/clock/proto_time.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "services/ingestion/storage/disk_io.h"

namespace yagura::ingestion {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxStatusBytes = 64 * 1024;
constexpr char kMarker[] = "yagura-relay";
constexpr char kMarkerOfASuite[] = "yagura-data";
constexpr char kStart[] = "{\"time\":\"";
constexpr char kConnected[] = "\"connected\":true";
// It is written every second.
constexpr std::chrono::seconds kOld{10};

fs::path LockFile(const fs::path& data_dir) { return data_dir / "relay.lock"; }
fs::path StatusFile(const fs::path& data_dir) { return data_dir / "relay-status.json"; }

Status Unusable(const fs::path& path, const std::string& why) {
  return MakeError(absl::StatusCode::kFailedPrecondition, "DATA_DIR_UNUSABLE",
                   fmt::format("{}: {}", path.string(), why));
}

// The marker; or what a relay had made before there was one.
bool IsARelays(const fs::path& data_dir) {
  std::error_code error;
  return fs::is_regular_file(data_dir / kMarker, error) ||
         (fs::is_regular_file(LockFile(data_dir), error) &&
          fs::is_directory(data_dir / "spool", error));
}

// Refuses what is somebody else's before anything in it is touched.
Status CheckFree(const fs::path& data_dir) {
  std::error_code error;
  const auto status = fs::status(data_dir, error);
  if (!fs::status_known(status)) return Unusable(data_dir, error.message());
  if (!fs::exists(status)) return absl::OkStatus();
  if (!fs::is_directory(status)) return Unusable(data_dir, "is not a folder");
  if (fs::exists(data_dir / kMarkerOfASuite, error)) {
    return Unusable(data_dir, "is the data folder of a suite: a relay needs one of its own");
  }
  if (IsARelays(data_dir)) return absl::OkStatus();
  fs::directory_iterator entries(data_dir, error);
  if (error) return Unusable(data_dir, error.message());
  // What a fresh file system has at its root does not count.
  const bool empty = std::all_of(begin(entries), end(entries), [](const auto& entry) {
    return entry.path().filename() == "lost+found";
  });
  if (empty) return absl::OkStatus();
  return Unusable(data_dir, fmt::format("holds other files and is no relay's folder (it has no "
                                        "file {}): name a new or an empty folder",
                                        kMarker));
}

bool Runs(const fs::path& data_dir) {
  const Socket lock(::open(LockFile(data_dir).c_str(), O_RDONLY | O_CLOEXEC));
  // The kernel gives the lock back when a relay ends, however it does.
  return lock.fd() >= 0 && ::flock(lock.fd(), LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

}  // namespace

StatusOr<Socket> TakeRelayFolder(const fs::path& data_dir) {
  YAGURA_RETURN_IF_ERROR(CheckFree(data_dir));
  const auto unavailable = [&] {
    return Unavailable("DATA_DIR", fmt::format("cannot use {}", data_dir.string()));
  };
  std::error_code error;
  fs::create_directories(data_dir, error);
  const Socket marker(::open((data_dir / kMarker).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  Socket lock(::open(LockFile(data_dir).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (marker.fd() < 0 || lock.fd() < 0) return unavailable();
  if (::flock(lock.fd(), LOCK_EX | LOCK_NB) != 0) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "RUNS_ALREADY",
                     fmt::format("a relay runs in {} already", data_dir.string()));
  }
  return lock;
}

Status WriteRelayStatus(const fs::path& data_dir, const std::string& text) {
  const auto path = StatusFile(data_dir);
  const Status written = blob::WriteFileDurably(path, text, 0644, blob::IfExists::kReplace);
  if (written.ok()) return written;
  const Socket file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (file.fd() < 0) return written;
  const bool in_place = WriteAll(file.fd(), text) &&
                        ::ftruncate(file.fd(), static_cast<off_t>(text.size())) == 0 &&
                        ::fdatasync(file.fd()) == 0;
  return in_place ? absl::OkStatus() : written;
}

StatusOr<Relay::Report> ReadRelayStatus(const fs::path& data_dir, TimePoint now) {
  Relay::Report report;
  report.runs = Runs(data_dir);
  auto text = blob::ReadFile(StatusFile(data_dir), kMaxStatusBytes);
  if (absl::IsNotFound(text.status())) {
    return MakeError(absl::StatusCode::kNotFound, "RELAY_UNKNOWN",
                     fmt::format("no relay has told anything in {}", data_dir.string()));
  }
  YAGURA_RETURN_IF_ERROR(text.status());
  const size_t start = sizeof kStart - 1;
  const auto time = text->starts_with(kStart)
                        ? ParseTime(text->substr(start, text->find('"', start) - start))
                        : absl::StatusOr<TimePoint>(absl::DataLossError("no time"));
  if (!time.ok()) {
    return MakeError(absl::StatusCode::kDataLoss, "STATUS_DAMAGED",
                     fmt::format("{} is damaged", StatusFile(data_dir).string()));
  }
  report.age = std::chrono::floor<std::chrono::seconds>(now - *time);
  report.is_old = !report.runs || report.age > kOld || report.age < -kOld;
  if (const size_t at = text->find(kConnected); !report.runs && at != text->npos) {
    text->replace(at, sizeof kConnected - 1, "\"connected\":false");
  }
  report.text = fmt::format(R"({{"runs":{},"is_old":{},"age_seconds":{},{})", report.runs,
                            report.is_old, report.age.count(), text->substr(1));
  return report;
}

}  // namespace yagura::ingestion
