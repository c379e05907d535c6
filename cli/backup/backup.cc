#include "cli/backup/backup.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "cli/backup/backup_writer.h"
#include "cli/backup/files.h"
#include "cli/backup/manifest_check.h"
#include "cli/backup/quiet.h"
#include "cli/backup/staging.h"
#include "cli/backup/store_copy.h"
#include "cli/backup/work.h"
#include "cli/data_dir.h"
#include "fmt/format.h"

#include "common/blob/file_io.h"
#include "common/clock/clock.h"
#include "common/clock/proto_time.h"
#include "common/eventstore/client.h"
#include "common/redis/pool.h"
#include "common/redis/rdb_dump.h"
#include "common/status/status.h"
#include "common/store/resource_name.h"
#include "common/stream/info.h"
#include "common/text/text.h"

namespace yagura::cli {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

constexpr milliseconds kDumpPatience{30'000};
constexpr std::chrono::minutes kRewritePatience{30};
constexpr size_t kMostPasswordBytes = 4096;
constexpr int kMostTries = 3;

// Positions of what was read, and what waits before the flow Redis: must be older than its copy,
// but by as little as can be. What is in both is known there by its key, for a day.
constexpr char kIntakeFolder[] = "ingestion";
// The spool of what waits before the event store: as of the moment.
constexpr char kArchiveFolder[] = "archive";

// Of names directly in a data folder: what does not come with the other files.
bool IsTakenApart(const std::string& name) {
  return IsNoFileOfAService(name) || name == kIntakeFolder || name == kArchiveFolder;
}

class BackupRun {
 public:
  BackupRun(const BackupOptions& options, Work& work)
      : options_(options), work_(work), id_(ToLower(store::NewUlid())) {}
  ~BackupRun() {
    if (store_) store_->Release(id_);
  }
  BackupRun(const BackupRun&) = delete;
  BackupRun& operator=(const BackupRun&) = delete;

  StatusOr<BackupSummary> Run() {
    *manifest_.mutable_begin_time() = ToProto(SystemClock()->Now());
    YAGURA_RETURN_IF_ERROR(Lock());
    YAGURA_RETURN_IF_ERROR(Connect());
    YAGURA_RETURN_IF_ERROR(Prepare());
    YAGURA_RETURN_IF_ERROR(TakeMoment());
    YAGURA_RETURN_IF_ERROR(CopyRedis());
    YAGURA_RETURN_IF_ERROR(staging_->Take(IsTakenApart, work_));
    YAGURA_RETURN_IF_ERROR(CopyStore());
    YAGURA_RETURN_IF_ERROR(CopyFiles());
    return Finish();
  }

 private:
  Status Lock();
  Status Connect();
  StatusOr<std::string> AddressOf(const std::string& given, const char* name) const;
  StatusOr<redis::Endpoint> EndpointOf(const std::string& given, const char* name) const;
  Status Prepare();
  Status CheckSpace();
  Status AwaitNoFork(redis::Pool& pool) const;
  Status TakeMoment();
  Status TryMoment();
  Status CopyRedis();
  Status CopyStore();
  Status CopyFiles();
  StatusOr<BackupSummary> Finish();

  const BackupOptions& options_;
  Work& work_;
  const std::string id_;
  std::unique_ptr<Descriptor> lock_;
  std::optional<Staging> staging_;  // once the lock is held
  std::map<std::string, std::string> endpoints_;
  redis::Endpoint state_endpoint_;
  redis::Endpoint flow_endpoint_;
  std::shared_ptr<redis::Pool> state_;
  std::shared_ptr<redis::Pool> flow_;
  std::unique_ptr<eventstore::Client> store_client_;  // null: without the store
  std::optional<StoreCopy> store_;
  std::unique_ptr<BackupWriter> writer_;
  std::optional<redis::RdbDump> flow_dump_;
  std::optional<redis::RdbDump> state_dump_;
  backup::v1::Manifest manifest_;
};

Status BackupRun::Lock() {
  const fs::path file = options_.data_dir / kBackupLockFile;
  std::error_code error;
  if (!fs::is_directory(options_.data_dir, error)) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "NOT_RUNNING",
                     fmt::format("there is no data folder {}", options_.data_dir.string()));
  }
  auto lock = std::make_unique<Descriptor>(open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock->valid()) return FileError("open", file, errno);
  if (flock(lock->get(), LOCK_EX | LOCK_NB) != 0) {
    return MakeError(absl::StatusCode::kAlreadyExists, "BACKUP_RUNS",
                     fmt::format("another backup of {} runs", options_.data_dir.string()));
  }
  lock_ = std::move(lock);
  staging_.emplace(options_.data_dir);
  return absl::OkStatus();
}

