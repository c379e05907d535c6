#include "services/detection/domain/source_watch.h"

#include <algorithm>
#include <bit>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/text/text.h"
#include "services/detection/domain/findings.h"
#include "services/detection/domain/rule_resource.h"

namespace yagura::detection {
namespace {

using ingestion::v1::CoverageReport;
using internal::v1::Episode;
using internal::v1::OpenHour;
using internal::v1::SourceState;
using Outcome = Windows::Outcome;

// Rule ids of findings about log sources.
constexpr std::string_view kSilentRule = "00000000-0000-4000-8000-000000000003";
constexpr std::string_view kVolumeRule = "00000000-0000-4000-8000-000000000004";
constexpr std::string_view kDeafRule = "00000000-0000-4000-8000-000000000005";

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kMinute = 60 * kSecond;
constexpr int64_t kHour = 60 * kMinute;
constexpr int64_t kDay = 24 * kHour;
constexpr int kGapDays = 7;
constexpr int64_t kPauses = 4;
// An hour is judged so long after its end, when all have told of it.
constexpr int64_t kJudgeAfter = 2 * kMinute;
// So many minutes of an hour must have been listened to.
constexpr int kWholeHour = 58;
constexpr int kMaxOpenHours = 4;
constexpr int kMaxInstances = 64;
// So long a process that does not come back is remembered, and by so much its reports let time go
// on at most.
constexpr int64_t kRememberGone = 7 * kDay;
constexpr int64_t kLongestTick = kMinute;

int64_t Nanos(const google::protobuf::Timestamp& time) {
  return FromProto(time).time_since_epoch().count();
}
TimePoint Time(int64_t nanos) { return TimePoint(std::chrono::nanoseconds(nanos)); }

// "2h05m", "45m", "30s".
std::string Span(int64_t nanos) {
  const int64_t seconds = nanos / kSecond;
  if (seconds >= 3600) return fmt::format("{}h{:02}m", seconds / 3600, seconds / 60 % 60);
  if (seconds >= 60) return fmt::format("{}m", seconds / 60);
  return fmt::format("{}s", seconds);
}

std::string_view TenantOf(std::string_view source) {
  const auto parts = Split(source, '/');
  return parts.size() == 4 && parts[0] == "tenants" && parts[2] == "sources" ? parts[1]
                                                                             : std::string_view{};
}
std::string_view IdOf(std::string_view source) { return source.substr(source.rfind('/') + 1); }

void AddField(v1::Finding* finding, const char* name, std::string value) {
  auto* field = finding->add_matched_fields();
  field->set_name(name);
  field->set_value(std::move(value));
}

v1::Finding NewFinding(std::string_view tenant, std::string_view rule, std::string_view id,
                       std::string_view matter, std::string_view title) {
  v1::Finding finding;
  finding.set_name(fmt::format("tenants/{}/findings/{}", tenant, id));
  finding.set_title(std::string(title));
  finding.set_severity(event::v1::MEDIUM);
  finding.set_rule_id(std::string(rule));
  finding.set_dedup_key(ShortDigest({rule, tenant, matter}));
  return finding;
}

v1::Finding SourceFinding(std::string_view rule, const std::string& name, const SourceState& source,
                          const Episode& episode, std::string_view title, int64_t last) {
  v1::Finding finding = NewFinding(TenantOf(name), rule, episode.finding(), name, title);
  finding.set_site(source.site());
  finding.set_device(source.device());
  finding.set_event_count(episode.count());
  *finding.mutable_first_event_time() = ToProto(Time(episode.since()));
  *finding.mutable_last_event_time() = ToProto(Time(std::max(last, episode.since())));
  AddField(&finding, "source", std::string(IdOf(name)));
  return finding;
}

// Nobody knows what came at that process from `from` to `to`.
v1::Finding DeafFinding(const std::string& ingester, int64_t from, int64_t to) {
  const std::string id = ShortDigest({"deaf", ingester, fmt::format("{}", from)});
  v1::Finding finding =
      NewFinding(kProviderTenant, kDeafRule, id, ingester, "Ingestion did not run for a while");
  finding.set_severity(event::v1::HIGH);
  *finding.mutable_first_event_time() = ToProto(Time(from));
  *finding.mutable_last_event_time() = ToProto(Time(std::max(from, to)));
  AddField(&finding, "ingester", ToValidUtf8(ingester));
  return finding;
}

OpenHour* HourOf(SourceState& source, int64_t hour) {
  for (auto& open : *source.mutable_open_hours()) {
    if (open.hour() == hour) return &open;
  }
  if (hour <= source.judged_hour() || source.open_hours_size() >= kMaxOpenHours) return nullptr;
  auto* open = source.add_open_hours();
  open->set_hour(hour);
  return open;
}

uint64_t LinesOf(const OpenHour& hour) {
  uint64_t lines = 0;
  for (const auto& [instance, count] : hour.lines()) lines += count;
  return lines;
}

}  // namespace

bool IsSourceFinding(const v1::Finding& finding) {
  return finding.rule_id() == kSilentRule || finding.rule_id() == kVolumeRule ||
         finding.rule_id() == kDeafRule;
}

void SourceWatch::LoadIngester(const std::string& name, internal::v1::Ingester ingester) {
  ingesters_.insert_or_assign(name, std::move(ingester));
}
void SourceWatch::LoadSource(const std::string& name, internal::v1::SourceState source) {
  sources_.insert_or_assign(name, std::move(source));
}
void SourceWatch::LoadHistory(const std::string& name, internal::v1::HourHistory history) {
  histories_.insert_or_assign(name, std::move(history));
}

namespace {
template <typename Map>
auto* FindIn(const Map& map, const std::string& name) {
  const auto found = map.find(name);
  return found == map.end() ? nullptr : &found->second;
}
}  // namespace

const internal::v1::Ingester* SourceWatch::FindIngester(const std::string& name) const {
  return FindIn(ingesters_, name);
}
const internal::v1::SourceState* SourceWatch::FindSource(const std::string& name) const {
  return FindIn(sources_, name);
}
const internal::v1::HourHistory* SourceWatch::FindHistory(const std::string& name) const {
  return FindIn(histories_, name);
}

void SourceWatch::Clean() {
  dirty_ingesters_.clear();
  dirty_sources_.clear();
  dirty_histories_.clear();
}

std::vector<Outcome> SourceWatch::Apply(const CoverageReport& report) {
  Outcomes outcomes;
  const Listening listening = Listen(report, outcomes);
  if (report.lists_sources()) List(report, listening, outcomes);
  for (const auto& hour : report.hours()) Count(hour, report.instance(), listening, outcomes);
  if (!IsWhole(report)) return outcomes;
  TakeOver(listening, outcomes);
  for (auto& [name, source] : sources_) {
    if (source.ingester() != listening.ingester) continue;
    CheckSilence(name, source, listening, outcomes);
    CloseHours(name, source, listening, outcomes);
  }
  return outcomes;
}

SourceWatch::Listening SourceWatch::Listen(const CoverageReport& report, Outcomes& outcomes) {
  const int64_t start = Nanos(report.start_time());
  const int64_t end = Nanos(report.end_time());
  const auto [found, is_new] = ingesters_.try_emplace(report.ingester());
  internal::v1::Ingester& ingester = found->second;
  if (is_new) ingester.set_listened_to(start);
  const int64_t before = ingester.listened_to();
  if (end <= before) return {report.ingester(), before, ingester.listened()};
  Tick(end, ingester);
  if (start - before >= limits_.ingestion_gap.count()) {
    // What no ingestion process heard is no device's silence; whoever operates us should know.
    v1::Finding finding = DeafFinding(report.ingester(), before, start);
    finding.set_event_count(ingester.gone() ? 2 : 1);
    finding.set_description(ToValidUtf8(fmt::format(
        "The ingestion process \"{}\" did not listen for {}, from {} to {}. What was sent to it by "
        "UDP then is lost, and nobody can say what; senders that wait or resend may have made up "
        "for it. No silence of a device is told for this time.",
        report.ingester(), Span(start - before), FormatTime(Time(before)),
        FormatTime(Time(start)))));
    outcomes.push_back({std::move(finding), !ingester.gone(), true, false});
  }
  ingester.set_gone(false);
  ingester.set_listened(ingester.listened() + end - std::max(start, before));
  ingester.set_listened_to(end);
  dirty_ingesters_.insert(report.ingester());
  return {report.ingester(), end, ingester.listened()};
}

// Lets the time of reports go on and notes it for the process that told.
void SourceWatch::Tick(int64_t end, internal::v1::Ingester& ingester) {
  int64_t clock = 0;
  int64_t to = 0;
  for (const auto& [name, one] : ingesters_) {
    clock = std::max(clock, one.clock());
    to = std::max(to, one.clock_to());
  }
  clock += std::clamp<int64_t>(end - to, 0, kLongestTick);
  ingester.set_clock(clock);
  ingester.set_clock_to(std::max(to, end));
}

// Whether all parts of the report have come with this one.
bool SourceWatch::IsWhole(const CoverageReport& report) {
  internal::v1::Ingester& ingester = ingesters_[report.ingester()];
  const std::string id = fmt::format("{}/{}", report.instance(), report.report());
  const uint32_t parts = std::max<uint32_t>(report.parts(), 1);
  if (report.part() == 0) {
    ingester.set_report(id);
    ingester.set_parts(1);
  } else if (ingester.report() == id && ingester.parts() == report.part()) {
    ingester.set_parts(report.part() + 1);
  } else {
    return false;
  }
  dirty_ingesters_.insert(report.ingester());
  return ingester.parts() == parts;
}

int SourceWatch::TakeOverSources(const std::string& gone, const Listening& listening) {
  const int64_t listened = ingesters_.at(gone).listened();
  int taken = 0;
  for (auto& [name, source] : sources_) {
    if (source.ingester() != gone) continue;
    // It is known for as long as before.
    const int64_t known = listened - source.listened_at_first();
    source.set_ingester(listening.ingester);
    source.set_listened_at_line(listening.total);
    source.set_listened_at_first(listening.total - known);
    dirty_sources_.insert(name);
    ++taken;
  }
  return taken;
}

void SourceWatch::TakeOver(const Listening& listening, Outcomes& outcomes) {
  const int64_t clock = ingesters_[listening.ingester].clock();
  for (auto at = ingesters_.begin(); at != ingesters_.end();) {
    auto& [name, ingester] = *at;
    const int64_t missing = clock - ingester.clock();
    if (name == listening.ingester || missing < limits_.ingester_gone.count()) {
      ++at;
      continue;
    }
    const int taken = TakeOverSources(name, listening);
    if (taken > 0 && !ingester.gone()) {
      v1::Finding finding = DeafFinding(name, ingester.listened_to(), listening.now);
      finding.set_event_count(1);
      finding.set_description(ToValidUtf8(fmt::format(
          "The ingestion process \"{}\" has not told that it listens since {}. What its {} sources "
          "sent since then, and send to it still, is not known. They are watched by \"{}\" from "
          "now "
          "on: those of which nothing comes there either will be told as silent.",
          name, FormatTime(Time(ingester.listened_to())), taken, listening.ingester)));
      outcomes.push_back({std::move(finding), true, true, false});
      ingester.set_gone(true);
      dirty_ingesters_.insert(name);
    }
    // That one of those that nobody sends to any more is gone is no news.
    if (ingester.gone() && missing < kRememberGone) {
      ++at;
      continue;
    }
    dirty_ingesters_.insert(name);
    at = ingesters_.erase(at);
  }
}

SourceWatch::Source* SourceWatch::AddSource(const std::string& name, const Listening& listening) {
  const auto found = sources_.find(name);
  if (found != sources_.end()) return &found->second;
  if (sources_.size() >= kMaxSources || TenantOf(name).empty()) return nullptr;
  Source& source = sources_[name];
  source.set_ingester(listening.ingester);
  source.set_listened_at_line(listening.total);
  source.set_listened_at_first(listening.total);
  source.set_judged_hour(listening.now / kHour - 1);
  dirty_sources_.insert(name);
  return &source;
}

void SourceWatch::List(const CoverageReport& report, const Listening& listening,
                       Outcomes& outcomes) {
  std::set<std::string_view> listed;
  for (const auto& watched : report.sources()) {
    listed.insert(watched.name());
    Source* source = AddSource(watched.name(), listening);
    if (source == nullptr) continue;
    const int64_t limit =
        watched.has_silence_limit() ? FromProto(watched.silence_limit()).count() : 0;
    if (source->silence_limit() == limit && source->site() == watched.site() &&
        source->device() == watched.device()) {
      continue;
    }
    source->set_silence_limit(limit);
    source->set_site(watched.site());
    source->set_device(watched.device());
    dirty_sources_.insert(watched.name());
  }
  for (auto at = sources_.begin(); at != sources_.end();) {
    if (at->second.ingester() != report.ingester() || listed.contains(at->first)) {
      ++at;
      continue;
    }
    EndSilence(at->first, at->second, listening.now, "The source was removed or disabled",
               outcomes);
    dirty_sources_.insert(at->first);
    dirty_histories_.insert(at->first);
    histories_.erase(at->first);
    at = sources_.erase(at);
  }
}

void SourceWatch::Count(const ingestion::v1::SourceHour& hour, const std::string& instance,
                        const Listening& listening, Outcomes& outcomes) {
  Source* source = hour.lines() > 0
                       ? AddSource(hour.source(), listening)
                       : (sources_.contains(hour.source()) ? &sources_.at(hour.source()) : nullptr);
  if (source == nullptr) return;
  if (hour.lines() > 0) {
    const int64_t last = std::min(Nanos(hour.last_receive_time()), listening.now);
    if (last > source->last_line()) NoteLine(hour.source(), *source, last, listening, outcomes);
  }
  OpenHour* open = HourOf(*source, hour.hour());
  if (open == nullptr) return;
  auto& lines = *open->mutable_lines();
  if (!lines.contains(instance) && lines.size() >= kMaxInstances) return;
  lines[instance] = std::max(lines[instance], hour.lines());
  open->set_watched(open->watched() | hour.watched_minutes() | hour.minutes());
  dirty_sources_.insert(hour.source());
  JudgeHour(hour.source(), *source, hour.hour(), LinesOf(*open), false, outcomes);
}

void SourceWatch::NoteLine(const std::string& name, Source& source, int64_t time,
                           const Listening& listening, Outcomes& outcomes) {
  // Of this process's time of listening, as far back as the line.
  const int64_t at_line = std::max<int64_t>(0, listening.total - (listening.now - time));
  if (source.ingester() == listening.ingester && source.last_line() != 0) {
    const int64_t gap = std::max<int64_t>(0, at_line - source.listened_at_line());
    const int64_t day = time / kDay;
    auto& gaps = *source.mutable_gaps();
    if (gaps.empty() || gaps.rbegin()->day() != day) {
      gaps.Add()->set_day(day);
      if (gaps.size() > kGapDays) gaps.erase(gaps.begin());
    }
    auto& longest = *gaps.rbegin();
    // A silence that was told is what the device uses to do only if it goes on doing so.
    if (source.silence().finding().empty() || gaps.size() == 1) {
      longest.set_gap(std::max(longest.gap(), gap));
    } else {
      longest.set_gap(std::max(longest.gap(), gap / 2));
    }
  }
  EndSilence(name, source, time, "It sends again", outcomes);
  if (source.ingester() != listening.ingester) {
    source.set_listened_at_first(listening.total -
                                 std::min(listening.total, limits_.learning.count()));
  }
  source.set_ingester(listening.ingester);
  source.set_last_line(time);
  source.set_listened_at_line(at_line);
  dirty_sources_.insert(name);
}

int64_t SourceWatch::UsualPause(const Source& source) const {
  int64_t longest = 0;
  for (const auto& day : source.gaps()) longest = std::max(longest, day.gap());
  return longest;
}

int64_t SourceWatch::SilenceLimit(const Source& source, const Listening& listening) const {
  if (source.silence_limit() > 0) return source.silence_limit();
  const bool is_known = listening.total - source.listened_at_first() >= limits_.learning.count();
  const int64_t least =
      is_known ? limits_.silence_least.count() : std::max(limits_.silence_least.count(), kHour);
  return std::clamp(kPauses * UsualPause(source), least,
                    std::max(least, limits_.silence_most.count()));
}

std::string SourceWatch::UsualRate(const std::string& name) const {
  const auto* history = FindHistory(name);
  if (history == nullptr) return {};
  const auto usual = UsualOf(*history, history->last_hour() + 1);
  if (!usual) return {};
  return fmt::format(" It usually sends about {:.0f} lines an hour ({}).", usual->lines,
                     usual->basis);
}

void SourceWatch::CheckSilence(const std::string& name, Source& source, const Listening& listening,
                               Outcomes& outcomes) {
  if (!source.silence().finding().empty()) return;
  if (source.last_line() == 0 && source.silence_limit() == 0) return;
  const int64_t silent = listening.total - source.listened_at_line();
  const int64_t limit = SilenceLimit(source, listening);
  if (silent < limit) return;
  Episode& episode = *source.mutable_silence();
  const bool never = source.last_line() == 0;
  episode.set_since(never ? listening.now - silent : source.last_line());
  episode.set_count(1);
  episode.set_finding(ShortDigest({"silent", name, fmt::format("{}", episode.since())}));
  v1::Finding finding =
      SourceFinding(kSilentRule, name, source, episode, "A log source is silent", listening.now);
  const int64_t away = listening.now - episode.since() - silent;
  finding.set_description(fmt::format(
      "No line has come since {}{}: for {} in which ingestion listened. The limit is {} ({}).{}{}",
      FormatTime(Time(episode.since())), never ? ", when the source became known" : "",
      Span(silent), Span(limit),
      source.silence_limit() > 0 ? "set for the source"
                                 : fmt::format("learnt: the longest pause of its last days was {}",
                                               Span(UsualPause(source))),
      UsualRate(name),
      away >= kMinute ? fmt::format(" Besides, ingestion itself did not listen for {} of the time, "
                                    "which does not count.",
                                    Span(away))
                      : ""));
  AddField(&finding, "silent_since", FormatTime(Time(episode.since())));
  AddField(&finding, "limit", Span(limit));
  dirty_sources_.insert(name);
  outcomes.push_back({std::move(finding), true, true, false});
}

void SourceWatch::EndSilence(const std::string& name, Source& source, int64_t time,
                             std::string_view how, Outcomes& outcomes) {
  if (source.silence().finding().empty()) return;
  Episode episode = source.silence();
  episode.set_count(episode.count() + 1);
  v1::Finding finding =
      SourceFinding(kSilentRule, name, source, episode, "A log source is silent", time);
  finding.set_description(
      fmt::format("{}: nothing came from {} to {} ({}). What was sent meanwhile "
                  "is not in the archive, unless the device resends it.",
                  how, FormatTime(Time(episode.since())), FormatTime(Time(time)),
                  Span(time - episode.since())));
  source.clear_silence();
  dirty_sources_.insert(name);
  outcomes.push_back({std::move(finding), false, true, false});
}

void SourceWatch::CloseHours(const std::string& name, Source& source, const Listening& listening,
                             Outcomes& outcomes) {
  const int64_t over = (listening.now - kJudgeAfter) / kHour - 1;  // the last hour that is over
  if (source.judged_hour() >= over) return;
  auto& open = *source.mutable_open_hours();
  std::sort(open.begin(), open.end(),
            [](const OpenHour& a, const OpenHour& b) { return a.hour() < b.hour(); });
  while (!open.empty() && open.begin()->hour() <= over) {
    const OpenHour hour = *open.begin();
    open.erase(open.begin());
    const bool is_whole = std::popcount(hour.watched()) >= kWholeHour;
    const uint64_t lines = LinesOf(hour);
    if (is_whole) JudgeHour(name, source, hour.hour(), lines, true, outcomes);
    AddHour(hour.hour(), is_whole ? std::optional(lines) : std::nullopt, &histories_[name]);
    dirty_histories_.insert(name);
  }
  source.set_judged_hour(over);
  dirty_sources_.insert(name);
}

void SourceWatch::JudgeHour(const std::string& name, Source& source, int64_t hour, uint64_t lines,
                            bool is_over, Outcomes& outcomes) {
  const auto* history = FindHistory(name);
  if (history == nullptr) return;
  const auto usual = UsualOf(*history, hour);
  if (!usual) return;
  const Volume volume = Judge(lines, *usual, limits_.volume);
  // Before its end an hour can only have too many lines; nothing at all is silence.
  if (!is_over && volume != Volume::kMore) return;
  const bool is_changed = volume == Volume::kMore || (volume == Volume::kFewer && lines > 0);
  Episode& episode = *source.mutable_volume();
  const bool is_open = !episode.finding().empty();
  const bool has_stopped = volume == Volume::kFewer && lines == 0;
  if (has_stopped && is_open && !episode.more()) return;  // fewer still; silence is told apart
  if (!is_over && is_open && episode.more()) return;      // told; the end of the hour tells again
  const auto tell = [&](bool began, std::string_view what) {
    v1::Finding finding =
        SourceFinding(kVolumeRule, name, source, episode,
                      episode.more() ? "A log source sends far more than usual"
                                     : "A log source sends far fewer lines than usual",
                      (hour + 1) * kHour);
    finding.set_description(fmt::format(
        "{}: {} lines in the hour from {}{}; usual are about {:.0f}, give or take {:.0f} (median "
        "and its spread, of {}).",
        what, lines, FormatTime(Time(hour * kHour)), is_over ? "" : " so far", usual->lines,
        usual->spread, usual->basis));
    AddField(&finding, "lines", fmt::format("{}", lines));
    AddField(&finding, "usual_lines", fmt::format("{:.0f}", usual->lines));
    dirty_sources_.insert(name);
    outcomes.push_back({std::move(finding), began,
                        began || std::has_single_bit(episode.count()) || !is_changed, false});
  };
  if (is_open && (!is_changed || episode.more() != (volume == Volume::kMore))) {
    episode.set_count(episode.count() + 1);
    tell(false, is_changed    ? "It has turned"
                : has_stopped ? "It sends nothing any more"
                              : "It is as usual again");
    episode.Clear();
    dirty_sources_.insert(name);
    if (!is_changed) return;
  } else if (is_open) {
    episode.set_count(episode.count() + 1);
    tell(false, "It goes on");
    return;
  }
  if (!is_changed) return;
  episode.set_since(hour * kHour);
  episode.set_count(1);
  episode.set_more(volume == Volume::kMore);
  episode.set_finding(
      ShortDigest({"volume", name, episode.more() ? "more" : "fewer", fmt::format("{}", hour)}));
  tell(true, episode.more() ? "Far more than usual" : "Far fewer than usual");
}

}  // namespace yagura::detection
