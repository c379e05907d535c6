#include "services/ingestion/storage/spool.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <random>

#include "fmt/format.h"

#include "common/event/batch_format.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "services/ingestion/storage/disk_io.h"

namespace yagura::ingestion {
namespace {

constexpr size_t kHeadBytes = 20;
constexpr uint32_t kMaxPartBytes = 256u << 20;
constexpr uint64_t kMaxNameBytes = 4096;  // of a partition or a key
// Damaged bytes may use so much of the quota.
constexpr uint64_t kDamagedShare = 4;

uint64_t SizeOf(const Spool::Record& record) {
  return kHeadBytes + record.partition.size() + record.key.size() + record.payload.size();
}

std::optional<uint64_t> ParseHex(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string Encode(const Spool::Record& record, uint64_t seed) {
  const std::string body = record.partition + record.key + record.payload;
  std::string out;
  PutLittle(out, record.partition.size(), 4);
  PutLittle(out, record.key.size(), 4);
  PutLittle(out, record.payload.size(), 4);
  PutLittle(out, event::HashBytes(body, event::HashBytes(out, seed)), 8);
  return out + body;
}

// Exactly `size` bytes; false with errno where the disk refuses, with errno 0 where the file ends.
bool ReadExactly(int fd, uint64_t offset, char* out, size_t size) {
  while (size > 0) {
    const ssize_t got = ::pread(fd, out, size, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got == 0) errno = 0;
    if (got <= 0) return false;
    out += got;
    offset += static_cast<uint64_t>(got);
    size -= static_cast<size_t>(got);
  }
  return true;
}

struct Head {
  explicit Head(const char* bytes)
      : partition(Little(bytes, 4)),
        key(Little(bytes + 4, 4)),
        payload(Little(bytes + 8, 4)),
        hash(Little(bytes + 12, 8)) {}
  uint64_t size() const { return partition + key + payload; }

  uint64_t partition;
  uint64_t key;
  uint64_t payload;
  uint64_t hash;
};

// Whether `bytes` begin with a sound record.
bool IsSound(std::string_view bytes, uint64_t seed) {
  if (bytes.size() < kHeadBytes) return false;
  const Head head(bytes.data());
  if (head.partition > kMaxNameBytes || head.key > kMaxNameBytes) return false;
  if (head.size() > kMaxPartBytes || head.size() > bytes.size() - kHeadBytes) return false;
  const std::string_view body = bytes.substr(kHeadBytes, head.size());
  return event::HashBytes(body, event::HashBytes(bytes.substr(0, 12), seed)) == head.hash;
}

// The record at `offset`; nothing where there is no sound one.
StatusOr<std::optional<Spool::Record>> Decode(int fd, uint64_t offset, uint64_t file_size,
                                              uint64_t seed, const std::filesystem::path& path) {
  std::optional<Spool::Record> none;
  if (offset + kHeadBytes > file_size) return none;
  std::string bytes(kHeadBytes, '\0');
  if (!ReadExactly(fd, offset, bytes.data(), kHeadBytes)) {
    return errno == 0 ? StatusOr<std::optional<Spool::Record>>(none) : DiskError("read", path);
  }
  const Head head(bytes.data());
  if (head.size() > kMaxPartBytes || offset + kHeadBytes + head.size() > file_size) return none;
  bytes.resize(kHeadBytes + head.size());
  if (!ReadExactly(fd, offset + kHeadBytes, bytes.data() + kHeadBytes, head.size())) {
    return errno == 0 ? StatusOr<std::optional<Spool::Record>>(none) : DiskError("read", path);
  }
  if (!IsSound(bytes, seed)) return none;
  bytes.erase(0, kHeadBytes);
  return Spool::Record{bytes.substr(0, head.partition), bytes.substr(head.partition, head.key),
                       bytes.substr(head.partition + head.key)};
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
    if (entry.path().extension() == ".damaged") spool->damaged_bytes_ += entry.file_size(error);
    if (entry.path().extension() != ".spool") continue;
    const std::string stem = entry.path().stem().string();
    const std::string_view name = stem;
    const size_t dash = name.find('-');
    const auto number = ParseNumber<uint64_t>(name.substr(0, dash));
    const auto seed = dash == name.npos ? uint64_t{0} : ParseHex(name.substr(dash + 1));
    if (!number || !seed) continue;
    spool->segments_.push_back({*number, *seed, entry.file_size(error)});
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

std::filesystem::path Spool::PathOf(const Segment& segment) const {
  return folder_ / (segment.seed == 0
                        ? fmt::format("{:016}.spool", segment.number)
                        : fmt::format("{:016}-{:016x}.spool", segment.number, segment.seed));
}

Status Spool::StartSegment() {
  if (write_fd_ >= 0) ::close(write_fd_);
  std::random_device random;
  const Segment segment{next_number_, uint64_t{random()} << 32 | random() | 1, 0};
  const auto path = PathOf(segment);
  write_fd_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
  if (write_fd_ < 0) return DiskError("create", path);
  segments_.push_back(segment);
  ++next_number_;
  const int folder_fd = ::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder_fd >= 0) {
    ::fsync(folder_fd);  // so that the new name survives too
    ::close(folder_fd);
  }
  return absl::OkStatus();
}

Status Spool::Append(const Record& record) {
  if (record.partition.size() > kMaxNameBytes || record.key.size() > kMaxNameBytes) {
    return InvalidField("record", "the partition or the key is too long");
  }
  if (bytes_ + damaged_bytes_ + SizeOf(record) > quota_bytes_) {
    return MakeError(absl::StatusCode::kResourceExhausted, "SPOOL_FULL",
                     "the spool's quota is used up");
  }
  if (write_fd_ < 0 || segments_.back().size >= kSegmentBytes) {
    YAGURA_RETURN_IF_ERROR(StartSegment());
  }
  Segment& segment = segments_.back();
  const std::string bytes = Encode(record, segment.seed);
  if (!WriteAll(write_fd_, bytes) || ::fdatasync(write_fd_) != 0) {
    const Status error = DiskError("write", PathOf(segment));
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
    const auto path = PathOf(segment);
    if (read_fd_ < 0) {
      read_fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
      read_offset_ = 0;
      if (read_fd_ < 0 && errno != ENOENT) return DiskError("read", path);
      if (read_fd_ < 0) damages_.push_back({path, 0, segment.size, {}});
    }
    if (read_fd_ < 0 || read_offset_ >= segment.size) {
      DropFront();
      continue;
    }
    YAGURA_ASSIGN_OR_RETURN(auto record,
                            Decode(read_fd_, read_offset_, segment.size, segment.seed, path));
    if (record) {
      front_size_ = SizeOf(*record);
      return record;
    }
    YAGURA_RETURN_IF_ERROR(SkipDamage());
  }
  return std::optional<Record>();
}

Status Spool::SkipDamage() {
  const Segment& segment = segments_.front();
  std::string rest(segment.size - read_offset_, '\0');
  if (!ReadExactly(read_fd_, read_offset_, rest.data(), rest.size())) {
    if (errno != 0) return DiskError("read", PathOf(segment));
    rest.clear();  // the file has become shorter: there is nothing to keep
  }
  size_t next = 1;
  while (next < rest.size() && !IsSound(std::string_view(rest).substr(next), segment.seed)) ++next;
  if (rest.empty()) {
    damages_.push_back({PathOf(segment), read_offset_, segment.size - read_offset_, {}});
    read_offset_ = segment.size;
    return absl::OkStatus();
  }
  SetAside(std::string_view(rest).substr(0, next));
  read_offset_ += next;
  return absl::OkStatus();
}

void Spool::SetAside(std::string_view bytes) {
  const uint64_t number = segments_.front().number;
  Damage damage{PathOf(segments_.front()), read_offset_, bytes.size(), {}};
  // By place, so that reading the segment again after a crash makes no second file.
  const auto path = folder_ / fmt::format("{:016}-{}.damaged", number, read_offset_);
  std::error_code absent;
  const uint64_t before = std::filesystem::file_size(path, absent);
  if (!absent) damaged_bytes_ -= std::min(damaged_bytes_, before);
  if (damaged_bytes_ + bytes.size() <= quota_bytes_ / kDamagedShare) {
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd >= 0 && WriteAll(fd, bytes) && ::fdatasync(fd) == 0) {
      damage.kept_in = path;
      damaged_bytes_ += bytes.size();
    }
    if (fd >= 0) ::close(fd);
  }
  if (damage.kept_in.empty()) std::filesystem::remove(path, absent);
  damages_.push_back(std::move(damage));
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
  std::filesystem::remove(PathOf(segments_.front()), ignored);
  segments_.pop_front();
}

}  // namespace yagura::ingestion