StatusOr<std::string> BackupRun::AddressOf(const std::string& given, const char* name) const {
  if (!given.empty()) return given;
  const auto found = endpoints_.find(name);
  if (found != endpoints_.end()) return found->second;
  return MakeError(absl::StatusCode::kFailedPrecondition, "NOT_RUNNING",
                   fmt::format("{} does not say where {} is: is `yagura up` running there?",
                               EndpointsFile(options_.data_dir).string(), name));
}

StatusOr<redis::Endpoint> BackupRun::EndpointOf(const std::string& given, const char* name) const {
  redis::Endpoint endpoint;
  YAGURA_ASSIGN_OR_RETURN(endpoint.address, AddressOf(given, name));
  endpoint.client_name = "yagura-backup";
  endpoint.command_timeout = milliseconds(30'000);
  if (given.empty() || options_.redis_password_file.empty()) return endpoint;
  YAGURA_ASSIGN_OR_RETURN(const std::string text,
                          blob::ReadFile(options_.redis_password_file, kMostPasswordBytes));
  endpoint.password = Trim(text);
  endpoint.sentinel_password = endpoint.password;
  return endpoint;
}

Status BackupRun::Connect() {
  const bool all_given = !options_.state_address.empty() && !options_.flow_address.empty() &&
                         (!options_.store_address.empty() || options_.without_store);
  if (!all_given) {
    YAGURA_ASSIGN_OR_RETURN(endpoints_, ReadEndpoints(options_.data_dir));
  }
  YAGURA_ASSIGN_OR_RETURN(state_endpoint_, EndpointOf(options_.state_address, "redis_state"));
  YAGURA_ASSIGN_OR_RETURN(flow_endpoint_, EndpointOf(options_.flow_address, "redis_flow"));
  state_ = std::make_shared<redis::Pool>(state_endpoint_, 4);
  flow_ = std::make_shared<redis::Pool>(flow_endpoint_, 4);
  for (const auto& pool : {state_, flow_}) {
    YAGURA_ASSIGN_OR_RETURN(const redis::Reply info, pool->Command({"INFO", "server"}));
    for (const std::string_view line : Split(info.text, '\n')) {
      constexpr std::string_view kVersion = "redis_version:";
      if (line.starts_with(kVersion)) {
        manifest_.set_redis_version(std::string(Trim(line.substr(kVersion.size()))));
      }
    }
  }
  if (options_.without_store) {
    manifest_.add_not_included("the event store (--without-store)");
    return absl::OkStatus();
  }
  YAGURA_ASSIGN_OR_RETURN(const std::string address, AddressOf(options_.store_address, "store"));
  if (!address.starts_with("unix:")) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "STORE_NOT_HERE",
                     fmt::format("{}: the files of a ClickHouse server cannot be read from here; "
                                 "back it up by its own BACKUP statement, and the rest with "
                                 "--without-store",
                                 address));
  }
  eventstore::ClientOptions client;
  client.addresses = {address};
  store_client_ = std::make_unique<eventstore::Client>(client);
  return absl::OkStatus();
}

