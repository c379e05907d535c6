#include "cli/backup/backup.h"

#include <signal.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <stop_token>
#include <thread>

#include "cli/backup/backup_reader.h"
#include "cli/backup/restore.h"
#include "cli/backup/work.h"
#include "cli/commands/command.h"
#include "fmt/format.h"

#include "common/config/units.h"

namespace yagura::cli {
namespace {

struct BackupFlags {
  BackupOptions backup;
  std::string limit;
};

struct VerifyFlags {
  std::filesystem::path folder;
  KeySource key;
};

std::filesystem::path DataDir(const Program& program) {
  const auto& told = program.globals().connection.data_dir;
  if (!told.empty()) return told;
  const char* environment = std::getenv("YAGURA_DATA_DIR");
  return environment != nullptr ? environment : "data";
}

// Runs `work` so that the signals that end a program stop it cleanly.
Status Interruptible(uint64_t bytes_per_second, const std::function<Status(Work&)>& run) {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals, number);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);  // before any thread exists
  std::stop_source stop;
  const std::jthread listener([&signals, &stop](const std::stop_token& over) {
    constexpr timespec kLook{.tv_sec = 0, .tv_nsec = 100'000'000};
    while (!over.stop_requested()) {
      if (sigtimedwait(&signals, nullptr, &kLook) > 0) stop.request_stop();
    }
  });
  Work work(bytes_per_second, stop.get_token());
  const Status status = run(work);
  work.Clear();
  return status;
}

void AddKeyOptions(CLI::App& command, KeySource& key, const char* help_of_file) {
  command.add_option("--key-file", key.key_file, help_of_file);
  command.add_option("--passphrase-file", key.passphrase_file,
                     "File whose first line is a passphrase, in place of a key file");
}

Status RunBackup(const Program& program, BackupFlags& flags) {
  if (flags.backup.to.empty()) {
    return MakeError(absl::StatusCode::kInvalidArgument, "OPTION_MISSING",
                     "a backup needs --to, a new or an empty folder");
  }
  flags.backup.data_dir = DataDir(program);
  const auto limit = config::ParseBytes(flags.limit.empty() ? "0" : flags.limit);
  // Redis gives up on who takes a piece of a dump for a minute.
  constexpr uint64_t kSlowest = 64 << 10;
  if (!limit || (!flags.limit.empty() && *limit < kSlowest)) {
    return MakeError(absl::StatusCode::kInvalidArgument, "LIMIT_BAD",
                     "--limit wants bytes a second, 64KiB at least: 20MiB, 512KiB");
  }
  return Interruptible(*limit, [&flags](Work& work) -> Status {
    YAGURA_ASSIGN_OR_RETURN(const BackupSummary summary, TakeBackup(flags.backup, work));
    work.Clear();
    Write(
        fmt::format("Backed up to {}: {} in {} files, {} rows of the event store.\n"
                    "Writing to the event store paused for {} ms; intake did not.\n",
                    flags.backup.to.string(), BytesText(summary.bytes), summary.files, summary.rows,
                    summary.pause_milliseconds));
    return absl::OkStatus();
  });
}

Status RunVerify(VerifyFlags& flags) {
  return Interruptible(0, [&flags](Work& work) -> Status {
    YAGURA_ASSIGN_OR_RETURN(BackupReader reader, BackupReader::Open(flags.folder));
    const bool with_key = !flags.key.key_file.empty() || !flags.key.passphrase_file.empty();
    if (with_key) YAGURA_RETURN_IF_ERROR(reader.Unlock(flags.key));
    work.Begin("verifying", reader.bytes());
    YAGURA_RETURN_IF_ERROR(reader.Verify(work));
    work.Clear();
    Write(fmt::format("{} is whole: {} files, {}, event store of schema {}{}.\n",
                      flags.folder.string(), reader.manifest().files_size(),
                      BytesText(reader.bytes()), reader.manifest().store_schema(),
                      !reader.encrypted() ? ", not encrypted"
                      : with_key          ? ", decrypted with the key"
                                          : ", encrypted (not tried with its key)"));
    return absl::OkStatus();
  });
}

