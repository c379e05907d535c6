#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"
#include "common/log/log.h"
#include "services/ingestion/relay/relay_records.h"
#include "yagura/ingestion/v1/ingestion_service.pb.h"

namespace yagura::ingestion {

// Batches of a relay on disk until the suite has acknowledged them, first in, first out, each under
// the id that it keeps. Bounded by age and bytes: beyond that the oldest go, once a batch is there
// that tells what they were; a file "reserve" keeps room for that on a full disk. Thread-safe;
// whoever appends waits for no reading.
//
// Age is time in which the relay ran, and of each pause between two runs no more than two hours: a
// clock that jumps ages nothing.
//
// Files "<number>-<first time, ms>-<seed>.<run>.<lines>.relay" in one folder, each a sequence of
// records: size (u32 little-endian), hash (u64, seeded so that no sender can write what would be
// taken for a record), the batch. "acknowledged" says up to which place (and line) all is done;
// what was acknowledged after it was written last is sent once more after a kill, and known again
// by its id.
//
// A batch's id, a file's name and "filled" (the end of the last file, a second ago at most) say how
// many lines the run had kept before: so it is known how many a damaged place held. They are told
// as lost, and the file as it was is kept in "damaged".
class RelaySpool {
 public:
  struct Options {
    std::filesystem::path folder;
    uint64_t max_bytes = 10ull << 30;
    std::chrono::seconds max_age{72 * 3600};
    uint64_t segment_bytes = 8 << 20;
    std::chrono::seconds segment_age{3600};
    std::string site;
    std::string parent;  // "tenants/{tenant}"
  };
  struct Place {
    uint64_t segment = 0;
    uint64_t end = 0;  // offset behind the record
    auto operator<=>(const Place&) const = default;
  };
  struct Entry {
    Place place;
    v1::PushRequest batch;
  };
  struct Stats {
    uint64_t bytes = 0;       // not acknowledged yet
    TimePoint oldest{};       // about when the oldest of them came; zero: there is none
    uint64_t lost_lines = 0;  // since the start
    uint64_t doubtful_lines = 0;
    uint64_t damaged_bytes = 0;
    std::string disk_error;  // why lines cannot be written now; empty: they can, as far as is known
  };

  // UNAVAILABLE where the folder cannot be used.
  static absl::StatusOr<std::unique_ptr<RelaySpool>> Open(const Options& options,
                                                          std::shared_ptr<const Clock> clock,
                                                          Logger logger);
  ~RelaySpool();  // tells what is lost and not told yet

  // Gives the batch its id; on disk (fdatasync) when it returns OK. UNAVAILABLE where the disk
  // refuses; the batch is then not in the spool.
  absl::Status Append(v1::PushRequest batch);
  // Lines that could not be appended: told with the next batch.
  void NoteLost(const v1::PushRequest& batch);

  // The kernel dropped datagrams of a listener: told within a minute, shared out among the senders
  // whose lines of that listener were appended since this was called last, 0 or not; where there
  // were none, among those before them.
  void NoteDropped(std::string_view listener, uint64_t datagrams);

  // The next batch that was not given since the start or the last Rewind; nothing where there is
  // none. UNAVAILABLE where the disk refuses to read.
  absl::StatusOr<std::optional<Entry>> Next();
  // From the oldest again that is not acknowledged.
  void Rewind();
  // All up to there is done.
  void Acknowledge(const Place& place);
  // The batch at that place, the oldest, will never be taken. It stays where the disk refuses to
  // keep what tells of it.
  void GiveUp(const Entry& entry);
  // Adds a batch which tells that the lines of `entry` may be with the suite twice.
  absl::Status TellDoubt(const Entry& entry);
  // Up to where an earlier run had filled the spool: it may have sent what is there.
  Place end_at_open() const { return end_at_open_; }
  // Drops what is too old or too much, once it is told.
  void Trim();
  Stats stats();

 private:
  using Mark = RelayMark;
  struct Segment {
    uint64_t number;
    TimePoint first;  // as SpoolNow
    uint64_t seed;
    uint64_t size;
    Mark begin;
  };
  // A segment as it was when it was looked at: others may append to it.
  struct View {
    Segment segment;
    Mark end;
    bool is_written = false;  // by this run
    uint64_t from = 0;        // whence it is read
  };
  struct Loss {
    v1::RelayedSender sender;
    TimePoint first{};
    uint64_t lines = 0;
    bool by_kernel = false;
  };
  struct Heard {
    v1::RelayedSender sender;
    uint64_t lines = 0;
  };
  // Up to where what is damaged has been counted.
  struct Damage {
    Place end;
    Mark mark;  // there
  };
  // What is lost, as far as it is not told and saved yet; or what of it somebody found while
  // reading.
  struct Book {
    std::map<std::string, Loss> losses;  // by sender and hour
    uint64_t lost_lines = 0;             // by the relay, since the start, told or not
    uint64_t damaged_lines = 0;          // of `losses`
    bool estimated = false;              // these
    Damage damage;                       // that is in it
    uint64_t damaged_bytes = 0;          // since the start, told or not
  };

