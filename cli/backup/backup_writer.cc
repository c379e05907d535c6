#include "cli/backup/backup_writer.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <set>
#include <utility>

#include "cli/backup/backup_key.h"
#include "cli/backup/files.h"
#include "cli/backup/manifest_check.h"
#include "fmt/format.h"
#include "google/protobuf/util/json_util.h"

#include "common/blob/file_io.h"
#include "common/digest/sha256.h"
#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kLostAndFound = "lost+found";

// Names in a folder but "lost+found".
StatusOr<std::set<std::string>> NamesIn(const fs::path& folder) {
  std::error_code error;
  fs::directory_iterator entries(folder, error);
  if (error) return FileError("read", folder, error.value());
  std::set<std::string> names;
  for (const auto& entry : entries) names.insert(entry.path().filename());
  names.erase(std::string(kLostAndFound));
  return names;
}

// Whether a backup makes it directly in its folder.
bool IsOurs(std::string_view name) {
  if (name.ends_with(kSealedEnding)) name.remove_suffix(kSealedEnding.size());
  return name == kManifestFile || name == kManifestTagFile || name == kUnfinishedFile ||
         name == "redis" || name == "store" || name == "data" || name == kSettingsName ||
         name.starts_with(".new-");  // of blob::WriteFileDurably
}

Status Exists(const fs::path& folder, std::string_view what) {
  return MakeError(absl::StatusCode::kAlreadyExists, "BACKUP_EXISTS",
                   fmt::format("{} {}: name a new or an empty folder", folder.string(), what));
}

// What is in the folder goes; the sign that it is unfinished last.
void Clear(const fs::path& folder) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename();
    if (name != kLostAndFound && name != kUnfinishedFile) fs::remove_all(entry.path(), ignored);
  }
}

// Makes the folder ours: nobody else who holds the file's lock, and nothing of a backup that was
// killed.
StatusOr<std::unique_ptr<Descriptor>> TakeFolder(const fs::path& folder) {
  YAGURA_ASSIGN_OR_RETURN(auto names, NamesIn(folder));
  const bool killed = names.contains(std::string(kUnfinishedFile));
  if (!killed && !names.empty()) {
    const bool whole = names.contains(std::string(kSumsFile));
    return Exists(folder, whole ? "holds a backup" : "is not empty");
  }
  const fs::path file = folder / kUnfinishedFile;
  const int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | (killed ? 0 : O_CREAT | O_EXCL);
  auto unfinished = std::make_unique<Descriptor>(open(file.c_str(), flags, 0600));
  const bool lost_race = !unfinished->valid() && (errno == EEXIST || errno == ENOENT);
  if (!unfinished->valid() && !lost_race) return FileError("open", file, errno);
  if (lost_race || flock(unfinished->get(), LOCK_EX | LOCK_NB) != 0) {
    return MakeError(absl::StatusCode::kAlreadyExists, "BACKUP_RUNS",
                     fmt::format("another backup is being written to {}", folder.string()));
  }
  if (!killed) return unfinished;
  // Once more, under the lock.
  YAGURA_ASSIGN_OR_RETURN(names, NamesIn(folder));
  if (names.contains(std::string(kSumsFile))) return Exists(folder, "holds a backup");
  for (const std::string& name : names) {
    if (!IsOurs(name)) {
      return Exists(folder, fmt::format("holds a backup that was broken off, and {}, which is none",
                                        EscapeForTerminal(name)));
    }
  }
  Clear(folder);
  return unfinished;
}

}  // namespace

struct BackupWriter::File::Impl {
  BackupWriter& writer;
  backup::v1::File file;
  fs::path path;
  Descriptor descriptor;
  Sha256Stream digest;
  std::unique_ptr<SealingStream> sealing;  // null: plain

  Status Write(std::string_view bytes) {
    YAGURA_RETURN_IF_ERROR(WriteAll(descriptor.get(), bytes, path));
    digest.Add(bytes);
    file.set_size(file.size() + bytes.size());
    return writer.work_.Done(bytes.size());
  }
};

