#include "services/ingestion/workers/file_follower.h"

#include <fcntl.h>
#include <glob.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <fstream>
#include <sstream>
#include <unordered_map>

#include "fmt/format.h"

#include "common/blob/file_io.h"
#include "common/clock/proto_time.h"
#include "common/event/batch_codec.h"
#include "common/status/status.h"
#include "services/ingestion/ingestion_metrics.h"
#include "services/ingestion/storage/batch_sink.h"
#include "services/ingestion/workers/current_sources.h"

namespace yagura::ingestion {
namespace {

constexpr auto kRetryPause = std::chrono::milliseconds(250);
// What has no line end in a file that was renamed is a line when nothing was added for so long.
constexpr auto kLineWait = std::chrono::seconds(5);
// A file without a name is held no longer than its writer may need for its last lines: it takes
// space until then.
constexpr auto kRemovedWait = std::chrono::seconds(10);
constexpr size_t kMaxPositions = 64u << 20;  // bytes of the file of positions

bool IsCompressed(const std::filesystem::path& path) {
  static constexpr std::array<std::string_view, 6> kEndings = {".gz",  ".bz2", ".xz",
                                                               ".zst", ".zip", ".lz4"};
  const std::string end = path.extension().native();
  return std::find(kEndings.begin(), kEndings.end(), end) != kEndings.end();
}

std::optional<FileId> IdOf(const std::filesystem::path& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return std::nullopt;
  return FileId{info.st_dev, info.st_ino};
}

std::vector<std::filesystem::path> Matching(const std::vector<std::string>& patterns) {
  std::vector<std::filesystem::path> paths;
  for (const std::string& pattern : patterns) {
    glob_t found{};
    if (::glob(pattern.c_str(), 0, nullptr, &found) == 0) {
      paths.insert(paths.end(), found.gl_pathv, found.gl_pathv + found.gl_pathc);
    }
    ::globfree(&found);
  }
  return paths;
}

}  // namespace

StatusOr<std::unique_ptr<FileFollower>> FileFollower::Make(const FileFollowerOptions& options,
                                                           const ListenerParts& parts) {
  internal::v1::FilePositions known;
  std::error_code error;
  if (std::filesystem::exists(options.positions, error)) {
    const auto size = std::filesystem::file_size(options.positions, error);
    std::ifstream in(options.positions, std::ios::binary);
    std::stringstream bytes;
    if (!error && size <= kMaxPositions) bytes << in.rdbuf();
    if (!in || size > kMaxPositions || !known.ParseFromString(bytes.str())) {
      return Unavailable("POSITIONS_UNREADABLE",
                         fmt::format("{}: how far files were read cannot be read; remove it to "
                                     "read them all again",
                                     options.positions.string()));
    }
  }
  std::filesystem::create_directories(options.positions.parent_path(), error);
  return std::unique_ptr<FileFollower>(new FileFollower(options, parts, std::move(known)));
}

FileFollower::FileFollower(const FileFollowerOptions& options, const ListenerParts& parts,
                           internal::v1::FilePositions known)
    : options_(options),
      parts_(parts),
      intake_(parts.intake, parts.quarantine),
      known_(std::move(known)) {
  for (auto& position : *known_.mutable_files()) {
    if (!position.has_gone_time()) *position.mutable_gone_time() = ToProto(parts_.clock->Now());
  }
}

FileFollower::~FileFollower() { Stop(); }

void FileFollower::Start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
}

void FileFollower::Stop() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  thread_.join();
}

void FileFollower::Run(const std::stop_token& stop) {
  const SteadyTime begin = parts_.clock->SteadyNow();
  while (!stop.stop_requested() && sources_ == nullptr) {
    sources_ = parts_.sources->WaitFor(kRetryPause);
    if (parts_.clock->SteadyNow() - begin > options_.sources_wait) break;
  }
  if (sources_ == nullptr) sources_ = SourceMap::Empty();
  FindRenamed();
  std::mutex mutex;
  std::condition_variable_any never;
  while (!stop.stop_requested()) {
    if (auto fresh = parts_.sources->Get()) sources_ = std::move(fresh);
    Look();
    bool moved = false;
    while (!stop.stop_requested() && Round(stop)) moved = true;
    // Batch ids are remembered for a day: what is done must not wait for the next round.
    if (moved) Save();
    Forget();
    std::unique_lock lock(mutex);
    never.wait_for(lock, stop, options_.interval, [] { return false; });
  }
}

