#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace yagura::eventstore {

// Which replica of which table was last known to have all that others had, and when. Thread-safe.
class ReplicaSync {
 public:
  using Clock = std::chrono::steady_clock;
  // Names with their database, "yagura.events".
  explicit ReplicaSync(std::vector<std::string> tables) : tables_(std::move(tables)) {}

  // The tables that the statement names, of which `server` was not known to have all for so long.
  std::vector<std::string> Due(size_t server, std::string_view sql,
                               std::chrono::milliseconds staleness) const;
  // It has all that others had at this time.
  void Synced(size_t server, const std::string& table, Clock::time_point when);

  const std::vector<std::string>& tables() const { return tables_; }

 private:
  const std::vector<std::string> tables_;
  mutable std::mutex mutex_;
  std::map<std::pair<size_t, std::string>, Clock::time_point> synced_;
};

}  // namespace yagura::eventstore