  RelaySpool(Options options, std::shared_ptr<const Clock> clock, Logger logger);
  std::filesystem::path PathOf(const Segment& segment) const;
  static std::optional<Segment> ParseName(const std::filesystem::path& path);
  absl::Status Load();
  // All below under mutex_, but for those of which it is said that they read.
  // The time that things age by.
  TimePoint SpoolNow() const;
  absl::Status StartSegment();
  absl::Status Write(const v1::PushRequest& batch);
  // What became of lines that were to be written.
  void NoteDisk(const absl::Status& written);
  // Runs `write`, and where the disk refuses once more without the reserve.
  absl::Status WithReserve(const std::function<absl::Status()>& write);
  void MakeReserve();
  // A batch with a line of the relay's own.
  v1::PushRequest OwnBatch(const std::string& text, TimePoint now);
  View ViewOf(const Segment& segment) const;
  // The next one that is to be given, or behind that number; nothing where there is none.
  std::optional<View> NextView(uint64_t behind) const;
  // These read, under read_mutex_ alone.
  absl::StatusOr<std::optional<Entry>> ReadAt(const View& view, uint64_t offset, Book& found);
  absl::StatusOr<std::shared_ptr<const RelayRecords>> FileOf(const Segment& segment);
  void CountSegment(const View& view, Book& found);
  // Bytes that are no sound record, before `next` or, without, at the segment's end.
  void NoteHole(const View& view, uint64_t from, uint64_t to, const v1::PushRequest* next,
                Book& found);
  // Whether the segment has lost records at its end without a trace in it.
  void CheckEnd(const View& view, Book& found);
  void KeepAside(const Segment& segment) const;

  static void Count(const v1::PushRequest& batch, Book& book);
  static void CountLines(const v1::RelayedSender& sender, TimePoint time, uint64_t lines,
                         bool by_kernel, Book& book);
  void Merge(const Book& found);
  void Hear(const v1::RelayedBatch& relay);
  Mark EndOf(const Segment& segment) const;
  bool IsWritten(const Segment& segment) const;
  // Bytes of it that are acknowledged.
  uint64_t DoneOf(const Segment& segment) const;
  // What is not acknowledged begins there; nothing where there is none.
  std::optional<Place> FirstWaiting() const;
  // Holes that were told and have nothing before them that waits are done.
  void SkipHoles();
  void SaveFilled();
  // How many of the oldest segments are too old or too much.
  size_t CountOver() const;
  void DropOldest();
  // Lets the oldest go, once they are told, and reads them without `lock`. False: they stay.
  bool DropOver(size_t over, std::unique_lock<std::mutex>& lock);
  void SetAcknowledged(const Place& place, const Mark& mark);
  // False where the disk refuses: they are told later.
  // Those of the kernel wait for a minute, unless they must be told `now_at_last`.
  bool TellLosses(bool now_at_last = false);
  void SaveAcknowledged(bool now);
  uint64_t WaitingBytes() const;

  const Options options_;
  const std::shared_ptr<const Clock> clock_;
  const Logger logger_;
  const std::string run_;  // of ids: unique a start
  // Who reads, or says what is done with; taken before mutex_, and never by who appends.
  std::mutex read_mutex_;
  std::shared_ptr<const RelayRecords> read_file_;     // under read_mutex_
  uint64_t read_segment_ = 0;                         // that this is of
  uint64_t end_checked_ = 0;                          // number of the segment; under read_mutex_
  std::optional<std::pair<Place, Mark>> last_given_;  // under read_mutex_
  std::map<Place, Mark>
      given_marks_;  // of what was given and is not acknowledged; under read_mutex_
  mutable std::mutex mutex_;
  std::deque<Segment> segments_;  // the oldest first
  int write_fd_ = -1;             // of the last one
  uint64_t next_number_ = 1;
  uint64_t sequence_ = 0;
  TimePoint opened_{};  // as SpoolNow
  SteadyTime opened_at_{};
  Place end_at_open_;
  Place acknowledged_;
  Mark acknowledged_mark_;  // there
  Place saved_;
  SteadyTime saved_at_{};
  Place given_;
  Book book_;
  Damage saved_damage_;
  std::map<Place, Place> holes_;  // found since the start: where they begin and end
  uint64_t written_lines_ = 0;    // of this run
  Place filled_at_;               // as "filled" says
  Mark filled_;
  std::optional<std::pair<Place, TimePoint>> oldest_;
  TimePoint oldest_segment_{};                              // when its segment began, as SpoolNow
  std::map<std::string, std::vector<Heard>> heard_;         // by listener, since NoteDropped
  std::map<std::string, std::vector<Heard>> heard_before_;  // by listener, the last ones
  std::map<std::string, uint64_t> dropped_;                 // by listener, not shared out yet
  std::optional<SteadyTime> drops_told_at_;
  uint64_t doubtful_lines_ = 0;
  bool told_of_disk_ = false;
  std::string disk_error_;
};

}  // namespace yagura::ingestion
