#include "services/ingestion/storage/spool.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "fmt/format.h"

#include "common/event/batch_format.h"
#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::ingestion {
namespace {

constexpr size_t kHeadBytes = 20;
constexpr uint32_t kMaxPartBytes = 256u << 20;

Status DiskError(std::string_view what, const std::filesystem::path& path) {
  return Unavailable("SPOOL_DISK",
                     fmt::format("cannot {} {}: {}", what, path.string(), std::strerror(errno)));
}

void PutLittle(std::string& out, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
}

uint64_t Little(const char* bytes, int count) {
  uint64_t value = 0;
  for (int i = 0; i < count; ++i) {
    value |= static_cast<uint64_t>(static_cast<uint8_t>(bytes[i])) << (8 * i);
  }
  return value;
}

std::string Encode(const Spool::Record& record) {
  const std::string body = record.partition + record.key + record.payload;
  std::string out;
  PutLittle(out, record.partition.size(), 4);
  PutLittle(out, record.key.size(), 4);
  PutLittle(out, record.payload.size(), 4);
  PutLittle(out, event::HashBytes(body, event::HashBytes(out, 0)), 8);
  return out + body;
}

bool WriteAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return true;
}

bool ReadExactly(int fd, uint64_t offset, char* out, size_t size) {
  while (size > 0) {
    const ssize_t got = ::pread(fd, out, size, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    out += got;
    offset += static_cast<uint64_t>(got);
    size -= static_cast<size_t>(got);
  }
  return true;
}

// The record at `offset`; nothing where the file ends or is damaged there.
std::optional<Spool::Record> Decode(int fd, uint64_t offset, uint64_t file_size) {
  std::array<char, kHeadBytes> head;
  if (!ReadExactly(fd, offset, head.data(), head.size())) return std::nullopt;
  const uint64_t partition = Little(head.data(), 4);
  const uint64_t key = Little(head.data() + 4, 4);
  const uint64_t payload = Little(head.data() + 8, 4);
  const uint64_t size = partition + key + payload;
  if (size > kMaxPartBytes || offset + kHeadBytes + size > file_size) return std::nullopt;
  std::string body(size, '\0');
  if (!ReadExactly(fd, offset + kHeadBytes, body.data(), body.size())) return std::nullopt;
  const uint64_t hash =
      event::HashBytes(body, event::HashBytes(std::string_view(head.data(), 12), 0));
  if (hash != Little(head.data() + 12, 8)) return std::nullopt;
  return Spool::Record{body.substr(0, partition), body.substr(partition, key),
                       body.substr(partition + key)};
}

}  // namespace

StatusOr<std::unique_ptr<Spool>> Spool::Open(const std::filesystem::path& folder,
                                             uint64_t quota_bytes) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) {
    return Unavailable("SPOOL_DISK",
                       fmt::format("cannot make {}: {}", folder.string(), error.message()));
  }
  std::unique_ptr<Spool> spool(new Spool(folder, quota_bytes));
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (entry.path().extension() != ".spool") continue;
    const auto number = ParseNumber<uint64_t>(entry.path().stem().string());
    if (!number) continue;
    spool->segments_.push_back({*number, entry.file_size(error)});
    spool->bytes_ += spool->segments_.back().size;
    spool->next_number_ = std::max(spool->next_number_, *number + 1);
  }
  std::sort(spool->segments_.begin(), spool->segments_.end(),
            [](const Segment& a, const Segment& b) { return a.number < b.number; });
  return spool;
}

Spool::Spool(std::filesystem::path folder, uint64_t quota_bytes)
    : folder_(std::move(folder)), quota_bytes_(quota_bytes) {}

Spool::~Spool() {
  if (write_fd_ >= 0) ::close(write_fd_);
  if (read_fd_ >= 0) ::close(read_fd_);
}

std::filesystem::path Spool::PathOf(uint64_t number) const {
  return folder_ / fmt::format("{:016}.spool", number);
}

Status Spool::StartSegment() {
  if (write_fd_ >= 0) ::close(write_fd_);
  const auto path = PathOf(next_number_);
  write_fd_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
  if (write_fd_ < 0) return DiskError("create", path);
  segments_.push_back({next_number_++, 0});
  const int folder_fd = ::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder_fd >= 0) {
    ::fsync(folder_fd);  // so that the new name survives too
    ::close(folder_fd);
  }
  return absl::OkStatus();
}

Status Spool::Append(const Record& record) {
  const std::string bytes = Encode(record);
  if (bytes_ + bytes.size() > quota_bytes_) {
    return MakeError(absl::StatusCode::kResourceExhausted, "SPOOL_FULL",
                     "the spool's quota is used up");
  }
  if (write_fd_ < 0 || segments_.back().size >= kSegmentBytes) {
    YAGURA_RETURN_IF_ERROR(StartSegment());
  }
  Segment& segment = segments_.back();
  if (!WriteAll(write_fd_, bytes) || ::fdatasync(write_fd_) != 0) {
    const Status error = DiskError("write", PathOf(segment.number));
    // A torn record must not hide the ones after it.
    if (::ftruncate(write_fd_, static_cast<off_t>(segment.size)) != 0) {
      ::close(write_fd_);
      write_fd_ = -1;  // the next record begins a new segment
    }
    return error;
  }
  segment.size += bytes.size();
  bytes_ += bytes.size();
  return absl::OkStatus();
}

StatusOr<std::optional<Spool::Record>> Spool::Front() {
  while (!segments_.empty()) {
    const Segment& segment = segments_.front();
    if (read_fd_ < 0) {
      read_fd_ = ::open(PathOf(segment.number).c_str(), O_RDONLY | O_CLOEXEC);
      read_offset_ = 0;
      if (read_fd_ < 0 && errno != ENOENT) return DiskError("read", PathOf(segment.number));
    }
    if (read_fd_ >= 0 && read_offset_ < segment.size) {
      if (auto record = Decode(read_fd_, read_offset_, segment.size)) {
        front_size_ =
            kHeadBytes + record->partition.size() + record->key.size() + record->payload.size();
        return record;
      }
    }
    DropFront();  // read to its end, or damaged from here on
  }
  return std::optional<Record>();
}

void Spool::Pop() {
  if (front_size_ == 0) return;
  read_offset_ += front_size_;
  front_size_ = 0;
  if (!segments_.empty() && read_offset_ >= segments_.front().size) DropFront();
}

void Spool::DropFront() {
  if (read_fd_ >= 0) ::close(read_fd_);
  read_fd_ = -1;
  front_size_ = 0;
  const bool being_written = segments_.size() == 1 && write_fd_ >= 0;
  if (being_written) {
    ::close(write_fd_);
    write_fd_ = -1;
  }
  bytes_ -= std::min(bytes_, segments_.front().size);
  std::error_code ignored;
  std::filesystem::remove(PathOf(segments_.front().number), ignored);
  segments_.pop_front();
}

}  // namespace yagura::ingestion
