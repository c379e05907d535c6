#include "services/ingestion/workers/followed_file.h"

#include <fcntl.h>
#include <openssl/sha.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <random>

#include "fmt/format.h"

#include "common/event/batch_codec.h"
#include "common/text/text.h"

namespace yagura::ingestion {
namespace {

constexpr uint32_t kHeadBytes = 1024;

std::string Digest(std::string_view bytes) {
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(),
         reinterpret_cast<unsigned char*>(digest.data()));
  return digest;
}

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
  return FollowedFile(path, std::move(file), {info.st_dev, info.st_ino}, listener);
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

uint64_t FollowedFile::Size() const {
  struct stat info {};
  return ::fstat(file_.fd(), &info) == 0 ? static_cast<uint64_t>(info.st_size) : 0;
}

std::string FollowedFile::ReadAt(uint64_t offset, size_t size) const {
  std::string bytes(size, '\0');
  size_t got = 0;
  while (got < size) {
    const ssize_t more =
        ::pread(file_.fd(), bytes.data() + got, size - got, static_cast<off_t>(offset + got));
    if (more <= 0) break;
    got += static_cast<size_t>(more);
  }
  bytes.resize(got);
  return bytes;
}

bool FollowedFile::Resume(const internal::v1::FilePosition& position) {
  if (position.device() != id_.device || position.inode() != id_.inode) return false;
  if (position.offset() > Size() || position.planned_end() < position.offset()) return false;
  const std::string head = ReadAt(0, std::min(position.head_bytes(), kHeadBytes));
  if (head.size() != position.head_bytes() || Digest(head) != position.head_digest()) return false;
  offset_ = position.offset();
  planned_end_ = std::min(position.planned_end(), Size());
  head_bytes_ = position.head_bytes();
  head_digest_ = position.head_digest();
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
  return position;
}

bool FollowedFile::CheckHead() {
  const bool shorter = Size() < std::max(offset_, planned_end_);
  if (!shorter && Digest(ReadAt(0, head_bytes_)) == head_digest_) return false;
  if (!shorter && head_bytes_ == 0) {
    NoteHead();
    return false;
  }
  offset_ = planned_end_ = 0;
  head_bytes_ = 0;
  life_ = NewLife();
  NoteHead();
  return true;
}

void FollowedFile::NoteHead() {
  const std::string head = ReadAt(0, kHeadBytes);
  // Only what has been taken: of a line that is not whole yet the end may still change.
  head_bytes_ =
      static_cast<uint32_t>(std::min<uint64_t>(head.size(), std::max(offset_, planned_end_)));
  head_digest_ = Digest(std::string_view(head).substr(0, head_bytes_));
}

std::string FollowedFile::Read(size_t limit, bool all) {
  // What was on its way when we were killed: exactly so once more.
  if (planned_end_ > offset_) return ReadAt(offset_, planned_end_ - offset_);
  std::string part = ReadAt(offset_, limit);
  const size_t end = part.rfind('\n');
  if (end != part.npos) {
    part.resize(end + 1);
  } else if (part.size() < limit && !all) {
    part.clear();  // a line that goes on
  }
  return part;
}

void FollowedFile::Plan(uint64_t bytes) {
  planned_end_ = offset_ + bytes;
  if (head_bytes_ < kHeadBytes) NoteHead();
}

std::string FollowedFile::PartId() const {
  return event::BatchIdOf({"file", life_, std::to_string(offset_), std::to_string(planned_end_)});
}

}  // namespace yagura::ingestion
