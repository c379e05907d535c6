#include "cli/backup/restore.h"

#include <algorithm>
#include <system_error>
#include <utility>
#include <vector>

#include "cli/backup/backup_reader.h"
#include "cli/backup/files.h"
#include "cli/backup/manifest_check.h"
#include "cli/backup/restore_target.h"
#include "cli/backup/store_copy.h"
#include "cli/backup/work.h"
#include "cli/up/data_folder.h"
#include "cli/up/redis_child.h"
#include "fmt/format.h"

#include "common/blob/file_io.h"
#include "common/eventstore/client.h"
#include "common/eventstore/store_process.h"
#include "common/log/log.h"
#include "common/redis/pool.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "services/archive/storage/migrations.h"
#include "services/archive/storage/pause_store.h"

namespace yagura::cli {
namespace {

namespace fs = std::filesystem;

constexpr char kPartsFolder[] = "restore-parts";  // of the store, until they are taken over
constexpr std::string_view kDataPrefix = "data/";
constexpr std::string_view kStorePrefix = "store/";

fs::path ProgramFolder() { return fs::read_symlink("/proc/self/exe").parent_path(); }

Status CheckFits(const backup::v1::Manifest& manifest) {
  const uint32_t schema = manifest.store_schema();
  const uint32_t oldest = manifest.store_schema_oldest_reader() > 0
                              ? manifest.store_schema_oldest_reader()
                              : std::max(schema, 1U) - 1;
  if (schema <= archive::kSchemaVersion || oldest <= archive::kSchemaVersion) {
    return absl::OkStatus();
  }
  return MakeError(absl::StatusCode::kFailedPrecondition, "SCHEMA_TOO_NEW",
                   fmt::format("the event store of the backup has schema {}, which releases from "
                               "schema {} on can read; this one knows {}: restore with the release "
                               "that made the backup, or a newer one",
                               schema, oldest, archive::kSchemaVersion));
}

// Before anything is put in place.
StatusOr<fs::path> StoreConfig(const RestoreOptions& options,
                               const backup::v1::Manifest& manifest) {
  std::error_code error;
  if (!options.store_config.empty()) {
    const fs::path file = fs::absolute(options.store_config, error);
    if (fs::is_regular_file(file, error)) return file;
    return InvalidField("store-config", fmt::format("there is no file {}", file.string()));
  }
  const bool wanted =
      std::any_of(manifest.tables().begin(), manifest.tables().end(), [](const auto& table) {
        return table.create_statement().find("storage_policy = ") != std::string::npos;
      });
  if (!wanted) return fs::path();
  return MakeError(absl::StatusCode::kFailedPrecondition, "STORE_CONFIG_WANTED",
                   "events of this backup lie on disks of a storage policy: give the ClickHouse "
                   "configuration that has it with --store-config");
}

class RestoreRun {
 public:
  RestoreRun(const RestoreOptions& options, Work& work, const BackupReader& reader,
             DataFolder folder)
      : options_(options),
        work_(work),
        reader_(reader),
        folder_(std::move(folder)),
        logger_(Logger::ToFile(folder_.Log("restore").string(), LogLevel::kInfo)) {}

  StatusOr<RestoreSummary> Run() {
    work_.Begin("restoring", reader_.bytes());
    YAGURA_RETURN_IF_ERROR(PutFiles());
    YAGURA_RETURN_IF_ERROR(PutRedis("state"));
    YAGURA_RETURN_IF_ERROR(PutRedis("flow"));
    YAGURA_RETURN_IF_ERROR(LoadRedis());
    YAGURA_RETURN_IF_ERROR(PutStore());
    YAGURA_RETURN_IF_ERROR(SyncFileSystem(folder_.root()));
    std::error_code error;
    fs::remove(folder_.root() / kRestoreMarker, error);
    if (error) return FileError("remove", folder_.root() / kRestoreMarker, error.value());
    YAGURA_RETURN_IF_ERROR(SyncFileSystem(folder_.root()));
    summary_.files = static_cast<uint64_t>(reader_.manifest().files_size());
    summary_.without_store = reader_.manifest().tables_size() == 0;
    return summary_;
  }

 private:
  Status PutFiles();
  Status PutRedis(const std::string& name);
  Status LoadRedis();
  Status PutStore();

