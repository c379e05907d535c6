#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "google/protobuf/timestamp.pb.h"

#include "services/detection/domain/pending.h"
#include "services/detection/domain/window_group.h"
#include "services/detection/domain/windows.h"

// What windows tell. Plain functions over the messages.
namespace yagura::detection {

google::protobuf::Timestamp WindowTime(int64_t nanos);

// "text id/version", by which the correlations of a text are kept; empty where they are not.
std::string BundleKey(const std::string& text_id, const std::string& version);

// Tells what was measured, and of which values.
void AddMeasure(const internal::v1::RuleSummary& rule, const WindowVerdict& verdict,
                const internal::v1::Group& group, v1::Finding& finding);

// Windows of a rule went before their end; one an hour of receive time.
v1::Finding GivenUpFinding(const std::string& tenant, const std::string& rule,
                           const std::string& title, int64_t received);

// Whether it is about the windows themselves: a rule has too many groups, or takes too much.
bool IsAboutWindows(const v1::Finding& finding);

// What nobody was told of yet about a finding whose window has closed, and that it was told.
// Finding: a Group, or one of its earlier findings.
template <typename Finding>
void TellLastWord(const std::string& tenant, Finding& finding,
                  std::vector<Windows::Outcome>& outcomes) {
  if (!HasUntold(finding)) return;
  Windows::Outcome outcome;
  outcome.finding.set_name("tenants/" + tenant + "/findings/" + finding.finding_id());
  outcome.finding.set_event_count(finding.count());
  *outcome.finding.mutable_first_event_time() = WindowTime(finding.first());
  *outcome.finding.mutable_last_event_time() = WindowTime(finding.last());
  outcome.tells = true;
  outcome.closing = true;
  outcomes.push_back(std::move(outcome));
  NoteTold(finding);
}
// The same of all findings of a group.
void TellLastWords(internal::v1::Group& group, std::vector<Windows::Outcome>& outcomes);

// What the first event was.
void CopyFirst(const internal::v1::Hit& from, internal::v1::Hit& to);

PendingEvent EventOf(const internal::v1::Hit& hit, int at);

}  // namespace yagura::detection
