#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "services/ingestion/domain/intake.h"
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
  // The size now; 0 where it cannot be had.
  uint64_t Size() const;

  // Whether it is the file that was read so far; then it is gone on with. `planned_end` is where
  // the part ends that may have been sent already.
  bool Resume(const internal::v1::FilePosition& position);
  internal::v1::FilePosition Position() const;
  // Starts from the beginning where it was emptied or written anew. True: it did.
  bool CheckHead();

  // The next part: whole lines from offset() on, about `limit` bytes. With `all`, what has no line
  // end yet belongs to it, too; so does what has none for `limit` bytes. Empty: there is none.
  std::string Read(size_t limit, bool all);
  // Bytes that have been read are to be sent; Done once they are durable.
  void Plan(uint64_t bytes);
  uint64_t planned_end() const { return planned_end_; }
  void Done() { offset_ = planned_end_; }
  // The same for each repeat of the part that is planned.
  std::string PartId() const;

  SteadyTime gone_since{};  // when its name was seen to be another file's, or nobody's

 private:
  FollowedFile(std::filesystem::path path, Socket file, FileId id, const std::string& listener);
  std::string ReadAt(uint64_t offset, size_t size) const;
  void NoteHead();

  std::filesystem::path path_;
  Socket file_;
  FileId id_;
  SenderState state_;
  uint64_t offset_ = 0;
  uint64_t planned_end_ = 0;
  std::string life_;
  uint32_t head_bytes_ = 0;
  std::string head_digest_;
};

// Calls `take` for each line of the part, without line ends; empty ones are left out.
template <typename Take>
void ForEachLine(std::string_view part, const Take& take) {
  while (!part.empty()) {
    const size_t end = std::min(part.find('\n'), part.size());
    std::string_view line = part.substr(0, end);
    part.remove_prefix(std::min(end + 1, part.size()));
    while (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.empty()) take(line);
  }
}

}  // namespace yagura::ingestion
