#include "common/eventstore/replica_sync.h"

#include <algorithm>

namespace yagura::eventstore {
namespace {

bool IsPartOfName(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

bool Names(std::string_view sql, std::string_view table) {
  for (size_t at = sql.find(table); at != std::string_view::npos; at = sql.find(table, at + 1)) {
    const size_t end = at + table.size();
    if ((at == 0 || !IsPartOfName(sql[at - 1])) && (end == sql.size() || !IsPartOfName(sql[end]))) {
      return true;
    }
  }
  return false;
}

}  // namespace

std::vector<std::string> ReplicaSync::Due(size_t server, std::string_view sql,
                                          std::chrono::milliseconds staleness) const {
  std::vector<std::string> due;
  const auto now = Clock::now();
  for (const std::string& table : tables_) {
    if (!Names(sql, table)) continue;
    const std::lock_guard lock(mutex_);
    const auto it = synced_.find({server, table});
    if (it == synced_.end() || it->second + staleness <= now) due.push_back(table);
  }
  return due;
}

void ReplicaSync::Synced(size_t server, const std::string& table, Clock::time_point when) {
  const std::lock_guard lock(mutex_);
  Clock::time_point& last = synced_[{server, table}];
  last = std::max(last, when);
}

}  // namespace yagura::eventstore
