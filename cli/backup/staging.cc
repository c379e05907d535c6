#include "cli/backup/staging.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "cli/backup/files.h"
#include "cli/backup/manifest_check.h"
#include "cli/backup/work.h"

#include "common/status/status.h"

namespace yagura::cli {
namespace {

namespace fs = std::filesystem;

// 0, or the number of the error.
int Link(const fs::path& from, const fs::path& to) {
  return linkat(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), AT_SYMLINK_FOLLOW) == 0 ? 0 : errno;
}

// What has gone meanwhile is left out.
Status LinkOrCopy(const fs::path& from, const fs::path& to) {
  YAGURA_RETURN_IF_ERROR(MakeFolders(to.parent_path()));
  int failed = Link(from, to);
  std::error_code error;
  if (failed == EEXIST) {
    if (fs::equivalent(from, to, error)) return absl::OkStatus();
    fs::remove(to, error);
    failed = Link(from, to);
  }
  if (failed == 0 || failed == ENOENT) return absl::OkStatus();
  // A file system without links, or another one than that of the data folder.
  fs::copy_file(from, to, fs::copy_options::overwrite_existing, error);
  if (!error || error == std::errc::no_such_file_or_directory) return absl::OkStatus();
  return FileError("copy", from, error.value());
}

}  // namespace

Staging::Staging(const fs::path& data_dir)
    : data_dir_(data_dir), folder_(data_dir / kStagingFolder) {
  std::error_code ignored;
  fs::remove_all(folder_, ignored);  // of one that was killed
}

Staging::~Staging() {
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

Status Staging::Take(const Skip& skip, Work& work) const {
  YAGURA_ASSIGN_OR_RETURN(const auto files, ListFiles(data_dir_, skip));
  for (const FoundFile& file : files) {
    YAGURA_RETURN_IF_ERROR(LinkOrCopy(data_dir_ / file.path, folder_ / file.path));
    YAGURA_RETURN_IF_ERROR(work.Done(0));
  }
  return absl::OkStatus();
}

Status Staging::TakeAnew(const std::string& name, Work& work) const {
  std::error_code error;
  fs::remove_all(folder_ / name, error);
  if (error) return FileError("remove", folder_ / name, error.value());
  return Take([&name](const std::string& other) { return other != name; }, work);
}

}  // namespace yagura::cli
