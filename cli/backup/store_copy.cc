#include "cli/backup/store_copy.h"

#include <algorithm>
#include <set>
#include <system_error>
#include <utility>

#include "cli/backup/files.h"
#include "fmt/format.h"

#include "common/blob/file_io.h"
#include "common/eventstore/client.h"
#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::cli {
namespace {

namespace fs = std::filesystem;

// Of the folders that FREEZE makes: "shadow/yagurabackup<id>_<table>".
constexpr std::string_view kShadowPrefix = "yagurabackup";
constexpr std::chrono::minutes kFreezeTimeout{1};
constexpr std::chrono::minutes kAttachTimeout{10};
constexpr size_t kMostTables = 1'000;
constexpr size_t kMostDisks = 1'000;
constexpr size_t kMostParts = 1'000'000;
constexpr size_t kMostCountBytes = 64;

Status NotHere(std::string_view what) {
  return MakeError(absl::StatusCode::kFailedPrecondition, "STORE_NOT_HERE",
                   fmt::format("{}; back up such an event store by its own BACKUP statement, and "
                               "the rest with --without-store",
                               what));
}

// Names of ours alone are put into statements.
bool IsPlainName(std::string_view name) {
  return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  });
}

bool IsPartName(std::string_view name) {
  return !name.empty() && name.size() <= 200 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
  });
}

std::string FreezeName(const std::string& id, std::string_view table) {
  return fmt::format("{}{}_{}", kShadowPrefix, id, table);
}

StatusOr<uint64_t> RowsOf(const fs::path& part) {
  YAGURA_ASSIGN_OR_RETURN(const std::string text,
                          blob::ReadFile(part / "count.txt", kMostCountBytes));
  const auto rows = ParseNumber<uint64_t>(Trim(text));
  if (!rows) return Internal(fmt::format("{} tells no count of rows", part.string()));
  return *rows;
}

}  // namespace

StatusOr<StoreCopy> StoreCopy::Look(eventstore::Client& client) {
  StoreCopy copy(client);
  YAGURA_RETURN_IF_ERROR(copy.LookAtTables());
  YAGURA_RETURN_IF_ERROR(copy.LookAtDisks());
  YAGURA_RETURN_IF_ERROR(copy.LookAtVersions());
  return copy;
}

Status StoreCopy::LookAtTables() {
  YAGURA_ASSIGN_OR_RETURN(
      const auto found,
      client_->Select({.sql = "SELECT toString(name), toString(engine), toString("
                              "create_table_query) FROM system.tables WHERE database = 'yagura' "
                              "ORDER BY name"},
                      kMostTables));
  for (const auto& row : found.rows) {
    backup::v1::Table table;
    table.set_name(row.at(0).text);
    table.set_create_statement(row.at(2).text);
    table.set_view(row.at(1).text == "MaterializedView");
    const bool replicated = row.at(1).text.starts_with("Replicated");
    if (replicated) return NotHere("the event store is a cluster");
    if (!IsPlainName(table.name()) || (!table.view() && !row.at(1).text.ends_with("MergeTree"))) {
      return Internal(fmt::format("the event store has a table that nobody here has made: {} ({})",
                                  EscapeForTerminal(row.at(0).text),
                                  EscapeForTerminal(row.at(1).text)));
    }
    tables_.push_back(std::move(table));
  }
  return absl::OkStatus();
}

Status StoreCopy::LookAtDisks() {
  YAGURA_ASSIGN_OR_RETURN(
      const auto disks,
      client_->Select({.sql = "SELECT toString(name), toString(path), toString(type) FROM "
                              "system.disks ORDER BY name"},
                      kMostDisks));
  YAGURA_ASSIGN_OR_RETURN(const auto used,
                          client_->Select({.sql = "SELECT DISTINCT toString(disk_name) FROM "
                                                  "system.parts WHERE database = 'yagura'"},
                                          kMostDisks));
  const auto in_use = [&used](const std::string& disk) {
    return disk == "default" ||
           std::any_of(used.rows.begin(), used.rows.end(),
                       [&disk](const auto& row) { return row.at(0).text == disk; });
  };
  for (const auto& row : disks.rows) {
    const fs::path path = row.at(1).text;
    const bool local = ToLower(row.at(2).text) == "local";
    std::error_code error;
    if (local && fs::is_directory(path, error)) {
      disks_.push_back(path);
      continue;
    }
    // What comes to it until the moment is seen by where it is frozen.
    if (!in_use(row.at(0).text)) continue;
    return NotHere(local ? fmt::format("{} of the event store is not on this machine",
                                       EscapeForTerminal(path.string()))
                         : fmt::format("events lie on the disk {} of the event store, which is no "
                                       "local one",
                                       EscapeForTerminal(row.at(0).text)));
  }
  YAGURA_ASSIGN_OR_RETURN(const auto bytes,
                          client_->Select({.sql = "SELECT toUInt64(sum(bytes_on_disk)) FROM "
                                                  "system.parts WHERE database = 'yagura' AND "
                                                  "active"}));
  bytes_ = bytes.rows.at(0).at(0).AsUnsigned();
  return absl::OkStatus();
}

