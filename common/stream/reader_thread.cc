#include "common/stream/reader_thread.h"

#include <algorithm>
#include <utility>

#include "fmt/format.h"

#include "common/redis/pool.h"
#include "common/status/status.h"
#include "common/stream/scripts.h"

namespace yagura::stream {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kIdleBlock(200);
constexpr milliseconds kOutagePause(100);

milliseconds BalanceInterval(milliseconds lease) {
  return std::clamp(lease / 8, milliseconds(5), milliseconds(500));
}

}  // namespace

ReaderThread::ReaderThread(Parts parts)
    : parts_(std::move(parts)),
      member_script_(MemberScript()),
      next_shard_(ShardOf(parts_.holder, parts_.topic.shards)) {}

Status ReaderThread::Join() {
  const std::string alive_for = fmt::format("{}", parts_.options.lease.count());
  YAGURA_ASSIGN_OR_RETURN(auto connection, parts_.flow->Acquire());
  YAGURA_ASSIGN_OR_RETURN(
      const redis::Reply members,
      member_script_.Run(*connection, {MembersKey(parts_.topic.name, parts_.options.reader)},
                         {parts_.holder, alive_for}));
  const auto all = static_cast<size_t>(std::max(parts_.topic.shards, 1));
  const auto crowd = static_cast<size_t>(std::max<int64_t>(members.integer, 1));
  share_ = (all + crowd - 1) / crowd;
  return absl::OkStatus();
}

void ReaderThread::Run() {
  while (!parts_.stop.IsSet()) {
    Balance();
    bool busy = false;
    for (size_t i = 0; i < shards_.size() && !parts_.stop.IsSet();) {
      const Outcome outcome = Step(shards_[i]);
      if (outcome == Outcome::kLost) {
        shards_.erase(shards_.begin() + static_cast<std::ptrdiff_t>(i));
        continue;
      }
      busy |= outcome == Outcome::kBusy;
      ++i;
    }
    if (!busy) WaitForWork();
  }
  Leave();
}

void ReaderThread::Balance() {
  const auto now = std::chrono::steady_clock::now();
  if (now < next_balance_) return;
  next_balance_ = now + BalanceInterval(parts_.options.lease);
  if (!Join().ok()) return;  // Redis is away: what we hold, we keep
  ReleaseDownTo(share_);
  AcquireUpTo(share_);
}

void ReaderThread::AcquireUpTo(size_t share) {
  const LeasedCursor::Options options{parts_.options.reader, parts_.holder, parts_.options.lease};
  for (int i = 0; i < parts_.topic.shards && shards_.size() < share; ++i) {
    const int shard = (next_shard_ + i) % parts_.topic.shards;
    if (Holds(shard)) continue;
    auto cursor = LeasedCursor::Acquire(parts_.flow, parts_.topic, shard, options);
    if (!cursor.ok()) {
      if (ErrorReason(cursor.status()) == "LEASE_HELD") continue;
      parts_.logger.Warning("cannot take a lease",
                            {{"shard", shard}, {"error", Message(cursor.status())}});
      return;
    }
    auto lease = parts_.keeper.Keep(LeaseKey(parts_.topic.name, shard, parts_.options.reader),
                                    parts_.holder, cursor->epoch());
    shards_.push_back({*std::move(cursor), std::move(lease)});
  }
}

void ReaderThread::ReleaseDownTo(size_t share) {
  while (shards_.size() > share) {
    shards_.back().lease.reset();
    (void)shards_.back().cursor.Release();  // else it runs out
    shards_.pop_back();
  }
}

ReaderThread::Outcome ReaderThread::Step(Shard& shard) {
  if (shard.lease->lost) return Outcome::kLost;
  auto entries =
      shard.cursor.Read(parts_.options.max_entries, parts_.options.max_bytes, milliseconds(0));
  if (entries.ok() && entries->empty()) return Outcome::kIdle;
  Status status = entries.status();
  if (entries.ok()) {
    status = parts_.runner.Run(shard.cursor, *shard.lease, *entries);
    if (status.ok()) return Outcome::kBusy;
    if (status.code() == absl::StatusCode::kCancelled) return Outcome::kIdle;
  } else if (status.code() == absl::StatusCode::kUnavailable ||
             status.code() == absl::StatusCode::kResourceExhausted) {
    parts_.stop.WaitFor(kOutagePause);
    return Outcome::kIdle;
  }
  parts_.logger.Warning("leaves a shard",
                        {{"shard", shard.cursor.shard()}, {"error", Message(status)}});
  return Outcome::kLost;
}

// Waits for the first entry in any of the shards; it is read again in its turn.
void ReaderThread::WaitForWork() {
  const milliseconds block = std::min(kIdleBlock, BalanceInterval(parts_.options.lease));
  if (shards_.empty()) {
    parts_.stop.WaitFor(block);
    return;
  }
  auto connection = parts_.flow->Acquire();
  if (!connection.ok()) {
    parts_.stop.WaitFor(kOutagePause);
    return;
  }
  const std::string wait = fmt::format("{}", block.count());
  std::vector<std::string> words;
  for (const Shard& shard : shards_) {
    words.push_back(StreamKey(parts_.topic.name, shard.cursor.shard()));
  }
  for (const Shard& shard : shards_) words.push_back(shard.cursor.position().ToString());
  redis::Args command = {"XREAD", "COUNT", "1", "BLOCK", wait, "STREAMS"};
  command.insert(command.end(), words.begin(), words.end());
  if (!(*connection)->BlockingCommand(command, block).ok()) parts_.stop.WaitFor(kOutagePause);
}

void ReaderThread::Leave() {
  ReleaseDownTo(0);
  (void)parts_.flow->Command(
      {"ZREM", MembersKey(parts_.topic.name, parts_.options.reader), parts_.holder});
}

bool ReaderThread::Holds(int shard) const {
  return std::any_of(shards_.begin(), shards_.end(),
                     [shard](const Shard& held) { return held.cursor.shard() == shard; });
}

}  // namespace yagura::stream
