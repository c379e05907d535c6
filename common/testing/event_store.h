#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "common/eventstore/client.h"
#include "common/eventstore/store_process.h"

namespace yagura::testing {

// A real yagura-store with libchdb in a temporary folder, stopped and removed with the object.
// Aborts the test program where it does not start: build yagura-store (PROGRAMS of yagura_test) and
// run cmake/install-libchdb.sh.
class EventStore {
 public:
  struct Options {
    uint64_t memory_limit_bytes = 1ull << 30;
    // A ClickHouse configuration, in which "{folder}" stands for the fixture's folder; empty: none.
    std::string config;
    // Replicated tables work, with a Keeper in the store's own memory: there is no other replica,
    // and after a restart tables are read-only, as Keeper knows nothing of them any more. By
    // default: whether $YAGURA_TEST_CLUSTER is set.
    bool replicated = ReplicatedByDefault();
  };
  static bool ReplicatedByDefault();
  EventStore();
  explicit EventStore(const Options& options);
  ~EventStore();
  EventStore(const EventStore&) = delete;
  EventStore& operator=(const EventStore&) = delete;

  eventstore::Client& client() { return *client_; }
  eventstore::StoreProcess& process() { return *process_; }
  // "unix:/...", for clients of one's own.
  std::string address() const;
  const std::filesystem::path& folder() const { return folder_; }
  // The name of the cluster that it is the one server of; empty where its tables are its own.
  std::string cluster() const { return options_.replicated ? "test" : ""; }

  void KillHard() const;  // SIGKILL; it is started again by its supervisor
  void Pause() const;     // SIGSTOP, and waits until it stands still
  void Resume() const;    // SIGCONT
  // Waits until it answers again; aborts after 30 s.
  void AwaitUp() const;
  // Stops it for good, until Start.
  void Stop();
  void Start();

 private:
  std::filesystem::path WriteReplicatedProgram() const;

  const Options options_;
  std::filesystem::path folder_;
  std::unique_ptr<eventstore::StoreProcess> process_;
  std::unique_ptr<eventstore::Client> client_;
};

// Where the program of this name was built: in $YAGURA_BIN_DIR, or beside the folder of this one.
std::filesystem::path ProgramPath(const std::string& name);

}  // namespace yagura::testing
