#include "cli/backup/backup_reader.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include "cli/backup/backup_writer.h"
#include "cli/backup/files.h"
#include "cli/backup/manifest_check.h"
#include "cli/backup/work.h"
#include "fmt/format.h"
#include "google/protobuf/util/json_util.h"

#include "common/blob/file_io.h"
#include "common/digest/sha256.h"
#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::cli {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMostTextBytes = 1ull << 30;  // of manifest and sums
constexpr size_t kDigestDigits = 64;
constexpr size_t kMostNamed = 10;  // damaged files in one error

Status Damaged(std::string_view what) {
  return MakeError(absl::StatusCode::kDataLoss, "BACKUP_DAMAGED", what);
}

// SHA256SUMS: digest by name.
StatusOr<std::map<std::string, std::string>> ParseSums(std::string_view text) {
  std::map<std::string, std::string> sums;
  for (std::string_view line : Split(text, '\n')) {
    if (line.empty()) continue;
    const bool fits = line.size() > kDigestDigits + 2 && line.substr(kDigestDigits, 2) == "  ";
    if (!fits) return Damaged(fmt::format("{} is damaged", kSumsFile));
    sums.emplace(line.substr(kDigestDigits + 2), line.substr(0, kDigestDigits));
  }
  return sums;
}

Status CheckTag(const fs::path& folder, const seal::SecretKey& key, std::string_view manifest) {
  YAGURA_ASSIGN_OR_RETURN(const std::string tag,
                          blob::ReadFile(folder / kManifestTagFile, kMostTextBytes));
  if (Trim(tag) == ManifestTag(key, manifest)) return absl::OkStatus();
  return Damaged(fmt::format("{} was not made with this key", kManifestFile));
}

}  // namespace

StatusOr<BackupReader> BackupReader::Open(const fs::path& folder) {
  auto sums_text = blob::ReadFile(folder / kSumsFile, kMostTextBytes);
  if (absl::IsNotFound(sums_text.status())) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "BACKUP_INCOMPLETE",
                     fmt::format("{} has no {}: it is no backup, or one that was broken off",
                                 folder.string(), kSumsFile));
  }
  YAGURA_RETURN_IF_ERROR(sums_text.status());
  auto text = blob::ReadFile(folder / kManifestFile, kMostTextBytes);
  if (!text.ok()) return Damaged(fmt::format("{}: {}", kManifestFile, Message(text.status())));
  YAGURA_ASSIGN_OR_RETURN(const auto sums, ParseSums(*sums_text));
  const auto own = sums.find(std::string(kManifestFile));
  if (own == sums.end() || own->second != Sha256Hex(*text)) {
    return Damaged(fmt::format("{} is not as {} has it", kManifestFile, kSumsFile));
  }
  BackupReader reader(folder, *std::move(text));
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  if (!google::protobuf::util::JsonStringToMessage(reader.manifest_text_, &reader.manifest_,
                                                   options)
           .ok()) {
    return Damaged(fmt::format("{} cannot be read", kManifestFile));
  }
  if (reader.manifest_.format() != kBackupFormat) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "BACKUP_TOO_NEW",
                     fmt::format("the backup has layout {}; this program knows {}",
                                 reader.manifest_.format(), kBackupFormat));
  }
  YAGURA_RETURN_IF_ERROR(reader.CheckSums(sums));
  YAGURA_RETURN_IF_ERROR(CheckManifest(reader.manifest_));
  if (const auto tag = sums.find(std::string(kManifestTagFile)); tag != sums.end()) {
    const auto bytes = blob::ReadFile(folder / kManifestTagFile, kMostTextBytes);
    if (!bytes.ok() || Sha256Hex(*bytes) != tag->second) {
      return Damaged(fmt::format("{} is not as {} has it", kManifestTagFile, kSumsFile));
    }
  }
  return reader;
}

Status BackupReader::CheckSums(const std::map<std::string, std::string>& sums) const {
  size_t known = sums.contains(std::string(kManifestTagFile)) ? 2 : 1;
  for (const backup::v1::File& file : manifest_.files()) {
    const auto sum = sums.find(file.path());
    if (sum == sums.end() || sum->second != file.sha256()) {
      return Damaged(fmt::format("{} and {} disagree about {}", kManifestFile, kSumsFile,
                                 EscapeForTerminal(file.path())));
    }
    ++known;
  }
  if (known == sums.size()) return absl::OkStatus();
  return Damaged(fmt::format("{} names other files than {}", kSumsFile, kManifestFile));
}

