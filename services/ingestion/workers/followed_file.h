#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "services/ingestion/domain/intake.h"
#include "services/ingestion/domain/multi_line.h"
#include "services/ingestion/workers/descriptor_budget.h"
#include "services/ingestion/workers/socket.h"
#include "yagura/ingestion/internal/v1/file_positions.pb.h"

namespace yagura::ingestion {

// Which file this is, whatever it is called.
struct FileId {
  uint64_t device = 0;
  uint64_t inode = 0;
  auto operator<=>(const FileId&) const = default;
};

// One file that is read as it grows. Not thread-safe.
class FollowedFile {
 public:
  // Nothing where it cannot be opened or is no plain file.
  static std::optional<FollowedFile> Open(const std::filesystem::path& path,
                                          const std::string& listener);

  const FileId& id() const { return id_; }
  const std::filesystem::path& path() const { return path_; }
  void set_path(const std::filesystem::path& path) { path_ = path; }
  SenderState& state() { return state_; }
  uint64_t offset() const { return offset_; }
  // The size when it was looked at last.
  uint64_t size() const { return size_; }
  // Notes how long it is now, and when that changed. False: the file cannot be read any more (its
  // file system is gone); nothing must be concluded from what it seems to hold.
  bool Look(SteadyTime now);
  bool readable() const { return readable_; }
  // When it was seen to have become longer or shorter.
  SteadyTime changed_at() const { return changed_at_; }
  // No name leads to it.
  bool removed() const { return removed_; }

  // Whether it is the file that was read so far; then it is gone on with. It is told by what it
  // holds: its head, and what was read last. Where inode and name are others, too, only much of the
  // same text convinces: many logs begin alike.
  bool Resume(const internal::v1::FilePosition& position);
  internal::v1::FilePosition Position() const;
  // Starts from the beginning where it was emptied or written anew. True: it did.
  bool CheckContent();

  enum class UpTo {
    kEvents,  // whole events: of the last one nobody knows yet whether it goes on
    kLines,   // whole lines
    kEnd,     // also what has no line end
  };
  // The next part: from offset() on, about `limit` bytes; what has no line end for `limit` bytes
  // belongs to it, too. Empty: there is none. Without a rule, lines are events.
  std::string Read(size_t limit, UpTo up_to, const std::shared_ptr<const MultiLineRule>& rule);
  // Bytes that have been read are to be sent; Done once they are durable.
  void Plan(uint64_t bytes);
  uint64_t planned_end() const { return planned_end_; }
  void Done();
  // The same for each repeat of the part that is planned.
  std::string PartId() const;

  DescriptorBudget::Lease descriptor;  // its own of the inputs' together
  SteadyTime gone_since{};             // when its name was seen to be another file's, or nobody's

 private:
  FollowedFile(std::filesystem::path path, Socket file, FileId id, const std::string& listener);
  std::string ReadAt(uint64_t offset, size_t size);
  // SHA-256 of these bytes; empty where there are fewer.
  std::string DigestAt(uint64_t offset, size_t size);
  void NoteHead();
  void NoteTail();

  std::filesystem::path path_;
  Socket file_;
  FileId id_;
  SenderState state_;
  bool readable_ = true;
  bool removed_ = false;
  uint64_t size_ = 0;
  SteadyTime changed_at_{};
  uint64_t offset_ = 0;
  uint64_t planned_end_ = 0;
  std::string life_;
  std::string first_head_;  // digest of the head when it was met; empty: it is shorter
  uint32_t head_bytes_ = 0;
  std::string head_digest_;
  uint32_t tail_bytes_ = 0;  // before offset_
  std::string tail_digest_;
};

}  // namespace yagura::ingestion
