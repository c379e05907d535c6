#include "services/detection/workers/hunt_worker.h"

#include <algorithm>
#include <utility>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/status/status.h"
#include "common/text/printable.h"
#include "services/detection/domain/findings.h"
#include "services/detection/domain/hunt_result.h"
#include "services/detection/domain/indicators.h"
#include "services/detection/domain/tags.h"

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
constexpr size_t kMaxError = 500;
constexpr size_t kMaxTaggedRules = 50;

std::string TimerId(std::string_view what, std::string_view name) {
  return fmt::format("{} {}", what, name);
}

bool MayPass(absl::StatusCode code) {
  return code == absl::StatusCode::kUnavailable || code == absl::StatusCode::kDeadlineExceeded ||
         code == absl::StatusCode::kResourceExhausted || code == absl::StatusCode::kAborted;
}

// How far it has read.
std::string PlaceOf(const HuntCheckpoint& at) {
  return fmt::format("{} {} {}", at.pass(), at.slice_start().seconds(), at.page_token());
}

std::vector<std::string> CvesOf(const ParsedRule& rule) {
  std::vector<std::string> cves;
  const auto add = [&cves](const RuleInfo& info) {
    for (const auto& tag : info.tags) {
      if (std::string cve = CveOf(tag); !cve.empty()) cves.push_back(std::move(cve));
    }
  };
  add(rule.info());
  for (const auto& single : rule.rules) add(single.info);
  return cves;
}

}  // namespace

HuntWorker::HuntWorker(Parts parts, Options options)
    : parts_(std::move(parts)),
      options_(options),
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

absl::Status HuntWorker::Handle(const timer::Timer& timer) {
  const std::string name = timer.id.substr(std::min(timer.id.size(), timer.payload.size() + 1));
  if (timer.payload == kBegin) return HandleBegin(name);
  if (timer.payload == kResult) return HandleResult(name);
  if (timer.payload == kRemove) return HandleRemove(name);
  if (timer.payload == kExpire) return HandleExpiry(name);
  return absl::OkStatus();
}

store::WriteContext HuntWorker::ContextOf(const v1::Hunt& hunt) const {
  store::WriteContext context;
  context.principal = kPrincipal;
  context.on_behalf_of = hunt.requester();
  context.method = "hunt-worker";
  context.detail = hunt.title();
  return context;
}

// Every tenant gets its result and a timer of its own.
absl::Status HuntWorker::HandleBegin(const std::string& name) {
  const auto hunt = parts_.store->hunts.Get(name);
  if (hunt.status().code() == absl::StatusCode::kNotFound) return absl::OkStatus();
  if (!hunt.ok()) return hunt.status();
  if (IsOver(hunt->state())) return absl::OkStatus();
  const auto plan = parts_.store->plans.Get(HuntStore::PlanName(name));
  if (plan.status().code() == absl::StatusCode::kNotFound) {
    return parts_.store->hunts
        .Mutate(ContextOf(*hunt), name,
                [](v1::Hunt& lost) {
                  lost.set_state(v1::FAILED);
                  return absl::OkStatus();
                })
        .status();
  }
  if (!plan.ok()) return plan.status();
  for (const auto& tenant : plan->tenants()) {
    v1::HuntResult result;
    result.set_name(HuntStore::ResultName(tenant, name));
    result.set_hunt(name);
    result.set_title(hunt->title());
    result.set_state(v1::QUEUED);
    *result.mutable_start_time() = hunt->start_time();
    *result.mutable_end_time() = hunt->end_time();
    const std::string result_name = result.name();
    const auto made = parts_.store->results.Create(ContextOf(*hunt), std::move(result));
    if (!made.ok() && made.status().code() != absl::StatusCode::kAlreadyExists) {
      return made.status();
    }
    YAGURA_RETURN_IF_ERROR(
        queue_.Schedule(TimerId(kResult, result_name), parts_.clock->Now(), kResult));
  }
  return parts_.store->hunts
      .Mutate(ContextOf(*hunt), name,
              [](v1::Hunt& begun) {
                if (begun.state() == v1::QUEUED) begun.set_state(v1::RUNNING);
                return absl::OkStatus();
              })
      .status();
}

