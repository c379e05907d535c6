#include "services/archive/domain/unit_flaws.h"

#include <algorithm>
#include <utility>

#include "fmt/format.h"

#include "common/text/text.h"
#include "services/archive/domain/check_alignment.h"

namespace yagura::archive {
namespace {

using Flaw = v1::EventFlaw;

constexpr size_t kMostPlaces = 20;  // where events are missing

void AddTo(Flaw* flaw, const std::vector<std::string>& ids) {
  flaw->mutable_event_ids()->Assign(ids.begin(), ids.end());
}

class Explainer {
 public:
  Explainer(const EventUnit& unit, const UnitEvents& events) : unit_(unit), events_(events) {}

  std::vector<Flaw> Take();

 private:
  // Events that stand around a place, at most two, and in words where it is.
  struct Neighbours {
    std::vector<std::string> ids;
    std::string where;
  };

  void TellAltered();
  void TellInserted();
  void TellMissing();
  void TellVague(const CheckDifference& place);
  bool HidesOne() const;
  Neighbours NeighboursOf(const CheckDifference& place) const;
  // Of the events from `begin` up to before `end`, as far as there is room.
  void AddIds(size_t begin, size_t end, std::vector<std::string>* ids) const;
  Flaw* Tell(Flaw::Kind kind, const std::string& detail);

