#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

#include "common/log/log.h"

namespace yagura::eventstore {

// The embedded event store as a child process: `yagura-store`, which holds libchdb. Starts it,
// starts it again after a crash (at once, then ever later up to 5 s), and stops it. The child does
// not outlive this process, however that ends. Thread-safe.
class StoreProcess {
 public:
  struct Options {
    std::filesystem::path program;      // build/.../bin/yagura-store
    std::filesystem::path data_dir;     // made where it does not exist
    std::filesystem::path socket;       // at most 107 bytes long
    uint64_t memory_limit_bytes = 0;    // 0: the child's default
    std::filesystem::path config_file;  // of ClickHouse: disks and storage policies; empty: none
    std::filesystem::path libchdb;      // empty: where the child looks by itself
    std::filesystem::path log_file;     // what the child says; empty: our standard error
    std::chrono::milliseconds start_timeout{30'000};
    std::chrono::milliseconds stop_timeout{15'000};  // then SIGKILL
  };

  // Returns once the child answers. UNAVAILABLE (STORE_NOT_STARTED) where it does not in time or
  // ends at once: another process uses the folder, libchdb is missing...
  static absl::StatusOr<std::unique_ptr<StoreProcess>> Start(const Options& options, Logger logger);
  ~StoreProcess();  // Stop

  // "unix:/path", for ClientOptions::addresses.
  std::string address() const;
  // Of the present child; -1 while there is none. For tests, which kill it.
  pid_t pid() const;
  // How often it has been started again.
  int restarts() const;
  // OK, or why the store does not answer.
  absl::Status Health() const;
  // Asks the child to end and waits for it. Idempotent.
  void Stop();

 private:
  struct Impl;
  explicit StoreProcess(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace yagura::eventstore
