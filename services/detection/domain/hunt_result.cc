#include "services/detection/domain/hunt_result.h"

#include <algorithm>
#include <utility>

#include "common/clock/proto_time.h"
#include "common/text/printable.h"
#include "common/text/text.h"
#include "services/detection/domain/event_facts.h"
#include "services/detection/domain/hits.h"

namespace yagura::detection {
namespace {

using v1::HuntResult;

constexpr int kMaxMatches = 2'500;  // while they are counted: more than indicators
constexpr int kShownMatches = 20;
constexpr size_t kMaxMatchValue = 256;
constexpr int kMaxHuntEvidence = 6;
constexpr size_t kMaxHuntRaw = 1024;
constexpr int kMaxRemarks = 12;
constexpr size_t kMaxRemark = 300;

bool IsBetter(const v1::Evidence& a, const v1::Evidence& b) {
  const auto key = [](const v1::Evidence& one) {
    return std::pair(FateOf(one.action()), FromProto(one.event_time()));
  };
  return key(a) < key(b);
}

}  // namespace

TimePoint HuntTimeOf(const event::v1::Event& event) {
  const TimePoint received = FromProto(event.receive_time());
  return event.has_event_time() ? std::min(FromProto(event.event_time()), received) : received;
}

void AddToTally(TimePoint first, TimePoint last, uint64_t count, v1::HuntTally& tally) {
  if (tally.count() == 0 || first < FromProto(tally.first_time())) {
    *tally.mutable_first_time() = ToProto(first);
  }
  if (tally.count() == 0 || last > FromProto(tally.last_time())) {
    *tally.mutable_last_time() = ToProto(last);
  }
  tally.set_count(tally.count() + count);
}

void AddAttempt(const event::v1::Event& event, HuntResult& result) {
  const TimePoint time = HuntTimeOf(event);
  AddToTally(time, time, 1, *result.mutable_attempted());
  switch (FateOf(event.action())) {
    case AttemptFate::kPassed:
      return AddToTally(time, time, 1, *result.mutable_passed());
    case AttemptFate::kBlocked:
      return AddToTally(time, time, 1, *result.mutable_blocked());
    case AttemptFate::kUndecided:
      return AddToTally(time, time, 1, *result.mutable_undecided());
  }
}

void AddRelated(const event::v1::Event& event, HuntResult& result) {
  const TimePoint time = HuntTimeOf(event);
  AddToTally(time, time, 1, *result.mutable_related());
}

void AddMatch(std::string_view value, v1::HuntMatchKind kind, const event::v1::Event& event,
              HuntResult& result) {
  const std::string shown = ToValidUtf8(value.substr(0, kMaxMatchValue));
  auto* matches = result.mutable_matches();
  auto found = std::ranges::find_if(
      *matches, [&](const auto& one) { return one.kind() == kind && one.value() == shown; });
  if (found == matches->end()) {
    if (matches->size() >= kMaxMatches) {
      return AddRemark("There are more different matches than can be listed.", result);
    }
    auto* added = matches->Add();
    added->set_value(shown);
    added->set_kind(kind);
    found = matches->end() - 1;
  }
  const TimePoint time = HuntTimeOf(event);
  AddToTally(time, time, 1, *found->mutable_events());
  const AttemptFate fate = FateOf(event.action());
  if (fate == AttemptFate::kPassed) found->set_passed_count(found->passed_count() + 1);
  if (fate == AttemptFate::kBlocked) found->set_blocked_count(found->blocked_count() + 1);
  // What comes often is soon found.
  const auto at = static_cast<int>(found - matches->begin());
  if (at > 0) matches->SwapElements(at, at / 2);
}

void AddEvidence(v1::Evidence evidence, HuntResult& result) {
  auto* kept = result.mutable_evidence();
  const auto place = std::ranges::upper_bound(*kept, evidence, IsBetter);
  const auto at = static_cast<int>(place - kept->begin());
  if (at >= kMaxHuntEvidence) return;
  *kept->Add() = std::move(evidence);
  for (int i = kept->size() - 1; i > at; --i) kept->SwapElements(i, i - 1);
  if (kept->size() > kMaxHuntEvidence) kept->RemoveLast();
}

v1::Evidence EvidenceOf(const event::v1::Event& event) {
  v1::Evidence evidence;
  evidence.set_event_id(event.id());
  *evidence.mutable_receive_time() = event.receive_time();
  *evidence.mutable_event_time() = ToProto(HuntTimeOf(event));
  evidence.set_raw(event.raw().substr(0, kMaxHuntRaw));
  evidence.set_signature(ToValidUtf8(event.signature().substr(0, kMaxEntityValue)));
  evidence.set_action(event.action());
  return evidence;
}

void AddRemark(std::string_view remark, HuntResult& result) {
  const std::string shown = Printable(remark, kMaxRemark);
  if (result.remarks_size() >= kMaxRemarks) return;
  if (std::ranges::find(result.remarks(), shown) == result.remarks().end()) {
    result.add_remarks(shown);
  }
}

HuntResult Published(HuntResult result) {
  auto* matches = result.mutable_matches();
  std::ranges::stable_sort(matches->pointer_begin(), matches->pointer_end(), std::ranges::greater(),
                           [](const auto* one) { return one->events().count(); });
  while (matches->size() > kShownMatches) matches->RemoveLast();
  return result;
}

}  // namespace yagura::detection
