#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

#include "common/log/log.h"

namespace yagura::archive {

// What became of each server of the event store's cluster, as its client finds out: logged where it
// changes, and counted. Thread-safe.
class StoreServers {
 public:
  StoreServers(std::vector<std::string> addresses, Logger logger);

  // OK: it is used; else why not. As ClientOptions::on_change.
  void Note(size_t server, const absl::Status& status);
  // How many are "usable", "away" (they do not answer, or cannot now), "unfit" (they refuse us, or
  // are not what we need, until somebody does something about it) and "unknown" (not asked yet).
  std::map<std::string_view, size_t> Counts() const;

 private:
  const std::vector<std::string> addresses_;
  const Logger logger_;
  mutable std::mutex mutex_;
  std::vector<std::string_view> states_;  // guarded by mutex_
};

}  // namespace yagura::archive
