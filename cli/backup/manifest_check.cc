#include "cli/backup/manifest_check.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <set>

#include "cli/backup/backup_writer.h"
#include "cli/backup/files.h"
#include "fmt/format.h"

#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kDataPrefix = "data/";
constexpr size_t kLongestTableName = 64;

Status Damaged(std::string_view what) {
  return MakeError(absl::StatusCode::kDataLoss, "BACKUP_DAMAGED", what);
}

bool IsTableName(std::string_view name) {
  return !name.empty() && name.size() <= kLongestTableName &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
         });
}

// As ClickHouse writes them in system.tables.
Status CheckTable(const backup::v1::Table& table) {
  if (!IsTableName(table.name())) {
    return Damaged(fmt::format("a table of {} has a bad name", kManifestFile));
  }
  const std::string begin =
      table.view() ? fmt::format("CREATE MATERIALIZED VIEW yagura.{} TO yagura.", table.name())
                   : fmt::format("CREATE TABLE yagura.{} (", table.name());
  if (table.create_statement().starts_with(begin)) return absl::OkStatus();
  return Damaged(fmt::format("the statement of {} in {} does not make this table", table.name(),
                             kManifestFile));
}

// Files of the data folder lie below data/, where no other way of the restore puts anything.
Status CheckPlace(const std::string& name) {
  if (!name.starts_with(kDataPrefix)) return absl::OkStatus();
  const std::string_view below = std::string_view(name).substr(kDataPrefix.size());
  if (!IsNoFileOfAService(below.substr(0, below.find('/')))) return absl::OkStatus();
  return Damaged(fmt::format("{} names a file for {}, which is none of a service", kManifestFile,
                             EscapeForTerminal(below)));
}

}  // namespace

bool IsNoFileOfAService(std::string_view name) {
  static constexpr std::array<std::string_view, 13> kNames = {
      "redis-state",  "redis-flow",     "store",       "logs",          "run",
      "lock",         "endpoints.json", "yagura-data", "restore-parts", "restore-unfinished",
      kStagingFolder, kBackupLockFile,  "lost+found"};
  return std::find(kNames.begin(), kNames.end(), name) != kNames.end() || name.ends_with(".sock");
}

std::string NameInBackup(const backup::v1::Manifest& manifest, const backup::v1::File& file) {
  if (!manifest.has_encryption()) return file.path();
  return file.path().substr(0, file.path().size() - kSealedEnding.size());
}

Status CheckManifest(const backup::v1::Manifest& manifest) {
  std::set<std::string> tables;
  for (const backup::v1::Table& table : manifest.tables()) {
    YAGURA_RETURN_IF_ERROR(CheckTable(table));
    if (!tables.insert(table.name()).second) {
      return Damaged(fmt::format("{} names the table {} twice", kManifestFile, table.name()));
    }
  }
  std::set<std::string> names;
  for (const backup::v1::File& file : manifest.files()) {
    const bool fits = IsSafePath(file.path()) &&
                      (!manifest.has_encryption() || file.path().ends_with(kSealedEnding));
    const std::string name = fits ? NameInBackup(manifest, file) : std::string();
    if (!IsSafePath(name)) {
      return Damaged(fmt::format("{} names a file that none can have: {}", kManifestFile,
                                 EscapeForTerminal(file.path())));
    }
    YAGURA_RETURN_IF_ERROR(CheckPlace(name));
    if (!names.insert(name).second) {
      return Damaged(
          fmt::format("{} names {} twice", kManifestFile, EscapeForTerminal(file.path())));
    }
  }
  for (const std::string& name : names) {
    for (fs::path above = fs::path(name).parent_path(); !above.empty();
         above = above.parent_path()) {
      if (!names.contains(above.string())) continue;
      return Damaged(fmt::format("{} names {} both as a file and as a folder", kManifestFile,
                                 EscapeForTerminal(above.string())));
    }
  }
  return absl::OkStatus();
}

}  // namespace yagura::cli
