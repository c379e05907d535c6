#include "services/archive/workers/range_storer.h"

#include <algorithm>
#include <utility>

#include "fmt/format.h"

#include "common/event/batch_codec.h"
#include "common/status/status.h"
#include "services/archive/storage/dead_letters.h"
#include "yagura/event/v1/event.pb.h"

namespace yagura::archive {
namespace {

using Part = RangeInserter::Part;

constexpr int kMaxFailures = 5;

// No fault of the events: the store is away, busy, forbidden to us or without its tables.
bool IsPassing(const Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kFailedPrecondition:
      return true;
    default:
      return false;
  }
}

bool IsWhole(const RangeData& range, const Part& part) {
  return part.first == 0 && part.end == range.entries.size() && part.first_event == 0 &&
         part.end_event == SIZE_MAX;
}

// Entries and events by their number: the plan keeps the range as it is.
std::string TokenOfPart(const RangeData& range, const Part& part) {
  if (IsWhole(range, part)) return range.plan.token();
  std::string token = fmt::format("{}/{}-{}", range.plan.token(), part.first, part.end);
  if (part.end_event != SIZE_MAX) {
    token += fmt::format("/{}-{}", part.first_event, part.end_event);
  }
  return token;
}

size_t EventsOf(const RangeData& range, const Part& part) {
  if (part.end_event != SIZE_MAX) return part.end_event - part.first_event;
  return event::ClaimedEvents(range.entries[part.first].payload);
}

std::pair<Part, Part> Halves(const RangeData& range, const Part& part) {
  if (part.end - part.first > 1) {
    const size_t middle = part.first + (part.end - part.first) / 2;
    return {{part.first, middle}, {middle, part.end}};
  }
  const size_t end = part.first_event + EventsOf(range, part);
  const size_t middle = part.first_event + (end - part.first_event) / 2;
  return {{part.first, part.end, part.first_event, middle}, {part.first, part.end, middle, end}};
}

bool IsSplit(const RangeData& range, const std::string& token) {
  const auto& split = range.plan.split();
  return std::find(split.begin(), split.end(), token) != split.end();
}

// The one event as a batch of its own: put back by hand, it doubles nothing.
StatusOr<stream::Entry> OnlyEvent(const stream::Entry& entry, size_t index) {
  YAGURA_ASSIGN_OR_RETURN(event::BatchReader batch, event::BatchReader::Open(entry.payload));
  event::v1::Event event;
  YAGURA_RETURN_IF_ERROR(batch.Get(index, &event));
  event::BatchHeader header = batch.header();
  header.batch_id = batch.EventId(index);
  event::BatchBuilder builder(std::move(header));
  builder.Add(event);
  return stream::Entry{entry.id, fmt::format("{}/{}", entry.key, index), builder.Finish()};
}

}  // namespace

struct RangeStorer::Job {
  RangeData& range;
  const SavePlan& save;
  int* failures;
  Stored stored;
};

RangeStorer::RangeStorer(const RangeInserter& inserter, const DeadLetters& dead_letters,
                         Logger logger)
    : inserter_(inserter), dead_letters_(dead_letters), logger_(std::move(logger)) {}

StatusOr<RangeStorer::Stored> RangeStorer::Store(RangeData& range, const SavePlan& save,
                                                 int* failures) const {
  Job job{range, save, failures, {}};
  YAGURA_RETURN_IF_ERROR(StorePart(job, {0, range.entries.size()}));
  return job.stored;
}

Status RangeStorer::StorePart(Job& job, const Part& part) const {
  const std::string token = TokenOfPart(job.range, part);
  if (!IsSplit(job.range, token)) {
    const auto outcome = inserter_.Insert(job.range, part, token);
    if (outcome.ok()) {
      job.stored.events += outcome->events;
      for (const auto& [index, error] : outcome->broken) {
        YAGURA_RETURN_IF_ERROR(BuryEntry(job, job.range.entries[index], error));
      }
      return absl::OkStatus();
    }
    if (IsPassing(outcome.status())) return outcome.status();
    ++*job.failures;
    logger_.Warning("the event store refuses events", {{"shard", job.range.shard},
                                                       {"part", token},
                                                       {"failures", *job.failures},
                                                       {"error", Message(outcome.status())}});
    if (*job.failures < kMaxFailures) return outcome.status();
    if (part.end - part.first == 1 && EventsOf(job.range, part) <= 1) {
      return Bury(job, part, outcome.status());
    }
    job.range.plan.add_split(token);
    if (Status saved = job.save(job.range); !saved.ok()) {
      job.range.plan.mutable_split()->RemoveLast();
      return saved;
    }
  }
  const auto [left, right] = Halves(job.range, part);
  YAGURA_RETURN_IF_ERROR(StorePart(job, left));
  return StorePart(job, right);
}

// Only while the store takes anything at all: with a full or broken disk each event would look bad.
Status RangeStorer::Bury(Job& job, const Part& part, const Status& error) const {
  if (error.code() == absl::StatusCode::kResourceExhausted) return error;
  if (!inserter_.Probe().ok()) return error;
  YAGURA_ASSIGN_OR_RETURN(const stream::Entry entry,
                          OnlyEvent(job.range.entries[part.first], part.first_event));
  return BuryEntry(job, entry, error);
}

Status RangeStorer::BuryEntry(Job& job, const stream::Entry& entry, const Status& error) const {
  YAGURA_RETURN_IF_ERROR(dead_letters_.Write(job.range.shard, entry, error));
  ++job.stored.buried;
  logger_.Error("went to the dead letters", {{"shard", job.range.shard},
                                             {"entry", entry.id.ToString()},
                                             {"key", entry.key},
                                             {"error", Message(error)}});
  return absl::OkStatus();
}

}  // namespace yagura::archive
