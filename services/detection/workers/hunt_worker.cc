#include "services/detection/workers/hunt_worker.h"

#include <algorithm>
#include <utility>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/status/status.h"
#include "services/detection/domain/hunt_result.h"

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

constexpr std::chrono::hours kPatience{1};
constexpr std::chrono::seconds kMakerTime{60};  // that somebody may take to write or delete all
constexpr double kProgressStep = 0.05;          // of a result that others hear of
constexpr double kHuntProgressStep = 0.01;      // of a hunt
constexpr std::chrono::milliseconds kLeastTurn{1'000};  // however many share one
constexpr size_t kFillPage = 100;

// How far it has read.
std::string PlaceOf(const HuntCheckpoint& at) {
  return fmt::format("{} {} {}", at.pass(), at.slice_start().seconds(), at.page_token());
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
      queue_(parts_.state, kQueue),
      timers_(
          parts_.state, kQueue, {.threads = options.threads, .instance = parts_.instance},
          parts_.clock, [this](const timer::Timer& timer) { return Handle(timer); },
          parts_.logger) {}

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
      hunt.has_finish_time() ? FromProto(hunt.finish_time()) : parts_.clock->Now();
  return queue_.Schedule(TimerId(kExpire, hunt.name()), over + options_.keep, kExpire);
}

absl::Status HuntWorker::Handle(const timer::Timer& timer) {
  const std::string name = timer.id.substr(std::min(timer.id.size(), timer.payload.size() + 1));
  if (timer.payload == kBegin) return HandleBegin(name);
  if (timer.payload == kResult) return HandleResult(name);
  if (timer.payload == kRemove) return HandleRemove(name);
  if (timer.payload == kExpire) return HandleExpiry(name);
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
    const auto worked = Work(task);
    if (!worked.ok()) {
      if (stopping_) return worked.status();
      if (MayGoOn(task, worked.status())) {
        // Where others can be read they need not wait for this one.
        const bool is_alone = worked.status().code() == absl::StatusCode::kDeadlineExceeded ||
                              worked.status().code() == absl::StatusCode::kResourceExhausted;
        if (is_alone) YAGURA_RETURN_IF_ERROR(PassLaneOn(task));
        return worked.status();
      }
      YAGURA_RETURN_IF_ERROR(Fail(task, worked.status()));
    }
    NoteProgress(task);
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
  return OkWhereGone(
      parts_.store->checkpoints.Delete(OwnContext(), HuntStore::CheckpointName(result)));
}

// Whether it is worth another try.
bool HuntWorker::MayGoOn(const Task& task, const absl::Status& trouble) {
  const std::string& result = task.result.name();
  parts_.logger.Warning("a hunt does not get on",
                        {{"result", result}, {"error", Message(trouble)}});
  if (!MayPass(trouble.code())) return false;
  const SteadyTime now = parts_.clock->SteadyNow();
  const std::lock_guard lock(mutex_);
  auto since = troubled_since_.try_emplace(result, now).first->second;
  // Where nobody can be read, those that come later need not wait for an hour of their own.
  if (trouble.code() == absl::StatusCode::kUnavailable) {
    since = std::min(since, troubled_since_.try_emplace(task.hunt.name(), now).first->second);
  }
  return now - since < kPatience;
}

// Troubles with progress in between are not one long one.
void HuntWorker::NoteProgress(const Task& task) {
  const std::lock_guard lock(mutex_);
  troubled_since_.erase(task.result.name());
  troubled_since_.erase(task.hunt.name());
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
  // From here on whoever was at work on it before cannot save or publish any more.
  YAGURA_RETURN_IF_ERROR(Save(checkpoint));
  if (!checkpoint.result().has_first_receive_time()) {
    YAGURA_RETURN_IF_ERROR(Publish(task, v1::DONE, 1, checkpoint.result()));
    return End::kOver;
  }
  return Read(task, quarry, checkpoint);
}

absl::StatusOr<HuntWorker::End> HuntWorker::Read(Task& task, const HuntQuarry& quarry,
                                                 Checkpoint& checkpoint) {
  HuntRun run(*parts_.archive, *quarry.probe,
              {task.tenant, task.hunt.event_filter(), FromProto(task.hunt.start_time()),
               FromProto(task.hunt.end_time())},
              options_.run);
  const Checkpoint begun = checkpoint;
  const std::string place = PlaceOf(checkpoint);
  const auto start = steady_clock::now();
  auto saved = start;
  auto turn = std::min(options_.turn, kLeastTurn);
  bool is_cancelled = false;
  const auto save = [&]() -> absl::Status {
    saved = steady_clock::now();
    if (quarry.probe->can_pause()) {
      YAGURA_RETURN_IF_ERROR(Save(checkpoint));
      if (PlaceOf(checkpoint) != place) NoteProgress(task);
      return absl::OkStatus();
    }
    // It begins anew: only whether it is still ours.
    Checkpoint same = begun;
    same.set_etag(checkpoint.etag());
    YAGURA_RETURN_IF_ERROR(Save(same));
    checkpoint.set_etag(same.etag());
    return absl::OkStatus();
  };
  const auto keep = [&](double progress) -> absl::StatusOr<bool> {
    const auto now = steady_clock::now();
    const bool is_turn_over = quarry.probe->can_pause() && now - start >= turn;
    if (now - saved < options_.save_every && !is_turn_over && !stopping_) return true;
    YAGURA_RETURN_IF_ERROR(save());
    if (stopping_) return Unavailable("STOPPING", "the service is stopping");
    YAGURA_ASSIGN_OR_RETURN(is_cancelled, IsCancelled(task.hunt.name()));
    if (is_cancelled) return false;
    if (progress >= task.result.progress() + kProgressStep) {
      YAGURA_RETURN_IF_ERROR(Publish(task, v1::RUNNING, progress, checkpoint.result()));
      YAGURA_RETURN_IF_ERROR(Tell(task));
    }
    if (!is_turn_over) return true;
    YAGURA_ASSIGN_OR_RETURN(turn, TurnOf(task.hunt));
    return steady_clock::now() - start < turn;
  };
  YAGURA_ASSIGN_OR_RETURN(const bool finished, run.Go(checkpoint, keep));
  if (!finished && !is_cancelled) return End::kTurn;
  if (finished && checkpoint.result().events_read() == 0 && task.hunt.has_rule()) {
    AddRemark("No event of the rule's log source was stored: that nothing was found says nothing.",
              *checkpoint.mutable_result());
  }
  YAGURA_RETURN_IF_ERROR(save());
  YAGURA_RETURN_IF_ERROR(Publish(task, finished ? v1::DONE : v1::CANCELLED,
                                 finished ? 1 : task.result.progress(), checkpoint.result()));
  return End::kOver;
}

// Where the last attempt came to, else the beginning.
absl::StatusOr<HuntCheckpoint> HuntWorker::CheckpointOf(const Task& task,
                                                        const HuntQuarry& quarry) {
  const std::string name = HuntStore::CheckpointName(task.result.name());
  auto kept = parts_.store->checkpoints.Get(name);
  if (!kept.ok() && kept.status().code() != absl::StatusCode::kNotFound) return kept.status();
  if (kept.ok() && kept->digest() == quarry.digest && quarry.probe->can_pause()) return kept;
  Checkpoint fresh;
  fresh.set_name(name);
  fresh.set_digest(quarry.digest);
  if (kept.ok()) fresh.set_etag(kept->etag());
  auto& result = *fresh.mutable_result();
  for (const auto& remark : quarry.remarks) AddRemark(remark, result);
  TellPresence(quarry.products, parts_.quarries.surroundings->InventoryOf(task.tenant).get(),
               result);
  YAGURA_RETURN_IF_ERROR(Describe(task, result));
  return fresh;
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
absl::Status HuntWorker::Save(Checkpoint& checkpoint) {
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
  return absl::OkStatus();
}

absl::Status HuntWorker::Fail(Task& task, const absl::Status& why) {
  parts_.logger.Error("a hunt failed in a tenant",
                      {{"result", task.result.name()}, {"error", Message(why)}});
  v1::HuntResult failed = task.result;
  failed.set_state(v1::FAILED);
  failed.set_error(std::string(PublicReason(why.code())));
  YAGURA_ASSIGN_OR_RETURN(task.result,
                          parts_.store->results.Update(ContextOf(task.hunt), std::move(failed)));
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
  const auto told = parts_.store->hunts.Mutate(ContextOf(task.hunt), name, [&](v1::Hunt& kept) {
    const bool counts = kept.finished_tenant_count() < sum.over ||
                        kept.failed_tenant_count() < sum.failed ||
                        kept.progress() + kHuntProgressStep <= progress;
    if (counts || all) {
      kept.set_progress(std::max(kept.progress(), progress));
      kept.set_finished_tenant_count(std::max(kept.finished_tenant_count(), sum.over));
      kept.set_failed_tenant_count(std::max(kept.failed_tenant_count(), sum.failed));
    }
    if (all && !kept.has_finish_time()) *kept.mutable_finish_time() = ToProto(now);
    if (all && !IsOver(kept.state())) kept.set_state(sum.failed == count ? v1::FAILED : v1::DONE);
    return absl::OkStatus();
  });
  if (!told.ok()) return OkWhereGone(told.status());
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

}  // namespace yagura::detection
