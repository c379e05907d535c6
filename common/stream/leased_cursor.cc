#include "common/stream/leased_cursor.h"

#include <algorithm>
#include <deque>
#include <set>
#include <utility>

#include "fmt/format.h"

#include "common/redis/pool.h"
#include "common/status/status.h"
#include "common/stream/entries.h"
#include "common/stream/scripts.h"

namespace yagura::stream {
namespace {

using std::chrono::milliseconds;

constexpr size_t kMaxErrorText = 1000;
constexpr size_t kRangePage = 64;  // entries a round trip of ReadRange
constexpr int kCommitTries = 3;

std::string Number(uint64_t value) { return fmt::format("{}", value); }

// "INVALID_ARGUMENT: is no batch".
std::string ErrorText(const Status& error) {
  return fmt::format("{}: {}", absl::StatusCodeToString(error.code()), Message(error))
      .substr(0, kMaxErrorText);
}

}  // namespace

struct LeasedCursor::Impl {
  std::shared_ptr<redis::Pool> flow;
  int shard;
  Options options;
  std::string stream_key;
  std::string lease_key;
  std::string dead_key;
  std::string dead_size_key;
  std::string lease_text;  // milliseconds
  uint64_t epoch = 0;
  std::string epoch_text;

  EntryId committed;
  EntryId position;               // the last entry handed out
  std::set<EntryId> uncommitted;  // known entries after `committed`, to count them at the commit
  std::deque<Entry> ahead;        // fetched and not yet handed out
  size_t usual_size = 64 << 10;   // of an entry, as seen lately

  const redis::Script renew = RenewScript();
  const redis::Script commit = CommitScript();
  const redis::Script dead_letter = DeadLetterScript();
  const redis::Script release = ReleaseScript();