uint64_t BackupReader::bytes() const {
  uint64_t bytes = 0;
  for (const backup::v1::File& file : manifest_.files()) bytes += file.size();
  return bytes;
}

Status BackupReader::Unlock(const KeySource& source) {
  const bool with_key = !source.key_file.empty() || !source.passphrase_file.empty();
  if (with_key && source.plain) {
    return MakeError(absl::StatusCode::kInvalidArgument, "BACKUP_KEY_WANTED",
                     "--plain goes with neither --key-file nor --passphrase-file");
  }
  if (!encrypted()) {
    if (source.plain) return absl::OkStatus();
    return MakeError(absl::StatusCode::kFailedPrecondition, "BACKUP_NOT_ENCRYPTED",
                     with_key ? "this backup is not encrypted: it was not made with this key, and "
                                "anybody who can write its folder may have made it"
                              : "this backup is not encrypted, and anybody who can write its "
                                "folder may have changed it: say --plain to take it all the same");
  }
  YAGURA_ASSIGN_OR_RETURN(seal::SecretKey key, OpenBackupKey(source, manifest_.encryption()));
  YAGURA_RETURN_IF_ERROR(CheckTag(folder_, key, manifest_text_));
  key_ = std::move(key);
  return absl::OkStatus();
}

std::string BackupReader::NameOf(const backup::v1::File& file) const {
  return NameInBackup(manifest_, file);
}

std::vector<std::pair<std::string, const backup::v1::File*>> BackupReader::FilesBelow(
    std::string_view prefix) const {
  std::vector<std::pair<std::string, const backup::v1::File*>> found;
  for (const backup::v1::File& file : manifest_.files()) {
    if (file.path().starts_with(prefix)) found.emplace_back(NameOf(file), &file);
  }
  return found;
}

Status BackupReader::Read(const backup::v1::File& file, Work& work, const ByteSink& sink) const {
  Sha256Stream digest;
  uint64_t size = 0;
  std::optional<OpeningStream> opening;
  if (key_) opening.emplace(*key_, NameOf(file), sink);
  const Status read = ReadAll(folder_ / file.path(), [&](std::string_view bytes) -> Status {
    digest.Add(bytes);
    size += bytes.size();
    if (size > file.size()) return Damaged("is longer than it was");
    YAGURA_RETURN_IF_ERROR(work.Done(bytes.size()));
    return opening ? opening->Add(bytes) : sink(bytes);
  });
  if (absl::IsNotFound(read)) return Damaged("is not there");
  YAGURA_RETURN_IF_ERROR(read);
  if (size != file.size()) return Damaged("is shorter than it was");
  if (digest.Hex() != file.sha256()) return Damaged("is not what it was");
  return opening ? opening->Finish() : absl::OkStatus();
}

Status BackupReader::Verify(Work& work) const {
  std::string named;
  size_t damaged = 0;
  for (const backup::v1::File& file : manifest_.files()) {
    const Status status = Read(file, work, [](std::string_view) { return absl::OkStatus(); });
    if (status.ok()) continue;
    if (absl::IsCancelled(status)) return status;
    if (++damaged <= kMostNamed) {
      named += fmt::format("{} {}: {}", named.empty() ? "" : ";", EscapeForTerminal(file.path()),
                           Message(status));
    }
  }
  if (damaged == 0) return absl::OkStatus();
  return Damaged(fmt::format("{} of {} files are damaged:{}{}", damaged, manifest_.files_size(),
                             named, damaged > kMostNamed ? "; ..." : ""));
}

Status BackupReader::Extract(const backup::v1::File& file, const fs::path& to, Work& work) const {
  YAGURA_RETURN_IF_ERROR(MakeFolders(to.parent_path()));
  const Descriptor out(
      open(to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, file.mode() & 0777));
  if (!out.valid()) return FileError("create", to, errno);
  if (fchmod(out.get(), file.mode() & 0777) != 0) return FileError("chmod", to, errno);
  return Annotate(
      Read(file, work, [&](std::string_view bytes) { return WriteAll(out.get(), bytes, to); }),
      file.path());
}

}  // namespace yagura::cli