Status StoreCopy::LookAtVersions() {
  YAGURA_ASSIGN_OR_RETURN(
      const auto found,
      client_->Select({.sql = "SELECT toUInt64(max(version)), toUInt64(argMax(oldest_reader, "
                              "version)), version() FROM yagura.schema_version"}));
  const auto& row = found.rows.at(0);
  schema_ = static_cast<uint32_t>(row.at(0).AsUnsigned());
  oldest_reader_ = static_cast<uint32_t>(row.at(1).AsUnsigned());
  version_ = row.at(2).text;
  return absl::OkStatus();
}

void StoreCopy::RemoveStale() const {
  std::error_code ignored;
  for (const fs::path& disk : disks_) {
    std::vector<fs::path> stale;
    for (const auto& entry : fs::directory_iterator(disk / "shadow", ignored)) {
      if (entry.path().filename().string().starts_with(kShadowPrefix)) {
        stale.push_back(entry.path());
      }
    }
    for (const fs::path& folder : stale) fs::remove_all(folder, ignored);
  }
}

Status StoreCopy::Freeze(const std::string& id) {
  frozen_.clear();
  for (const backup::v1::Table& table : tables_) {
    if (table.view()) continue;
    YAGURA_RETURN_IF_ERROR(
        Annotate(FreezeTable(id, table.name()), fmt::format("FREEZE of {}", table.name())));
  }
  return absl::OkStatus();
}

// The store tells each part that it froze, and where.
Status StoreCopy::FreezeTable(const std::string& id, const std::string& table) {
  YAGURA_ASSIGN_OR_RETURN(
      const auto told,
      client_->Select({.sql = fmt::format("ALTER TABLE yagura.{} FREEZE WITH NAME '{}'", table,
                                          FreezeName(id, table)),
                       .settings = {{"alter_partition_verbose_result", "1"}},
                       .timeout = kFreezeTimeout},
                      kMostParts));
  if (told.rows.empty()) return absl::OkStatus();  // nor are there columns of a place
  const auto column = [&told](std::string_view name) {
    const auto found =
        std::find_if(told.columns.begin(), told.columns.end(),
                     [name](const auto& candidate) { return candidate.name == name; });
    return static_cast<size_t>(found - told.columns.begin());
  };
  const size_t name = column("part_name");
  const size_t place = column("part_backup_path");
  if (name == told.columns.size() || place == told.columns.size()) {
    return Internal("the event store does not tell what it froze");
  }
  for (const auto& row : told.rows) {
    const Part part{table, row.at(name).text, fs::path(row.at(place).text).lexically_normal()};
    if (!IsPartName(part.name)) return Internal("the event store has a part of a bad name");
    if (!IsOnALocalDisk(part.folder)) {
      return NotHere(fmt::format("the part {} lies at {}, on no local disk of the event store",
                                 part.name, EscapeForTerminal(part.folder.string())));
    }
    frozen_.push_back(part);
  }
  return absl::OkStatus();
}

bool StoreCopy::IsOnALocalDisk(const fs::path& frozen) const {
  return std::any_of(disks_.begin(), disks_.end(), [&frozen](const fs::path& disk) {
    return frozen.string().starts_with((disk / "shadow" / "").lexically_normal().string());
  });
}

void StoreCopy::Release(const std::string& id) const {
  std::error_code ignored;
  for (const fs::path& disk : disks_) {
    for (const backup::v1::Table& table : tables_) {
      fs::remove_all(disk / "shadow" / FreezeName(id, table.name()), ignored);
    }
  }
}