Status BackupRun::Prepare() {
  std::error_code error;
  const fs::path home = fs::weakly_canonical(options_.data_dir, error);
  const fs::path target = fs::weakly_canonical(options_.to, error);
  const auto [end, rest] = std::mismatch(home.begin(), home.end(), target.begin(), target.end());
  if (end == home.end()) {
    return MakeError(absl::StatusCode::kInvalidArgument, "BACKUP_INSIDE",
                     fmt::format("{} is in the data folder itself", options_.to.string()));
  }
  auto encryption = std::make_unique<backup::v1::Encryption>();
  YAGURA_ASSIGN_OR_RETURN(auto key, NewBackupKey(options_.key, encryption.get()));
  if (key) manifest_.set_allocated_encryption(encryption.release());
  if (store_client_ != nullptr) {
    YAGURA_ASSIGN_OR_RETURN(auto store, StoreCopy::Look(*store_client_));
    store_.emplace(std::move(store));
    store_->RemoveStale();
  }
  YAGURA_ASSIGN_OR_RETURN(writer_, BackupWriter::Create(options_.to, std::move(key), work_));
  YAGURA_RETURN_IF_ERROR(CheckSpace());
  return staging_->Take(IsTakenApart, work_);
}

Status BackupRun::CheckSpace() {
  uint64_t bytes = store_ ? store_->bytes() : 0;
  for (const auto& pool : {state_, flow_}) {
    YAGURA_ASSIGN_OR_RETURN(const redis::Reply info, pool->Command({"INFO", "memory"}));
    bytes += stream::InfoNumber(info.text, "used_memory").value_or(0);
  }
  YAGURA_ASSIGN_OR_RETURN(const auto files, ListFiles(options_.data_dir, IsNoFileOfAService));
  for (const FoundFile& file : files) bytes += file.size;
  work_.Begin("backup", bytes);
  return CheckRoom(options_.to, bytes);
}

// A Redis has one child at a time: a dump would wait until its log is rewritten.
Status BackupRun::AwaitNoFork(redis::Pool& pool) const {
  const auto deadline = std::chrono::steady_clock::now() + kRewritePatience;
  for (;;) {
    YAGURA_ASSIGN_OR_RETURN(const redis::Reply info, pool.Command({"INFO", "persistence"}));
    const bool busy = stream::InfoNumber(info.text, "aof_rewrite_in_progress").value_or(0) != 0 ||
                      stream::InfoNumber(info.text, "rdb_bgsave_in_progress").value_or(0) != 0;
    if (!busy) return absl::OkStatus();
    if (std::chrono::steady_clock::now() > deadline) {
      return Unavailable("REDIS_BUSY", "a Redis rewrites its log without an end");
    }
    std::this_thread::sleep_for(milliseconds(100));
    YAGURA_RETURN_IF_ERROR(work_.Done(0));
  }
}

Status BackupRun::TakeMoment() {
  for (int attempt = 1;; ++attempt) {
    YAGURA_RETURN_IF_ERROR(AwaitNoFork(*flow_));
    YAGURA_RETURN_IF_ERROR(AwaitNoFork(*state_));
    const Status taken = TryMoment();
    if (taken.ok()) return taken;
    flow_dump_.reset();
    state_dump_.reset();
    if (store_) store_->Release(id_);
    const bool again = absl::IsAborted(taken) || absl::IsDeadlineExceeded(taken);
    if (!again || attempt >= kMostTries) return taken;
  }
}

// The flow Redis first: what takes effect in the state Redis between the two is done again from the
// flow after a restore, which changes nothing.
Status BackupRun::TryMoment() {
  YAGURA_ASSIGN_OR_RETURN(const auto quiet, QuietTime::Begin({state_, flow_}, work_.stop()));
  YAGURA_RETURN_IF_ERROR(staging_->TakeAnew(kIntakeFolder, work_));
  YAGURA_ASSIGN_OR_RETURN(auto flow,
                          redis::RdbDump::Begin(flow_endpoint_, kDumpPatience, work_.stop()));
  flow_dump_.emplace(std::move(flow));
  *manifest_.mutable_cut_time() = ToProto(SystemClock()->Now());
  YAGURA_ASSIGN_OR_RETURN(auto state,
                          redis::RdbDump::Begin(state_endpoint_, kDumpPatience, work_.stop()));
  state_dump_.emplace(std::move(state));
  if (store_) YAGURA_RETURN_IF_ERROR(store_->Freeze(id_));
  YAGURA_RETURN_IF_ERROR(staging_->TakeAnew(kArchiveFolder, work_));
  YAGURA_RETURN_IF_ERROR(quiet->StillQuiet());
  quiet->End();
  manifest_.set_flow_position(flow_dump_->position());
  manifest_.set_state_position(state_dump_->position());
  manifest_.set_pause_milliseconds(static_cast<uint64_t>(quiet->length().count()));
  manifest_.mutable_shards()->Assign(quiet->shards().begin(), quiet->shards().end());
  return absl::OkStatus();
}