BackupWriter::File::File(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
BackupWriter::File::~File() = default;

Status BackupWriter::File::Add(std::string_view bytes) {
  return impl_->sealing != nullptr ? impl_->sealing->Add(bytes) : impl_->Write(bytes);
}

Status BackupWriter::File::Finish() {
  if (impl_->sealing != nullptr) YAGURA_RETURN_IF_ERROR(impl_->sealing->Finish());
  impl_->file.set_sha256(impl_->digest.Hex());
  impl_->writer.Note(std::move(impl_->file));
  return absl::OkStatus();
}

StatusOr<std::unique_ptr<BackupWriter>> BackupWriter::Create(const fs::path& folder,
                                                             std::optional<seal::SecretKey> key,
                                                             Work& work) {
  std::error_code error;
  const bool made = !fs::exists(folder, error);
  YAGURA_RETURN_IF_ERROR(MakeFolders(folder));
  YAGURA_ASSIGN_OR_RETURN(auto unfinished, TakeFolder(folder));
  std::unique_ptr<BackupWriter> writer(
      new BackupWriter(folder, made, std::move(unfinished), std::move(key), work));
  if (chmod(folder.c_str(), 0700) != 0) return FileError("chmod", folder, errno);
  return writer;
}

BackupWriter::BackupWriter(fs::path folder, bool made, std::unique_ptr<Descriptor> unfinished,
                           std::optional<seal::SecretKey> key, Work& work)
    : folder_(std::move(folder)),
      made_(made),
      unfinished_(std::move(unfinished)),
      key_(std::move(key)),
      work_(work) {}

// The folder was empty: all that is in it is ours.
BackupWriter::~BackupWriter() {
  if (finished_) return;
  std::error_code ignored;
  Clear(folder_);
  fs::remove(folder_ / kUnfinishedFile, ignored);
  if (made_) fs::remove(folder_, ignored);
}

StatusOr<std::unique_ptr<BackupWriter::File>> BackupWriter::NewFile(const std::string& name,
                                                                    uint32_t mode) {
  backup::v1::File file;
  file.set_path(key_ ? name + std::string(kSealedEnding) : name);
  file.set_mode(mode);
  const fs::path path = folder_ / file.path();
  YAGURA_RETURN_IF_ERROR(MakeFolders(path.parent_path()));
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return FileError("create", path, errno);
  auto impl = std::unique_ptr<File::Impl>(
      new File::Impl{*this, std::move(file), path, Descriptor(fd), Sha256Stream(), nullptr});
  if (key_) {
    impl->sealing = std::make_unique<SealingStream>(
        *key_, name, [raw = impl.get()](std::string_view bytes) { return raw->Write(bytes); });
  }
  return std::unique_ptr<File>(new File(std::move(impl)));
}

Status BackupWriter::Copy(const fs::path& from, const std::string& name, uint32_t mode) {
  const Descriptor there(open(from.c_str(), O_RDONLY | O_CLOEXEC));
  if (!there.valid()) return FileError("open", from, errno);
  YAGURA_ASSIGN_OR_RETURN(const auto file, NewFile(name, mode));
  YAGURA_RETURN_IF_ERROR(
      ReadAll(from, [&file](std::string_view bytes) { return file->Add(bytes); }));
  return file->Finish();
}

void BackupWriter::Note(backup::v1::File file) {
  const std::lock_guard lock(mutex_);
  std::string path = file.path();
  files_.emplace(std::move(path), std::move(file));
}

StatusOr<uint64_t> BackupWriter::Finish(backup::v1::Manifest manifest) {
  std::string sums;
  manifest.set_format(kBackupFormat);
  for (auto& [path, file] : files_) {
    sums += fmt::format("{}  {}\n", file.sha256(), path);
    *manifest.add_files() = file;
  }
  YAGURA_RETURN_IF_ERROR(SyncFileSystem(folder_));
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.preserve_proto_field_names = true;
  std::string text;
  if (!google::protobuf::util::MessageToJsonString(manifest, &text, options).ok()) {
    return Internal("the manifest cannot be written");
  }
  const auto put = [this, &sums](std::string_view name, const std::string& bytes) {
    Sha256Stream digest;
    digest.Add(bytes);
    sums += fmt::format("{}  {}\n", digest.Hex(), name);
    return blob::WriteFileDurably(folder_ / name, bytes, 0600, blob::IfExists::kFail);
  };
  if (key_) YAGURA_RETURN_IF_ERROR(put(kManifestTagFile, ManifestTag(*key_, text) + "\n"));
  YAGURA_RETURN_IF_ERROR(put(kManifestFile, text));
  YAGURA_RETURN_IF_ERROR(
      blob::WriteFileDurably(folder_ / kSumsFile, sums, 0600, blob::IfExists::kFail));
  finished_ = true;
  std::error_code ignored;  // where it stays, the sums say that the backup is whole
  fs::remove(folder_ / kUnfinishedFile, ignored);
  return files_.size();
}

}  // namespace yagura::cli