StatusOr<std::vector<StoreCopy::Part>> StoreCopy::FindParts() {
  for (backup::v1::Table& table : tables_) {
    table.set_rows(0);
    table.set_parts(0);
    for (const Part& part : frozen_) {
      if (part.table != table.name()) continue;
      YAGURA_ASSIGN_OR_RETURN(const uint64_t rows, RowsOf(part.folder));
      table.set_rows(table.rows() + rows);
      table.set_parts(table.parts() + 1);
    }
  }
  return frozen_;
}

namespace {

Status Run(eventstore::Client& client, std::string sql) {
  return client.Execute({.sql = std::move(sql), .timeout = kAttachTimeout});
}

// The store's first disk may be another one than that of the data folder.
Status Move(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::rename(from, to, error);
  if (error == std::errc::cross_device_link) {
    fs::copy(from, to, fs::copy_options::recursive, error);
  }
  return error ? FileError("move", from, error.value()) : absl::OkStatus();
}

// Of the table, on the disks of its policy, in their order.
StatusOr<std::vector<fs::path>> DataFolders(eventstore::Client& client,
                                            const backup::v1::Table& table) {
  eventstore::Query query{.sql =
                              "SELECT toString(arrayJoin(data_paths)) FROM system.tables WHERE "
                              "database = 'yagura' AND name = {name:String}",
                          .parameters = {{"name", table.name()}}};
  YAGURA_ASSIGN_OR_RETURN(const auto found, client.Select(query));
  if (found.rows.empty()) return Internal(fmt::format("the table {} was not made", table.name()));
  std::vector<fs::path> folders;
  for (const auto& row : found.rows) folders.emplace_back(row.at(0).text);
  return folders;
}

Status AttachParts(eventstore::Client& client, const backup::v1::Table& table,
                   const fs::path& parts, const fs::path& first_folder) {
  const fs::path detached = first_folder / "detached";
  YAGURA_RETURN_IF_ERROR(MakeFolders(detached));
  std::set<std::string> partitions;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(parts / table.name(), error)) {
    const std::string name = entry.path().filename().string();
    if (!IsPartName(name)) return Internal(fmt::format("a part has the name {}", name));
    YAGURA_RETURN_IF_ERROR(Move(entry.path(), detached / name));
    partitions.insert(name.substr(0, name.find('_')));
  }
  for (const std::string& partition : partitions) {
    YAGURA_RETURN_IF_ERROR(Run(client, fmt::format("ALTER TABLE yagura.{} ATTACH PARTITION ID '{}'",
                                                   table.name(), partition)));
  }
  return absl::OkStatus();
}

Status CheckRows(eventstore::Client& client, const backup::v1::Table& table) {
  eventstore::Query query{.sql =
                              "SELECT toUInt64(sum(rows)) FROM system.parts WHERE database = "
                              "'yagura' AND active AND table = {name:String}",
                          .parameters = {{"name", table.name()}}};
  YAGURA_ASSIGN_OR_RETURN(const auto found, client.Select(query));
  const uint64_t rows = found.rows.at(0).at(0).AsUnsigned();
  if (rows == table.rows()) return absl::OkStatus();
  return MakeError(absl::StatusCode::kDataLoss, "BACKUP_DAMAGED",
                   fmt::format("the table {} has {} rows; the backup names {}", table.name(), rows,
                               table.rows()));
}

}  // namespace

StatusOr<std::vector<fs::path>> RestoreStore(eventstore::Client& client,
                                             const backup::v1::Manifest& manifest,
                                             const fs::path& parts) {
  std::vector<fs::path> folders;
  YAGURA_RETURN_IF_ERROR(Run(client, "CREATE DATABASE yagura"));
  for (const backup::v1::Table& table : manifest.tables()) {
    if (table.view()) continue;
    YAGURA_RETURN_IF_ERROR(Annotate(Run(client, table.create_statement()), table.name()));
    // Until its rows are counted.
    YAGURA_RETURN_IF_ERROR(Run(client, fmt::format("SYSTEM STOP MERGES yagura.{}", table.name())));
    YAGURA_ASSIGN_OR_RETURN(const auto of_table, DataFolders(client, table));
    folders.insert(folders.end(), of_table.begin(), of_table.end());
    YAGURA_RETURN_IF_ERROR(
        Annotate(AttachParts(client, table, parts, of_table.front()), table.name()));
    YAGURA_RETURN_IF_ERROR(CheckRows(client, table));
  }
  for (const backup::v1::Table& table : manifest.tables()) {
    if (table.view()) {
      YAGURA_RETURN_IF_ERROR(Annotate(Run(client, table.create_statement()), table.name()));
    }
  }
  return folders;
}

}  // namespace yagura::cli
