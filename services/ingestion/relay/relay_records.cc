#include "services/ingestion/relay/relay_records.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "common/clock/proto_time.h"
#include "common/event/batch_format.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "services/ingestion/storage/disk_io.h"

namespace yagura::ingestion {
namespace {

constexpr size_t kHeadBytes = 12;
constexpr uint32_t kMaxRecordBytes = 64u << 20;

bool IsSound(std::string_view bytes, uint64_t seed) {
  if (bytes.size() < kHeadBytes) return false;
  const uint64_t size = Little(bytes.data(), 4);
  if (size > kMaxRecordBytes || size > bytes.size() - kHeadBytes) return false;
  const uint64_t hash =
      event::HashBytes(bytes.substr(kHeadBytes, size), event::HashBytes(bytes.substr(0, 4), seed));
  return hash == Little(bytes.data() + 4, 8);
}

// The batch at the beginning of `bytes` and how long its record is.
std::optional<uint64_t> ReadRecord(std::string_view bytes, uint64_t seed, v1::PushRequest* batch) {
  if (!IsSound(bytes, seed)) return std::nullopt;
  const uint64_t size = Little(bytes.data(), 4);
  if (!batch->ParseFromArray(bytes.data() + kHeadBytes, static_cast<int>(size))) {
    return std::nullopt;
  }
  return kHeadBytes + size;
}

// As many as there are; false where the disk refuses.
bool ReadSome(int fd, uint64_t offset, size_t size, std::string* out) {
  out->resize(size);
  size_t got = 0;
  while (got < size) {
    const ssize_t more =
        ::pread(fd, out->data() + got, size - got, static_cast<off_t>(offset + got));
    if (more < 0 && errno == EINTR) continue;
    if (more < 0) return false;
    if (more == 0) break;
    got += static_cast<size_t>(more);
  }
  out->resize(got);
  return true;
}

}  // namespace

RelayMark MarkBefore(const v1::PushRequest& batch) {
  const auto parts = Split(batch.batch_id(), '-');
  const auto lines = parts.size() == 3 ? ParseNumber<uint64_t>(parts[2]) : std::nullopt;
  return lines ? RelayMark{std::string(parts[0]), *lines} : RelayMark{};
}

RelayMark MarkBehind(const v1::PushRequest& batch) {
  RelayMark mark = MarkBefore(batch);
  mark.lines += RelayLinesOf(batch);
  return mark;
}

uint64_t RelayLinesOf(const v1::PushRequest& batch) {
  auto lines = static_cast<uint64_t>(batch.lines_size());
  for (const v1::RelayLoss& loss : batch.relay().losses()) lines += loss.line_count();
  return lines;
}

std::string RelayRecordOf(const v1::PushRequest& batch, uint64_t seed) {
  const std::string body = batch.SerializeAsString();
  std::string record;
  record.reserve(kHeadBytes + body.size());
  PutLittle(record, body.size(), 4);
  PutLittle(record, event::HashBytes(body, event::HashBytes(record, seed)), 8);
  record += body;
  return record;
}

StatusOr<std::shared_ptr<const RelayRecords>> RelayRecords::Open(const std::filesystem::path& path,
                                                                 uint64_t seed) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return DiskError("read", path);
  return std::shared_ptr<const RelayRecords>(new RelayRecords(path, fd, seed));
}

RelayRecords::~RelayRecords() { ::close(fd_); }

StatusOr<std::optional<RelayRecords::Record>> RelayRecords::Next(uint64_t offset,
                                                                 uint64_t size) const {
  while (offset < size) {
    std::string bytes;
    if (!ReadSome(fd_, offset, kHeadBytes, &bytes)) return DiskError("read", path_);
    const uint64_t length = bytes.size() < kHeadBytes ? 0 : Little(bytes.data(), 4);
    if (bytes.size() == kHeadBytes && length <= kMaxRecordBytes) {
      std::string body;
      if (!ReadSome(fd_, offset + kHeadBytes, length, &body)) {
        return DiskError("read", path_);
      }
      bytes += body;
    }
    Record record;
    if (const auto whole = ReadRecord(bytes, seed_, &record.batch)) {
      record.begin = offset;
      record.end = offset + *whole;
      return std::optional<Record>(std::move(record));
    }
    std::string rest;
    if (!ReadSome(fd_, offset, size - offset, &rest)) return DiskError("read", path_);
    size_t next = 1;
    while (next < rest.size() && !IsSound(std::string_view(rest).substr(next), seed_)) ++next;
    if (next >= rest.size()) break;
    offset += next;
  }
  return std::optional<Record>();
}

RelayRecords::Survey RelayRecords::SurveyUpTo(uint64_t end, Survey begin) const {
  Survey survey = std::move(begin);
  std::string bytes;
  if (!ReadSome(fd_, 0, end, &bytes)) return survey;
  for (size_t at = 0; at < bytes.size();) {
    v1::PushRequest batch;
    const auto whole = ReadRecord(std::string_view(bytes).substr(at), seed_, &batch);
    at += whole.value_or(1);
    if (!whole) continue;
    survey.bytes += *whole;
    survey.lines += RelayLinesOf(batch);
    survey.end = MarkBehind(batch);
    survey.time = FromProto(batch.send_time());
  }
  return survey;
}

}  // namespace yagura::ingestion
