#include "services/detection/workers/hunt_worker.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/status/status.h"
#include "services/detection/domain/hunt_result.h"
#include "services/detection/domain/packed.h"

namespace yagura::detection {
namespace {

using internal::v1::HuntCheckpoint;
using internal::v1::HuntPlan;
using std::chrono::steady_clock;

constexpr char kQueue[] = "hunts";
constexpr char kPrincipal[] = "services/detection";
// Payloads of the timers, whose ids are these words and a name.
constexpr std::string_view kBegin = "begin";
constexpr std::string_view kResult = "result";
constexpr std::string_view kRemove = "remove";
constexpr std::string_view kExpire = "expire";
constexpr std::string_view kSweep = "sweep";
constexpr std::string_view kHunts = "hunts";  // all of them

constexpr std::chrono::hours kSweepInterval{24};

// Between two attempts no more counts as trouble: nobody tried while the service was down.
constexpr std::chrono::minutes kLongestGap{5};
constexpr size_t kStateBytesASecond = 256 << 10;  // that a tenant at work may write
constexpr std::chrono::seconds kMakerTime{60};    // that somebody may take to write or delete all
constexpr double kProgressStep = 0.05;            // of a result that others hear of
constexpr double kHuntProgressStep = 0.01;        // of a hunt
constexpr std::chrono::milliseconds kLeastTurn{1'000};  // however many share one
constexpr size_t kFillPage = 100;

// How far it has read.
std::string PlaceOf(const HuntCheckpoint& at) {
  return fmt::format("{} {} {}", at.pass(), at.slice_start().seconds(), at.page_token());
}

// Troubles with progress in between are not one long one.
void ForgetTrouble(HuntCheckpoint& at) {
  at.clear_trouble();
  at.clear_troubled_at();
}

std::string TimerId(std::string_view what, std::string_view name) {
  return fmt::format("{} {}", what, name);
}

bool MayPass(absl::StatusCode code) {
  return code == absl::StatusCode::kUnavailable || code == absl::StatusCode::kDeadlineExceeded ||
         code == absl::StatusCode::kResourceExhausted || code == absl::StatusCode::kAborted;
}

// Why a tenant's hunt failed, for everybody who may read the result. What exactly went wrong is for
// the log: errors tell of addresses, rules and limits that are not a customer's.
std::string_view PublicReason(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kUnavailable:
      return "The event store could not be reached for an hour.";
    case absl::StatusCode::kDeadlineExceeded:
      return "The event store took too long, for an hour: ask for less time or with a filter.";
    case absl::StatusCode::kResourceExhausted:
      return "It takes more than the event store allows: ask for less time or with a filter.";
    case absl::StatusCode::kInvalidArgument:
      return "The question cannot be asked of this tenant as it is.";
    default:
      return "It failed within the service; whoever runs that finds the reason in its log.";
  }
}

store::WriteContext OwnContext() {
  store::WriteContext context;
  context.principal = kPrincipal;
  context.method = "hunt-worker";
  return context;
}

absl::Status OkWhereGone(const absl::Status& status) {
  return status.code() == absl::StatusCode::kNotFound ? absl::OkStatus() : status;
}

}  // namespace

HuntWorker::HuntWorker(Parts parts, Options options)
    : parts_(std::move(parts)),
      options_(options),
      quarries_(parts_.quarries, options_.windows),
      progress_(parts_.state),
      states_(parts_.state),
      queue_(parts_.state, kQueue),
      timers_(
          parts_.state, kQueue, {.threads = options.threads, .instance = parts_.instance},
          parts_.clock, [this](const timer::Timer& timer) { return Handle(timer); },
          parts_.logger) {}

void HuntWorker::Start() {
  const absl::Status swept = queue_.Schedule(TimerId(kSweep, kHunts), parts_.clock->Now(), kSweep);
  if (!swept.ok()) {
    parts_.logger.Warning("hunts that are over are not looked for at this start",
                          {{"error", Message(swept)}});
  }
  timers_.Start();
}

void HuntWorker::Stop() {
  stopping_ = true;
  timers_.Stop();
}

absl::Status HuntWorker::Announce(const std::string& hunt) {
  return queue_.Schedule(TimerId(kBegin, hunt), parts_.clock->Now() + kMakerTime, kBegin);
}

absl::Status HuntWorker::Begin(const std::string& hunt) {
  return queue_.Schedule(TimerId(kBegin, hunt), parts_.clock->Now(), kBegin);
}

absl::Status HuntWorker::Remove(const std::string& hunt, bool deleted) {
  const TimePoint now = parts_.clock->Now();
  return queue_.Schedule(TimerId(kRemove, hunt), deleted ? now : now + kMakerTime, kRemove);
}

absl::Status HuntWorker::Expire(const v1::Hunt& hunt) {
  const TimePoint over =
      FromProto(hunt.has_finish_time() ? hunt.finish_time() : hunt.update_time());
  return queue_.Schedule(TimerId(kExpire, hunt.name()), over + options_.keep, kExpire);
}

absl::Status HuntWorker::Handle(const timer::Timer& timer) {
  const std::string name = timer.id.substr(std::min(timer.id.size(), timer.payload.size() + 1));
  if (timer.payload == kBegin) return HandleBegin(name);
  if (timer.payload == kResult) return HandleResult(name);
  if (timer.payload == kRemove) return HandleRemove(name);
  if (timer.payload == kExpire) return HandleExpiry(name);
  if (timer.payload == kSweep) return HandleSweep();
  return absl::OkStatus();
}

store::WriteContext HuntWorker::ContextOf(const v1::Hunt& hunt) const {
  store::WriteContext context = OwnContext();
  context.on_behalf_of = hunt.requester();
  context.detail = hunt.title();
  return context;
}

// Every tenant gets its result, the first ones a timer. Once it is RUNNING that is done: another
// call of late changes nothing of what is worked at.
absl::Status HuntWorker::HandleBegin(const std::string& name) {
  const auto hunt = parts_.store->hunts.Get(name);
  if (hunt.status().code() == absl::StatusCode::kNotFound) return absl::OkStatus();
  if (!hunt.ok()) return hunt.status();
  if (IsOver(hunt->state())) return Expire(*hunt);
  if (hunt->state() != v1::QUEUED) return absl::OkStatus();
  const auto plan =
      parts_.store->plans.Mutate(OwnContext(), HuntStore::PlanName(name), [this](HuntPlan& begun) {
        if (begun.lanes() == 0) begun.set_lanes(static_cast<uint32_t>(options_.threads));
        return absl::OkStatus();
      });
  if (plan.status().code() == absl::StatusCode::kNotFound) return Lose(*hunt);
  if (!plan.ok()) return plan.status();
  for (int i = 0; i < plan->tenants_size(); ++i) {
    v1::HuntResult result;
    result.set_name(HuntStore::ResultName(plan->tenants(i), name));
    result.set_hunt(name);
    result.set_title(hunt->title());
    result.set_state(v1::QUEUED);
    *result.mutable_start_time() = hunt->start_time();
    *result.mutable_end_time() = hunt->end_time();
    const auto made = parts_.store->results.Create(ContextOf(*hunt), std::move(result));
    if (!made.ok() && made.status().code() != absl::StatusCode::kAlreadyExists) {
      return made.status();
    }
  }
  // Once all are there: whoever ends one at once looks for the next of its lane.
  const auto lanes = std::min(plan->lanes(), static_cast<uint32_t>(plan->tenants_size()));
  for (uint32_t i = 0; i < lanes; ++i) {
    const std::string result = HuntStore::ResultName(plan->tenants(static_cast<int>(i)), name);
    const auto timer = TimerId(kResult, result);
    YAGURA_RETURN_IF_ERROR(queue_.ScheduleIfAbsent(timer, parts_.clock->Now(), kResult).status());
  }
  return parts_.store->hunts
      .Mutate(ContextOf(*hunt), name,
              [](v1::Hunt& begun) {
                if (begun.state() == v1::QUEUED) begun.set_state(v1::RUNNING);
                return absl::OkStatus();
              })
      .status();
}

// Whoever made it was killed before it was told what to do.
absl::Status HuntWorker::Lose(const v1::Hunt& hunt) {
  const TimePoint now = parts_.clock->Now();
  const auto lost = parts_.store->hunts.Mutate(ContextOf(hunt), hunt.name(), [now](v1::Hunt& kept) {
    if (IsOver(kept.state())) return absl::OkStatus();
    kept.set_state(v1::FAILED);
    *kept.mutable_finish_time() = ToProto(now);
    return absl::OkStatus();
  });
  return lost.ok() ? Expire(*lost) : OkWhereGone(lost.status());
}

absl::Status HuntWorker::HandleResult(const std::string& name) {
  Task task;
  auto result = parts_.store->results.Get(name);
  if (result.status().code() == absl::StatusCode::kNotFound) return Forget(name);
  if (!result.ok()) return result.status();
  task.result = *std::move(result);
  task.tenant = store::TenantOf(name).value_or("");
  auto hunt = parts_.store->hunts.Get(task.result.hunt());
  auto plan = parts_.store->plans.Get(HuntStore::PlanName(task.result.hunt()));
  for (const auto& status : {hunt.status(), plan.status()}) {
    if (status.code() == absl::StatusCode::kNotFound) {
      YAGURA_RETURN_IF_ERROR(Forget(name));
      return OkWhereGone(parts_.store->results.Delete(OwnContext(), name));
    }
    YAGURA_RETURN_IF_ERROR(status);
  }
  task.hunt = *std::move(hunt);
  task.plan = *std::move(plan);
  if (!IsOver(task.result.state())) {
    const auto at_work = parts_.metrics->Work();
    const auto worked = Work(task);
    if (!worked.ok()) {
      if (stopping_) return worked.status();
      YAGURA_ASSIGN_OR_RETURN(const bool may_go_on, MayGoOn(task, worked.status()));
      if (may_go_on) {
        // Others may be readable: they need not wait for this one.
        YAGURA_ASSIGN_OR_RETURN(const bool passes, LetsOthersPass(task));
        if (passes) YAGURA_RETURN_IF_ERROR(PassLaneOn(task));
        return worked.status();
      }
      YAGURA_RETURN_IF_ERROR(Fail(task, worked.status()));
    }
    if (worked.ok() && *worked == End::kTurn) {
      return queue_.Schedule(TimerId(kResult, name), parts_.clock->Now(), kResult);
    }
  }
  YAGURA_RETURN_IF_ERROR(Tell(task));
  YAGURA_RETURN_IF_ERROR(PassLaneOn(task));
  return Forget(name);
}

// The next tenant of the lane. Done again it finds that one waiting, at work, or over.
absl::Status HuntWorker::PassLaneOn(const Task& task) {
  const auto& tenants = task.plan.tenants();
  const auto at = std::ranges::find(tenants, task.tenant) - tenants.begin();
  const auto next = at + static_cast<int64_t>(task.plan.lanes());
  // A release before had all of them wait at once.
  if (task.plan.lanes() == 0 || next >= tenants.size()) return absl::OkStatus();
  const std::string name =
      HuntStore::ResultName(tenants.Get(static_cast<int>(next)), task.hunt.name());
  const auto result = parts_.store->results.Get(name);
  if (result.status().code() == absl::StatusCode::kNotFound) return absl::OkStatus();
  if (!result.ok()) return result.status();
  // Where it is over already, whoever ended it passes the lane on.
  if (IsOver(result->state())) return absl::OkStatus();
  return queue_.ScheduleIfAbsent(TimerId(kResult, name), parts_.clock->Now(), kResult).status();
}

// The checkpoint of a result that is over, or gone.
absl::Status HuntWorker::Forget(const std::string& result) {
  YAGURA_RETURN_IF_ERROR(states_.DropAll(result));
  return OkWhereGone(
      parts_.store->checkpoints.Delete(OwnContext(), HuntStore::CheckpointName(result)));
}

// Where archive is away altogether, not all tenants of a large hunt are to queue up in front of
// those of others: beyond some in trouble the lane waits.
absl::StatusOr<bool> HuntWorker::LetsOthersPass(const Task& task) const {
  const auto& tenants = task.plan.tenants();
  const auto lanes = static_cast<int64_t>(task.plan.lanes());
  if (lanes == 0) return false;
  std::vector<std::string> before;
  auto at = std::ranges::find(tenants, task.tenant) - tenants.begin() - lanes;
  for (; at >= 0 && before.size() < options_.troubled; at -= lanes) {
    before.push_back(HuntStore::ResultName(tenants.Get(static_cast<int>(at)), task.hunt.name()));
  }
  YAGURA_ASSIGN_OR_RETURN(const auto results, parts_.store->results.GetMany(before));
  const auto waiting = std::ranges::count_if(
      results, [](const auto& result) { return result && !IsOver(result->state()); });
  return static_cast<size_t>(waiting) + 1 < options_.troubled;
}

// Whether it is worth another try. Counts with the checkpoint for how long it has not come further;
// where somebody else is at work on it, they do.
absl::StatusOr<bool> HuntWorker::MayGoOn(const Task& task, const absl::Status& trouble) {
  parts_.logger.Warning("a hunt does not get on",
                        {{"result", task.result.name()}, {"error", Message(trouble)}});
  if (!MayPass(trouble.code())) return false;
  const std::string name = HuntStore::CheckpointName(task.result.name());
  auto kept = parts_.store->checkpoints.Get(name);
  if (!kept.ok() && kept.status().code() != absl::StatusCode::kNotFound) return kept.status();
  Checkpoint checkpoint;
  if (kept.ok()) checkpoint = *std::move(kept);
  if (checkpoint.etag() != task.checkpoint_etag && !task.checkpoint_etag.empty()) return true;
  checkpoint.set_name(name);
  const TimePoint now = parts_.clock->Now();
  std::chrono::nanoseconds lasted = FromProto(checkpoint.trouble());
  if (checkpoint.has_troubled_at()) {
    lasted += std::clamp<std::chrono::nanoseconds>(now - FromProto(checkpoint.troubled_at()),
                                                   std::chrono::nanoseconds(0), kLongestGap);
  }
  *checkpoint.mutable_trouble() = ToProtoDuration(lasted);
  *checkpoint.mutable_troubled_at() = ToProto(now);
  const absl::Status noted =
      checkpoint.etag().empty()
          ? parts_.store->checkpoints.Create(OwnContext(), std::move(checkpoint)).status()
          : parts_.store->checkpoints.Update(OwnContext(), std::move(checkpoint)).status();
  if (!noted.ok() && !MayPass(noted.code()) && noted.code() != absl::StatusCode::kNotFound &&
      noted.code() != absl::StatusCode::kAlreadyExists) {
    return noted;
  }
  return lasted < options_.patience;
}

absl::StatusOr<HuntWorker::End> HuntWorker::Work(Task& task) {
  YAGURA_ASSIGN_OR_RETURN(const bool cancelled, IsCancelled(task.hunt.name()));
  if (cancelled) {
    YAGURA_RETURN_IF_ERROR(Publish(task, v1::CANCELLED, task.result.progress(), task.result));
    return End::kOver;
  }
  YAGURA_ASSIGN_OR_RETURN(const HuntQuarry quarry,
                          quarries_.Make(task.hunt, task.plan, task.tenant));
  YAGURA_ASSIGN_OR_RETURN(Checkpoint checkpoint, CheckpointOf(task, quarry));
  if (task.result.state() != v1::RUNNING) {
    YAGURA_RETURN_IF_ERROR(Publish(task, v1::RUNNING, task.result.progress(), checkpoint.result()));
  }
  std::vector<std::string> stale;
  if (quarry.probe->has_state()) {
    YAGURA_ASSIGN_OR_RETURN(stale, states_.Pieces(task.result.name()));
    std::erase_if(stale, [&checkpoint](const std::string& piece) {
      return HuntStates::IsOf(piece, checkpoint.state_id());
    });
  }
  // From here on whoever was at work on it before cannot save or publish any more, and no
  // checkpoint will ever name what they had written by then.
  YAGURA_RETURN_IF_ERROR(Save(task, checkpoint));
  YAGURA_RETURN_IF_ERROR(states_.Drop(task.result.name(), stale));
  if (!checkpoint.result().has_first_receive_time()) {
    YAGURA_RETURN_IF_ERROR(Publish(task, v1::DONE, 1, checkpoint.result()));
    return End::kOver;
  }
  return Read(task, quarry, checkpoint);
}

struct HuntWorker::Keeping {
  Checkpoint checkpoint;          // as it was kept
  std::string begun;              // where the attempt began
  steady_clock::time_point next;  // not before, unless there is a reason to
  bool is_too_large = false;      // what the probe knows, now
};

// False where what the probe knows is too large: then all that is done is to see that the tenant is
// still ours, and whoever goes on begins where it was kept before.
absl::StatusOr<bool> HuntWorker::Keep(Task& task, HuntProbe& probe, Checkpoint& checkpoint,
                                      Keeping& last) {
  std::chrono::milliseconds pause = options_.save_every;
  std::string id;
  uint32_t pieces = 0;
  last.is_too_large = false;
  if (probe.has_state()) {
    const std::string packed = Packer().Pack(probe.State());
    pause = std::max(pause, std::chrono::milliseconds(1'000 * packed.size() / kStateBytesASecond));
    last.is_too_large = packed.size() > options_.state_bytes;
    if (!last.is_too_large) {
      id = store::NewUlid();
      YAGURA_ASSIGN_OR_RETURN(pieces, states_.Save(task.result.name(), id, packed));
    }
  }
  last.next = steady_clock::now() + pause;
  Checkpoint next = last.is_too_large ? last.checkpoint : checkpoint;
  next.set_etag(task.checkpoint_etag);
  if (!id.empty()) {
    next.set_state_id(id);
    next.set_state_pieces(pieces);
  }
  if (PlaceOf(next) != last.begun) ForgetTrouble(next);
  YAGURA_RETURN_IF_ERROR(Save(task, next));
  if (last.is_too_large) return false;
  // That alone which this replaced: whoever took over meanwhile has written their own.
  if (!id.empty()) {
    YAGURA_RETURN_IF_ERROR(states_.Drop(task.result.name(), last.checkpoint.state_id(),
                                        last.checkpoint.state_pieces()));
  }
  checkpoint = next;
  last.checkpoint = std::move(next);
  return true;
}

absl::StatusOr<HuntWorker::End> HuntWorker::Read(Task& task, const HuntQuarry& quarry,
                                                 Checkpoint& checkpoint) {
  HuntRun run(*parts_.archive, *quarry.probe,
              {task.tenant, task.hunt.event_filter(), FromProto(task.hunt.start_time()),
               FromProto(task.hunt.end_time())},
              options_.run);
  const auto start = steady_clock::now();
  Keeping last{
      .checkpoint = checkpoint, .begun = PlaceOf(checkpoint), .next = start + options_.save_every};
  auto turn = std::min(options_.turn, kLeastTurn);
  bool is_cancelled = false;
  uint64_t counted = checkpoint.result().events_read();
  const auto count = [&] {
    const uint64_t before = std::exchange(counted, checkpoint.result().events_read());
    parts_.metrics->Read(counted - before);
  };
  const auto keep = [&](double progress) -> absl::StatusOr<bool> {
    count();
    const auto now = steady_clock::now();
    const bool is_turn_over = now - start >= turn && !last.is_too_large;
    if (now < last.next && !is_turn_over && !stopping_) return true;
    YAGURA_ASSIGN_OR_RETURN(const bool kept, Keep(task, *quarry.probe, checkpoint, last));
    if (stopping_) return Unavailable("STOPPING", "the service is stopping");
    YAGURA_ASSIGN_OR_RETURN(is_cancelled, IsCancelled(task.hunt.name()));
    if (is_cancelled) return false;
    if (progress >= task.result.progress() + kProgressStep) {
      YAGURA_RETURN_IF_ERROR(Publish(task, v1::RUNNING, progress, checkpoint.result()));
      YAGURA_RETURN_IF_ERROR(Tell(task));
    }
    if (!is_turn_over || !kept) return true;
    YAGURA_ASSIGN_OR_RETURN(turn, TurnOf(task.hunt));
    return steady_clock::now() - start < turn;
  };
  const auto gone = run.Go(checkpoint, keep);
  count();
  YAGURA_ASSIGN_OR_RETURN(const bool finished, gone);
  if (!finished && !is_cancelled) return End::kTurn;
  if (finished && checkpoint.result().events_read() == 0 && task.hunt.has_rule()) {
    AddRemark("No event of the rule's log source was stored: that nothing was found says nothing.",
              *checkpoint.mutable_result());
  }
  // What a probe adds when it finishes is not kept: after a kill it finishes once more.
  Checkpoint same = quarry.probe->has_state() ? last.checkpoint : checkpoint;
  same.set_etag(task.checkpoint_etag);
  YAGURA_RETURN_IF_ERROR(Save(task, same));
  YAGURA_RETURN_IF_ERROR(Publish(task, finished ? v1::DONE : v1::CANCELLED,
                                 finished ? 1 : task.result.progress(), checkpoint.result()));
  return End::kOver;
}

// Where the last attempt came to, else the beginning.
absl::StatusOr<HuntCheckpoint> HuntWorker::CheckpointOf(Task& task, const HuntQuarry& quarry) {
  const std::string name = HuntStore::CheckpointName(task.result.name());
  auto kept = parts_.store->checkpoints.Get(name);
  if (!kept.ok() && kept.status().code() != absl::StatusCode::kNotFound) return kept.status();
  if (kept.ok()) task.checkpoint_etag = kept->etag();
  if (kept.ok() && kept->digest() == quarry.digest) {
    YAGURA_ASSIGN_OR_RETURN(const bool goes_on, GoOn(task, *kept, *quarry.probe));
    if (goes_on) return kept;
  }
  Checkpoint fresh;
  fresh.set_name(name);
  fresh.set_digest(quarry.digest);
  if (kept.ok()) {
    fresh.set_etag(kept->etag());
    if (kept->has_trouble()) *fresh.mutable_trouble() = kept->trouble();
    if (kept->has_troubled_at()) *fresh.mutable_troubled_at() = kept->troubled_at();
  }
  auto& result = *fresh.mutable_result();
  for (const auto& remark : quarry.remarks) AddRemark(remark, result);
  TellPresence(quarry.products, parts_.quarries.surroundings->InventoryOf(task.tenant).get(),
               result);
  YAGURA_RETURN_IF_ERROR(Describe(task, result));
  return fresh;
}

// False where the probe cannot, and begins anew.
absl::StatusOr<bool> HuntWorker::GoOn(const Task& task, const Checkpoint& from,
                                      HuntProbe& probe) const {
  if (!probe.has_state()) return true;
  if (from.state_id().empty()) return !from.has_slice_start();  // nothing was looked at yet
  const auto packed = states_.Load(task.result.name(), from.state_id(), from.state_pieces());
  if (packed.status().code() == absl::StatusCode::kNotFound) return false;
  if (!packed.ok()) return packed.status();
  internal::v1::HuntProbeState state;
  if (const absl::Status read = Unpack(*packed, state); !read.ok()) {
    parts_.logger.Warning("a hunt begins anew in a tenant, as what it knew cannot be read",
                          {{"result", task.result.name()}, {"error", Message(read)}});
    return false;
  }
  probe.GoOn(std::move(state));
  return true;
}

absl::Status HuntWorker::Describe(const Task& task, v1::HuntResult& result) {
  const TimePoint start = FromProto(task.hunt.start_time());
  YAGURA_ASSIGN_OR_RETURN(
      auto logs, parts_.archive->Describe(task.tenant, start, FromProto(task.hunt.end_time())));
  *result.mutable_coverage() = std::move(logs.coverage);
  if (logs.event_count == 0) {
    AddRemark("No event of the tenant is stored in that time: nothing can be said.", result);
    return absl::OkStatus();
  }
  *result.mutable_first_receive_time() = ToProto(logs.first_receive_time);
  if (result.coverage().source_count() == 0) {
    AddRemark("On how complete logs it stands is not known.", result);
  }
  if (logs.first_receive_time > start + std::chrono::hours(24)) {
    AddRemark(fmt::format("Nothing is stored from before {}.", FormatTime(logs.first_receive_time)),
              result);
  }
  return absl::OkStatus();
}

// ABORTED (ETAG_MISMATCH) where somebody else has saved since, or is through with it.
absl::Status HuntWorker::Save(Task& task, Checkpoint& checkpoint) {
  auto saved = checkpoint.etag().empty()
                   ? parts_.store->checkpoints.Create(OwnContext(), checkpoint)
                   : parts_.store->checkpoints.Update(OwnContext(), checkpoint);
  if (saved.status().code() == absl::StatusCode::kNotFound ||
      saved.status().code() == absl::StatusCode::kAlreadyExists) {
    return MakeError(absl::StatusCode::kAborted, "ETAG_MISMATCH",
                     "somebody else is at work on the tenant");
  }
  if (!saved.ok()) return saved.status();
  checkpoint.set_etag(saved->etag());
  task.checkpoint_etag = saved->etag();
  return absl::OkStatus();
}

// ABORTED (ETAG_MISMATCH) where the result is not any more as it was last read or written here.
absl::Status HuntWorker::Publish(Task& task, v1::HuntState state, double progress,
                                 const v1::HuntResult& found) {
  v1::HuntResult next = Published(found);
  next.set_name(task.result.name());
  next.set_etag(task.result.etag());
  next.set_hunt(task.result.hunt());
  next.set_title(task.result.title());
  *next.mutable_start_time() = task.result.start_time();
  *next.mutable_end_time() = task.result.end_time();
  next.set_state(state);
  next.set_progress(progress);
  next.clear_error();
  YAGURA_ASSIGN_OR_RETURN(task.result,
                          parts_.store->results.Update(ContextOf(task.hunt), std::move(next)));
  parts_.metrics->EndResult(state);
  return absl::OkStatus();
}

absl::Status HuntWorker::Fail(Task& task, const absl::Status& why) {
  parts_.logger.Error("a hunt failed in a tenant",
                      {{"result", task.result.name()}, {"error", Message(why)}});
  v1::HuntResult failed = task.result;
  failed.set_state(v1::FAILED);
  failed.set_error(ErrorReason(why) == kNoPlaceholderValue ? std::string(Message(why))
                                                           : std::string(PublicReason(why.code())));
  YAGURA_ASSIGN_OR_RETURN(task.result,
                          parts_.store->results.Update(ContextOf(task.hunt), std::move(failed)));
  parts_.metrics->EndResult(v1::FAILED);
  return absl::OkStatus();
}

absl::StatusOr<bool> HuntWorker::IsCancelled(const std::string& hunt) const {
  const auto now = parts_.store->hunts.Get(hunt);
  if (now.status().code() == absl::StatusCode::kNotFound) return true;
  if (!now.ok()) return now.status();
  return now->state() == v1::CANCELLED;
}

// Who has many hunts under way gets no more of the time for that.
absl::StatusOr<std::chrono::milliseconds> HuntWorker::TurnOf(const v1::Hunt& hunt) const {
  int under_way = 0;
  YAGURA_RETURN_IF_ERROR(parts_.store->hunts.ForEach(store::TenantOf(hunt.name()).value_or(""),
                                                     [&under_way](const v1::Hunt& one) {
                                                       under_way += IsOver(one.state()) ? 0 : 1;
                                                       return absl::OkStatus();
                                                     }));
  return std::max(options_.turn / std::max(under_way, 1), std::min(options_.turn, kLeastTurn));
}

absl::Status HuntWorker::Tell(const Task& task) {
  const std::string& name = task.hunt.name();
  YAGURA_ASSIGN_OR_RETURN(
      auto sum, progress_.Tell(name, {task.tenant, task.result.state(), task.result.progress()}));
  if (!sum.whole) {
    YAGURA_ASSIGN_OR_RETURN(sum, Fill(task));
  }
  const auto count = static_cast<uint32_t>(task.plan.tenants_size());
  const double progress = sum.progress / std::max(count, 1u);
  const TimePoint now = parts_.clock->Now();
  const bool all = sum.over >= count;
  bool ends = false;
  const auto told = parts_.store->hunts.Mutate(ContextOf(task.hunt), name, [&](v1::Hunt& kept) {
    const bool counts = kept.finished_tenant_count() < sum.over ||
                        kept.failed_tenant_count() < sum.failed ||
                        kept.progress() + kHuntProgressStep <= progress;
    if (counts || all) {
      kept.set_progress(std::max(kept.progress(), progress));
      kept.set_finished_tenant_count(std::max(kept.finished_tenant_count(), sum.over));
      kept.set_failed_tenant_count(std::max(kept.failed_tenant_count(), sum.failed));
    }
    ends = all && !IsOver(kept.state());
    if (all && !kept.has_finish_time()) *kept.mutable_finish_time() = ToProto(now);
    if (ends) kept.set_state(sum.failed == count ? v1::FAILED : v1::DONE);
    return absl::OkStatus();
  });
  if (!told.ok()) return OkWhereGone(told.status());
  if (ends) parts_.metrics->EndHunt(told->state(), now - FromProto(told->create_time()));
  return all ? Expire(*told) : absl::OkStatus();
}

// From the results, once in a hunt's life: those that a release before told nobody of are there.
absl::StatusOr<HuntProgress::Sum> HuntWorker::Fill(const Task& task) {
  const auto& tenants = task.plan.tenants();
  HuntProgress::Sum sum;
  for (int at = 0; at < tenants.size();) {
    std::vector<std::string> names;
    std::vector<std::string> ids;
    for (; at < tenants.size() && names.size() < kFillPage; ++at) {
      ids.push_back(tenants.Get(at));
      names.push_back(HuntStore::ResultName(ids.back(), task.hunt.name()));
    }
    YAGURA_ASSIGN_OR_RETURN(const auto results, parts_.store->results.GetMany(names));
    std::vector<HuntProgress::Part> parts;
    for (size_t i = 0; i < results.size(); ++i) {
      if (!results[i] || results[i]->state() == v1::QUEUED) continue;
      parts.push_back({ids[i], results[i]->state(), results[i]->progress()});
    }
    YAGURA_ASSIGN_OR_RETURN(sum, progress_.Fill(task.hunt.name(), parts, at == tenants.size()));
  }
  return sum;
}

absl::Status HuntWorker::HandleRemove(const std::string& name) {
  const auto hunt = parts_.store->hunts.Get(name);
  if (hunt.ok()) return absl::OkStatus();  // it was not deleted after all
  if (hunt.status().code() != absl::StatusCode::kNotFound) return hunt.status();
  const auto plan = parts_.store->plans.Get(HuntStore::PlanName(name));
  if (plan.status().code() == absl::StatusCode::kNotFound) return absl::OkStatus();
  if (!plan.ok()) return plan.status();
  for (const auto& tenant : plan->tenants()) {
    const std::string result = HuntStore::ResultName(tenant, name);
    YAGURA_RETURN_IF_ERROR(queue_.Cancel(TimerId(kResult, result)));
    YAGURA_RETURN_IF_ERROR(Forget(result));
    YAGURA_RETURN_IF_ERROR(OkWhereGone(parts_.store->results.Delete(OwnContext(), result)));
  }
  YAGURA_RETURN_IF_ERROR(queue_.Cancel(TimerId(kExpire, name)));
  YAGURA_RETURN_IF_ERROR(progress_.Forget(name));
  return OkWhereGone(parts_.store->plans.Delete(OwnContext(), plan->name()));
}

absl::Status HuntWorker::HandleExpiry(const std::string& name) {
  const auto hunt = parts_.store->hunts.Get(name);
  if (hunt.status().code() == absl::StatusCode::kNotFound) return absl::OkStatus();
  if (!hunt.ok()) return hunt.status();
  YAGURA_RETURN_IF_ERROR(Remove(name, false));
  const absl::Status deleted = parts_.store->hunts.Delete(ContextOf(*hunt), name);
  if (!deleted.ok() && deleted.code() != absl::StatusCode::kNotFound) return deleted;
  return Remove(name, true);
}

// Whatever became of its timer, and whatever the setting was when it ended: what is over goes.
absl::Status HuntWorker::HandleSweep() {
  YAGURA_ASSIGN_OR_RETURN(const auto tenants, store::ListTenants(*parts_.state));
  for (const auto& tenant : tenants) {
    YAGURA_RETURN_IF_ERROR(parts_.store->hunts.ForEach(tenant, [this](const v1::Hunt& hunt) {
      return IsOver(hunt.state()) ? Expire(hunt) : absl::OkStatus();
    }));
  }
  return queue_.Schedule(TimerId(kSweep, kHunts), parts_.clock->Now() + kSweepInterval, kSweep);
}

}  // namespace yagura::detection
