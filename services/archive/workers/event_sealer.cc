#include "services/archive/workers/event_sealer.h"

#include <algorithm>
#include <condition_variable>
#include <map>
#include <optional>
#include <utility>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/status/status.h"
#include "services/archive/domain/block_column.h"
#include "services/archive/workers/retention.h"

namespace yagura::archive {
namespace {

constexpr size_t kMostOfAHead = 5'000;
constexpr std::chrono::milliseconds kGateWait{200};
constexpr std::string_view kPaused = "WRITING_PAUSED";
// An insert may take a while between the store's clock and being seen.
constexpr std::chrono::minutes kOverlap{20};

Status Behind(const std::string& what) {
  return MakeError(absl::StatusCode::kDataLoss, "EVENT_STORE_BEHIND", what);
}

Status Altered(const std::string& what) {
  return MakeError(absl::StatusCode::kDataLoss, "EVENT_STORE_ALTERED", what);
}

Status Later(uint32_t sequence, uint32_t scheme) {
  return MakeError(
      absl::StatusCode::kDataLoss, "EVENT_HEAD_LATER",
      fmt::format("head {} was sealed by a scheme ({}) that this release does not know, "
                  "and is not remembered",
                  sequence, scheme));
}

int64_t LatestExpiry(const std::vector<v1::EventHead>& heads) {
  int64_t latest = 0;
  for (const v1::EventHead& head : heads) latest = std::max(latest, head.expire_time().seconds());
  return latest;
}

uint32_t HighestScheme(const std::vector<v1::EventHead>& heads) {
  uint32_t highest = 0;
  for (const v1::EventHead& head : heads) highest = std::max(highest, head.scheme());
  return highest;
}

// What is wrong with a day's heads is told once, where it is found. That what is remembered cannot
// be read is not, and keeps all days from being sealed.
bool WasTold(const Status& status) {
  return absl::IsDataLoss(status) && ErrorReason(status) != "HEAD_MEMORY_UNREADABLE";
}

bool IsOfOneDay(const Status& status) {
  return status.code() == absl::StatusCode::kDataLoss ||
         status.code() == absl::StatusCode::kAborted;
}

}  // namespace

EventSealer::EventSealer(Parts parts, Options options)
    : parts_(std::move(parts)),
      options_(options),
      watch_({parts_.store, parts_.memory, parts_.ledger, parts_.logger}),
      since_(parts_.clock->Now() - options.look_back),
      next_review_(parts_.clock->Now()),
      next_watch_(next_review_) {}

EventSealer::~EventSealer() { Stop(); }

// What is remembered must be there as it was; what lies behind it, a sealer has made that ended
// before it could remember it, or another process just now.
Status EventSealer::Follows(const Heads& heads, const HeadMemory::Head& known) const {
  const uint32_t last = heads.empty() ? 0 : heads.back().sequence();
  if (last < known.sequence) {
    return Behind(
        fmt::format("{} heads were sealed, the event store ends at {}", known.sequence, last));
  }
  uint32_t sequence = known.sequence;
  std::optional<std::string> hash;
  if (known.sequence == 0 && !heads.empty()) {
    hash = UnitChainStart(heads.front().tenant(), heads.front().day());
  }
  for (const v1::EventHead& head : heads) {
    if (ClaimsALaterScheme(head, known)) {
      return Altered(fmt::format("head {} claims scheme {}, the day was sealed by {} at most",
                                 head.sequence(), head.scheme(), known.scheme));
    }
    if (head.sequence() < known.sequence) continue;
    if (known.sequence > 0 && head.sequence() == known.sequence) {
      if (head.hash() != known.hash) {
        return Altered(fmt::format("head {} is not the one that was sealed", head.sequence()));
      }
      hash = head.hash();
      continue;
    }
    if (IsOfLaterScheme(head)) return Later(head.sequence(), head.scheme());
    const auto key = parts_.trusted.find(head.key_id());
    const bool good = hash && head.sequence() == sequence + 1 && head.previous_hash() == *hash &&
                      key != parts_.trusted.end() &&
                      auth::VerifySignature(key->second, EventHeadText(head), head.signature());
    if (!good) {
      return Altered(fmt::format(
          "head {} does not follow, or is signed by nobody who is trusted here", head.sequence()));
    }
    sequence = head.sequence();
    hash = head.hash();
  }
  if (!heads.empty() && !hash) {
    return Altered(fmt::format("head {} is not there any more", known.sequence));
  }
  return absl::OkStatus();
}

StatusOr<EventSealer::Heads> EventSealer::Agreed(const std::string& tenant, int64_t day) {
  // A head of another process may be there before it is remembered: then the second look knows it.
  constexpr int kLooks = 2;
  Heads heads;
  HeadMemory::Head known;
  Status agreed;
  for (int look = 0; look < kLooks; ++look) {
    // In this order: what is remembered was stored before.
    YAGURA_ASSIGN_OR_RETURN(known, parts_.memory.Recall(tenant, day));
    YAGURA_ASSIGN_OR_RETURN(heads, parts_.store.Heads(tenant, day));
    agreed = Follows(heads, known);
    if (agreed.ok()) break;
  }
  if (agreed.ok() && !heads.empty() &&
      (heads.back().sequence() > known.sequence || known.expires == 0)) {
    agreed = parts_.memory.Raise(heads.back(), LatestExpiry(heads), HighestScheme(heads));
  }
  if (agreed.ok() || agreed.code() == absl::StatusCode::kDataLoss) Tell(tenant, day, agreed);
  if (!agreed.ok()) return agreed;
  return heads;
}

void EventSealer::Tell(const std::string& tenant, int64_t day, const Status& status) {
  {
    const std::lock_guard lock(mutex_);
    if (status.ok()) {
      broken_.erase({tenant, day});
      return;
    }
    if (!broken_.emplace(tenant, day).second) return;
  }
  const std::chrono::sys_days date{std::chrono::days(day)};
  parts_.logger.Error(
      "what was sealed of a day cannot be gone on from; nothing more of it is sealed",
      {{"tenant", tenant},
       {"day", std::string_view(FormatTime(date)).substr(0, 10)},
       {"why", Message(status)}});
}

size_t EventSealer::broken() const {
  const std::lock_guard lock(mutex_);
  return broken_.size();
}

bool EventSealer::Held(std::string_view tenant, int64_t day) const {
  const auto holds = parts_.retention.HoldsOf(tenant);
  return std::any_of(holds.begin(), holds.end(),
                     [day](const TimeWindow& hold) { return TouchesDay(hold, day); });
}

Status EventSealer::Seal(const std::vector<EventUnit>& units) {
  const EventUnit& first = units.front();
  YAGURA_ASSIGN_OR_RETURN(const Heads heads, Agreed(first.tenant, first.day));
  v1::EventHead head;
  head.set_tenant(first.tenant);
  head.set_day(first.day);
  head.set_scheme(kHeadScheme);
  head.set_sequence(heads.empty() ? 1 : heads.back().sequence() + 1);
  head.set_previous_hash(heads.empty() ? UnitChainStart(first.tenant, first.day)
                                       : heads.back().hash());
  std::string hash = head.previous_hash();
  int64_t expires = 0;
  uint32_t kept = Held(first.tenant, first.day) ? kHeldUntil : 0;
  for (const EventUnit& unit : units) {
    hash = UnitChainNext(hash, unit, kHeadScheme);
    head.add_units(unit.number);
    head.set_event_count(head.event_count() + unit.events);
    expires = std::max<int64_t>(expires, unit.expires);
    kept = std::max(kept, unit.kept);
  }
  head.set_hash(hash);
  *head.mutable_seal_time() = ToProto(parts_.clock->Now());
  head.mutable_expire_time()->set_seconds(expires);
  head.set_key_id(parts_.key.key_id());
  head.set_signature(parts_.key.Sign(EventHeadText(head)));
  YAGURA_RETURN_IF_ERROR(parts_.store.InsertHead(head, kept));
  // Whichever came first is the one that counts.
  YAGURA_ASSIGN_OR_RETURN(const Heads now, Agreed(first.tenant, first.day));
  const bool ours = std::any_of(now.begin(), now.end(), [&head](const v1::EventHead& stored) {
    return stored.sequence() == head.sequence() && stored.hash() == head.hash();
  });
  if (ours) return absl::OkStatus();
  return absl::AbortedError("another process sealed the day first; the rest follows");
}

StatusOr<std::vector<EventUnit>> EventSealer::OurOwn(const std::vector<EventUnit>& units) {
  constexpr size_t kMostStrange = 100'000;
  YAGURA_ASSIGN_OR_RETURN(const std::vector<bool> noted, parts_.ledger.Noted(units));
  std::vector<EventUnit> ours;
  std::set<uint64_t> numbers;
  size_t fresh = 0;
  {
    const std::lock_guard lock(mutex_);
    for (size_t i = 0; i < units.size(); ++i) {
      // A later release's are for it to seal.
      if (units[i].scheme > kUnitScheme) continue;
      // Another with the number of one of ours is none of ours, be it a copy.
      if (noted[i] && numbers.insert(units[i].number).second) {
        ours.push_back(units[i]);
      } else if (strange_.size() < kMostStrange && strange_.insert(units[i].number).second) {
        ++fresh;
      }
    }
  }
  if (fresh > 0) {
    const std::chrono::sys_days date{std::chrono::days(units.front().day)};
    parts_.logger.Error("units lie in the event store that were not put there by this suite",
                        {{"tenant", units.front().tenant},
                         {"day", std::string_view(FormatTime(date)).substr(0, 10)},
                         {"units", fresh}});
  }
  return ours;
}

size_t EventSealer::strange() const {
  const std::lock_guard lock(mutex_);
  return strange_.size();
}

// What a release without a ledger has stored is taken for ours, once.
Status EventSealer::BeginLedger() {
  if (begun_) return absl::OkStatus();
  YAGURA_ASSIGN_OR_RETURN(begun_, parts_.ledger.Begun());
  std::optional<EventUnit> after;
  while (!begun_) {
    YAGURA_ASSIGN_OR_RETURN(const auto units, parts_.store.Unsealed(since_, after));
    YAGURA_RETURN_IF_ERROR(parts_.ledger.Note(units));
    if (units.size() == ProofStore::kUnsealedAtOnce) {
      after = units.back();
      continue;
    }
    YAGURA_RETURN_IF_ERROR(parts_.ledger.Begin());
    begun_ = true;
  }
  return absl::OkStatus();
}

// What lies there now without a digest, a release that made none has stored; from now on nothing is
// stored without.
Status EventSealer::BeginProof() {
  if (proving_) return absl::OkStatus();
  YAGURA_ASSIGN_OR_RETURN(const auto since, parts_.ledger.ProvenSince());
  if (!since) {
    YAGURA_ASSIGN_OR_RETURN(const bool unproven, parts_.store.HasUnproven());
    YAGURA_RETURN_IF_ERROR(parts_.ledger.BeginProof(unproven ? parts_.clock->Now() : TimePoint()));
  }
  proving_ = true;
  return absl::OkStatus();
}

Status EventSealer::SealAll(const std::vector<EventUnit>& units) {
  Status first;
  std::vector<EventUnit> day;
  // What is wrong with one day keeps no other waiting.
  const auto seal = [&]() -> Status {
    if (day.empty()) return absl::OkStatus();
    const auto pass = WriteGate::Enter(options_.gate, kGateWait);
    if (!pass) return Unavailable(kPaused, "writing to the event store pauses for a backup");
    const auto ours = OurOwn(day);
    day.clear();
    if (!ours.ok()) return ours.status();
    if (ours->empty()) return absl::OkStatus();
    Status sealed = Seal(*ours);
    // Else it is forgotten when the ledger is.
    if (sealed.ok()) sealed = parts_.ledger.Forget(*ours);
    if (first.ok()) first = sealed;
    return sealed.ok() || IsOfOneDay(sealed) ? absl::OkStatus() : sealed;
  };
  for (const EventUnit& unit : units) {
    const bool other =
        !day.empty() && (day.front().tenant != unit.tenant || day.front().day != unit.day ||
                         (day.size() >= kMostOfAHead && day.back().number != unit.number));
    if (other) YAGURA_RETURN_IF_ERROR(seal());
    day.push_back(unit);
  }
  YAGURA_RETURN_IF_ERROR(seal());
  return first;
}

Status EventSealer::Turn() {
  const TimePoint began = parts_.clock->Now();
  YAGURA_ASSIGN_OR_RETURN(const TimePoint store_began, parts_.store.Now());
  // Where either clock is ahead, nothing is passed over.
  const TimePoint sure = std::min(began, store_began);
  // Where it was put back, what was stored meanwhile is looked for again, as after a start.
  if (since_ > sure - kOverlap / 2) since_ = sure - options_.look_back;
  YAGURA_RETURN_IF_ERROR(BeginLedger());
  YAGURA_RETURN_IF_ERROR(BeginProof());
  next_review_ = std::min<TimePoint>(next_review_, began + options_.review);
  if (began >= next_review_) {
    YAGURA_RETURN_IF_ERROR(Review());
    next_review_ = began + options_.review;
  }
  Status first;
  std::optional<EventUnit> after;
  for (;;) {
    YAGURA_ASSIGN_OR_RETURN(const auto units, parts_.store.Unsealed(since_, after));
    const Status sealed = SealAll(units);
    if (!sealed.ok() && !IsOfOneDay(sealed)) return sealed;
    if (first.ok()) first = sealed;
    if (units.size() < ProofStore::kUnsealedAtOnce) break;
    after = units.back();
  }
  // What waits is looked for again, as after a start.
  const auto overlap = first.ok() ? std::chrono::nanoseconds(kOverlap)
                                  : std::chrono::nanoseconds(options_.look_back);
  since_ = std::max(since_, sure - overlap);
  next_watch_ = std::min<TimePoint>(next_watch_, began + options_.watch);
  if (began >= next_watch_) {
    next_watch_ = began + options_.watch;
    // Sealing does not wait for it, and goes on whatever it meets.
    const Status watched = watch_.Look(began);
    if (first.ok()) first = watched;
  }
  return first;
}

// The day's heads are not needed any more.
bool EventSealer::Over(const HeadMemory::Head& known) const {
  return known.expires > 0 &&
         TimePoint(std::chrono::seconds(known.expires)) + kHeadsOutlive <= parts_.clock->Now();
}

Status EventSealer::Review() {
  YAGURA_ASSIGN_OR_RETURN(std::vector<std::string> tenants, parts_.memory.Tenants());
  YAGURA_ASSIGN_OR_RETURN(const auto stored, parts_.store.TenantsWithHeads());
  tenants.insert(tenants.end(), stored.begin(), stored.end());
  std::sort(tenants.begin(), tenants.end());
  tenants.erase(std::unique(tenants.begin(), tenants.end()), tenants.end());
  for (const std::string& tenant : tenants) YAGURA_RETURN_IF_ERROR(ReviewTenant(tenant));
  return absl::OkStatus();
}

Status EventSealer::ReviewTenant(const std::string& tenant) {
  // In this order: what is remembered was stored before.
  YAGURA_ASSIGN_OR_RETURN(const auto known, parts_.memory.RecallAll(tenant));
  YAGURA_ASSIGN_OR_RETURN(const auto stored, parts_.store.LastHeads(tenant));
  std::vector<int64_t> over;
  std::set<int64_t> doubtful;
  for (const auto& [day, last] : stored) {
    if (!known.contains(day)) doubtful.insert(day);
  }
  for (const auto& [day, head] : known) {
    const auto last = stored.find(day);
    const bool same = last != stored.end() && last->second.sequence == head.sequence &&
                      last->second.hash == head.hash && head.expires > 0;
    if (Over(head) && !Held(tenant, day)) {
      over.push_back(day);
      Tell(tenant, day, absl::OkStatus());
    } else if (!same) {
      doubtful.insert(day);
    } else {
      Tell(tenant, day, absl::OkStatus());
    }
  }
  for (const int64_t day : doubtful) {
    const Status agreed = Agreed(tenant, day).status();
    if (!agreed.ok() && agreed.code() != absl::StatusCode::kDataLoss) return agreed;
  }
  if (over.empty()) return absl::OkStatus();
  YAGURA_RETURN_IF_ERROR(parts_.store.DropHeads(tenant, over));
  return parts_.memory.Forget(tenant, over);
}

void EventSealer::Start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
}

void EventSealer::Stop() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

void EventSealer::Run(const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any wake;
  while (!stop.stop_requested()) {
    const Status status = Turn();
    // A pause ends soon.
    if (!status.ok() && !WasTold(status) && ErrorReason(status) != kPaused) {
      parts_.logger.Warning("what was stored waits to be sealed", {{"why", Message(status)}});
    }
    std::unique_lock lock(mutex);
    wake.wait_for(lock, stop, options_.interval, [] { return false; });
  }
}

}  // namespace yagura::archive
