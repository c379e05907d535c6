#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace yagura::ingestion {

// A bounded queue of batches on disk, first in, first out, for the time that the flow Redis cannot
// take them. Survives the process: what was appended is there after a restart, and may then come a
// second time (the stream deduplicates by key). Not thread-safe.
//
// Files "<number>-<seed>.spool" in one folder, each a sequence of records: sizes of partition, key
// and payload (u32 little-endian each), hash (u64), the three texts. The hash has a random seed, so
// that no sender can put into a payload what would be taken for a record after damage. Bytes that
// are no sound record (torn by a crash, damaged on disk) are set aside in
// "<number>-<offset>.damaged" and reading goes on at the next sound record. Those files stay until
// somebody removes them; they count for the quota, and no more than a quarter of it is kept.
class Spool {
 public:
  struct Record {
    std::string partition;
    std::string key;
    std::string payload;
  };
  static constexpr uint64_t kSegmentBytes = 16 << 20;
  // Bytes of a segment that were no sound record.
  struct Damage {
    std::filesystem::path segment;
    uint64_t offset;
    uint64_t bytes;
    std::filesystem::path kept_in;  // empty: not kept, as there is no room or the disk refuses
  };

  // Makes the folder. UNAVAILABLE where it cannot be used.
  static absl::StatusOr<std::unique_ptr<Spool>> Open(const std::filesystem::path& folder,
                                                     uint64_t quota_bytes);
  ~Spool();

  // On disk (fdatasync) when it returns OK. RESOURCE_EXHAUSTED (SPOOL_FULL) over the quota,
  // UNAVAILABLE where the disk refuses; the record is then not in the spool.
  absl::Status Append(const Record& record);
  // The oldest record; nothing where the spool is empty. The same again until Pop. UNAVAILABLE
  // where the disk refuses to read; nothing is given up for that.
  absl::StatusOr<std::optional<Record>> Front();
  void Pop();

  // What Front found damaged since the last call.
  std::vector<Damage> TakeDamages() { return std::exchange(damages_, {}); }

  bool empty() const { return segments_.empty(); }
  uint64_t bytes() const { return bytes_; }
  // Set aside, from now and earlier.
  uint64_t damaged_bytes() const { return damaged_bytes_; }

 private:
  struct Segment {
    uint64_t number;
    uint64_t seed;  // 0 where the name has none
    uint64_t size;
  };
  Spool(std::filesystem::path folder, uint64_t quota_bytes);
  std::filesystem::path PathOf(const Segment& segment) const;
  absl::Status StartSegment();
  void DropFront();
  // Reads what is between read_offset_ and the next sound record out of the way.
  absl::Status SkipDamage();
  void SetAside(std::string_view bytes);

  const std::filesystem::path folder_;
  const uint64_t quota_bytes_;
  std::deque<Segment> segments_;  // the oldest first; the last is written to while write_fd_ >= 0
  uint64_t next_number_ = 1;
  uint64_t bytes_ = 0;
  uint64_t damaged_bytes_ = 0;
  std::vector<Damage> damages_;
  int write_fd_ = -1;
  int read_fd_ = -1;  // of the first segment
  uint64_t read_offset_ = 0;
  uint64_t front_size_ = 0;  // of the record that Front gave
};

}  // namespace yagura::ingestion
