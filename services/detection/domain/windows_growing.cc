#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "services/detection/domain/findings.h"
#include "services/detection/domain/hits.h"
#include "services/detection/domain/tags.h"
#include "services/detection/domain/window_group.h"
#include "services/detection/domain/window_outcome.h"
#include "services/detection/domain/windows.h"

// Findings that begin as soon as their condition holds, and grow.
namespace yagura::detection {
namespace {

using internal::v1::EvidenceRef;
using internal::v1::Group;
using internal::v1::Hit;

// The evidence of a hit in order of time.
class PiecesByTime {
 public:
  explicit PiecesByTime(const Hit& hit) : single_(hit.times_size() == 1) {
    for (const auto& piece : hit.pieces()) pieces_.push_back(&piece);
    std::ranges::stable_sort(pieces_, {}, &EvidenceRef::time);
  }
  // Of the event at that time, the next of those; what a correlation passed on may have several
  // for its one time.
  std::span<const EvidenceRef* const> Next(int64_t time) {
    if (single_) return pieces_;
    while (next_ < pieces_.size() && pieces_[next_]->time() < time) ++next_;
    if (next_ == pieces_.size() || pieces_[next_]->time() != time) return {};
    return std::span(pieces_).subspan(next_++, 1);
  }

 private:
  const bool single_;
  std::vector<const EvidenceRef*> pieces_;
  size_t next_ = 0;
};

}  // namespace

// The events of one hit on their way into one group.
class Windows::Counting {
 public:
  Counting(Windows& windows, const std::string& key, Group& group, const Place& place,
           const RuleSummary& rule, const Hit& hit, std::vector<Outcome>& outcomes)
      : windows_(windows),
        key_(key),
        group_(group),
        place_(place),
        rule_(rule),
        hit_(hit),
        outcomes_(outcomes),
        span_(rule.timespan_nanos()),
        reach_(Plus(span_, windows.Grace(rule))),
        passes_(!rule.outer().empty()),
        is_single_(rule.type() == internal::v1::CORRELATION_TYPE_UNSPECIFIED &&
                   rule.threshold() <= 1) {}

  void Run() {
    PiecesByTime pieces(hit_);
    for (int i = 0; i < hit_.times_size(); ++i) Add(i, pieces.Next(hit_.times(i)));
    Tell();
  }

 private:
  using EventPieces = std::span<const EvidenceRef* const>;

  void Add(int i, EventPieces pieces) {
    const int64_t time = hit_.times(i);
    if (const auto finding = FindingFor(time)) {
      Join(*finding, time, pieces);
    } else if (IsTooLate(time)) {
      ++windows_.late_;
    } else {
      Pend(i, pieces);
    }
    DropOld();
  }

  // What it could have been counted with is not kept any more.
  bool IsTooLate(int64_t time) const {
    if (is_single_) return false;
    return time < Minus(LatestTime(group_), reach_) ||
           (group_.has_over_until() && time <= group_.over_until());
  }

  void Pend(int i, EventPieces pieces) {
    const int64_t time = hit_.times(i);
    if (!group_.finding_id().empty()) Leave(time);
    const int at = AddPending(group_, rule_, EventOf(hit_, i));
    if (at < 0) {
      ++windows_.late_;
      return;
    }
    for (const EvidenceRef* piece : pieces) AddPiece(group_, *piece, windows_.blocks_);
    AddOuter(group_, hit_.outer(), time, span_);
    if (const auto window = FindWindow(group_, rule_, at)) Begin(*window);
  }

  // One event is a finding by itself: however late it comes, it belongs to that of its group.
  std::optional<int> FindingFor(int64_t time) const {
    const bool is_late = is_single_ && !group_.finding_id().empty() && time < group_.first();
    return is_late ? kLatest : FindingOf(group_, time, span_);
  }

  void Join(int finding, int64_t time, EventPieces pieces) {
    Turn(finding);
    if (passes_) windows_.Pass(place_, rule_, hit_.outer(), time, hit_, Listed(pieces));
    for (const EvidenceRef* piece : pieces) *fresh_.Add() = *piece;
    const std::vector<int64_t> joined = JoinFinding(group_, finding, time, span_);
    if (joined.empty()) return;
    const Pieces more = TakeAbsorbed(joined.front(), joined.back());
    fresh_.MergeFrom(more);
    PassOn(joined, joined.front(), more);
  }

  // The evidence of pending events between two times; that of what a correlation passed on is older
  // than it.
  Pieces TakeAbsorbed(int64_t first, int64_t last) {
    return TakePieces(group_, Minus(first, rule_.reach_nanos()), last, windows_.blocks_);
  }

  // The event at that time belongs to no finding. Those that are there may grow again where events
  // come late, but the latest is as good as over where this one is later.
  void Leave(int64_t time) {
    if (time <= group_.last() && !is_single_) return;
    Tell();
    TellLastWord(place_.tenant, group_, outcomes_);
    if (is_single_) CloseFinding(group_);
  }

