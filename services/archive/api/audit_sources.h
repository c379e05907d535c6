#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "common/filter/filter.h"
#include "services/archive/storage/audit_store.h"
#include "services/archive/storage/seal_store.h"

// Where a list of audit records reads from: what is sealed from the event store, the rest from the
// tenants' feeds. Not thread-safe; made for one page.
namespace yagura::archive {

// A tenant's records in the feed, from the newest to the oldest, read in windows.
class UnsealedRecords {
 public:
  // Records with numbers in (after, before); `seen` is what the feed looked like.
  UnsealedRecords(const SealStore& seals, std::string tenant, uint64_t after, uint64_t before,
                  const SealStore::Feed& seen);

  // Null at the end. ABORTED (FEED_MOVED) where records were sealed and trimmed meanwhile: look
  // again, unless `patient` is false.
  absl::StatusOr<const audit::v1::Record*> Newest(bool patient);
  audit::v1::Record Take();

  const std::string& tenant() const { return tenant_; }
  // Everything from here on has been taken.
  uint64_t before() const { return before_; }

 private:
  absl::Status ReadWindow(bool patient);

  const SealStore& seals_;
  const std::string tenant_;
  const uint64_t after_;
  uint64_t before_;
  const SealStore::Feed seen_;
  uint64_t window_start_ = 0;               // the lowest number of the window that was read
  std::vector<audit::v1::Record> records_;  // oldest first
};

// Sealed records of several tenants that fit a filter, in the order of the store.
class SealedRecords {
 public:
  // `below`: by tenant, the bound of its numbers; those without are left out.
  SealedRecords(const AuditStore& store, filter::Filter filter,
                std::map<std::string, uint64_t> below, TimePoint now, size_t page_size,
                std::stop_token stop);

  // Null at the end.
  absl::StatusOr<const StoredRecord*> Newest();
  StoredRecord Take();

 private:
  absl::Status Fetch();

  const AuditStore& store_;
  AuditStore::Selection selection_;  // of what has not been fetched
  std::chrono::hours window_;
  const size_t page_size_;
  const std::stop_token stop_;
  bool ended_ = false;
  std::deque<StoredRecord> records_;
};

}  // namespace yagura::archive