void FileFollower::Look() {
  for (const auto& path : Matching(options_.patterns)) {
    if (!IsCompressed(path)) Meet(path);
  }
  TellUnread();
}

void FileFollower::TellUnread() const {
  uint64_t lag = 0;
  for (const auto& [id, file] : files_) lag += file.size() - std::min(file.offset(), file.size());
  parts_.metrics->SetFiles(options_.name, files_.size(), lag);
}

void FileFollower::Meet(const std::filesystem::path& path, bool only_known) {
  const auto id = IdOf(path);
  if (!id) return;
  if (const auto found = files_.find(*id); found != files_.end()) {
    found->second.set_path(path);  // renamed to a name that is followed, too
    found->second.gone_since = {};
    return;
  }
  if (files_.size() >= options_.max_files) {
    if (!std::exchange(told_of_limit_, true)) {
      parts_.logger.Error("more files than may be followed",
                          {{"first_left_out", path.string()}, {"most", options_.max_files}});
    }
    return;
  }
  auto file = FollowedFile::Open(path, options_.name);
  if (!file) {
    // Folders and the like do not count: a pattern may well match them.
    if (::access(path.c_str(), R_OK) != 0 && told_unreadable_.size() < options_.max_files &&
        told_unreadable_.insert(path.native()).second) {
      parts_.logger.Warning("a file cannot be read", {{"path", path.string()}});
    }
    return;
  }
  if (parts_.descriptors != nullptr) {
    file->descriptor = parts_.descriptors->Take(options_.name);
    if (!file->descriptor) return;  // the next look tries again
  }
  const bool is_known = Recall(*file) || Replaces(*file);
  // What could not be read now says nothing about which file it is.
  if (!file->readable() || (only_known && !is_known)) return;
  files_.try_emplace(file->id(), std::move(*file));
}

bool FileFollower::Recall(FollowedFile& file) {
  auto& known = *known_.mutable_files();
  for (int i = 0; i < known.size(); ++i) {
    const bool resumed = file.Resume(known[i]);
    // What cannot be read now says nothing: the position is for when it can be.
    if (!file.readable()) return false;
    if (!resumed) continue;
    known.DeleteSubrange(i, 1);
    return true;
  }
  return false;
}

// As rsync and editors do it.
bool FileFollower::Replaces(FollowedFile& file) {
  for (auto at = files_.begin(); at != files_.end(); ++at) {
    FollowedFile& old = at->second;
    if (old.path() != file.path() || !old.Look(parts_.clock->SteadyNow()) || !old.removed()) {
      continue;
    }
    const bool resumed = file.Resume(old.Position());
    if (!file.readable()) return false;
    if (!resumed) continue;
    files_.erase(at);
    return true;
  }
  return false;
}

// Files that were renamed while nobody looked, to names that the patterns do not match: what had
// not been read of them is read there.
void FileFollower::FindRenamed() {
  Look();
  std::map<std::filesystem::path, std::unordered_map<uint64_t, int>> missing;  // by inode
  for (const auto& position : known_.files()) {
    if (position.closed()) continue;
    ++missing[std::filesystem::path(position.path()).parent_path()][position.inode()];
  }
  for (const auto& [folder, inodes] : missing) {
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
      const auto id = IdOf(entry.path());
      if (id && inodes.contains(id->inode)) Meet(entry.path(), /*only_known=*/true);
    }
  }
  for (const auto& position : known_.files()) {
    if (position.closed()) continue;
    parts_.logger.Warning("a file that was followed is not there; it is remembered for a while",
                          {{"path", position.path()}, {"read_to", position.offset()}});
  }
}

// Its name is another file's by now, or nobody's.
bool FileFollower::IsGone(const FollowedFile& file) const {
  const auto id = IdOf(file.path());
  return !id || *id != file.id();
}

void FileFollower::Forget() {
  const SteadyTime now = parts_.clock->SteadyNow();
  bool changed = Tidy();
  for (auto at = files_.begin(); at != files_.end();) {
    FollowedFile& file = at->second;
    const bool gone = IsGone(file);
    if (!gone) file.gone_since = {};
    if (gone && file.gone_since == SteadyTime{}) file.gone_since = now;
    bool over = !file.Look(now);
    if (gone && !over && file.offset() >= file.size()) {
      const auto wait = file.removed() ? kRemovedWait : options_.rotated_wait;
      over = now - std::max(file.gone_since, file.changed_at()) > wait;
    }
    if (over) {
      Remember(file);
      at = files_.erase(at);
      changed = true;
    } else {
      ++at;
    }
  }
  if (changed) Save();
}

