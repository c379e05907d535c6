#pragma once

#include <filesystem>
#include <string>

#include "absl/status/statusor.h"

namespace yagura::cli {

// A file in a data folder into which a restore has not finished.
inline constexpr char kRestoreMarker[] = "restore-unfinished";

// The folder in which one suite lives: who holds the object holds the folder. Everything is below
// it but the sockets, where its path is too long for one.
class DataFolder {
 public:
  // Takes a folder that is new, empty, or a data folder already (it has the file yagura-data), and
  // makes it private (mode 0700). FAILED_PRECONDITION: DATA_DIR_UNUSABLE for any other path, which
  // stays untouched; ALREADY_RUNNING, with the process id, where another suite has it. Where one
  // was killed, waits until its children are gone. RESTORE_UNFINISHED where a restore into it was
  // broken off.
  static absl::StatusOr<DataFolder> Take(const std::filesystem::path& root);
  // The same of a folder with the marker of a restore, which may hold anything besides.
  static absl::StatusOr<DataFolder> TakeForRestore(const std::filesystem::path& root);
  DataFolder(DataFolder&& other) noexcept;
  DataFolder& operator=(DataFolder&&) = delete;
  ~DataFolder();  // gives it back and removes endpoints.json

  const std::filesystem::path& root() const { return root_; }
  // A subfolder, made where it does not exist.
  std::filesystem::path Folder(const std::string& name) const;
  std::filesystem::path Log(const std::string& part) const {
    return Folder("logs") / (part + ".log");
  }
  // Path of a Unix socket, short enough for one.
  std::filesystem::path Socket(const std::string& name) const;

 private:
  static absl::StatusOr<DataFolder> TakeClaimed(const std::filesystem::path& absolute);
  DataFolder(std::filesystem::path root, int lock) : root_(std::move(root)), lock_(lock) {}
  std::filesystem::path root_;
  std::filesystem::path sockets_;
  int lock_;
};

// Process id of the suite that runs in the folder; NOT_RUNNING where there is none,
// DATA_DIR_UNREADABLE where that cannot be told, as the folder is another user's.
absl::StatusOr<int> RunningProcess(const std::filesystem::path& root);

}  // namespace yagura::cli