  void Begin(const PendingWindow& window) {
    Tell();
    verdict_ = Judge(group_, rule_, window);
    const int64_t enough = group_.pending(window.last);
    const int64_t first_time = group_.pending(window.first);
    const auto first = std::ranges::lower_bound(group_.pending(), first_time);
    auto begun =
        BeginFinding(group_, key_, static_cast<int>(first - group_.pending().begin()), span_);
    Turn(begun.place);
    began_ = true;
    fresh_ = TakeAbsorbed(first_time, begun.times.back());
    std::erase_if(begun.times, [enough](int64_t time) { return time < enough; });
    PassOn(begun.times, first_time, fresh_);
  }

  // What comes now joins that finding.
  void Turn(int finding) {
    if (has_grown_ && finding_ != finding) Tell();
    finding_ = finding;
    has_grown_ = true;
  }

  // Events that were pending belong to a finding, whose others of them happened from `first` on.
  void PassOn(const std::vector<int64_t>& times, int64_t first, const Pieces& pieces) {
    if (passes_) {
      const auto outers = OutersWithin(group_, first, times.back());
      for (const int64_t time : times) {
        for (const auto& levels : outers) {
          windows_.Pass(place_, rule_, levels, time, hit_, pieces);
        }
      }
      DropOuters(group_, first, times.back());
    }
    if (group_.pending().empty()) group_.clear_outers();
  }

  // What no event can belong to that still comes.
  void DropOld() {
    if (group_.pending().empty() && group_.earlier().empty()) return;
    const int64_t oldest = Minus(LatestTime(group_), reach_);
    DropBefore(group_, rule_, oldest, windows_.blocks_);
    int gone = std::max(group_.earlier_size() - kMaxEarlier, 0);
    while (gone < group_.earlier_size() && group_.earlier(gone).last() < oldest) ++gone;
    if (gone == 0) return;
    DropEarlier(gone);
    // Another finding there would be told under the id of one that has gone.
    DropBefore(group_, rule_, Plus(group_.over_until(), 1), windows_.blocks_);
  }

  // The first ones.
  void DropEarlier(int gone) {
    if (finding_ < gone) {
      if (finding_ != kLatest) Tell();
    } else {
      finding_ -= gone;
    }
    for (int i = 0; i < gone; ++i) {
      auto& finding = *group_.mutable_earlier(i);
      TellLastWord(place_.tenant, finding, outcomes_);
      const int64_t last = finding.last();
      group_.set_over_until(group_.has_over_until() ? std::max(group_.over_until(), last) : last);
    }
    group_.mutable_earlier()->DeleteSubrange(0, gone);
  }

  void Tell() {
    if (!has_grown_) return;
    if (finding_ == kLatest) {
      TellOf(group_);
    } else {
      TellOf(*group_.mutable_earlier(finding_));
    }
    fresh_.Clear();
    has_grown_ = began_ = false;
  }

  template <typename Finding>
  void TellOf(Finding& grown) {
    if (rule_.silent()) return NoteTold(grown);
    v1::Finding finding = windows_.Describe(place_.tenant, grown.finding_id(), rule_, hit_);
    if (began_) AddMeasure(rule_, verdict_, group_, finding);
    finding.set_event_count(grown.count());
    *finding.mutable_first_event_time() = WindowTime(grown.first());
    *finding.mutable_last_event_time() = WindowTime(grown.last());
    windows_.ShowEvidence(fresh_, finding);
    AddTagFacts(finding);
    const bool tells = began_ || IsToTell(grown);
    if (tells) NoteTold(grown);
    outcomes_.push_back({std::move(finding), began_, tells});
  }

  static Pieces Listed(EventPieces pieces) {
    Pieces listed;
    for (const EvidenceRef* piece : pieces) *listed.Add() = *piece;
    return listed;
  }

  Windows& windows_;
  const std::string& key_;
  Group& group_;
  const Place& place_;
  const RuleSummary& rule_;
  const Hit& hit_;
  std::vector<Outcome>& outcomes_;
  const int64_t span_;
  const int64_t reach_;  // how far before the latest event one may be that still matters
  const bool passes_;
  const bool is_single_;
  // The finding that grew since it was told of, and of what.
  int finding_ = kLatest;
  bool has_grown_ = false;
  bool began_ = false;
  Pieces fresh_;
  WindowVerdict verdict_;
};

// Counts the events of a hit.
void Windows::Count(const std::string& key, Group& group, const Place& place,
                    const RuleSummary& rule, const Hit& hit, std::vector<Outcome>& outcomes) {
  Counting(*this, key, group, place, rule, hit, outcomes).Run();
}

}  // namespace yagura::detection
