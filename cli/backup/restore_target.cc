#include "cli/backup/restore_target.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "cli/backup/files.h"
#include "fmt/format.h"

#include "common/blob/file_io.h"
#include "common/clock/clock.h"
#include "common/status/status.h"

namespace yagura::cli {
namespace {

namespace fs = std::filesystem;

// Of a file system, of who holds the folder, and the sign of a restore: no data.
bool IsNoData(const fs::path& entry) {
  static constexpr std::array<std::string_view, 5> kNames = {"lost+found", kRestoreMarker, "lock",
                                                             "yagura-data", "run"};
  const std::string name = entry.filename().string();
  return std::find(kNames.begin(), kNames.end(), name) != kNames.end();
}

bool IsUnfinished(const fs::path& folder) {
  std::error_code error;
  return fs::exists(folder / kRestoreMarker, error);
}

bool IsNewOrEmpty(const fs::path& folder) {
  std::error_code error;
  if (!fs::exists(folder, error)) return !error;
  fs::directory_iterator entries(folder, error);
  return !error && std::all_of(begin(entries), end(entries),
                               [](const auto& entry) { return IsNoData(entry.path()); });
}

bool IsFree(const fs::path& folder) { return IsUnfinished(folder) || IsNewOrEmpty(folder); }

Status NotEmpty(const fs::path& folder) {
  return MakeError(absl::StatusCode::kFailedPrecondition, "DATA_DIR_NOT_EMPTY",
                   fmt::format("{} is not empty: name a new or an empty folder, or have what is "
                               "there moved aside with --force",
                               folder.string()));
}

void Clear(const fs::path& folder) {
  std::error_code ignored;
  std::vector<fs::path> entries;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    if (!IsNoData(entry.path())) entries.push_back(entry.path());
  }
  for (const fs::path& entry : entries) fs::remove_all(entry, ignored);
}

}  // namespace

Status CheckTarget(const fs::path& folder, uint64_t bytes, bool force) {
  if (!IsFree(folder) && !force) return NotEmpty(folder);
  const auto running = RunningProcess(folder);
  if (running.ok()) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "ALREADY_RUNNING",
                     fmt::format("a suite runs in {} (process {}): stop it with `yagura down`",
                                 folder.string(), *running));
  }
  if (ErrorReason(running.status()) != "NOT_RUNNING") return running.status();
  // What a restore that was broken off has put there goes first.
  return IsUnfinished(folder) ? absl::OkStatus() : CheckRoom(folder, bytes);
}

StatusOr<fs::path> MoveAside(const fs::path& folder) {
  if (IsFree(folder)) return fs::path();
  // Nobody starts there while it is renamed. What is no data folder nobody can start in.
  std::optional<DataFolder> held;
  auto taken = DataFolder::TakeForRestore(folder);
  if (taken.ok()) {
    held.emplace(*std::move(taken));
  } else if (ErrorReason(taken.status()) != "DATA_DIR_UNUSABLE") {
    return taken.status();
  }
  const auto now = std::chrono::floor<std::chrono::seconds>(SystemClock()->Now());
  fs::path aside = fs::absolute(folder).lexically_normal();
  if (!aside.has_filename()) aside = aside.parent_path();
  aside += fmt::format(".before-restore-{}", now.time_since_epoch().count());
  std::error_code error;
  fs::rename(folder, aside, error);
  if (error) return FileError("move aside", folder, error.value());
  return aside;
}

StatusOr<DataFolder> TakeTarget(const fs::path& folder, uint64_t bytes) {
  YAGURA_ASSIGN_OR_RETURN(DataFolder taken, DataFolder::TakeForRestore(folder));
  if (!IsFree(taken.root())) return NotEmpty(folder);
  YAGURA_RETURN_IF_ERROR(blob::WriteFileDurably(taken.root() / kRestoreMarker,
                                                "A restore into this folder has not finished.\n",
                                                0600, blob::IfExists::kReplace));
  Clear(taken.root());
  YAGURA_RETURN_IF_ERROR(CheckRoom(taken.root(), bytes));
  return taken;
}

}  // namespace yagura::cli
