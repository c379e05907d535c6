#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace yagura::ingestion {

// A bounded queue of batches on disk, first in, first out, for the time that the flow Redis cannot
// take them. Survives the process: what was appended is there after a restart, and may then come a
// second time (the stream deduplicates by key). Not thread-safe.
//
// Files "<number>.spool" in one folder, each a sequence of records: sizes of partition, key and
// payload (u32 little-endian each), hash (u64), the three texts. A torn or damaged record ends its
// file.
class Spool {
 public:
  struct Record {
    std::string partition;
    std::string key;
    std::string payload;
  };
  static constexpr uint64_t kSegmentBytes = 16 << 20;

  // Makes the folder. UNAVAILABLE where it cannot be used.
  static absl::StatusOr<std::unique_ptr<Spool>> Open(const std::filesystem::path& folder,
                                                     uint64_t quota_bytes);
  ~Spool();

  // On disk (fdatasync) when it returns OK. RESOURCE_EXHAUSTED (SPOOL_FULL) over the quota,
  // UNAVAILABLE where the disk refuses; the record is then not in the spool.
  absl::Status Append(const Record& record);
  // The oldest record; nothing where the spool is empty. The same again until Pop.
  absl::StatusOr<std::optional<Record>> Front();
  void Pop();

  bool empty() const { return segments_.empty(); }
  uint64_t bytes() const { return bytes_; }

 private:
  struct Segment {
    uint64_t number;
    uint64_t size;
  };
  Spool(std::filesystem::path folder, uint64_t quota_bytes);
  std::filesystem::path PathOf(uint64_t number) const;
  absl::Status StartSegment();
  void DropFront();

  const std::filesystem::path folder_;
  const uint64_t quota_bytes_;
  std::deque<Segment> segments_;  // the oldest first; the last is written to while write_fd_ >= 0
  uint64_t next_number_ = 1;
  uint64_t bytes_ = 0;
  int write_fd_ = -1;
  int read_fd_ = -1;  // of the first segment
  uint64_t read_offset_ = 0;
  uint64_t front_size_ = 0;  // of the record that Front gave
};

}  // namespace yagura::ingestion