Status RunRestore(const Program& program, RestoreOptions& options) {
  if (program.globals().connection.data_dir.empty()) {
    return MakeError(absl::StatusCode::kInvalidArgument, "OPTION_MISSING",
                     "a restore needs --data-dir, a new or an empty folder");
  }
  options.data_dir = program.globals().connection.data_dir;
  return Interruptible(0, [&options](Work& work) -> Status {
    YAGURA_ASSIGN_OR_RETURN(const RestoreSummary summary, Restore(options, work));
    work.Clear();
    std::string text = fmt::format("Restored into {}: {} files, {} rows of the event store.\n",
                                   options.data_dir.string(), summary.files, summary.rows);
    if (summary.without_store) text += "The backup has no event store: it starts empty.\n";
    if (!summary.moved_aside.empty()) {
      text += fmt::format("What was there is now {}.\n", summary.moved_aside.string());
    }
    if (!summary.settings_file.empty()) {
      text += fmt::format("Its settings: {}\n", summary.settings_file.string());
    }
    Write(text + fmt::format("Start it:  yagura --data-dir {} up{}\n", options.data_dir.string(),
                             summary.settings_file.empty()
                                 ? std::string()
                                 : " --settings " + summary.settings_file.string()));
    return absl::OkStatus();
  });
}

void AddBackup(Program& program) {
  auto flags = std::make_shared<BackupFlags>();
  CLI::App& backup = *program.app().add_subcommand(
      "backup", "Copy everything that the suite of --data-dir keeps, while it runs");
  backup.footer(
      "What was acknowledged when it begins is in the backup. It holds every secret of the suite: "
      "--key-file, --passphrase-file or --plain must be said. The backup is whole once SHA256SUMS "
      "is in it; one that is broken off is taken away.");
  BackupOptions& options = flags->backup;
  backup.add_option("--to", options.to,
                    "Folder of the backup: new or empty, not in the data folder");
  AddKeyOptions(backup, options.key, "Encrypt with this key, made by `yagura backup key`");
  backup.add_flag("--plain", options.key.plain,
                  "Do not encrypt: whoever reads the folder has the suite's keys");
  backup.add_option("--limit", flags->limit,
                    "Copy at most so much a second: 20MiB; else as fast as it goes");
  backup.add_option("--settings", options.settings_file,
                    "Take this file of settings (as given to `up`) along");
  backup.add_option("--state-redis", options.state_address,
                    "tcp:HOST:PORT, unix:/PATH or sentinel:NAME@HOST:PORT,...; else as the running "
                    "suite says");
  backup.add_option("--flow-redis", options.flow_address, "The same of the flow Redis");
  backup.add_option("--redis-password-file", options.redis_password_file,
                    "File with the password of a Redis that is given by its address");
  backup.add_option("--store", options.store_address,
                    "unix:/PATH of a yagura-store on this machine; else as the running suite says");
  backup.add_flag("--without-store", options.without_store,
                  "Leave the event store out, where it is a ClickHouse server elsewhere");
  backup.require_subcommand(0, 1);

  CLI::App& key = *backup.add_subcommand("key", "Make a key that backups are encrypted with");
  auto key_file = std::make_shared<std::filesystem::path>();
  key.add_option("--out", *key_file, "File that is made; keep it apart from the backups")
      ->required();
  program.Do(key, [key_file]() -> Status {
    YAGURA_RETURN_IF_ERROR(WriteKeyFile(*key_file));
    Write(
        fmt::format("{} is made. Without it no backup that it encrypts can be restored: keep "
                    "copies of it, apart from the backups.\n",
                    key_file->string()));
    return absl::OkStatus();
  });

  auto verify_flags = std::make_shared<VerifyFlags>();
  CLI::App& verify =
      *backup.add_subcommand("verify", "Read a backup and see that it is whole and unchanged");
  verify.add_option("folder", verify_flags->folder, "Folder of the backup")->required();
  AddKeyOptions(verify, verify_flags->key,
                "Key of the backup: see that it was made with it, and opens");
  program.Do(verify, [verify_flags] { return RunVerify(*verify_flags); });

  program.Do(backup, [&program, &backup, flags]() -> Status {
    if (!backup.get_subcommands().empty()) return program.status();
    return RunBackup(program, *flags);
  });
}

}  // namespace

void AddBackupCommands(Program& program) {
  AddBackup(program);
  auto options = std::make_shared<RestoreOptions>();
  CLI::App& restore = *program.app().add_subcommand(
      "restore", "Put a backup into an empty data folder, for `up` to start on");
  restore.footer(
      "The backup is checked first. --data-dir must be given: a new or an empty folder. What came "
      "after the backup is lost; keys and users that were taken away since are good again.");
  restore.add_option("--from", options->from, "Folder of the backup")->required();
  AddKeyOptions(restore, options->key, "Key of the backup");
  restore.add_flag("--plain", options->key.plain,
                   "Take a backup that is not encrypted, which anybody who can write its folder "
                   "may have changed");
  restore.add_option("--store-config", options->store_config,
                     "ClickHouse configuration with the storage policy that the tables name");
  restore.add_flag("--force", options->force,
                   "Move what the data folder holds aside, to NAME.before-restore-TIME");
  program.Do(restore, [&program, options] { return RunRestore(program, *options); });
}

}  // namespace yagura::cli
