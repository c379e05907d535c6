#include "services/archive/api/event_verifier.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "fmt/chrono.h"
#include "fmt/format.h"

#include "common/auth/token.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "services/archive/domain/block_column.h"
#include "services/archive/domain/unit_flaws.h"

namespace yagura::archive {
namespace {

constexpr int kMostFlaws = 100;
constexpr size_t kMostIdBytes = 200;      // of a forged one: those of this suite are shorter
constexpr size_t kMostStrangers = 1'000;  // units
// What expires while we look must not seem missing.
constexpr std::chrono::hours kExpiryMargin{1};
// A release that made no digests may have stored so long after one that does began to.
constexpr std::chrono::nanoseconds kUpgrade = std::chrono::minutes(10);
constexpr std::chrono::hours kClocksDiffer{1};
constexpr std::chrono::milliseconds kLookAgain{500};

std::string DayText(int64_t day) {
  return fmt::format("{:%Y-%m-%d}", fmt::gmtime(static_cast<std::time_t>(day * 86'400)));
}

// Whoever can write the store may have put anything there.
std::string IdText(std::string_view id) { return ToValidUtf8(id.substr(0, kMostIdBytes)); }

std::string UnitText(uint64_t unit) { return fmt::format("{:016x}", unit); }

}  // namespace

struct EventVerifier::Open {
  explicit Open(uint32_t scheme) : digest(scheme) {}
  UnitDigest digest;
  uint64_t events = 0;
};

EventVerifier::EventVerifier(Parts parts, std::string tenant, int64_t day)
    : parts_(std::move(parts)), tenant_(std::move(tenant)), day_(day) {
  proof_.set_tenant(tenant_);
  proof_.set_day(DayText(day_));
}

v1::EventFlaw* EventVerifier::Tell(Flaw::Kind kind, uint64_t unit, const std::string& detail) {
  beyond_.Clear();
  Flaw* flaw = proof_.flaws_size() < kMostFlaws ? proof_.add_flaws() : &beyond_;
  flaw->set_kind(kind);
  if (unit != 0) flaw->set_unit(UnitText(unit));
  flaw->set_detail(detail);
  return flaw;
}

// A unit that a hold keeps whole, and kept before the first of its events could go, is all there.
// Schema 9 told of units that were held as they were stored as if they never went.
bool EventVerifier::MayHaveGone(const EventUnit& unit) const {
  const TimePoint expires{std::chrono::seconds(unit.expires)};
  const bool by_retention = unit.expires >= kHeldUntil || expires <= parts_.now + kExpiryMargin;
  if (!by_retention) return false;
  const TimePoint first{std::chrono::nanoseconds(unit.first_time)};
  const TimePoint last{std::chrono::nanoseconds(unit.last_time)};
  return std::none_of(parts_.holds.begin(), parts_.holds.end(), [&](const Hold& hold) {
    return hold.window.start <= first && last < hold.window.end && hold.since < expires;
  });
}

bool EventVerifier::MayBeDropped(TimePoint gone) const {
  if (gone > parts_.now) return false;
  return std::none_of(parts_.holds.begin(), parts_.holds.end(), [&](const Hold& hold) {
    return TouchesDay(hold.window, day_) && hold.since < gone;
  });
}

StatusOr<v1::DayProof> EventVerifier::Run(const std::stop_token& stop, const Progress& progress) {
  // In this order: what is remembered was stored before, and what has a head has digests.
  YAGURA_ASSIGN_OR_RETURN(stored_, parts_.ledger.Stored(tenant_, day_));
  YAGURA_ASSIGN_OR_RETURN(known_, parts_.memory.Recall(tenant_, day_));
  YAGURA_ASSIGN_OR_RETURN(const auto heads, parts_.store.Heads(tenant_, day_));
  YAGURA_ASSIGN_OR_RETURN(units_, parts_.store.Units(tenant_, day_, &doubled_));
  int64_t latest = known_.expires;
  for (const v1::EventHead& head : heads) latest = std::max(latest, head.expire_time().seconds());
  heads_over_ = latest > 0 && MayBeDropped(TimePoint(std::chrono::seconds(latest)) + kHeadsOutlive);
  CheckHeads(heads);
  TellLater(heads);
  CheckChain(heads);
  for (const uint64_t number : doubled_) {
    if (later_.contains(number)) continue;
    Tell(Flaw::UNIT_ALTERED, number,
         "several digests of that number are there; at most one of them was stored");
  }
  CheckMemory(heads);
  if (!heads.empty()) *proof_.mutable_head() = heads.back();
  YAGURA_RETURN_IF_ERROR(CheckEvents(stop, progress));
  for (const uint64_t unit : broken_) {
    if (proof_.flaws_size() >= kMostFlaws) break;
    YAGURA_RETURN_IF_ERROR(Explain(units_.at(unit), stop));
  }
  return proof_;
}

void EventVerifier::CheckMemory(const std::vector<v1::EventHead>& heads) {
  const uint32_t last = heads.empty() ? 0 : heads.back().sequence();
  if (known_.sequence > last && !heads_over_) {
    Tell(Flaw::HEAD_MISSING, 0,
         fmt::format("{} heads were sealed, the store ends at {}", known_.sequence, last));
  }
  for (const v1::EventHead& head : heads) {
    if (head.sequence() == known_.sequence && head.hash() != known_.hash) {
      Tell(Flaw::HEAD_ALTERED, 0,
           fmt::format("head {} is not the one that was sealed here", head.sequence()));
    }
  }
}

void EventVerifier::CheckHeads(const std::vector<v1::EventHead>& heads) {
  uint32_t expected = 1;
  std::string hash = UnitChainStart(tenant_, day_);
  for (const v1::EventHead& head : heads) {
    const std::string name = fmt::format("head {}", head.sequence());
    // Those between were dropped before this one.
    const bool dropped = head.sequence() > expected && heads_over_;
    if (head.sequence() != expected && !dropped) {
      Tell(head.sequence() > expected ? Flaw::HEAD_MISSING : Flaw::HEAD_ALTERED, 0,
           fmt::format("{} where {} should be", name, expected));
    }
    if (ClaimsALaterScheme(head, known_)) {
      Tell(Flaw::HEAD_ALTERED, 0,
           fmt::format("{} claims scheme {}, the day was sealed by {} at most", name, head.scheme(),
                       known_.scheme));
    }
    if (IsLater(head)) {
      if (proof_.later_heads_size() < kMostFlaws) proof_.add_later_heads(head.sequence());
    } else {
      CheckHead(head, name);
      if (head.sequence() == expected && head.previous_hash() != hash) {
        Tell(Flaw::HEAD_ALTERED, 0, name + " does not follow the head before");
      }
    }
    expected = head.sequence() + 1;
    hash = head.hash();
  }
}

bool EventVerifier::IsLater(const v1::EventHead& head) const {
  return IsOfLaterScheme(head) && !ClaimsALaterScheme(head, known_);
}

// Once of all of them: a day may have more than there is room for flaws.
void EventVerifier::TellLater(const std::vector<v1::EventHead>& heads) {
  uint32_t first = 0;
  size_t count = 0;
  size_t strange = 0;
  for (const v1::EventHead& head : heads) {
    if (!IsLater(head)) continue;
    if (++count == 1) first = head.sequence();
    if (head.sequence() > known_.sequence) ++strange;
  }
  if (count == 0) return;
  std::string detail = fmt::format(
      "{} heads, from head {} on, are of schemes that this release does not know", count, first);
  if (strange > 0) {
    detail += fmt::format("; {} are not remembered, and may be anybody's", strange);
  }
  Tell(Flaw::HEAD_LATER, 0, detail);
}

void EventVerifier::CheckHead(const v1::EventHead& head, const std::string& name) {
  const auto key = parts_.trusted.find(head.key_id());
  if (key == parts_.trusted.end()) {
    Tell(Flaw::HEAD_ALTERED, 0,
         fmt::format("{} is signed by {}, which is neither this process's key nor among "
                     "audit.trusted_keys of its settings",
                     name, head.key_id()));
  } else if (!auth::VerifySignature(key->second, EventHeadText(head), head.signature())) {
    Tell(Flaw::HEAD_ALTERED, 0, name + ": the signature does not fit");
  }
}

// Each head's units give its hash; units without a head are those of the last minutes.
void EventVerifier::CheckChain(const std::vector<v1::EventHead>& heads) {
  std::set<uint64_t> sealed;
  for (const v1::EventHead& head : heads) {
    if (IsLater(head)) continue;
    std::string hash = head.previous_hash();
    bool whole = true;
    uint64_t events = 0;
    const bool gone = MayBeDropped(TimePoint(std::chrono::seconds(head.expire_time().seconds())));
    for (const uint64_t number : head.units()) {
      sealed.insert(number);
      const auto unit = units_.find(number);
      if (unit == units_.end()) {
        whole = false;
        if (gone) {
          proof_.set_expired_units(proof_.expired_units() + 1);
        } else {
          Tell(Flaw::UNIT_MISSING, number,
               fmt::format("head {} has it, but its digest is not there", head.sequence()));
        }
        continue;
      }
      if (!MayHave(head, unit->second)) {
        Tell(Flaw::UNIT_ALTERED, number,
             fmt::format("it says to be digested by scheme {}, which no unit of head {} is",
                         unit->second.scheme, head.sequence()));
      }
      hash = UnitChainNext(hash, unit->second, head.scheme());
      events += unit->second.events;
    }
    if (whole && hash != head.hash()) {
      Tell(Flaw::UNIT_ALTERED, 0,
           fmt::format("the digests of head {}'s {} units are not those that were sealed",
                       head.sequence(), head.units_size()));
    } else if (whole && events != head.event_count()) {
      Tell(Flaw::HEAD_ALTERED, 0,
           fmt::format("head {} says {} events, its units have {}", head.sequence(),
                       head.event_count(), events));
    }
  }
  FindLater(heads, sealed);
  CheckUnsealed(sealed);
  CheckStored(sealed);
  LeaveOutUnknown();
}

void EventVerifier::FindLater(const std::vector<v1::EventHead>& heads,
                              const std::set<uint64_t>& sealed) {
  for (const v1::EventHead& head : heads) {
    if (!IsLater(head)) continue;
    for (const uint64_t number : head.units()) {
      if (!sealed.contains(number)) later_.insert(number);
    }
  }
}

// Of those nothing more can be said: they are not sealed, or were told of.
void EventVerifier::LeaveOutUnknown() {
  for (const auto& [number, unit] : units_) {
    if (unit.scheme > kUnitScheme) later_.insert(number);
  }
}

// What was stored is there, or was sealed: then its head tells where it is not.
void EventVerifier::CheckStored(const std::set<uint64_t>& sealed) {
  for (const auto& [number, unit] : stored_) {
    if (units_.contains(number) || sealed.contains(number) || later_.contains(number)) continue;
    if (!unit.IsDue(parts_.now)) continue;
    if (MayBeDropped(unit.over - kExpiryMargin)) {
      proof_.set_expired_units(proof_.expired_units() + 1);
    } else {
      Tell(Flaw::UNIT_MISSING, number, "it was stored, and was gone before it could be sealed");
    }
  }
}

void EventVerifier::CheckUnsealed(const std::set<uint64_t>& sealed) {
  for (const auto& [number, unit] : units_) {
    if (sealed.contains(number) || later_.contains(number)) continue;
    proof_.set_unsealed_units(proof_.unsealed_units() + 1);
    // When it was stored, the store says, which may be anything that somebody wrote there.
    const TimePoint stored{std::chrono::seconds(unit.stored)};
    if (stored + kSealedWithin < parts_.now) {
      Tell(Flaw::UNIT_UNSEALED, number, "it was stored long ago, and no head has it");
    } else if (stored > parts_.now + kClocksDiffer) {
      Tell(Flaw::UNIT_UNSEALED, number, "no head has it, and it says to be stored in the future");
    }
  }
}

void EventVerifier::Close(const EventUnit& unit, Open& open) {
  if (MayHaveGone(unit)) {
    proof_.set_expired_units(proof_.expired_units() + 1);
    closed_[unit.number] = true;
    return;
  }
  const bool good = open.events == unit.events && open.digest.Finish() == unit.digest;
  closed_[unit.number] = good;
  if (!good) {
    broken_.push_back(unit.number);
    return;
  }
  proof_.set_verified_units(proof_.verified_units() + 1);
  proof_.set_verified_events(proof_.verified_events() + unit.events);
}

// Events come in order of receipt: what lies behind a unit's last is none of its.
void EventVerifier::CloseUpTo(int64_t receive_time, std::map<uint64_t, Open>& open) {
  for (auto it = open.begin(); it != open.end();) {
    const EventUnit& unit = units_.at(it->first);
    if (unit.last_time >= receive_time) {
      ++it;
      continue;
    }
    Close(unit, it->second);
    it = open.erase(it);
  }
}

// As the state Redis remembers, or else as the day shows that had a digest before.
StatusOr<int64_t> EventVerifier::ProvenSince() const {
  YAGURA_ASSIGN_OR_RETURN(const auto known, parts_.ledger.ProvenSince());
  if (known && known->time_since_epoch().count() == 0) return -1;
  int64_t since = INT64_MAX;
  if (known) since = (*known + kUpgrade).time_since_epoch().count();
  for (const auto& [number, unit] : units_) {
    since = std::min(since, unit.first_time + kUpgrade.count());
  }
  return since;
}

Status EventVerifier::CheckEvents(const std::stop_token& stop, const Progress& progress) {
  constexpr uint64_t kCloseEvery = 20'000;
  std::map<uint64_t, Open> open;
  YAGURA_ASSIGN_OR_RETURN(const int64_t proven_since, ProvenSince());
  uint64_t seen = 0;
  const auto look = [&](const ProofStore::StoredEvent& event) -> Status {
    if (++seen % kCloseEvery == 0) CloseUpTo(event.receive_time, open);
    if (seen % parts_.progress_every == 0) YAGURA_RETURN_IF_ERROR(progress(proof_));
    if (event.unit == 0) {
      if (event.receive_time > proven_since) {
        AddStranger(event, "it belongs to no unit");
      } else {
        proof_.set_unproven_events(proof_.unproven_events() + 1);
      }
      return absl::OkStatus();
    }
    if (later_.contains(event.unit)) {
      proof_.set_later_events(proof_.later_events() + 1);
      return absl::OkStatus();
    }
    const auto unit = units_.find(event.unit);
    if (unit == units_.end()) {
      AddStranger(event, "there is no digest of that unit");
      return absl::OkStatus();
    }
    if (const auto done = closed_.find(event.unit); done != closed_.end()) {
      // Behind the unit's last event.
      if (done->second) {
        done->second = false;
        broken_.push_back(event.unit);
      }
      return absl::OkStatus();
    }
    Open& state = open.try_emplace(event.unit, unit->second.scheme).first->second;
    state.digest.Add(event.digest);
    ++state.events;
    return absl::OkStatus();
  };
  YAGURA_RETURN_IF_ERROR(parts_.store.Visit(tenant_, day_, 0, units_, stop, look));
  for (auto& [number, state] : open) Close(units_.at(number), state);
  // Units of which nothing is left.
  for (const auto& [number, unit] : units_) {
    Open nothing(unit.scheme);
    if (!closed_.contains(number) && !later_.contains(number)) Close(unit, nothing);
  }
  return CheckStrangers(stop);
}

void EventVerifier::AddStranger(const ProofStore::StoredEvent& event, const char* why) {
  const auto known = strangers_.find(event.unit);
  // Beyond so many nobody reads on.
  if (known == strangers_.end() && strangers_.size() >= kMostStrangers) return;
  Strangers& strangers = known == strangers_.end() ? strangers_[event.unit] : known->second;
  strangers.why = why;
  if (strangers.ids.size() < kMostFlawIds) strangers.ids.push_back(IdText(event.id));
}

// Those whose unit is there by now came while we looked.
Status EventVerifier::ForgetKnown() {
  std::vector<uint64_t> numbers;
  for (const auto& [number, strangers] : strangers_) {
    if (number != 0) numbers.push_back(number);
  }
  if (numbers.empty()) return absl::OkStatus();
  YAGURA_ASSIGN_OR_RETURN(const auto known, parts_.store.KnownUnits(tenant_, day_, numbers));
  for (const uint64_t number : known) strangers_.erase(number);
  return absl::OkStatus();
}

Status EventVerifier::CheckStrangers(const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any wake;
  const auto until = std::chrono::steady_clock::now() + parts_.patience;
  for (;;) {
    YAGURA_RETURN_IF_ERROR(ForgetKnown());
    const bool waits = strangers_.size() > strangers_.count(0);
    if (!waits || std::chrono::steady_clock::now() >= until) break;
    std::unique_lock lock(mutex);
    wake.wait_for(lock, stop, kLookAgain, [] { return false; });
    if (stop.stop_requested()) return absl::CancelledError("the call is over");
  }
  for (auto& [number, strangers] : strangers_) {
    Flaw* flaw = Tell(Flaw::EVENT_INSERTED, number, strangers.why);
    for (std::string& id : strangers.ids) flaw->add_event_ids(std::move(id));
  }
  return absl::OkStatus();
}

Status EventVerifier::Explain(const EventUnit& unit, const std::stop_token& stop) {
  UnitEvents events;
  YAGURA_RETURN_IF_ERROR(parts_.store.Visit(tenant_, day_, unit.number, units_, stop,
                                            [&](const ProofStore::StoredEvent& event) {
                                              events.ids.push_back(IdText(event.id));
                                              events.digests.push_back(event.digest);
                                              return absl::OkStatus();
                                            }));
  YAGURA_ASSIGN_OR_RETURN(events.stored, parts_.store.Checks(unit));
  for (const v1::EventFlaw& flaw : FlawsOf(unit, events)) {
    *Tell(flaw.kind(), unit.number, flaw.detail())->mutable_event_ids() = flaw.event_ids();
  }
  return absl::OkStatus();
}

}  // namespace yagura::archive