void FileFollower::Remember(const FollowedFile& file) {
  auto& position = *known_.add_files() = file.Position();
  *position.mutable_gone_time() = ToProto(parts_.clock->Now());
  position.set_closed(file.readable());
  if (file.removed()) position.set_inode(0);  // it will be another's
}

bool FileFollower::Tidy() {
  auto& known = *known_.mutable_files();
  const TimePoint oldest = parts_.clock->Now() - options_.remember;
  const int before = known.size();
  const auto is_old = [&](const auto& position) {
    return FromProto(position.gone_time()) < oldest;
  };
  known.erase(std::remove_if(known.begin(), known.end(), is_old), known.end());
  // The oldest go first, those that were read to their end before the others.
  while (static_cast<size_t>(known.size()) > options_.max_remembered) {
    const auto closed = std::find_if(known.begin(), known.end(),
                                     [](const auto& position) { return position.closed(); });
    known.erase(closed == known.end() ? known.begin() : closed);
  }
  return known.size() != before;
}

bool FileFollower::Round(const std::stop_token& stop) {
  std::vector<std::pair<FollowedFile*, std::string>> ready;
  size_t bytes = 0;
  const SteadyTime now = parts_.clock->SteadyNow();
  for (auto& [id, file] : files_) {
    if (!file.Look(now)) continue;
    if (file.size() == file.offset() && file.planned_end() == file.offset()) continue;
    if (file.CheckContent()) parts_.metrics->CountFileRestart(options_.name);
    std::string part = file.Read(options_.part_bytes, UpTo(file, now), options_.multi_line);
    if (part.empty() || !file.readable()) continue;
    file.Plan(part.size());
    bytes += part.size();
    ready.emplace_back(&file, std::move(part));
    if (bytes >= options_.part_bytes * 4) break;
  }
  if (ready.empty()) return false;
  // Before anything goes: after a crash the same parts go again.
  while (!Save()) {
    if (stop.stop_requested()) return false;
    std::this_thread::sleep_for(kRetryPause);
  }
  for (auto& [file, part] : ready) {
    if (!Send(*file, part, stop)) return false;
    file->Done();
  }
  return true;
}

FollowedFile::UpTo FileFollower::UpTo(const FollowedFile& file, SteadyTime now) const {
  const auto still = now - std::max(file.gone_since, file.changed_at());
  if (file.gone_since != SteadyTime{} && still > kLineWait) return FollowedFile::UpTo::kEnd;
  const auto& rule = options_.multi_line;
  const bool waits = rule != nullptr && now - file.changed_at() < rule->options().timeout;
  return waits ? FollowedFile::UpTo::kEvents : FollowedFile::UpTo::kLines;
}

bool FileFollower::Send(FollowedFile& file, const std::string& part, const std::stop_token& stop) {
  const std::string id = file.PartId();
  intake_.Begin(id);
  const TimePoint receive_time = parts_.clock->Now();
  LineJoiner joiner(options_.multi_line);
  const auto take = [&](std::string_view event, bool truncated) {
    intake_.Add(file.state(), sources_, event, truncated, receive_time, {});
  };
  ForEachLineOf(part, [&](std::string_view line) { joiner.Add(line, false, take); });
  joiner.Flush(take);
  std::vector<ReadyBatch> batches = intake_.TakeAll();
  while (!parts_.sink->Append(batches, nullptr, id).ok()) {
    if (stop.stop_requested()) return false;
    TellUnread();
    std::this_thread::sleep_for(kRetryPause);
  }
  return true;
}

bool FileFollower::Save() {
  internal::v1::FilePositions positions = known_;
  for (const auto& [id, file] : files_) *positions.add_files() = file.Position();
  if (blob::WriteFileDurably(options_.positions, positions.SerializeAsString(), 0600,
                             blob::IfExists::kReplace)
          .ok()) {
    return true;
  }
  parts_.logger.Error("cannot save how far files were read; reading stops until it can be",
                      {{"file", options_.positions.string()}});
  return false;
}

}  // namespace yagura::ingestion
