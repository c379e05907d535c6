#include "services/ingestion/relay/relay_spool.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <random>
#include <sstream>
#include <utility>

#include "fmt/format.h"

#include "common/blob/file_io.h"
#include "common/clock/proto_time.h"
#include "common/event/batch_format.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "services/ingestion/domain/shares.h"
#include "services/ingestion/storage/disk_io.h"

namespace yagura::ingestion {
namespace {

using std::chrono::milliseconds;

constexpr auto kSaveInterval = std::chrono::seconds(1);
constexpr size_t kMaxDropped = 64;   // segments at once: listeners wait meanwhile
constexpr size_t kMaxLosses = 4096;  // senders and hours; more are told as the relay's own
constexpr uint64_t kReserveBytes = 1 << 20;
constexpr size_t kMaxHeard = 256;  // senders of a listener between two looks for drops
constexpr auto kDropsInterval = std::chrono::minutes(1);
constexpr size_t kMaxDamaged = 4;           // files kept aside
constexpr uint64_t kLikelyLineBytes = 200;  // where no line is left to tell
constexpr uint64_t kEnd = ~uint64_t{0};     // of a segment, behind all of it
constexpr std::string_view kNoRun = "-";    // in "acknowledged": the mark is not known

uint64_t RandomNumber() {
  std::random_device random;
  return uint64_t{random()} << 32 | random();
}

std::optional<uint64_t> ParseHex(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

void ReadMark(std::istream& in, RelayMark& mark) {
  if (!(in >> mark.run >> mark.lines) || mark.run == kNoRun) mark = {};
}

std::string MarkText(const RelayMark& mark) {
  return fmt::format("{} {}", mark.run.empty() ? kNoRun : mark.run, mark.lines);
}

}  // namespace

StatusOr<std::unique_ptr<RelaySpool>> RelaySpool::Open(const Options& options,
                                                       std::shared_ptr<const Clock> clock,
                                                       Logger logger) {
  std::unique_ptr<RelaySpool> spool(new RelaySpool(options, std::move(clock), std::move(logger)));
  YAGURA_RETURN_IF_ERROR(spool->Load());
  return spool;
}

RelaySpool::RelaySpool(Options options, std::shared_ptr<const Clock> clock, Logger logger)
    : options_(std::move(options)),
      clock_(std::move(clock)),
      logger_(std::move(logger)),
      run_(fmt::format("{:016x}{:016x}", RandomNumber(), RandomNumber())) {}

RelaySpool::~RelaySpool() {
  TellLosses(/*now_at_last=*/true);
  SaveFilled();
  SaveAcknowledged(/*now=*/true);
  if (write_fd_ >= 0) ::close(write_fd_);
}

std::filesystem::path RelaySpool::PathOf(const Segment& segment) const {
  const auto first = std::chrono::floor<milliseconds>(segment.first.time_since_epoch()).count();
  return options_.folder /
         fmt::format("{:016}-{}-{:016x}{}.relay", segment.number, first, segment.seed,
                     segment.begin.run.empty()
                         ? ""
                         : fmt::format(".{}.{}", segment.begin.run, segment.begin.lines));
}

std::optional<RelaySpool::Segment> RelaySpool::ParseName(const std::filesystem::path& path) {
  if (path.extension() != ".relay") return std::nullopt;
  const std::string stem = path.stem().string();
  const auto fields = Split(stem, '.');
  const auto parts = Split(fields[0], '-');
  if (parts.size() != 3 || (fields.size() != 1 && fields.size() != 3)) return std::nullopt;
  const auto number = ParseNumber<uint64_t>(parts[0]);
  const auto first = ParseNumber<int64_t>(parts[1]);
  const auto seed = ParseHex(parts[2]);
  if (!number || !first || !seed) return std::nullopt;
  Segment segment{*number, TimePoint(milliseconds(*first)), *seed, 0, {}};
  if (fields.size() == 1) return segment;  // of a relay of before
  const auto lines = ParseNumber<uint64_t>(fields[2]);
  if (!lines || fields[1].empty()) return std::nullopt;
  segment.begin = {std::string(fields[1]), *lines};
  return segment;
}

Status RelaySpool::Load() {
  std::error_code error;
  std::filesystem::create_directories(options_.folder, error);
  if (error) {
    return Unavailable(
        "SPOOL_DISK", fmt::format("cannot make {}: {}", options_.folder.string(), error.message()));
  }
  for (const auto& entry : std::filesystem::directory_iterator(options_.folder, error)) {
    auto segment = ParseName(entry.path());
    if (!segment) continue;
    segment->size = entry.file_size(error);
    next_number_ = std::max(next_number_, segment->number + 1);
    segments_.push_back(*std::move(segment));
  }
  if (error) {
    return Unavailable(
        "SPOOL_DISK", fmt::format("cannot read {}: {}", options_.folder.string(), error.message()));
  }
  std::sort(segments_.begin(), segments_.end(),
            [](const Segment& a, const Segment& b) { return a.number < b.number; });
  std::ifstream in(options_.folder / "acknowledged");
  if (in && !(in >> acknowledged_.segment >> acknowledged_.end)) {
    return Unavailable("SPOOL_DISK",
                       fmt::format("{} cannot be read; remove it to send all of the spool again",
                                   (options_.folder / "acknowledged").string()));
  }
  // One of before does not have all of it.
  Damage& damage = book_.damage;
  if (in && !(in >> damage.end.segment >> damage.end.end)) damage.end = {};
  ReadMark(in, acknowledged_mark_);
  ReadMark(in, damage.mark);
  saved_damage_ = damage;
  std::ifstream filled(options_.folder / "filled");
  if (!(filled >> filled_at_.segment >> filled_at_.end >> filled_.run >> filled_.lines)) {
    filled_ = {};
  }
  // Numbers of segments that are no more must not come again below the mark.
  next_number_ = std::max(next_number_, acknowledged_.segment + 1);
  saved_ = given_ = acknowledged_;
  opened_at_ = clock_->SteadyNow();
  opened_ = clock_->Now();
  if (!segments_.empty()) {
    const Segment& newest = segments_.back();
    end_at_open_ = {newest.number, newest.size};
    // The wall clock may have jumped while nobody ran: its step is believed no further than this.
    opened_ = std::clamp(opened_, newest.first, TimePoint(newest.first + 2 * options_.segment_age));
  }
  MakeReserve();
  while (!segments_.empty() && segments_.front().number < acknowledged_.segment) DropOldest();
  return absl::OkStatus();
}

TimePoint RelaySpool::SpoolNow() const {
  return opened_ +
         std::chrono::duration_cast<TimePoint::duration>(clock_->SteadyNow() - opened_at_);
}

void RelaySpool::MakeReserve() {
  const auto path = options_.folder / "reserve";
  std::error_code error;
  if (std::filesystem::file_size(path, error) == kReserveBytes && !error) return;
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return;
  const bool made = ::posix_fallocate(fd, 0, static_cast<off_t>(kReserveBytes)) == 0;
  ::close(fd);
  if (!made) std::filesystem::remove(path, error);  // the next Trim tries again
}

Status RelaySpool::WithReserve(const std::function<Status()>& write) {
  const Status status = write();
  std::error_code error;
  if (status.ok() || !std::filesystem::remove(options_.folder / "reserve", error)) return status;
  return write();
}

Status RelaySpool::StartSegment() {
  if (write_fd_ >= 0) ::close(write_fd_);
  const Segment segment{next_number_, SpoolNow(), RandomNumber(), 0, {run_, written_lines_}};
  const auto path = PathOf(segment);
  write_fd_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
  if (write_fd_ < 0) return DiskError("create", path);
  segments_.push_back(segment);
  ++next_number_;
  const int folder = ::open(options_.folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder >= 0) {
    ::fsync(folder);  // so that the new name survives, too
    ::close(folder);
  }
  return absl::OkStatus();
}

Status RelaySpool::Write(const v1::PushRequest& batch) {
  if (write_fd_ < 0 || segments_.back().size >= options_.segment_bytes ||
      SpoolNow() - segments_.back().first > options_.segment_age) {
    YAGURA_RETURN_IF_ERROR(StartSegment());
  }
  Segment& segment = segments_.back();
  const std::string record = RelayRecordOf(batch, segment.seed);
  if (!WriteAll(write_fd_, record) || ::fdatasync(write_fd_) != 0) {
    const Status error = DiskError("write", PathOf(segment));
    if (::ftruncate(write_fd_, static_cast<off_t>(segment.size)) != 0) {
      ::close(write_fd_);
      write_fd_ = -1;  // the next record begins a new segment
    }
    return error;
  }
  segment.size += record.size();
  written_lines_ += RelayLinesOf(batch);
  return absl::OkStatus();
}

Status RelaySpool::Append(v1::PushRequest batch) {
  const std::lock_guard lock(mutex_);
  const TimePoint now = clock_->Now();
  batch.set_parent(options_.parent);
  batch.set_batch_id(fmt::format("{}-{}-{}", run_, ++sequence_, written_lines_));
  batch.mutable_relay()->set_site(options_.site);
  *batch.mutable_send_time() = ToProto(now);
  const Status written = Write(batch);
  NoteDisk(written);
  if (written.ok()) Hear(batch.relay());
  return written;
}

void RelaySpool::NoteDisk(const Status& written) {
  const std::string before = std::exchange(disk_error_, written.ok() ? "" : Message(written));
  if (before.empty() && !written.ok()) {
    logger_.Error("the disk refuses lines: senders wait, and what they do not keep is lost",
                  {{"error", disk_error_}});
  }
  if (!before.empty() && written.ok()) logger_.Info("the disk takes lines again", {});
}

void RelaySpool::CountLines(const v1::RelayedSender& sender, TimePoint time, uint64_t lines,
                            bool by_kernel, Book& book) {
  if (lines == 0) return;
  v1::RelayedSender who = sender;
  const auto hour = std::chrono::floor<std::chrono::hours>(time).time_since_epoch().count();
  const std::string any = fmt::format("{}\n{:d}\n", hour, by_kernel);
  std::string key = any + who.SerializeAsString();
  if (book.losses.size() >= kMaxLosses && !book.losses.contains(key)) {
    who.Clear();
    key = any;
  }
  Loss& loss = book.losses[key];
  loss.sender = std::move(who);
  loss.by_kernel = by_kernel;
  if (loss.lines == 0 || time < loss.first) loss.first = time;
  loss.lines += lines;
  if (!by_kernel) book.lost_lines += lines;
}

void RelaySpool::Count(const v1::PushRequest& batch, Book& book) {
  const v1::RelayedBatch& relay = batch.relay();
  const auto add = [&](uint32_t sender, TimePoint time, uint64_t lines, bool by_kernel = false) {
    if (sender >= static_cast<uint32_t>(relay.senders_size())) return;
    CountLines(relay.senders(static_cast<int>(sender)), time, lines, by_kernel, book);
  };
  for (int i = 0; i < relay.line_senders_size() && i < relay.line_receive_times_size(); ++i) {
    add(relay.line_senders(i), FromProto(relay.line_receive_times(i)), 1);
  }
  // What it would have told was counted as lost before.
  const uint64_t before = book.lost_lines;
  for (const v1::RelayLoss& loss : relay.losses()) {
    add(loss.sender(), FromProto(loss.receive_time()), loss.line_count(), loss.kernel_dropped());
  }
  book.lost_lines = before;
}

// What somebody found while reading. Not in the way of what others count meanwhile.
void RelaySpool::Merge(const Book& found) {
  const uint64_t lost = book_.lost_lines + found.lost_lines;
  for (const auto& [key, loss] : found.losses) {
    CountLines(loss.sender, loss.first, loss.lines, loss.by_kernel, book_);
  }
  book_.lost_lines = lost;
  book_.damaged_lines += found.damaged_lines;
  book_.estimated |= found.estimated;
  if (found.damage.end > book_.damage.end) book_.damage = found.damage;
  book_.damaged_bytes += found.damaged_bytes;
}

void RelaySpool::NoteLost(const v1::PushRequest& batch) {
  const std::lock_guard lock(mutex_);
  Count(batch, book_);
}

void RelaySpool::Hear(const v1::RelayedBatch& relay) {
  std::vector<uint64_t> lines(static_cast<size_t>(relay.senders_size()));
  for (const uint32_t sender : relay.line_senders()) {
    if (sender < lines.size()) ++lines[sender];
  }
  for (size_t i = 0; i < lines.size(); ++i) {
    const v1::RelayedSender& sender = relay.senders(static_cast<int>(i));
    auto& heard = heard_[sender.listener()];
    const auto is_it = [&](const Heard& one) { return one.sender.address() == sender.address(); };
    const auto known = std::find_if(heard.begin(), heard.end(), is_it);
    if (known != heard.end()) {
      known->lines += lines[i];
    } else if (heard.size() < kMaxHeard) {
      heard.push_back({sender, lines[i]});
    }
  }
}

void RelaySpool::NoteDropped(std::string_view listener, uint64_t datagrams) {
  const std::lock_guard lock(mutex_);
  const std::string name(listener);
  if (auto heard = heard_.extract(name)) heard_before_[name] = std::move(heard.mapped());
  const std::vector<Heard>& senders = heard_before_[name];
  uint64_t& drops = dropped_[name];
  drops += datagrams;
  if (drops == 0 || senders.empty()) return;
  std::vector<uint64_t> lines;
  for (const Heard& one : senders) lines.push_back(one.lines);
  const auto shares = SharesOf(std::exchange(drops, 0), lines);
  const TimePoint now = clock_->Now();
  for (size_t i = 0; i < shares.size(); ++i) {
    CountLines(senders[i].sender, now, shares[i], /*by_kernel=*/true, book_);
  }
}

RelaySpool::View RelaySpool::ViewOf(const Segment& segment) const {
  return {segment, EndOf(segment), IsWritten(segment),
          segment.number == given_.segment ? given_.end : 0};
}

std::optional<RelaySpool::View> RelaySpool::NextView(uint64_t behind) const {
  for (const Segment& segment : segments_) {
    if (segment.number >= given_.segment && segment.number > behind) return ViewOf(segment);
  }
  return std::nullopt;
}

StatusOr<std::shared_ptr<const RelayRecords>> RelaySpool::FileOf(const Segment& segment) {
  if (read_file_ == nullptr || read_segment_ != segment.number) {
    YAGURA_ASSIGN_OR_RETURN(read_file_, RelayRecords::Open(PathOf(segment), segment.seed));
    read_segment_ = segment.number;
  }
  return read_file_;
}

StatusOr<std::optional<RelaySpool::Entry>> RelaySpool::ReadAt(const View& view, uint64_t offset,
                                                              Book& found) {
  const Segment& segment = view.segment;
  YAGURA_ASSIGN_OR_RETURN(const auto file, FileOf(segment));
  YAGURA_ASSIGN_OR_RETURN(auto record, file->Next(offset, segment.size));
  if (!record) {
    if (offset < segment.size) NoteHole(view, offset, segment.size, nullptr, found);
    return std::optional<Entry>();
  }
  if (record->begin > offset) NoteHole(view, offset, record->begin, &record->batch, found);
  return std::optional<Entry>({{segment.number, record->end}, std::move(record->batch)});
}

bool RelaySpool::IsWritten(const Segment& segment) const {
  return write_fd_ >= 0 && segment.number == segments_.back().number;
}

RelaySpool::Mark RelaySpool::EndOf(const Segment& segment) const {
  if (IsWritten(segment)) return {run_, written_lines_};
  const auto next = std::find_if(segments_.begin(), segments_.end(), [&](const Segment& other) {
    return other.number > segment.number;
  });
  if (next != segments_.end() && next->begin.run == segment.begin.run) return next->begin;
  // The last one of its run.
  return segment.number == filled_at_.segment ? filled_ : Mark{};
}

void RelaySpool::NoteHole(const View& view, uint64_t from, uint64_t to, const v1::PushRequest* next,
                          Book& found) {
  const Segment& segment = view.segment;
  const Place end{segment.number, next == nullptr && !view.is_written ? kEnd : to};
  Mark done;     // up to where the suite has all
  Damage known;  // which is counted
  Place filled_at;
  {
    const std::lock_guard lock(mutex_);
    if (from < to) holes_[{segment.number, from}] = {segment.number, to};
    known = found.damage.end > book_.damage.end ? found.damage : book_.damage;
    if (end <= known.end) return;
    if (acknowledged_.segment == segment.number) done = acknowledged_mark_;
    filled_at = filled_at_;
  }
  RelayRecords::Survey before{0, 0, segment.begin, segment.first};
  if (const auto file = FileOf(segment); file.ok()) before = (*file)->SurveyUpTo(from, before);
  const Mark after = next == nullptr ? view.end : MarkBefore(*next);
  // What is damaged may begin with what the suite has, or with what is counted.
  const bool is_known = known.end.segment == segment.number;
  for (const Mark& mark : {done, is_known ? known.mark : Mark{}}) {
    if (!mark.run.empty() && mark.run == after.run &&
        (before.end.run != after.run || before.end.lines < mark.lines)) {
      before.end = mark;
    }
  }
  const uint64_t fresh = is_known ? std::clamp(known.end.end, from, to) : from;
  uint64_t lines = 0;
  uint64_t unknown = to - fresh;  // bytes
  if (!after.run.empty() && after.run == before.end.run) {
    lines = after.lines - std::min(after.lines, before.end.lines);
    // What was written after that was said last.
    const bool is_said = next == nullptr && segment.number == filled_at.segment;
    unknown = is_said && !view.is_written ? to - std::clamp(filled_at.end, fresh, to) : 0;
  }
  if (unknown > 0) {
    const uint64_t mean =
        before.lines == 0 ? kLikelyLineBytes : std::max<uint64_t>(before.bytes / before.lines, 1);
    lines += std::max<uint64_t>(unknown / mean, 1);
  }
  if (fresh < to || lines > 0) {
    found.damaged_bytes += to - fresh;
    logger_.Error("part of the relay's spool is damaged: its lines are lost",
                  {{"segment", PathOf(segment).string()},
                   {"offset", fresh},
                   {"bytes", to - fresh},
                   {"lines", lines},
                   {"estimated", unknown > 0}});
    KeepAside(segment);
    found.estimated |= unknown > 0;
    found.damaged_lines += lines;
    CountLines({}, before.time, lines, /*by_kernel=*/false, found);
  }
  found.damage = {end, after};
}

void RelaySpool::CheckEnd(const View& view, Book& found) {
  const Segment& segment = view.segment;
  if (view.is_written || std::exchange(end_checked_, segment.number) == segment.number) return;
  const bool whole = last_given_ && last_given_->first == Place{segment.number, segment.size} &&
                     last_given_->second.run == view.end.run &&
                     last_given_->second.lines >= view.end.lines;
  if (!whole && !view.end.run.empty()) NoteHole(view, segment.size, segment.size, nullptr, found);
}

void RelaySpool::KeepAside(const Segment& segment) const {
  const auto folder = options_.folder / "damaged";
  const auto path = PathOf(segment);
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  const auto kept = std::distance(std::filesystem::directory_iterator(folder, error), {});
  if (error || static_cast<size_t>(kept) >= kMaxDamaged ||
      std::filesystem::exists(folder / path.filename(), error)) {
    return;
  }
  std::filesystem::copy_file(path, folder / path.filename(), error);
  std::error_code ignored;
  if (error) std::filesystem::remove(folder / path.filename(), ignored);  // no room for all of it
}

StatusOr<std::optional<RelaySpool::Entry>> RelaySpool::Next() {
  const std::lock_guard reading(read_mutex_);
  for (uint64_t behind = 0;;) {
    std::optional<View> view;
    {
      const std::lock_guard lock(mutex_);
      view = NextView(behind);
    }
    if (!view) return std::optional<Entry>();
    behind = view->segment.number;
    Book found;
    StatusOr<std::optional<Entry>> entry = std::optional<Entry>();
    if (view->from < view->segment.size) entry = ReadAt(*view, view->from, found);
    if (entry.ok() && *entry) {
      last_given_ = {(*entry)->place, MarkBehind((*entry)->batch)};
      given_marks_.insert(*last_given_);
    } else if (entry.ok()) {
      CheckEnd(*view, found);
    }
    const std::lock_guard lock(mutex_);
    Merge(found);
    if (!entry.ok()) return entry;
    given_ = *entry ? (*entry)->place
                    : std::max(given_, Place{view->segment.number, view->segment.size});
    if (*entry) return entry;
  }
}

uint64_t RelaySpool::DoneOf(const Segment& segment) const {
  if (segment.number > acknowledged_.segment) return 0;
  // Where its file was cut, it may end before what is acknowledged.
  return segment.number < acknowledged_.segment ? segment.size
                                                : std::min(segment.size, acknowledged_.end);
}

std::optional<RelaySpool::Place> RelaySpool::FirstWaiting() const {
  for (const Segment& segment : segments_) {
    if (const uint64_t done = DoneOf(segment); done < segment.size) {
      return Place{segment.number, done};
    }
  }
  return std::nullopt;
}

void RelaySpool::SkipHoles() {
  if (book_.damaged_lines > 0) return;  // not before they are told
  for (auto at = FirstWaiting(); at; at = FirstWaiting()) {
    const auto hole = holes_.find(*at);
    if (hole == holes_.end()) break;
    SetAcknowledged(hole->second, {});
    given_ = std::max(given_, acknowledged_);
  }
  holes_.erase(holes_.begin(), holes_.lower_bound(acknowledged_));
}

void RelaySpool::SaveFilled() {
  if (write_fd_ < 0) return;
  const Place end{segments_.back().number, segments_.back().size};
  if (end == filled_at_) return;
  const Status written = blob::WriteFileDurably(
      options_.folder / "filled",
      fmt::format("{} {} {} {}\n", end.segment, end.end, run_, written_lines_), 0600,
      blob::IfExists::kReplace);
  if (!written.ok()) return;  // what a cut tail held would be estimated
  filled_at_ = end;
  filled_ = {run_, written_lines_};
}

void RelaySpool::Rewind() {
  const std::lock_guard reading(read_mutex_);
  const std::lock_guard lock(mutex_);
  given_ = acknowledged_;
}

void RelaySpool::SetAcknowledged(const Place& place, const Mark& mark) {
  acknowledged_ = place;
  acknowledged_mark_ = mark;
  given_marks_.erase(given_marks_.begin(), given_marks_.upper_bound(place));
}

void RelaySpool::Acknowledge(const Place& place) {
  const std::lock_guard reading(read_mutex_);
  const std::lock_guard lock(mutex_);
  if (place <= acknowledged_) return;
  const auto mark = given_marks_.find(place);
  SetAcknowledged(place, mark == given_marks_.end() ? Mark{} : mark->second);
  SaveAcknowledged(/*now=*/false);
}

void RelaySpool::GiveUp(const Entry& entry) {
  const std::lock_guard reading(read_mutex_);
  const std::lock_guard lock(mutex_);
  if (entry.place <= acknowledged_) return;
  const Book before = book_;
  Count(entry.batch, book_);
  if (!TellLosses()) {
    book_ = before;
    return;
  }
  SetAcknowledged(entry.place, MarkBehind(entry.batch));
  SaveAcknowledged(/*now=*/true);
}

void RelaySpool::SaveAcknowledged(bool now) {
  const SteadyTime time = clock_->SteadyNow();
  const bool passed = !segments_.empty() && segments_.front().number < acknowledged_.segment;
  const bool is_saved = saved_ == acknowledged_ && saved_damage_.end == book_.damage.end;
  if (is_saved || (!now && !passed && time - saved_at_ < kSaveInterval)) return;
  if (book_.damaged_lines > 0) TellLosses();  // before the mark says that they are
  // Before the mark is written: a full disk has room for it only then. Where it is not written,
  // part of one segment is sent again, under the ids that the suite knows.
  while (!segments_.empty() && segments_.front().number < acknowledged_.segment) DropOldest();
  const Damage damage = book_.damaged_lines > 0 ? saved_damage_ : book_.damage;
  const Status written =
      blob::WriteFileDurably(options_.folder / "acknowledged",
                             fmt::format("{} {} {} {} {} {}\n", acknowledged_.segment,
                                         acknowledged_.end, damage.end.segment, damage.end.end,
                                         MarkText(acknowledged_mark_), MarkText(damage.mark)),
                             0600, blob::IfExists::kReplace);
  if (!written.ok()) {
    logger_.Error("how far the suite has acknowledged cannot be saved",
                  {{"error", Message(written)}});
    return;
  }
  saved_ = acknowledged_;
  saved_damage_ = damage;
  saved_at_ = time;
}

void RelaySpool::DropOldest() {
  const Segment& segment = segments_.front();
  std::error_code ignored;
  std::filesystem::remove(PathOf(segment), ignored);
  if (segments_.size() == 1 && write_fd_ >= 0) {
    ::close(write_fd_);
    write_fd_ = -1;
  }
  if (read_segment_ == segment.number) read_file_ = nullptr;
  segments_.pop_front();
}

// What of it has not been acknowledged.
void RelaySpool::CountSegment(const View& view, Book& found) {
  for (uint64_t offset = view.from;;) {
    const auto entry = ReadAt(view, offset, found);
    if (!entry.ok() || !*entry) return;
    Count((*entry)->batch, found);
    offset = (*entry)->place.end;
  }
}

bool RelaySpool::DropOver(size_t over, std::unique_lock<std::mutex>& lock) {
  // What tells of them must be there before they go, and not go with them.
  if (over == segments_.size() && !WithReserve([this] { return StartSegment(); }).ok())
    return false;
  std::vector<View> views;
  for (size_t i = 0; i < over; ++i) {
    if (segments_[i].number < acknowledged_.segment) continue;
    views.push_back(ViewOf(segments_[i]));
    views.back().from = DoneOf(segments_[i]);
  }
  lock.unlock();
  Book gone;
  for (const View& view : views) CountSegment(view, gone);
  lock.lock();
  const Book before = book_;
  Merge(gone);
  if (!TellLosses()) {
    book_ = before;
    if (!std::exchange(told_of_disk_, true)) {
      logger_.Error("the disk refuses what tells of lines to be given up; they stay until then",
                    {{"segments", over}});
    }
    return false;
  }
  told_of_disk_ = false;
  const Segment& last = segments_[over - 1];
  if (const Place end{last.number, last.size}; end > acknowledged_) SetAcknowledged(end, {});
  given_ = std::max(given_, acknowledged_);
  for (size_t i = 0; i < over; ++i) DropOldest();
  SaveAcknowledged(/*now=*/true);
  if (book_.lost_lines > before.lost_lines) {
    logger_.Warning("the relay gives up its oldest lines: it has no room or they are too old",
                    {{"lines", book_.lost_lines - before.lost_lines}});
  }
  return true;
}

void RelaySpool::Trim() {
  const std::lock_guard reading(read_mutex_);
  std::unique_lock lock(mutex_);
  SaveAcknowledged(/*now=*/false);
  if (const size_t over = CountOver(); over > 0 && !DropOver(over, lock)) return;
  TellLosses();
  SkipHoles();
  SaveAcknowledged(/*now=*/false);
  SaveFilled();
  MakeReserve();
}

size_t RelaySpool::CountOver() const {
  const TimePoint now = SpoolNow();
  uint64_t waiting = WaitingBytes();
  size_t over = 0;
  while (over < std::min(segments_.size(), kMaxDropped)) {
    const Segment& segment = segments_[over];
    // What was written last to it is no younger.
    const bool is_old = now - (segment.first + options_.segment_age) > options_.max_age;
    if (!is_old && waiting <= options_.max_bytes) break;
    waiting -= segment.size - DoneOf(segment);
    ++over;
  }
  return over;
}

// It is a record, and counts once.
v1::PushRequest RelaySpool::OwnBatch(const std::string& text, TimePoint now) {
  v1::PushRequest batch;
  v1::RelayedBatch& relay = *batch.mutable_relay();
  relay.add_senders();  // the relay itself
  batch.add_lines(fmt::format("<132>1 {} - yagura-relay - - - {}", FormatTime(now), text));
  relay.add_line_senders(0);
  *relay.add_line_receive_times() = ToProto(now);
  relay.set_site(options_.site);
  batch.set_parent(options_.parent);
  batch.set_batch_id(fmt::format("{}-{}-{}", run_, ++sequence_, written_lines_));
  *batch.mutable_send_time() = ToProto(now);
  return batch;
}

bool RelaySpool::TellLosses(bool now_at_last) {
  const TimePoint now = clock_->Now();
  uint64_t lines = 0;
  uint64_t drops = 0;
  TimePoint first = now;
  for (const auto& [key, loss] : book_.losses) {
    (loss.by_kernel ? drops : lines) += loss.lines;
    first = std::min(first, loss.first);
  }
  if (lines + drops == 0) return true;
  // A flood is no reason for a line a second.
  const SteadyTime time = clock_->SteadyNow();
  const bool is_soon = drops_told_at_ && time - *drops_told_at_ < kDropsInterval;
  if (lines == 0 && is_soon && !now_at_last) return true;
  const std::string damaged =
      book_.damaged_lines == 0
          ? ""
          : fmt::format("; {}{} of them were in damaged parts of the spool",
                        book_.estimated ? "by an estimate from their bytes, " : "",
                        book_.damaged_lines);
  const std::string given_up =
      lines == 0
          ? ""
          : fmt::format("gave up {} lines, received from {} on: they could not be delivered{}",
                        lines, FormatTime(first), damaged);
  const std::string dropped =
      drops == 0 ? ""
                 : fmt::format("the kernel of this host dropped {} datagrams before they were read",
                               drops);
  v1::PushRequest batch =
      OwnBatch(given_up + (given_up.empty() || dropped.empty() ? "" : "; ") + dropped, now);
  v1::RelayedBatch& relay = *batch.mutable_relay();
  for (const auto& [key, loss] : book_.losses) {
    v1::RelayLoss& told = *relay.add_losses();
    told.set_sender(static_cast<uint32_t>(relay.senders_size()));
    *relay.add_senders() = loss.sender;
    *told.mutable_receive_time() = ToProto(loss.first);
    told.set_line_count(loss.lines);
    told.set_kernel_dropped(loss.by_kernel);
  }
  if (!WithReserve([&] { return Write(batch); }).ok()) return false;
  if (drops > 0) drops_told_at_ = time;
  book_.losses.clear();
  book_.damaged_lines = 0;
  book_.estimated = false;
  return true;
}

Status RelaySpool::TellDoubt(const Entry& entry) {
  const std::lock_guard lock(mutex_);
  const auto lines = static_cast<uint64_t>(entry.batch.lines_size());
  const TimePoint now = clock_->Now();
  const v1::PushRequest batch = OwnBatch(
      fmt::format("sent {} lines again, received about {}, of which it is not known whether the "
                  "suite had them, longer ago than it remembers: they may be there twice",
                  lines, FormatTime(FromProto(entry.batch.send_time()))),
      now);
  YAGURA_RETURN_IF_ERROR(WithReserve([&] { return Write(batch); }));
  doubtful_lines_ += lines;
  return absl::OkStatus();
}

uint64_t RelaySpool::WaitingBytes() const {
  uint64_t bytes = 0;
  for (const Segment& segment : segments_) bytes += segment.size - DoneOf(segment);
  return bytes;
}

RelaySpool::Stats RelaySpool::stats() {
  const std::lock_guard reading(read_mutex_);
  std::unique_lock lock(mutex_);
  if (const auto first = FirstWaiting(); first && (!oldest_ || oldest_->first != *first)) {
    const auto segment = std::find_if(segments_.begin(), segments_.end(), [&](const Segment& one) {
      return one.number == first->segment;
    });
    const View view = ViewOf(*segment);
    lock.unlock();
    Book found;
    const auto entry = ReadAt(view, first->end, found);
    lock.lock();
    Merge(found);
    const bool has = entry.ok() && *entry;
    oldest_ = {*first, has ? FromProto((*entry)->batch.send_time()) : clock_->Now()};
    oldest_segment_ = view.segment.first;
  }
  Stats stats;
  stats.bytes = WaitingBytes();
  stats.doubtful_lines = doubtful_lines_;
  if (FirstWaiting()) {
    // No older than its segment: a wall clock that jumped makes nothing old.
    const TimePoint now = clock_->Now();
    stats.oldest =
        std::clamp(oldest_->second, TimePoint(now - (SpoolNow() - oldest_segment_)), now);
  }
  stats.lost_lines = book_.lost_lines;
  stats.damaged_bytes = book_.damaged_bytes;
  stats.disk_error = disk_error_;
  return stats;
}

}  // namespace yagura::ingestion