  Status Renew(redis::Connection& connection) const {
    return FromScript(
        renew.Run(connection, {lease_key}, {options.holder, epoch_text, lease_text}).status());
  }
  StatusOr<redis::Reply> Fetch(size_t max_entries, milliseconds block) const;
  std::vector<Entry> HandOut(size_t max_entries, size_t max_bytes);
  StatusOr<std::vector<Entry>> Range(redis::Connection& connection, const std::string& start,
                                     EntryId last, size_t limit) const;
  Status LearnUpTo(redis::Connection& connection, EntryId id);
  Status Advance(const redis::Script& script, EntryId id, const redis::Args& more_keys,
                 const redis::Args& more_args);
  Status Bury(EntryId id, const redis::Args& what);
  void MoveTo(EntryId id);
};

LeasedCursor::LeasedCursor(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
LeasedCursor::LeasedCursor(LeasedCursor&&) noexcept = default;
LeasedCursor& LeasedCursor::operator=(LeasedCursor&&) noexcept = default;
LeasedCursor::~LeasedCursor() = default;

StatusOr<LeasedCursor> LeasedCursor::Acquire(std::shared_ptr<redis::Pool> flow, const Topic& topic,
                                             int shard, const Options& options) {
  if (options.reader.empty() || options.holder.empty()) {
    return InvalidField("holder", "wants a reader and a holder");
  }
  auto impl = std::make_unique<Impl>();
  impl->shard = shard;
  impl->options = options;
  impl->stream_key = StreamKey(topic.name, shard);
  impl->lease_key = LeaseKey(topic.name, shard, options.reader);
  impl->dead_key = DeadLetterKey(topic.name, shard);
  impl->dead_size_key = DeadLetterSizeKey(topic.name, shard);
  impl->lease_text = Number(static_cast<uint64_t>(options.lease.count()));
  {
    YAGURA_ASSIGN_OR_RETURN(auto connection, flow->Acquire());
    const auto reply = AcquireScript().Run(*connection, {impl->lease_key, impl->stream_key},
                                           {options.reader, options.holder, impl->lease_text});
    if (!reply.ok()) return FromScript(reply.status());
    const auto committed =
        reply->items.size() == 2 ? EntryId::Parse(reply->items[1].text) : std::nullopt;
    if (!committed) return Internal("stream: no place to start from");
    impl->epoch = static_cast<uint64_t>(reply->items[0].integer);
    impl->epoch_text = Number(impl->epoch);
    impl->committed = impl->position = *committed;
  }
  impl->flow = std::move(flow);
  return LeasedCursor(std::move(impl));
}

StatusOr<std::vector<Entry>> LeasedCursor::Read(size_t max_entries, size_t max_bytes,
                                                milliseconds block) {
  max_entries = std::max<size_t>(max_entries, 1);
  if (impl_->ahead.empty()) {
    const size_t fitting = std::clamp<size_t>(max_bytes / impl_->usual_size, 1, max_entries);
    YAGURA_ASSIGN_OR_RETURN(redis::Reply reply, impl_->Fetch(fitting, block));
    if (reply.items.empty() || reply.items[0].items.size() != 2) return std::vector<Entry>();
    YAGURA_ASSIGN_OR_RETURN(std::vector<Entry> fetched, ParseEntries(reply.items[0].items[1]));
    size_t bytes = 0;
    for (Entry& entry : fetched) {
      bytes += entry.payload.size();
      impl_->ahead.push_back(std::move(entry));
    }
    if (!fetched.empty()) {
      impl_->usual_size = std::max<size_t>((impl_->usual_size + bytes / fetched.size()) / 2, 64);
    }
  } else {
    YAGURA_RETURN_IF_ERROR(Renew());
  }
  return impl_->HandOut(max_entries, max_bytes);
}

// Renews the lease and reads, in one round trip where nothing is waited for.
StatusOr<redis::Reply> LeasedCursor::Impl::Fetch(size_t max_entries, milliseconds block) const {
  const std::string after = (ahead.empty() ? position : ahead.back().id).ToString();
  const std::string count = Number(max_entries);
  YAGURA_ASSIGN_OR_RETURN(auto connection, flow->Acquire());
  if (block.count() > 0) {
    YAGURA_RETURN_IF_ERROR(Renew(*connection));
    const std::string wait = Number(static_cast<uint64_t>(block.count()));
    return connection->BlockingCommand(
        {"XREAD", "COUNT", count, "BLOCK", wait, "STREAMS", stream_key, after}, block);
  }
  const std::vector<redis::Args> commands = {
      {"EVALSHA", renew.sha1(), "1", lease_key, options.holder, epoch_text, lease_text},
      {"XREAD", "COUNT", count, "STREAMS", stream_key, after}};
  auto replies = connection->Pipeline(commands);
  Status renewed = FromScript(replies[0].status());
  if (ErrorReason(renewed) == "REDIS_NOSCRIPT") renewed = Renew(*connection);
  YAGURA_RETURN_IF_ERROR(renewed);
  return std::move(replies[1]);
}

std::vector<Entry> LeasedCursor::Impl::HandOut(size_t max_entries, size_t max_bytes) {
  std::vector<Entry> entries;
  size_t bytes = 0;
  while (!ahead.empty() && entries.size() < max_entries) {
    bytes += ahead.front().payload.size();
    if (!entries.empty() && bytes > max_bytes) break;
    position = ahead.front().id;
    uncommitted.insert(uncommitted.end(), position);
    entries.push_back(std::move(ahead.front()));
    ahead.pop_front();
  }
  return entries;
}

StatusOr<std::vector<Entry>> LeasedCursor::Impl::Range(redis::Connection& connection,
                                                       const std::string& start, EntryId last,
                                                       size_t limit) const {
  const std::string end = last.ToString();
  const std::string count = Number(limit);
  YAGURA_ASSIGN_OR_RETURN(redis::Reply reply,
                          connection.Command({"XRANGE", stream_key, start, end, "COUNT", count}));
  return ParseEntries(reply);
}

StatusOr<std::vector<Entry>> LeasedCursor::ReadRange(EntryId first, EntryId last) {
  YAGURA_ASSIGN_OR_RETURN(auto connection, impl_->flow->Acquire());
  YAGURA_RETURN_IF_ERROR(impl_->Renew(*connection));
  std::vector<Entry> entries;
  std::string start = first.ToString();
  while (true) {
    YAGURA_ASSIGN_OR_RETURN(auto page, impl_->Range(*connection, start, last, kRangePage));
    const bool is_last = page.size() < kRangePage;
    for (Entry& entry : page) entries.push_back(std::move(entry));
    if (is_last) break;
    start = "(" + entries.back().id.ToString();
  }
  // Only a range that begins right behind what is known tells how many entries a commit passes.
  const EntryId known =
      impl_->uncommitted.empty() ? impl_->committed : *impl_->uncommitted.rbegin();
  YAGURA_RETURN_IF_ERROR(entries.empty() || entries.front().id <= known
                             ? absl::OkStatus()
                             : impl_->LearnUpTo(*connection, entries.front().id));
  for (const Entry& entry : entries) {
    if (entry.id > impl_->committed) impl_->uncommitted.insert(entry.id);
  }
  return entries;
}

// Makes `uncommitted` complete up to `id`. INVALID_ARGUMENT where the shard has no such entry.
Status LeasedCursor::Impl::LearnUpTo(redis::Connection& connection, EntryId id) {
  EntryId known = uncommitted.empty() ? committed : *uncommitted.rbegin();
  while (known < id) {
    YAGURA_ASSIGN_OR_RETURN(const auto page,
                            Range(connection, "(" + known.ToString(), id, kRangePage));
    if (page.empty()) break;
    for (const Entry& entry : page) uncommitted.insert(entry.id);
    known = page.back().id;
  }
  if (!uncommitted.contains(id)) {
    return InvalidField("id", fmt::format("{} has no entry {}", stream_key, id.ToString()));
  }
  return absl::OkStatus();
}

Status LeasedCursor::Commit(EntryId id) { return impl_->Advance(impl_->commit, id, {}, {}); }

Status LeasedCursor::CommitDeadLetter(EntryId id, const Status& error) {
  return impl_->Bury(id, {"whole", ErrorText(error)});
}

Status LeasedCursor::CommitDeadPieces(EntryId id, const std::vector<DeadPiece>& pieces) {
  if (pieces.empty()) return Commit(id);
  std::vector<std::string> errors;
  for (const DeadPiece& piece : pieces) errors.push_back(ErrorText(piece.error));
  redis::Args what = {"pieces"};
  for (size_t i = 0; i < pieces.size(); ++i) {
    what.insert(what.end(), {pieces[i].key, pieces[i].payload, errors[i]});
  }
  return impl_->Bury(id, what);
}

Status LeasedCursor::Impl::Bury(EntryId id, const redis::Args& what) {
  const std::string letters = Number(kMaxDeadLetters);
  const std::string bytes = Number(kMaxDeadLetterBytes);
  redis::Args args = {letters, bytes};
  args.insert(args.end(), what.begin(), what.end());
  return Advance(dead_letter, id, {dead_key, dead_size_key}, args);
}

Status LeasedCursor::Impl::Advance(const redis::Script& script, EntryId id,
                                   const redis::Args& more_keys, const redis::Args& more_args) {
  YAGURA_ASSIGN_OR_RETURN(auto connection, flow->Acquire());
  for (int i = 0; i < kCommitTries; ++i) {
    if (id <= committed) return Renew(*connection);
    if (!uncommitted.contains(id)) YAGURA_RETURN_IF_ERROR(LearnUpTo(*connection, id));
    const auto passed = std::distance(uncommitted.begin(), uncommitted.upper_bound(id));
    const std::string count = Number(static_cast<uint64_t>(passed));
    const std::string from = committed.ToString();
    const std::string to = id.ToString();
    redis::Args keys = {lease_key, stream_key};
    redis::Args args = {options.holder, epoch_text, lease_text, options.reader, from, to, count};
    keys.insert(keys.end(), more_keys.begin(), more_keys.end());
    args.insert(args.end(), more_args.begin(), more_args.end());
    const auto reply = script.Run(*connection, keys, args);
    if (!reply.ok()) return FromScript(reply.status());
    const auto now = EntryId::Parse(reply->text);
    if (!now) return Internal("stream: commit answered no id");
    MoveTo(*now);
    if (*now == id) return absl::OkStatus();
    // An earlier commit took effect although its answer was lost: count again from there.
  }
  return Internal("stream: the committed place moves although the lease is ours");
}

void LeasedCursor::Impl::MoveTo(EntryId id) {
  committed = id;
  position = std::max(position, id);
  uncommitted.erase(uncommitted.begin(), uncommitted.upper_bound(id));
  while (!ahead.empty() && ahead.front().id <= id) ahead.pop_front();
}

void LeasedCursor::Rewind() {
  impl_->position = impl_->committed;
  impl_->uncommitted.clear();
  impl_->ahead.clear();
}

Status LeasedCursor::Renew() {
  YAGURA_ASSIGN_OR_RETURN(auto connection, impl_->flow->Acquire());
  return impl_->Renew(*connection);
}

Status LeasedCursor::Release() {
  YAGURA_ASSIGN_OR_RETURN(auto connection, impl_->flow->Acquire());
  return impl_->release
      .Run(*connection, {impl_->lease_key}, {impl_->options.holder, impl_->epoch_text})
      .status();
}

uint64_t LeasedCursor::epoch() const { return impl_->epoch; }
EntryId LeasedCursor::committed() const { return impl_->committed; }
EntryId LeasedCursor::position() const { return impl_->position; }
int LeasedCursor::shard() const { return impl_->shard; }

}  // namespace yagura::stream
