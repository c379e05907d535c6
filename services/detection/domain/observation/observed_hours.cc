#include "services/detection/domain/observation/observed_hours.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <set>

#include "fmt/format.h"

#include "services/detection/domain/observation/measures.h"
#include "services/detection/domain/observation/special_days.h"

namespace yagura::detection {
namespace {

constexpr int64_t kHour = 3600;
constexpr int kBeside = 3;  // hours on either side that tell of the spread
// An hour is known where no more minutes than these were not listened to, ...
constexpr uint32_t kMostUnwatched = 5;
// ... no more than one line in so many was lost, ...
constexpr uint64_t kLostShare = 100;
// ... and no more than one in so many has a wrong time.
constexpr uint64_t kClockShare = 10;
// So many minutes more of silence than usual may be an outage.
constexpr int kMoreSilent = 10;
constexpr int kDefaultWeeks = 8;
constexpr int kDefaultDays = 14;

double Threshold(v1::ObservationPolicy::Sensitivity sensitivity) {
  switch (sensitivity) {
    case v1::ObservationPolicy::LOW:
      return 9;
    case v1::ObservationPolicy::HIGH:
      return 4.5;
    default:
      return 6;
  }
}

// The same hour of the weeks before, on days like this one. None of a day that was another.
std::vector<std::optional<int64_t>> HoursLike(int64_t hour, const LocalHours& zone,
                                              const v1::ObservationPolicy& policy) {
  const auto special = FindSpecialDay(policy, zone.Day(hour));
  const int first = special ? DaysToItsLike(*special) : 0;
  std::vector<std::optional<int64_t>> like;
  for (int week = 1; week <= policy.weeks(); ++week) {
    auto at = zone.DaysBefore(hour, first == 0 ? 7 * week : first + 7 * (week - 1));
    if (at) {
      const auto other = FindSpecialDay(policy, zone.Day(*at));
      const bool is_like = !other || (other->counts_as && DaysToItsLike(*other) == 0);
      if (!is_like) at.reset();
    }
    like.push_back(at);
  }
  return like;
}

// The same hour of the weeks before, moved by `beside` hours.
std::vector<WeekValue> WeeksOf(const ObservedHours& hours, const DeviceKey& device,
                               v1::Measure measure, const std::vector<std::optional<int64_t>>& like,
                               int beside) {
  std::vector<WeekValue> values;
  for (size_t i = 0; i < like.size(); ++i) {
    if (!like[i]) continue;
    if (const auto value = hours.ValueAt(device, measure, *like[i] + beside)) {
      values.push_back({static_cast<int>(i) + 1, *value});
    }
  }
  return values;
}

bool IsMoreSilentThanUsual(const ObservedHours& hours, const DeviceKey& device, int64_t hour,
                           const std::vector<std::optional<int64_t>>& like) {
  const auto now = hours.SilentMinutesAt(device, hour);
  if (!now) return true;
  std::vector<int> usual;
  for (const auto& week : like) {
    if (!week) continue;
    if (const auto minutes = hours.SilentMinutesAt(device, *week)) usual.push_back(*minutes);
  }
  if (usual.empty()) return true;
  const auto middle = usual.begin() + static_cast<ptrdiff_t>(usual.size() / 2);
  std::nth_element(usual.begin(), middle, usual.end());
  return *now >= *middle + kMoreSilent;
}

}  // namespace

void ObservedHours::Add(const archive::v1::HourlyMeasures& measures) {
  Device& device = devices_[{measures.site(), measures.device()}];
  device.measures.insert_or_assign(measures.start_time().seconds() / kHour, measures);
}

void ObservedHours::Add(const coverage::v1::Coverage& coverage) {
  Device& device = devices_[{coverage.site(), coverage.device()}];
  Logs& logs = device.logs[coverage.start_time().seconds() / kHour];
  logs.lines += coverage.line_count();
  logs.lost += coverage.lost_count() + coverage.kernel_drop_count();
  logs.clock_errors += coverage.clock_error_count();
  logs.unwatched = std::max(logs.unwatched, coverage.unwatched_minutes());
  logs.silent =
      logs.any ? std::min(logs.silent, coverage.silent_minutes()) : coverage.silent_minutes();
  logs.any = true;
}

std::vector<DeviceKey> ObservedHours::devices() const {
  std::vector<DeviceKey> keys;
  for (const auto& [key, device] : devices_) keys.push_back(key);
  return keys;
}

const ObservedHours::Device* ObservedHours::Find(const DeviceKey& device) const {
  const auto found = devices_.find(device);
  return found == devices_.end() ? nullptr : &found->second;
}

std::string ObservedHours::GapOf(const Device& device, int64_t hour) {
  const auto found = device.logs.find(hour);
  if (found == device.logs.end()) {
    // A device of whose sources nothing is told: what came is what there was.
    if (device.logs.empty() && device.measures.contains(hour)) return {};
    return "nobody is known to have listened";
  }
  const Logs& logs = found->second;
  if (logs.unwatched > kMostUnwatched) {
    return fmt::format("nobody listened for {} minutes", logs.unwatched);
  }
  if (logs.lines == 0 && !device.measures.contains(hour)) return "no line came";
  if (logs.lost > 0 && logs.lost * kLostShare >= logs.lines) {
    return fmt::format("about {} of {} lines were lost", logs.lost, logs.lines + logs.lost);
  }
  if (logs.clock_errors > 0 && logs.clock_errors * kClockShare >= logs.lines) {
    return fmt::format("{} of {} lines have a wrong time", logs.clock_errors, logs.lines);
  }
  return {};
}

std::string ObservedHours::GapAt(const DeviceKey& device, int64_t hour) const {
  const Device* found = Find(device);
  if (hour < known_since_) {
    // Of the hour in which counting began, or delivered late: measures go by the events' own time.
    const bool has_part = found != nullptr && found->measures.contains(hour);
    return has_part ? "counting began later: this is a part at most" : "nothing was counted then";
  }
  return found == nullptr ? "nobody is known to have listened" : GapOf(*found, hour);
}

std::vector<ObservedHours::Flaw> ObservedHours::FlawsAt(const DeviceKey& device,
                                                        int64_t hour) const {
  const Device* found = Find(device);
  if (found == nullptr || found->logs.empty()) return {};
  const auto logs = found->logs.find(hour);
  std::vector<Flaw> flaws;
  if (logs == found->logs.end()) {
    flaws.push_back({"nobody is known to have listened", false});
    return flaws;
  }
  const Logs& of = logs->second;
  if (of.unwatched > 0)
    flaws.push_back({fmt::format("nobody listened for {} minutes", of.unwatched), false});
  if (of.lines == 0) {
    flaws.push_back(
        {found->measures.contains(hour) ? "no line came in time" : "no line came", false});
  }
  if (of.lost > 0) flaws.push_back({fmt::format("about {} lines were lost", of.lost), false});
  if (of.clock_errors > 0) {
    flaws.push_back({fmt::format("{} lines have a wrong time", of.clock_errors), true});
  }
  return flaws;
}

std::optional<int> ObservedHours::SilentMinutesAt(const DeviceKey& device, int64_t hour) const {
  const Device* found = Find(device);
  if (found == nullptr) return std::nullopt;
  const auto logs = found->logs.find(hour);
  if (logs == found->logs.end()) return std::nullopt;
  return static_cast<int>(logs->second.silent);
}

double ObservedHours::CountedAt(const DeviceKey& device, v1::Measure measure, int64_t hour) const {
  const Device* found = Find(device);
  const MeasureFacts* facts = FactsOf(measure);
  if (found == nullptr || facts == nullptr) return 0;
  const auto measures = found->measures.find(hour);
  if (measures == found->measures.end()) return 0;
  return static_cast<double>((measures->second.*facts->value)());
}

std::optional<double> ObservedHours::ValueAt(const DeviceKey& device, v1::Measure measure,
                                             int64_t hour) const {
  if (!GapAt(device, hour).empty()) return std::nullopt;
  return CountedAt(device, measure, hour);
}

std::vector<HourRange> HoursFor(int64_t hour, const v1::ObservationPolicy& policy) {
  constexpr int64_t kDay = 24;
  constexpr int64_t kWeek = 168;
  // Clocks change by an hour or so within the weeks.
  constexpr int64_t kMargin = kBeside + 2;
  // What was amiss in the hours before may explain the hour.
  std::vector<HourRange> ranges = {{hour - kBeside, hour}};
  const auto add = [&](int64_t days, int64_t weeks) {
    const int64_t like = hour - days * kDay - weeks * kWeek;
    ranges.push_back({like - kMargin, like + kMargin});
  };
  // Where it is a special day somewhere: in the zones of sites it is the day before or after, too.
  const auto today = std::chrono::floor<std::chrono::days>(
      std::chrono::sys_time<std::chrono::hours>(std::chrono::hours(hour)));
  std::set<int> likes;
  for (const auto& text : policy.special_days()) {
    const auto special = ParseSpecialDay(text);
    if (!special || std::abs((special->date - today).count()) > 1) continue;
    if (const int days = DaysToItsLike(*special); days > 0) likes.insert(days);
  }
  for (const int days : likes) {
    for (int64_t week = 0; week < policy.weeks(); ++week) add(days, week);
  }
  for (int64_t week = 1; week <= policy.weeks(); ++week) add(0, week);
  return ranges;
}

JudgedHour JudgeHour(const ObservedHours& hours, const DeviceKey& device, v1::Measure measure,
                     int64_t hour, const LocalHours& zone, const v1::ObservationPolicy& policy) {
  JudgedHour judged;
  judged.hour = hour;
  judged.observed = hours.CountedAt(device, measure, hour);
  const MeasureFacts* facts = FactsOf(measure);
  if (facts == nullptr) return judged;
  const auto like = HoursLike(hour, zone, policy);
  std::vector<std::vector<WeekValue>> beside;
  for (int offset = -kBeside; offset <= kBeside; ++offset) {
    if (offset != 0) beside.push_back(WeeksOf(hours, device, measure, like, offset));
  }
  judged.baseline = MakeBaseline(facts->spread, WeeksOf(hours, device, measure, like, 0), beside,
                                 {.least_weeks = 3,
                                  .threshold = Threshold(policy.sensitivity()),
                                  .least_excess = facts->least_excess});
  if (judged.baseline) judged.surprise = Judge(judged.observed, *judged.baseline);
  judged.gap = hours.GapAt(device, hour);
  // Far more is far more, whatever is missing besides.
  if (!judged.gap.empty()) {
    if (judged.surprise.verdict == HourVerdict::kMore && hours.IsCounted(hour)) {
      judged.state = v1::ObservationPoint::FAR_MORE;
    }
    return judged;
  }
  if (!judged.baseline) {
    judged.state = v1::ObservationPoint::LEARNING;
    return judged;
  }
  judged.state = v1::ObservationPoint::USUAL;
  if (judged.surprise.verdict == HourVerdict::kMore) judged.state = v1::ObservationPoint::FAR_MORE;
  if (judged.surprise.verdict == HourVerdict::kFewer) {
    const auto special = FindSpecialDay(policy, zone.Day(hour));
    if (special && !special->counts_as) return judged;
    if (IsMoreSilentThanUsual(hours, device, hour, like)) {
      judged.state = v1::ObservationPoint::UNKNOWN;
      judged.gap = "for many minutes no line came";
      return judged;
    }
    judged.state = v1::ObservationPoint::FAR_FEWER;
  }
  return judged;
}

v1::ObservationPolicy EffectivePolicy(v1::ObservationPolicy policy) {
  if (policy.sensitivity() == v1::ObservationPolicy::SENSITIVITY_UNSPECIFIED) {
    policy.set_sensitivity(v1::ObservationPolicy::NORMAL);
  }
  if (policy.measures().empty()) {
    for (const MeasureFacts& facts : AllMeasures()) policy.add_measures(facts.measure);
  }
  if (policy.weeks() == 0) policy.set_weeks(kDefaultWeeks);
  if (policy.new_destination_days() == 0) policy.set_new_destination_days(kDefaultDays);
  return policy;
}

}  // namespace yagura::detection
