#include "services/archive/storage/spool.h"

#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>
#include <utility>

#include "fmt/format.h"

#include "common/blob/file_io.h"
#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::archive {
namespace {

constexpr std::string_view kMagic = "yagura-spool-1\n";
constexpr std::string_view kEnding = ".range";
constexpr size_t kMaxFile = 2ull << 30;

Status DiskError(const std::filesystem::path& path) {
  return Unavailable("SPOOL_IO", fmt::format("{}: {}", path.string(), std::strerror(errno)));
}

uint32_t Checksum(std::string_view bytes) {
  return static_cast<uint32_t>(
      crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

// magic, shard, plan, entries, CRC-32 of all before it in hex.
std::string Serialize(const RangeData& range) {
  internal::v1::SpooledRange message;
  message.set_shard(range.shard);
  *message.mutable_plan() = range.plan;
  for (const stream::Entry& entry : range.entries) {
    auto* item = message.add_entries();
    item->set_id(entry.id.ToString());
    item->set_payload(entry.payload);
    item->set_key(entry.key);
  }
  std::string bytes(kMagic);
  message.AppendToString(&bytes);
  return bytes + fmt::format("{:08x}", Checksum(bytes));
}

std::optional<RangeData> Parse(std::string_view bytes) {
  constexpr size_t kSumSize = 8;
  if (bytes.size() < kMagic.size() + kSumSize || !bytes.starts_with(kMagic)) return std::nullopt;
  const std::string_view body = bytes.substr(0, bytes.size() - kSumSize);
  if (bytes.substr(body.size()) != fmt::format("{:08x}", Checksum(body))) return std::nullopt;
  internal::v1::SpooledRange message;
  const std::string_view packed = body.substr(kMagic.size());
  if (!message.ParseFromArray(packed.data(), static_cast<int>(packed.size()))) return std::nullopt;
  RangeData range{message.shard(), message.plan(), {}};
  for (auto& item : *message.mutable_entries()) {
    const auto id = stream::EntryId::Parse(item.id());
    if (!id) return std::nullopt;
    const std::string& key = item.key().empty() ? item.id() : item.key();
    range.entries.push_back({*id, key, std::move(*item.mutable_payload())});
  }
  return range;
}

}  // namespace

Spool::Spool(std::filesystem::path folder, uint64_t quota_bytes)
    : folder_(std::move(folder)), quota_bytes_(quota_bytes) {}

StatusOr<std::unique_ptr<Spool>> Spool::Open(std::filesystem::path folder, uint64_t quota_bytes) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) {
    return Unavailable("SPOOL_IO", fmt::format("{}: {}", folder.string(), error.message()));
  }
  std::unique_ptr<Spool> spool(new Spool(std::move(folder), quota_bytes));
  YAGURA_RETURN_IF_ERROR(spool->Scan());
  return spool;
}

// Names are "<shard>.<milliseconds>-<sequence>.range".
Status Spool::Scan() {
  std::error_code error;
  for (const auto& item : std::filesystem::directory_iterator(folder_, error)) {
    const std::string name = item.path().filename().string();
    if (!name.ends_with(kEnding)) continue;
    const std::string_view stem = std::string_view(name).substr(0, name.size() - kEnding.size());
    const size_t dot = stem.find('.');
    if (dot == std::string_view::npos) continue;
    const auto shard = ParseNumber<int>(stem.substr(0, dot));
    const auto first = stream::EntryId::Parse(stem.substr(dot + 1));
    if (!shard || !first) continue;
    const uint64_t size = item.file_size(error);
    files_[{*shard, *first}] = size;
    bytes_ += size;
  }
  if (error) {
    return Unavailable("SPOOL_IO", fmt::format("{}: {}", folder_.string(), error.message()));
  }
  return absl::OkStatus();
}

std::filesystem::path Spool::PathOf(const File& file) const {
  return folder_ / fmt::format("{}.{}{}", file.shard, file.first.ToString(), kEnding);
}

Status Spool::Put(const RangeData& range) {
  const auto first = stream::EntryId::Parse(range.plan.first_entry());
  if (!first) return Internal("spool: a range without its first entry");
  const std::string bytes = Serialize(range);
  const std::lock_guard lock(mutex_);
  const File file{range.shard, *first};
  const auto before = files_.find(file);
  const uint64_t others = bytes_ - (before == files_.end() ? 0 : before->second);
  if (others > 0 && others + bytes.size() > quota_bytes_) {
    return MakeError(absl::StatusCode::kResourceExhausted, "SPOOL_FULL",
                     fmt::format("the spool holds {} of {} bytes", bytes_, quota_bytes_));
  }
  YAGURA_RETURN_IF_ERROR(
      blob::WriteFileDurably(PathOf(file), bytes, 0600, blob::IfExists::kReplace));
  bytes_ = others + bytes.size();
  files_[file] = bytes.size();
  return absl::OkStatus();
}

StatusOr<std::optional<RangeData>> Spool::Oldest(int shard) {
  const std::lock_guard lock(mutex_);
  const auto it = files_.lower_bound(File{shard, {}});
  if (it == files_.end() || it->first.shard != shard) return std::optional<RangeData>();
  const std::filesystem::path path = PathOf(it->first);
  YAGURA_ASSIGN_OR_RETURN(const std::string content, blob::ReadFile(path, kMaxFile));
  auto range = Parse(content);
  if (!range) {
    rename(path.c_str(), (path.string() + ".broken").c_str());
    bytes_ -= it->second;
    files_.erase(it);
    return MakeError(absl::StatusCode::kDataLoss, "SPOOL_BROKEN",
                     fmt::format("{} is broken and set aside", path.string()));
  }
  return range;
}

Status Spool::Remove(const RangeData& range) {
  const auto first = stream::EntryId::Parse(range.plan.first_entry());
  if (!first) return Internal("spool: a range without its first entry");
  const File file{range.shard, *first};
  const std::lock_guard lock(mutex_);
  const auto it = files_.find(file);
  if (it == files_.end()) return absl::OkStatus();
  if (unlink(PathOf(file).c_str()) != 0) return DiskError(PathOf(file));
  bytes_ -= it->second;
  files_.erase(it);
  return absl::OkStatus();
}

std::vector<int> Spool::Shards() const {
  const std::lock_guard lock(mutex_);
  std::set<int> shards;
  for (const auto& entry : files_) shards.insert(entry.first.shard);
  return {shards.begin(), shards.end()};
}

std::optional<stream::EntryId> Spool::OldestEntry() const {
  const std::lock_guard lock(mutex_);
  std::optional<stream::EntryId> oldest;
  for (const auto& entry : files_) {
    oldest = std::min(oldest.value_or(entry.first.first), entry.first.first);
  }
  return oldest;
}

uint64_t Spool::bytes() const {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

size_t Spool::ranges() const {
  const std::lock_guard lock(mutex_);
  return files_.size();
}

}  // namespace yagura::archive