// Both at once: Redis gives up on who does not read for a minute.
Status BackupRun::CopyRedis() {
  const auto copy = [this](redis::RdbDump& dump, const std::string& name) {
    return [this, &dump, name](const std::stop_token& stop) -> Status {
      YAGURA_ASSIGN_OR_RETURN(const auto file, writer_->NewFile(fmt::format("redis/{}.rdb", name)));
      const Status read =
          dump.Read([&file](std::string_view bytes) { return file->Add(bytes); }, stop);
      YAGURA_RETURN_IF_ERROR(Annotate(read, fmt::format("{} Redis", name)));
      return file->Finish();
    };
  };
  YAGURA_RETURN_IF_ERROR(
      DoBoth(work_.stop(), copy(*flow_dump_, "flow"), copy(*state_dump_, "state")));
  flow_dump_.reset();
  state_dump_.reset();
  return absl::OkStatus();
}

Status BackupRun::CopyStore() {
  if (!store_) return absl::OkStatus();
  YAGURA_ASSIGN_OR_RETURN(const auto parts, store_->FindParts());
  for (const StoreCopy::Part& part : parts) {
    YAGURA_ASSIGN_OR_RETURN(const auto files, ListFiles(part.folder));
    for (const FoundFile& file : files) {
      YAGURA_RETURN_IF_ERROR(
          writer_->Copy(part.folder / file.path,
                        fmt::format("store/{}/{}/{}", part.table, part.name, file.path)));
    }
  }
  store_->Release(id_);
  for (const backup::v1::Table& table : store_->tables()) *manifest_.add_tables() = table;
  manifest_.set_store_schema(store_->schema());
  manifest_.set_store_schema_oldest_reader(store_->oldest_reader());
  manifest_.set_store_version(store_->version());
  return absl::OkStatus();
}

Status BackupRun::CopyFiles() {
  YAGURA_ASSIGN_OR_RETURN(const auto files, ListFiles(staging_->folder()));
  const bool with_settings = !options_.settings_file.empty();
  for (const FoundFile& file : files) {
    // That of an earlier restore, which puts the settings of a backup there.
    if (with_settings && file.path == kSettingsName) continue;
    YAGURA_RETURN_IF_ERROR(
        writer_->Copy(staging_->folder() / file.path, "data/" + file.path, file.mode));
  }
  if (!with_settings) {
    manifest_.add_not_included("the file of settings (--settings takes it along)");
    return absl::OkStatus();
  }
  return writer_->Copy(options_.settings_file, std::string(kSettingsName));
}

StatusOr<BackupSummary> BackupRun::Finish() {
  manifest_.add_not_included("logs of the processes");
  manifest_.add_not_included(
      "what settings place outside the data folder: keys, spools, and blobs in a bucket");
  *manifest_.mutable_end_time() = ToProto(SystemClock()->Now());
  BackupSummary summary;
  for (const backup::v1::Table& table : manifest_.tables()) summary.rows += table.rows();
  summary.pause_milliseconds = manifest_.pause_milliseconds();
  YAGURA_ASSIGN_OR_RETURN(summary.files, writer_->Finish(std::move(manifest_)));
  summary.bytes = work_.bytes();
  return summary;
}

}  // namespace

StatusOr<BackupSummary> TakeBackup(const BackupOptions& options, Work& work) {
  return BackupRun(options, work).Run();
}

}  // namespace yagura::cli
