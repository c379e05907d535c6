#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "common/stream/topic.h"

namespace yagura::redis {
class Pool;
}

namespace yagura::stream {

// The right to read one shard for one reader name, and the place that reader has come to. A holder
// whose lease ran out and went to another cannot commit: its epoch is stale (ABORTED, reason
// LEASE_LOST). Not thread-safe.
//
// No pending lists and no claiming: whoever has the lease reads on from the committed place, which
// is the last-delivered id of the reader's consumer group, so that XINFO GROUPS shows the lag. A
// lease that ran out and that nobody else took may still be renewed.
class LeasedCursor {
 public:
  struct Options {
    std::string reader;  // one of the topic's declared readers
    // Unique among those alive. Who had the same name and is gone is succeeded at once: the lease
    // is the holder's again, and its epoch one higher, so that a predecessor that lives after all
    // can commit nothing.
    std::string holder;
    std::chrono::milliseconds lease{8'000};  // renewed by every Read and Commit
  };
  // Takes the lease. UNAVAILABLE with reason LEASE_HELD while another holder has it.
  static absl::StatusOr<LeasedCursor> Acquire(std::shared_ptr<redis::Pool> flow, const Topic& topic,
                                              int shard, const Options& options);
  LeasedCursor(LeasedCursor&&) noexcept;
  LeasedCursor& operator=(LeasedCursor&&) noexcept;
  ~LeasedCursor();  // does not release; see Release

  // The next entries after the last *read* one, at most `max_entries` and about `max_bytes`; waits
  // up to `block` for the first. Empty: nothing came. Starts at the committed place.
  absl::StatusOr<std::vector<Entry>> Read(size_t max_entries, size_t max_bytes,
                                          std::chrono::milliseconds block);
  // Exactly the entries first..last, for repeating a planned range.
  absl::StatusOr<std::vector<Entry>> ReadRange(EntryId first, EntryId last);
  // Everything up to `id`, an entry of the shard, is done. Fenced by the epoch; an `id` at or
  // before the committed place moves nothing. FAILED_PRECONDITION (NO_READER): the reader was
  // removed.
  absl::Status Commit(EntryId id);
  // Copies the entry `id` with the error to the dead letters and commits it, both or neither.
  absl::Status CommitDeadLetter(EntryId id, const absl::Status& error);
  // As CommitDeadLetter, of the pieces of the entry that are given up; none: as Commit.
  absl::Status CommitDeadPieces(EntryId id, const std::vector<DeadPiece>& pieces);
  // Back to the committed place: the next Read repeats what was read and not committed.
  void Rewind();
  absl::Status Renew();
  // Lets another holder take over at once.
  absl::Status Release();

  uint64_t epoch() const;
  EntryId committed() const;
  // The last entry handed out by Read, or the committed place.
  EntryId position() const;
  int shard() const;

 private:
  struct Impl;
  explicit LeasedCursor(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace yagura::stream