absl::Status HuntWorker::HandleResult(const std::string& name) {
  Task task;
  auto result = parts_.store->results.Get(name);
  if (result.status().code() == absl::StatusCode::kNotFound) return Forget(name);
  if (!result.ok()) return result.status();
  task.result = *std::move(result);
  task.tenant = store::TenantOf(name).value_or("");
  auto hunt = parts_.store->hunts.Get(task.result.hunt());
  if (hunt.status().code() == absl::StatusCode::kNotFound) return absl::OkStatus();
  if (!hunt.ok()) return hunt.status();
  task.hunt = *std::move(hunt);
  auto plan = parts_.store->plans.Get(HuntStore::PlanName(task.result.hunt()));
  if (plan.status().code() == absl::StatusCode::kNotFound) return absl::OkStatus();
  if (!plan.ok()) return plan.status();
  task.plan = *std::move(plan);
  if (!IsOver(task.result.state())) {
    const absl::Status worked = Work(task);
    if (!worked.ok()) {
      if (stopping_ || MayGoOn(name, worked)) return worked;
      YAGURA_RETURN_IF_ERROR(Fail(task, worked));
    }
    NoteProgress(name);
  }
  YAGURA_RETURN_IF_ERROR(Forget(name));
  return Tell(task.hunt, task.plan);
}

// The checkpoint of a result that is over, or gone.
absl::Status HuntWorker::Forget(const std::string& result) {
  store::WriteContext context;
  context.principal = kPrincipal;
  context.method = "hunt-worker";
  const auto status = parts_.store->checkpoints.Delete(context, HuntStore::CheckpointName(result));
  return status.code() == absl::StatusCode::kNotFound ? absl::OkStatus() : status;
}

// Whether it is worth another try.
bool HuntWorker::MayGoOn(const std::string& result, const absl::Status& trouble) {
  parts_.logger.Warning("a hunt does not get on",
                        {{"result", result}, {"error", Message(trouble)}});
  if (!MayPass(trouble.code())) return false;
  const std::lock_guard lock(mutex_);
  const SteadyTime now = parts_.clock->SteadyNow();
  return now - troubled_since_.try_emplace(result, now).first->second < kPatience;
}

// Troubles with progress in between are not one long one.
void HuntWorker::NoteProgress(const std::string& result) {
  const std::lock_guard lock(mutex_);
  troubled_since_.erase(result);
}

// OK: its result is over.
absl::Status HuntWorker::Work(Task& task) {
  YAGURA_ASSIGN_OR_RETURN(bool cancelled, IsCancelled(task.hunt.name()));
  if (cancelled) return Publish(task, v1::CANCELLED, task.result.progress(), task.result);
  YAGURA_ASSIGN_OR_RETURN(const Quarry quarry, QuarryOf(task));
  YAGURA_ASSIGN_OR_RETURN(Checkpoint checkpoint, CheckpointOf(task, quarry));
  YAGURA_RETURN_IF_ERROR(Publish(task, v1::RUNNING, task.result.progress(), checkpoint.result()));
  if (checkpoint.result().has_first_receive_time()) {
    HuntRun run(*parts_.archive, *quarry.probe,
                {task.tenant, task.hunt.event_filter(), FromProto(task.hunt.start_time()),
                 FromProto(task.hunt.end_time())},
                options_.run);
    const std::string place = PlaceOf(checkpoint);
    auto saved = steady_clock::now();
    double shown = task.result.progress();
    const auto keep = [&](double progress) -> absl::StatusOr<bool> {
      const bool due = steady_clock::now() - saved >= options_.save_every;
      if (!due && !stopping_) return true;
      saved = steady_clock::now();
      if (quarry.probe->can_pause()) {
        YAGURA_RETURN_IF_ERROR(Save(checkpoint));
        if (PlaceOf(checkpoint) != place) NoteProgress(task.result.name());
      }
      if (stopping_) return Unavailable("STOPPING", "the service is stopping");
      YAGURA_ASSIGN_OR_RETURN(cancelled, IsCancelled(task.hunt.name()));
      if (cancelled) return false;
      if (progress >= shown + kProgressStep) {
        shown = progress;
        YAGURA_RETURN_IF_ERROR(Publish(task, v1::RUNNING, progress, checkpoint.result()));
        YAGURA_RETURN_IF_ERROR(Tell(task.hunt, task.plan));
      }
      return true;
    };
    YAGURA_ASSIGN_OR_RETURN(const bool finished, run.Go(checkpoint, keep));
    if (!finished) return Publish(task, v1::CANCELLED, shown, checkpoint.result());
    if (checkpoint.result().events_read() == 0 && task.hunt.has_rule()) {
      AddRemark(
          "No event of the rule's log source was stored: that nothing was found says nothing.",
          *checkpoint.mutable_result());
    }
  }
  return Publish(task, v1::DONE, 1, checkpoint.result());
}

