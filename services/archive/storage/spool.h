#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "common/stream/topic.h"
#include "yagura/archive/internal/v1/archive_state.pb.h"

namespace yagura::archive {

// A planned range with its entries.
struct RangeData {
  int shard = 0;
  internal::v1::PlannedRange plan;
  std::vector<stream::Entry> entries;
};

// Ranges on disk, while the event store is down and the flow Redis too full to keep them: one file
// a range, checksummed, whole or not at all. Thread-safe; one object a folder.
class Spool {
 public:
  // Makes the folder, or counts what is in it.
  static absl::StatusOr<std::unique_ptr<Spool>> Open(std::filesystem::path folder,
                                                     uint64_t quota_bytes);

  // Durable (fsync of file and folder) once it returns. RESOURCE_EXHAUSTED (SPOOL_FULL) beyond the
  // quota; an empty spool takes any one range. The same range again replaces itself.
  absl::Status Put(const RangeData& range);
  // The oldest range of the shard. DATA_LOSS names a file that is broken; it is set aside under
  // the ending ".broken" and not found again.
  absl::StatusOr<std::optional<RangeData>> Oldest(int shard);
  // The first entry of the range that came first, of all shards; none where nothing is here.
  std::optional<stream::EntryId> OldestEntry() const;
  // After the range has been inserted.
  absl::Status Remove(const RangeData& range);

  // Shards of which something is here.
  std::vector<int> Shards() const;
  uint64_t bytes() const;
  size_t ranges() const;

 private:
  struct File {
    int shard;
    stream::EntryId first;
    auto operator<=>(const File&) const = default;  // NOLINT(modernize-use-nullptr)
  };
  Spool(std::filesystem::path folder, uint64_t quota_bytes);
  absl::Status Scan();
  std::filesystem::path PathOf(const File& file) const;

  const std::filesystem::path folder_;
  const uint64_t quota_bytes_;
  mutable std::mutex mutex_;
  std::map<File, uint64_t> files_;  // with their sizes
  uint64_t bytes_ = 0;
};

}  // namespace yagura::archive