  const EventUnit& unit_;
  const UnitEvents& events_;
  std::vector<CheckDifference> differences_;
  std::vector<Flaw> flaws_;
};

Flaw* Explainer::Tell(Flaw::Kind kind, const std::string& detail) {
  Flaw& flaw = flaws_.emplace_back();
  flaw.set_kind(kind);
  flaw.set_detail(detail);
  return &flaw;
}

std::vector<Flaw> Explainer::Take() {
  UnitDigest digest(unit_.scheme);
  std::vector<uint16_t> checks;
  for (const Sha256Digest& event : events_.digests) {
    digest.Add(event);
    checks.push_back(CheckOf(event));
  }
  if (digest.Finish() == unit_.digest) {
    Tell(Flaw::UNIT_ALTERED,
         fmt::format("its {} events are as they were, what it says of them is not",
                     events_.ids.size()));
    return std::move(flaws_);
  }
  differences_ = AlignChecks(checks, events_.stored);
  TellAltered();
  TellInserted();
  TellMissing();
  for (const CheckDifference& place : differences_) {
    if (place.vague) TellVague(place);
  }
  return std::move(flaws_);
}

void Explainer::TellAltered() {
  size_t altered = 0;
  size_t unclear = 0;
  std::vector<std::string> ids;
  for (const CheckDifference& place : differences_) {
    if (place.vague) continue;
    const size_t count = std::min(place.there_count, place.stored_count);
    if (count == 0) continue;
    altered += count;
    if (place.there_count > count) unclear += place.there_count;
    AddIds(place.there, place.there_end(), &ids);
  }
  if (altered == 0) {
    if (!HidesOne()) return;
    Tell(Flaw::EVENT_ALTERED, "an event is not as it was, but its short check does not say which");
    return;
  }
  std::string detail =
      fmt::format("{} of {} events are not as they were", altered, events_.stored.size());
  if (unclear > 0) {
    detail +=
        fmt::format("; {} stand where fewer were stored: some of these were inserted", unclear);
  }
  Flaw* flaw = Tell(Flaw::EVENT_ALTERED, detail);
  AddTo(flaw, ids);
}

// Whether an event was altered so that its check is the same, as far as the unit's digest tells.
bool Explainer::HidesOne() const {
  UnitDigest rest(unit_.scheme);
  size_t next = 0;
  for (const CheckDifference& place : differences_) {
    if (place.stored_count > 0 || place.alike_before + place.alike_behind > 0) return false;
    for (; next < place.there; ++next) rest.Add(events_.digests[next]);
    next = place.there_end();
  }
  for (; next < events_.digests.size(); ++next) rest.Add(events_.digests[next]);
  return rest.Finish() != unit_.digest;
}

void Explainer::TellInserted() {
  size_t inserted = 0;
  size_t unclear = 0;
  size_t alike = 0;
  std::vector<std::string> ids;
  for (const CheckDifference& place : differences_) {
    if (place.vague || place.there_count <= place.stored_count) continue;
    inserted += place.there_count - place.stored_count;
    if (place.stored_count > 0) unclear += place.there_count;
    alike += place.alike_before + place.alike_behind;
    AddIds(place.there - place.alike_before, place.there_end() + place.alike_behind, &ids);
  }
  if (inserted == 0) return;
  std::string detail = fmt::format("{} of the {} events there are not among the {} stored",
                                   inserted, events_.ids.size(), events_.stored.size());
  if (unclear > 0) {
    detail +=
        fmt::format("; {} stand where fewer were stored: some of these were altered", unclear);
  }
  if (alike > 0) {
    detail += fmt::format(
        "; the short checks do not tell {} of those named, which are as they were, from others",
        alike);
  }
  Flaw* flaw = Tell(Flaw::EVENT_INSERTED, detail);
  AddTo(flaw, ids);
}

void Explainer::TellMissing() {
  size_t places = 0;
  size_t beyond = 0;
  size_t beyond_events = 0;
  for (const CheckDifference& place : differences_) {
    if (place.vague || place.stored_count <= place.there_count) continue;
    const size_t missing = place.stored_count - place.there_count;
    if (++places > kMostPlaces) {
      ++beyond;
      beyond_events += missing;
      continue;
    }
    const Neighbours around = NeighboursOf(place);
    Flaw* flaw = Tell(Flaw::EVENT_MISSING, fmt::format("{} of {} events are not there, {}", missing,
                                                       events_.stored.size(), around.where));
    AddTo(flaw, around.ids);
  }
  if (beyond == 0) return;
  Tell(Flaw::EVENT_MISSING, fmt::format("{} more of {} events are not there, in {} more places",
                                        beyond_events, events_.stored.size(), beyond));
}

void Explainer::TellVague(const CheckDifference& place) {
  const Neighbours around = NeighboursOf(place);
  const bool missing = place.there_count < place.stored_count;
  // The ids of others would be of events that are as they were.
  std::string where = around.where;
  if (!missing && !around.ids.empty()) where += ": " + Join(around.ids, " and ");
  Flaw* flaw = Tell(missing ? Flaw::EVENT_MISSING : Flaw::EVENT_INSERTED,
                    fmt::format("{} events are there where {} were stored, and too many are not "
                                "as they were to say which; {}",
                                place.there_count, place.stored_count, where));
  if (missing) AddTo(flaw, around.ids);
}

Explainer::Neighbours Explainer::NeighboursOf(const CheckDifference& place) const {
  const size_t before = place.there - place.alike_before;
  const size_t behind = place.there_end() + place.alike_behind;
  Neighbours around;
  if (before > 0) around.ids.push_back(events_.ids[before - 1]);
  if (behind < events_.ids.size()) around.ids.push_back(events_.ids[behind]);
  if (around.ids.size() == 2) {
    around.where = "between the two named";
  } else if (before > 0) {
    around.where = "behind the one named, at the end";
  } else if (!around.ids.empty()) {
    around.where = "before the one named, at the beginning";
  } else {
    around.where = "anywhere in it";
  }
  return around;
}

void Explainer::AddIds(size_t begin, size_t end, std::vector<std::string>* ids) const {
  for (size_t i = begin; i < end && ids->size() < kMostFlawIds; ++i) ids->push_back(events_.ids[i]);
}

}  // namespace

std::vector<v1::EventFlaw> FlawsOf(const EventUnit& unit, const UnitEvents& events) {
  return Explainer(unit, events).Take();
}

}  // namespace yagura::archive