absl::StatusOr<HuntWorker::Quarry> HuntWorker::QuarryOf(const Task& task) const {
  if (task.hunt.has_vulnerability()) return VulnerabilityQuarry(task);
  const auto kev = parts_.surroundings->kev();
  Quarry quarry;
  std::vector<std::string> cves;
  if (task.hunt.has_rule()) {
    YAGURA_ASSIGN_OR_RETURN(const auto placeholders, parts_.placeholders(task.tenant));
    YAGURA_ASSIGN_OR_RETURN(ParsedRule rule, ParseSigma(task.plan.rule_text(), placeholders));
    cves = CvesOf(rule);
    std::string values;
    for (const auto& name : rule.placeholders) {
      values += name + "\n";
      if (const auto* found = FindPlaceholder(placeholders, name)) {
        for (const auto& value : *found) values += value + "\n";
      }
    }
    quarry.digest = ShortDigest({task.plan.rule_text(), values});
    quarry.probe = NewRuleProbe(task.tenant, std::move(rule), options_.windows);
  } else {
    YAGURA_ASSIGN_OR_RETURN(auto indicators, ParseIndicators(task.plan.indicator_text()));
    quarry.digest = ShortDigest({task.plan.indicator_text()});
    quarry.probe = NewIndicatorProbe(std::move(indicators));
  }
  YAGURA_ASSIGN_OR_RETURN(quarry.products, ProductsOf(task.hunt.product(), cves, kev.get()));
  return quarry;
}

absl::StatusOr<HuntWorker::Quarry> HuntWorker::VulnerabilityQuarry(const Task& task) const {
  const std::string& cve = task.hunt.vulnerability().cve();
  const auto kev = parts_.surroundings->kev();
  Quarry quarry;
  YAGURA_ASSIGN_OR_RETURN(quarry.products, ProductsOf(task.hunt.product(), {cve}, kev.get()));
  if (quarry.products.empty()) {
    quarry.remarks.emplace_back(
        "Which product it is about is not known: it is not in CISA's catalogue, and none was "
        "named.");
  }
  YAGURA_ASSIGN_OR_RETURN(const auto placeholders, parts_.placeholders(task.tenant));
  YAGURA_ASSIGN_OR_RETURN(const auto texts, parts_.rules_about(task.tenant, cve));
  std::vector<ParsedRule> rules;
  std::vector<std::string_view> parts = {cve};
  for (const auto& product : quarry.products) parts.push_back(product.name);
  for (const std::string& text : texts) {
    auto rule = ParseSigma(text, placeholders);
    if (!rule.ok()) {
      quarry.remarks.push_back(
          fmt::format("A rule about it cannot be matched: {}", Message(rule.status())));
    } else if (!rule->correlations.empty() || rule->filter) {
      quarry.remarks.push_back(
          fmt::format("The correlation \"{}\" is not looked at.", rule->info().title));
    } else if (rules.size() == kMaxTaggedRules) {
      quarry.remarks.push_back(fmt::format("Only {} rules are looked at.", kMaxTaggedRules));
      break;
    } else {
      parts.push_back(text);
      rules.push_back(*std::move(rule));
    }
  }
  quarry.digest = ShortDigest(parts);
  quarry.probe = NewVulnerabilityProbe(task.tenant, cve, std::move(rules), quarry.products);
  return quarry;
}

