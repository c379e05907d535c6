#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "services/store/chdb.h"

namespace yagura::storeserver {

// An exception of the engine: its number and text. Code 0 with a text: not from the engine.
struct Exception {
  int code = 0;
  std::string text;
  bool ok() const { return text.empty(); }
};

struct Statement {
  std::string sql;
  std::string format = "TabSeparated";            // where the text names none
  std::map<std::string, std::string> parameters;  // already escaped, as in param_x of a URL
};

class Session;

// The engine on one folder. Thread-safe; one a process, and one process a folder.
class Engine {
 public:
  struct Options {
    std::filesystem::path data_dir;
    uint64_t memory_limit_bytes;  // of the whole engine; a query gets four fifths
    uint64_t mark_cache_bytes;
    std::string config_file;  // of ClickHouse; empty: none
  };
  // UNAVAILABLE where another process has the folder open.
  static absl::StatusOr<std::unique_ptr<Engine>> Open(const Chdb& chdb, const Options& options);
  // Closes; sessions must be gone.
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // A session with the default settings, cheap (70 microseconds): one a request, so that no
  // setting of one request reaches another.
  absl::StatusOr<std::unique_ptr<Session>> NewSession() const;

 private:
  Engine(const Chdb& chdb, Options options, int lock);

  const Chdb chdb_;
  const Options options_;
  int lock_ = -1;                         // file descriptor of the folder's lock
  ChdbConnection* connection_ = nullptr;  // keeps the engine running between sessions
};

// What one request uses. Not thread-safe.
class Session {
 public:
  Session(const Chdb& chdb, ChdbConnection* connection);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Names are checked to be names; the engine checks the rest.
  Exception Set(const std::map<std::string, std::string>& settings);

  // Runs one statement, hands over its result piece by piece. False from `sink` ends it early.
  Exception Run(const Statement& statement, const std::function<bool(std::string_view)>& sink);

  // An insert whose data come in pieces: "INSERT INTO t (a, b)", without FORMAT. `next` gives the
  // next piece, empty at the end, or fails where the sender went away: nothing is inserted then.
  struct Written {
    Exception exception;
    uint64_t rows = 0;
  };
  Written Insert(const Statement& statement,
                 const std::function<absl::StatusOr<std::string_view>()>& next);

 private:
  class Parameters;
  Exception RunWhole(const Statement& statement, const Parameters& parameters,
                     const std::function<bool(std::string_view)>& sink);

  const Chdb& chdb_;
  ChdbConnection* connection_;
};

}  // namespace yagura::storeserver