  const RestoreOptions& options_;
  Work& work_;
  const BackupReader& reader_;
  DataFolder folder_;
  const Logger logger_;
  RestoreSummary summary_;
};

Status RestoreRun::PutFiles() {
  // What was given to the backup is put where an earlier restore had put its own.
  for (const auto& [name, file] : reader_.FilesBelow(kSettingsName)) {
    if (name != kSettingsName) continue;
    summary_.settings_file = folder_.root() / kSettingsName;
    YAGURA_RETURN_IF_ERROR(reader_.Extract(*file, summary_.settings_file, work_));
  }
  for (const auto& [name, file] : reader_.FilesBelow(kDataPrefix)) {
    const fs::path to = folder_.root() / name.substr(kDataPrefix.size());
    if (to == summary_.settings_file) continue;
    YAGURA_RETURN_IF_ERROR(reader_.Extract(*file, to, work_));
  }
  return absl::OkStatus();
}

// As the base of an append-only file, in which an RDB is what a rewrite leaves.
Status RestoreRun::PutRedis(const std::string& name) {
  const auto found = reader_.FilesBelow(fmt::format("redis/{}.rdb", name));
  if (found.size() != 1) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "BACKUP_WITHOUT_DATA",
                     fmt::format("the backup has no data of the {} Redis", name));
  }
  const fs::path folder = folder_.Folder("redis-" + name) / "appendonlydir";
  YAGURA_RETURN_IF_ERROR(
      reader_.Extract(*found[0].second, folder / "appendonly.aof.1.base.rdb", work_));
  return blob::WriteFileDurably(folder / "appendonly.aof.manifest",
                                "file appendonly.aof.1.base.rdb seq 1 type b\n", 0600,
                                blob::IfExists::kFail);
}

// Sees that what was put there can be loaded; and drops what was true of the old machine's
// processes alone.
Status RestoreRun::LoadRedis() {
  for (const std::string name : {"state", "flow"}) {
    const fs::path socket = folder_.Socket(name);
    RedisChild child("redis-" + name, folder_.Folder("redis-" + name), socket,
                     folder_.Log("redis-" + name), logger_);
    const Status started = child.Start();
    if (!started.ok()) {
      return Annotate(started, fmt::format("the {} Redis does not load its data, see {}", name,
                                           folder_.Log("redis-" + name).string()));
    }
    redis::Endpoint endpoint;
    endpoint.address = "unix:" + socket.string();
    redis::Pool pool(endpoint, 1);
    if (name == "flow") YAGURA_RETURN_IF_ERROR(archive::PauseStore::Forget(pool));
    YAGURA_RETURN_IF_ERROR(pool.Command({"DBSIZE"}).status());
  }
  return absl::OkStatus();
}

Status RestoreRun::PutStore() {
  const auto& manifest = reader_.manifest();
  if (manifest.tables_size() == 0) return absl::OkStatus();
  const fs::path parts = folder_.Folder(kPartsFolder);
  for (const auto& [name, file] : reader_.FilesBelow(kStorePrefix)) {
    YAGURA_RETURN_IF_ERROR(reader_.Extract(*file, parts / name.substr(kStorePrefix.size()), work_));
  }
  YAGURA_ASSIGN_OR_RETURN(const auto process, eventstore::StoreProcess::Start(
                                                  {.program = ProgramFolder() / "yagura-store",
                                                   .data_dir = folder_.Folder("store"),
                                                   .socket = folder_.Socket("store"),
                                                   .config_file = options_.store_config,
                                                   .log_file = folder_.Log("store")},
                                                  logger_));
  eventstore::ClientOptions options;
  options.addresses = {process->address()};
  eventstore::Client client(options);
  YAGURA_ASSIGN_OR_RETURN(const auto folders, RestoreStore(client, manifest, parts));
  process->Stop();
  // Disks of the store may be of other file systems than the data folder.
  for (const fs::path& folder : folders) {
    std::error_code error;
    if (!fs::is_directory(folder, error)) continue;  // nothing came to it
    YAGURA_RETURN_IF_ERROR(SyncFileSystem(folder));
  }
  for (const backup::v1::Table& table : manifest.tables()) summary_.rows += table.rows();
  std::error_code ignored;
  fs::remove_all(parts, ignored);
  return absl::OkStatus();
}

StatusOr<RestoreSummary> RestoreInto(const RestoreOptions& options, Work& work,
                                     const BackupReader& reader) {
  YAGURA_ASSIGN_OR_RETURN(auto folder, TakeTarget(options.data_dir, reader.bytes()));
  return RestoreRun(options, work, reader, std::move(folder)).Run();
}

}  // namespace

StatusOr<RestoreSummary> Restore(const RestoreOptions& options, Work& work) {
  YAGURA_ASSIGN_OR_RETURN(BackupReader reader, BackupReader::Open(options.from));
  YAGURA_RETURN_IF_ERROR(CheckFits(reader.manifest()));
  YAGURA_RETURN_IF_ERROR(reader.Unlock(options.key));
  RestoreOptions checked = options;
  YAGURA_ASSIGN_OR_RETURN(checked.store_config, StoreConfig(options, reader.manifest()));
  // Before the backup is read, which may take an hour; and once more when the folder is held.
  YAGURA_RETURN_IF_ERROR(CheckTarget(options.data_dir, reader.bytes(), options.force));
  work.Begin("checking the backup", reader.bytes());
  YAGURA_RETURN_IF_ERROR(reader.Verify(work));
  fs::path aside;
  if (options.force) {
    YAGURA_ASSIGN_OR_RETURN(aside, MoveAside(options.data_dir));
  }
  auto summary = RestoreInto(checked, work, reader);
  if (summary.ok()) {
    summary->moved_aside = std::move(aside);
  } else if (!aside.empty()) {
    return Annotate(summary.status(), fmt::format("what {} held is now {}",
                                                  options.data_dir.string(), aside.string()));
  }
  return summary;
}

}  // namespace yagura::cli