// Where the last attempt came to, else the beginning.
absl::StatusOr<HuntCheckpoint> HuntWorker::CheckpointOf(const Task& task, const Quarry& quarry) {
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
  TellPresence(quarry.products, parts_.surroundings->InventoryOf(task.tenant).get(), result);
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

absl::Status HuntWorker::Save(const Checkpoint& checkpoint) {
  store::WriteContext context;
  context.principal = kPrincipal;
  context.method = "hunt-worker";
  Checkpoint kept = checkpoint;
  kept.clear_etag();  // who holds the timer is alone with it
  auto saved = parts_.store->checkpoints.Update(context, kept);
  if (saved.status().code() == absl::StatusCode::kNotFound) {
    saved = parts_.store->checkpoints.Create(context, std::move(kept));
  }
  return saved.status();
}

absl::Status HuntWorker::Publish(const Task& task, v1::HuntState state, double progress,
                                 const v1::HuntResult& found) {
  const v1::HuntResult published = Published(found);
  return parts_.store->results
      .Mutate(ContextOf(task.hunt), task.result.name(),
              [&](v1::HuntResult& kept) {
                v1::HuntResult next = published;
                next.set_name(kept.name());
                next.set_etag(kept.etag());
                *next.mutable_create_time() = kept.create_time();
                *next.mutable_update_time() = kept.update_time();
                next.set_hunt(kept.hunt());
                next.set_title(kept.title());
                *next.mutable_start_time() = kept.start_time();
                *next.mutable_end_time() = kept.end_time();
                next.set_state(state);
                next.set_progress(progress);
                next.clear_error();
                kept = std::move(next);
                return absl::OkStatus();
              })
      .status();
}

absl::Status HuntWorker::Fail(const Task& task, const absl::Status& why) {
  return parts_.store->results
      .Mutate(ContextOf(task.hunt), task.result.name(),
              [&why](v1::HuntResult& failed) {
                failed.set_state(v1::FAILED);
                failed.set_error(Printable(Message(why), kMaxError));
                return absl::OkStatus();
              })
      .status();
}

absl::StatusOr<bool> HuntWorker::IsCancelled(const std::string& hunt) const {
  const auto now = parts_.store->hunts.Get(hunt);
  if (now.status().code() == absl::StatusCode::kNotFound) return true;
  if (!now.ok()) return now.status();
  return now->state() == v1::CANCELLED;
}

absl::Status HuntWorker::Tell(const v1::Hunt& hunt, const HuntPlan& plan) {
  std::vector<std::string> names;
  for (const auto& tenant : plan.tenants()) {
    names.push_back(HuntStore::ResultName(tenant, hunt.name()));
  }
  YAGURA_ASSIGN_OR_RETURN(const auto results, parts_.store->results.GetMany(names));
  double progress = 0;
  uint32_t over = 0;
  uint32_t failed = 0;
  for (const auto& result : results) {
    if (!result) continue;
    progress += IsOver(result->state()) ? 1 : result->progress();
    over += IsOver(result->state()) ? 1 : 0;
    failed += result->state() == v1::FAILED ? 1 : 0;
  }
  const TimePoint now = parts_.clock->Now();
  const bool all = over == names.size();
  const auto told = parts_.store->hunts.Mutate(ContextOf(hunt), hunt.name(), [&](v1::Hunt& kept) {
    kept.set_progress(std::max(kept.progress(), progress / static_cast<double>(names.size())));
    kept.set_finished_tenant_count(over);
    kept.set_failed_tenant_count(failed);
    if (all && !kept.has_finish_time()) *kept.mutable_finish_time() = ToProto(now);
    if (all && !IsOver(kept.state())) kept.set_state(failed == over ? v1::FAILED : v1::DONE);
    return absl::OkStatus();
  });
  if (told.status().code() == absl::StatusCode::kNotFound) return absl::OkStatus();
  if (!told.ok()) return told.status();
  if (!all) return absl::OkStatus();
  return queue_.Schedule(TimerId(kExpire, hunt.name()), now + options_.keep, kExpire);
}

absl::Status HuntWorker::HandleRemove(const std::string& name) {
  const auto hunt = parts_.store->hunts.Get(name);
  if (hunt.ok()) return absl::OkStatus();  // it was not deleted after all
  if (hunt.status().code() != absl::StatusCode::kNotFound) return hunt.status();
  const auto plan = parts_.store->plans.Get(HuntStore::PlanName(name));
  if (plan.status().code() == absl::StatusCode::kNotFound) return absl::OkStatus();
  if (!plan.ok()) return plan.status();
  store::WriteContext context;
  context.principal = kPrincipal;
  context.method = "hunt-worker";
  const auto gone = [](const absl::Status& status) {
    return status.ok() || status.code() == absl::StatusCode::kNotFound ? absl::OkStatus() : status;
  };
  for (const auto& tenant : plan->tenants()) {
    const std::string result = HuntStore::ResultName(tenant, name);
    YAGURA_RETURN_IF_ERROR(queue_.Cancel(TimerId(kResult, result)));
    YAGURA_RETURN_IF_ERROR(Forget(result));
    YAGURA_RETURN_IF_ERROR(gone(parts_.store->results.Delete(context, result)));
  }
  YAGURA_RETURN_IF_ERROR(queue_.Cancel(TimerId(kExpire, name)));
  return gone(parts_.store->plans.Delete(context, plan->name()));
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
