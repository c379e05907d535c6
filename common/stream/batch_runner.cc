#include "common/stream/batch_runner.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "common/status/status.h"
#include "common/stream/bisect.h"

namespace yagura::stream {
namespace {

constexpr auto kFirstPause = std::chrono::milliseconds(20);
constexpr auto kLongestPause = std::chrono::milliseconds(2000);
constexpr int kTurnsAMinute = 30;
constexpr int kFirstNews = 7;  // after some five seconds

}  // namespace

BatchRunner::BatchRunner(const Worker::Options& options, const Worker::Handler& handler,
                         const Worker::DeadLetterHook& on_dead_letter, const StopSignal& stop,
                         Logger logger)
    : options_(options),
      handler_(handler),
      on_dead_letter_(on_dead_letter),
      stop_(stop),
      logger_(std::move(logger)) {}

Status BatchRunner::Run(LeasedCursor& cursor, const LeaseKeeper::Held& lease,
                        const std::vector<Entry>& entries) const {
  const Job job{cursor, lease, {cursor.shard(), cursor.epoch()}};
  return RunPart(job, entries, std::max(options_.max_attempts, 1));
}

Status BatchRunner::RunPart(const Job& job, const std::vector<Entry>& entries,
                            int max_attempts) const {
  Status error;
  int attempts = 0;
  for (int turn = 0; attempts < max_attempts; ++turn) {
    if (turn > 0) YAGURA_RETURN_IF_ERROR(Pause(job, turn));
    error = Call(job.context, entries);
    if (error.ok()) {
      return Persist(job, [&] { return job.cursor.Commit(entries.back().id); });
    }
    if (IsPassing(error)) {
      // What is away for a moment is no news; then about once a minute.
      if (turn % kTurnsAMinute == kFirstNews) {
        logger_.Warning("waits, as it cannot be done just now",
                        {{"shard", job.context.shard},
                         {"first", entries.front().id.ToString()},
                         {"reason", ErrorReason(error)},
                         {"error", Message(error)}});
      }
      continue;
    }
    ++attempts;
    logger_.Warning("batch failed", {{"shard", job.context.shard},
                                     {"first", entries.front().id.ToString()},
                                     {"entries", entries.size()},
                                     {"attempt", attempts},
                                     {"error", Message(error)}});
  }
  if (entries.size() == 1) return GiveUp(job, entries.front(), error);
  // One try for each half; only an entry on its own gets as many again before it is given up.
  const auto middle = entries.begin() + static_cast<std::ptrdiff_t>(entries.size() / 2);
  for (const auto& half :
       {std::vector<Entry>(entries.begin(), middle), std::vector<Entry>(middle, entries.end())}) {
    YAGURA_RETURN_IF_ERROR(
        RunPart(job, half, half.size() == 1 ? std::max(options_.max_attempts, 1) : 1));
  }
  return absl::OkStatus();
}

// The pieces of the entry that are at fault, or all of it.
Status BatchRunner::GiveUp(const Job& job, const Entry& entry, Status error) const {
  for (int turn = 1; options_.split; ++turn) {
    const auto pieces = Split(job.context, entry);
    if (pieces.ok()) return BuryPieces(job, entry, *pieces);
    if (!IsPassing(pieces.status())) {
      error = pieces.status();
      break;
    }
    YAGURA_RETURN_IF_ERROR(Pause(job, turn));
  }
  return Bury(job, entry, error);
}

Status BatchRunner::Bury(const Job& job, const Entry& entry, const Status& error) const {
  // Who was fenced off meanwhile has no say in what becomes of the entry.
  YAGURA_RETURN_IF_ERROR(Persist(job, [&] { return job.cursor.Renew(); }));
  Tell(job, entry, error);
  return Persist(job, [&] { return job.cursor.CommitDeadLetter(entry.id, error); });
}

Status BatchRunner::BuryPieces(const Job& job, const Entry& entry,
                               const std::vector<DeadPiece>& pieces) const {
  YAGURA_RETURN_IF_ERROR(Persist(job, [&] { return job.cursor.Renew(); }));
  for (const DeadPiece& piece : pieces) {
    Tell(job, {entry.id, piece.key, piece.payload}, piece.error);
  }
  return Persist(job, [&] { return job.cursor.CommitDeadPieces(entry.id, pieces); });
}

void BatchRunner::Tell(const Job& job, const Entry& entry, const Status& error) const {
  logger_.Error("goes to the dead letters", {{"shard", job.context.shard},
                                             {"id", entry.id.ToString()},
                                             {"key", entry.key},
                                             {"error", Message(error)}});
  if (on_dead_letter_) on_dead_letter_(job.context, entry, error);
}

// A step whose effect must be known before anything else is done. A commit may have taken effect
// although its answer was lost; saying it again does no harm.
Status BatchRunner::Persist(const Job& job, const std::function<Status()>& step) const {
  for (int turn = 1;; ++turn) {
    Status status = step();
    if (status.ok() || !IsPassing(status)) return status;
    YAGURA_RETURN_IF_ERROR(Pause(job, turn));
  }
}

Status BatchRunner::Call(const Worker::Context& context, const std::vector<Entry>& entries) const {
  try {
    return handler_(context, entries);
  } catch (const std::exception& error) {
    return Internal(error.what());
  }
}

StatusOr<std::vector<DeadPiece>> BatchRunner::Split(const Worker::Context& context,
                                                    const Entry& entry) const {
  try {
    return options_.split(context, entry);
  } catch (const std::exception& error) {
    return Internal(error.what());
  }
}

Status BatchRunner::Pause(const Job& job, int turn) const {
  const auto pause = std::min(kFirstPause * (1 << std::min(turn, 10)), kLongestPause);
  if (stop_.WaitFor(pause)) return absl::CancelledError("stopped");
  if (job.lease.lost) {
    return MakeError(absl::StatusCode::kAborted, "LEASE_LOST", "another holder has the lease");
  }
  return absl::OkStatus();
}

}  // namespace yagura::stream
