#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "yagura/backup/v1/manifest.pb.h"

namespace yagura::eventstore {
class Client;
}

namespace yagura::cli {

// The tables of an event store on this machine, held as they are at one moment: ClickHouse makes
// hard links of the files of all parts (FREEZE), which costs no space and no time, and nothing that
// is merged or deleted later touches them.
class StoreCopy {
 public:
  // Of the database `yagura`. FAILED_PRECONDITION: STORE_NOT_HERE where its files are not on this
  // machine's disks, or lie in a bucket.
  static absl::StatusOr<StoreCopy> Look(eventstore::Client& client);
  StoreCopy(StoreCopy&&) = default;
  StoreCopy& operator=(StoreCopy&&) = delete;

  // What backups that were killed left behind in the store's folders goes.
  void RemoveStale() const;
  // The moment. `id`: lower-case letters and digits. STORE_NOT_HERE where a part lies on a disk
  // that cannot be read here.
  absl::Status Freeze(const std::string& id);
  // Gives the space back.
  void Release(const std::string& id) const;

  struct Part {
    std::string table;
    std::string name;
    std::filesystem::path folder;
  };
  // All that the store froze; counts rows and parts of tables().
  absl::StatusOr<std::vector<Part>> FindParts();

  // Names and statements; rows and parts once they have been found.
  const std::vector<backup::v1::Table>& tables() const { return tables_; }
  uint64_t bytes() const { return bytes_; }  // on disk, about
  uint32_t schema() const { return schema_; }
  uint32_t oldest_reader() const { return oldest_reader_; }
  const std::string& version() const { return version_; }

 private:
  explicit StoreCopy(eventstore::Client& client) : client_(&client) {}
  absl::Status LookAtTables();
  absl::Status LookAtDisks();
  absl::Status LookAtVersions();
  absl::Status FreezeTable(const std::string& id, const std::string& table);
  bool IsOnALocalDisk(const std::filesystem::path& frozen) const;

  eventstore::Client* client_;
  std::vector<backup::v1::Table> tables_;
  std::vector<std::filesystem::path> disks_;  // all local ones
  std::vector<Part> frozen_;
  uint64_t bytes_ = 0;
  uint32_t schema_ = 0;
  uint32_t oldest_reader_ = 0;
  std::string version_;
};

// Makes the tables of a backup, whose manifest was checked, in an empty event store. The parts lie
// in `parts/<table>/<part>`; they are moved from there. DATA_LOSS (BACKUP_DAMAGED) where rows are
// missing afterwards. Gives the folders of the tables on all disks: what is in them is durable once
// their file systems are synced.
absl::StatusOr<std::vector<std::filesystem::path>> RestoreStore(
    eventstore::Client& client, const backup::v1::Manifest& manifest,
    const std::filesystem::path& parts);

}  // namespace yagura::cli
