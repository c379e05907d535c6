#include "services/ingestion/workers/followed_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <random>

#include "fmt/format.h"

#include "common/digest/sha256.h"
#include "common/event/batch_codec.h"
#include "common/text/text.h"

namespace yagura::ingestion {
namespace {

constexpr uint32_t kHeadBytes = 1024;
constexpr uint32_t kTailBytes = 1024;
// So much text must be the same where a name leads to another inode.
constexpr uint32_t kConvincingBytes = 256;

std::string NewLife() {
  std::random_device random;
  return fmt::format("{:08x}{:08x}{:08x}", random(), random(), random());
}

}  // namespace

std::optional<FollowedFile> FollowedFile::Open(const std::filesystem::path& path,
                                               const std::string& listener) {
  // Not blocking: the name may be that of a pipe.
  Socket file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  struct stat info {};
  if (file.fd() < 0 || ::fstat(file.fd(), &info) != 0 || !S_ISREG(info.st_mode)) {
    return std::nullopt;
  }
  FollowedFile opened(path, std::move(file), {info.st_dev, info.st_ino}, listener);
  opened.size_ = static_cast<uint64_t>(info.st_size);
  return opened;
}

FollowedFile::FollowedFile(std::filesystem::path path, Socket file, FileId id,
                           const std::string& listener)
    : path_(std::move(path)),
      file_(std::move(file)),
      id_(id),
      state_(Sender{listener, {}, {}, {}}),
      life_(NewLife()) {
  state_.origin = ToValidUtf8(path_.native());
}

bool FollowedFile::Look(SteadyTime now) {
  struct stat info {};
  if (::fstat(file_.fd(), &info) != 0) return readable_ = false;
  const auto size = static_cast<uint64_t>(info.st_size);
  if (std::exchange(size_, size) != size || changed_at_ == SteadyTime{}) changed_at_ = now;
  removed_ = info.st_nlink == 0;
  return readable_;
}

std::string FollowedFile::ReadAt(uint64_t offset, size_t size) {
  std::string bytes(size, '\0');
  size_t got = 0;
  while (got < size) {
    const ssize_t more =
        ::pread(file_.fd(), bytes.data() + got, size - got, static_cast<off_t>(offset + got));
    if (more < 0 && errno == EINTR) continue;
    if (more < 0) readable_ = false;
    if (more <= 0) break;
    got += static_cast<size_t>(more);
  }
  bytes.resize(got);
  return bytes;
}

std::string FollowedFile::DigestAt(uint64_t offset, size_t size) {
  const std::string bytes = ReadAt(offset, size);
  return bytes.size() == size ? Sha256(bytes) : std::string();
}

bool FollowedFile::Resume(const internal::v1::FilePosition& position) {
  const uint32_t head_bytes = position.head_bytes();
  const uint32_t tail_bytes = position.tail_bytes();
  if (position.offset() > size_ || position.planned_end() < position.offset() ||
      head_bytes > kHeadBytes || tail_bytes > kTailBytes || tail_bytes > position.offset()) {
    return false;
  }
  // A file system that is mounted anew may have another device number.
  if (position.inode() != id_.inode) {
    const bool same_name = position.path() == path_.native();
    if (head_bytes < (same_name ? kConvincingBytes : kHeadBytes)) return false;
  }
  // There may be thousands of positions to compare with.
  if (first_head_.empty()) first_head_ = DigestAt(0, kHeadBytes);
  const std::string head = head_bytes == kHeadBytes ? first_head_ : DigestAt(0, head_bytes);
  if (head_bytes > 0 && head != position.head_digest()) return false;
  if (tail_bytes > 0 &&
      DigestAt(position.offset() - tail_bytes, tail_bytes) != position.tail_digest()) {
    return false;
  }
  offset_ = position.offset();
  planned_end_ = std::min(position.planned_end(), size_);
  head_bytes_ = head_bytes;
  head_digest_ = position.head_digest();
  NoteTail();
  if (!position.life().empty()) life_ = position.life();
  return true;
}

internal::v1::FilePosition FollowedFile::Position() const {
  internal::v1::FilePosition position;
  position.set_path(path_.native());
  position.set_device(id_.device);
  position.set_inode(id_.inode);
  position.set_head_bytes(head_bytes_);
  position.set_head_digest(head_digest_);
  position.set_offset(offset_);
  position.set_planned_end(planned_end_);
  position.set_life(life_);
  position.set_tail_bytes(tail_bytes_);
  position.set_tail_digest(tail_digest_);
  return position;
}

bool FollowedFile::CheckContent() {
  if (size_ >= std::max(offset_, planned_end_)) {
    const bool same_head = head_bytes_ == 0 || DigestAt(0, head_bytes_) == head_digest_;
    const bool same_tail =
        tail_bytes_ == 0 || DigestAt(offset_ - tail_bytes_, tail_bytes_) == tail_digest_;
    if (same_head && same_tail) return false;
  }
  if (!readable_) return false;
  offset_ = planned_end_ = 0;
  head_bytes_ = tail_bytes_ = 0;
  life_ = NewLife();
  return true;
}

void FollowedFile::NoteHead() {
  const std::string head = ReadAt(0, kHeadBytes);
  // Only what has been taken: of a line that is not whole yet the end may still change.
  head_bytes_ =
      static_cast<uint32_t>(std::min<uint64_t>(head.size(), std::max(offset_, planned_end_)));
  head_digest_ = Sha256(std::string_view(head).substr(0, head_bytes_));
}

void FollowedFile::NoteTail() {
  tail_bytes_ = static_cast<uint32_t>(std::min<uint64_t>(offset_, kTailBytes));
  tail_digest_ = DigestAt(offset_ - tail_bytes_, tail_bytes_);
  if (tail_digest_.empty()) tail_bytes_ = 0;
}

std::string FollowedFile::Read(size_t limit, UpTo up_to,
                               const std::shared_ptr<const MultiLineRule>& rule) {
  // What was on its way when we were killed: exactly so once more.
  if (planned_end_ > offset_) return ReadAt(offset_, planned_end_ - offset_);
  std::string part = ReadAt(offset_, limit);
  const bool full = part.size() == limit;
  const size_t end = part.rfind('\n');
  if (end != part.npos && (full || up_to != UpTo::kEnd)) {
    part.resize(end + 1);
  } else if (!full && up_to != UpTo::kEnd) {
    part.clear();  // a line that goes on
  }
  if (rule != nullptr && (full || up_to == UpTo::kEvents)) {
    const size_t whole = WholeEventBytes(part, rule);
    if (whole > 0 || !full) part.resize(whole);
  }
  return part;
}

void FollowedFile::Plan(uint64_t bytes) {
  planned_end_ = offset_ + bytes;
  if (head_bytes_ < kHeadBytes) NoteHead();
}

void FollowedFile::Done() {
  offset_ = planned_end_;
  NoteTail();
}

std::string FollowedFile::PartId() const {
  return event::BatchIdOf({"file", life_, std::to_string(offset_), std::to_string(planned_end_)});
}

}  // namespace yagura::ingestion
