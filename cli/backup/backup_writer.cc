#include "cli/backup/backup_writer.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "cli/backup/backup_key.h"
#include "cli/backup/files.h"
#include "cli/backup/sha256.h"
#include "fmt/format.h"
#include "google/protobuf/util/json_util.h"

#include "common/blob/file_io.h"
#include "common/status/status.h"

namespace yagura::cli {
namespace {

namespace fs = std::filesystem;

StatusOr<bool> IsEmptyFolder(const fs::path& folder) {
  std::error_code error;
  fs::directory_iterator entries(folder, error);
  if (error) return FileError("read", folder, error.value());
  return std::all_of(begin(entries), end(entries),
                     [](const auto& entry) { return entry.path().filename() == "lost+found"; });
}

}  // namespace

struct BackupWriter::File::Impl {
  BackupWriter& writer;
  backup::v1::File file;
  fs::path path;
  Descriptor descriptor;
  Sha256 digest;
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
  YAGURA_ASSIGN_OR_RETURN(const bool empty, IsEmptyFolder(folder));
  if (!empty) {
    const bool whole = fs::exists(folder / kSumsFile, error);
    return MakeError(absl::StatusCode::kAlreadyExists, "BACKUP_EXISTS",
                     fmt::format("{} {}: name a new or an empty folder", folder.string(),
                                 whole ? "holds a backup" : "is not empty"));
  }
  if (chmod(folder.c_str(), 0700) != 0) return FileError("chmod", folder, errno);
  return std::unique_ptr<BackupWriter>(new BackupWriter(folder, made, std::move(key), work));
}

BackupWriter::BackupWriter(fs::path folder, bool made, std::optional<seal::SecretKey> key,
                           Work& work)
    : folder_(std::move(folder)), made_(made), key_(std::move(key)), work_(work) {}

// The folder was empty: all that is in it is ours.
BackupWriter::~BackupWriter() {
  if (finished_) return;
  std::error_code ignored;
  if (made_) {
    fs::remove_all(folder_, ignored);
    return;
  }
  for (const auto& entry : fs::directory_iterator(folder_, ignored)) {
    if (entry.path().filename() != "lost+found") fs::remove_all(entry.path(), ignored);
  }
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
      new File::Impl{*this, std::move(file), path, Descriptor(fd), Sha256(), nullptr});
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
    Sha256 digest;
    digest.Add(bytes);
    sums += fmt::format("{}  {}\n", digest.Hex(), name);
    return blob::WriteFileDurably(folder_ / name, bytes, 0600, blob::IfExists::kFail);
  };
  if (key_) YAGURA_RETURN_IF_ERROR(put(kManifestTagFile, ManifestTag(*key_, text) + "\n"));
  YAGURA_RETURN_IF_ERROR(put(kManifestFile, text));
  YAGURA_RETURN_IF_ERROR(
      blob::WriteFileDurably(folder_ / kSumsFile, sums, 0600, blob::IfExists::kFail));
  finished_ = true;
  return files_.size();
}

}  // namespace yagura::cli
