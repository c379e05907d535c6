#include "services/ingestion/domain/coverage_ledger.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "services/ingestion/domain/intake.h"
#include "services/ingestion/domain/shares.h"

namespace yagura::ingestion {
namespace {

using std::chrono::hours;
using std::chrono::minutes;

// How often all sources are listed although they are the same, for readers that begin anew.
constexpr minutes kListSources{5};
// A thread of ours that slept for longer may have been a machine that slept.
constexpr minutes kLongestGap{2};
constexpr int kQuietMinutes = 10;
constexpr std::string_view kLateMark = "+late";
// The row that tells of the process alone.
constexpr std::string_view kProcess;
// A told hour is kept for so many more: batches of it cannot come any more, but late ones.
constexpr int64_t kKeptHours = 2;

int64_t HourOf(TimePoint time) {
  return std::chrono::floor<hours>(time).time_since_epoch() / hours(1);
}

int MinuteOf(TimePoint time) {
  return static_cast<int>((time - std::chrono::floor<hours>(time)) / minutes(1));
}

uint64_t BitOf(TimePoint time) { return uint64_t{1} << MinuteOf(time); }

std::string_view NameOf(const ReadyBatch& batch) { return batch.partition; }

}  // namespace

CoverageLedger::CoverageLedger(std::string ingester, std::string instance)
    : ingester_(std::move(ingester)), instance_(std::move(instance)) {}

CoverageLedger::Row& CoverageLedger::RowOf(std::string_view source, int64_t hour) {
  Key key(hour, source);
  auto found = rows_.find(key);
  if (found == rows_.end()) {
    if (rows_.size() >= kMaxRows) {
      forgotten_ += !rows_.begin()->second.told;
      rows_.erase(rows_.begin());
    }
    found = rows_.try_emplace(std::move(key)).first;
    found->second.counts.set_source(std::string(source));
    found->second.counts.set_hour(hour);
  }
  found->second.told = false;
  return found->second;
}

CoverageLedger::Row& CoverageLedger::CountingRow(std::string_view source, int64_t hour) {
  Key key(hour, source);
  if (last_hour_ < 0 || hour >= last_hour_ - kKeptHours || rows_.contains(key)) {
    return RowOf(source, hour);
  }
  if (late_.size() >= kMaxRows && !late_.contains(key)) {
    ++forgotten_;
    late_.erase(late_.begin());
  }
  Row& row = late_[std::move(key)];
  row.counts.set_source(std::string(source));
  row.counts.set_hour(hour);
  return row;
}

void CoverageLedger::Received(const ReadyBatch& batch) {
  const std::lock_guard lock(mutex_);
  const LineStats& stats = batch.stats;
  Row& row = CountingRow(NameOf(batch), HourOf(stats.first));
  v1::SourceHour& counts = row.counts;
  counts.set_lines(counts.lines() + batch.events);
  counts.set_bytes(counts.bytes() + batch.bytes);
  counts.set_unparsed(counts.unparsed() + batch.unparsed);
  counts.set_partly_parsed(counts.partly_parsed() + stats.partly_parsed);
  counts.set_clock_errors(counts.clock_errors() + stats.clock_errors);
  counts.set_untimed(counts.untimed() + stats.untimed);
  counts.set_minutes(counts.minutes() | BitOf(stats.first));
  if (!counts.has_first_receive_time() || FromProto(counts.first_receive_time()) > stats.first) {
    *counts.mutable_first_receive_time() = ToProto(stats.first);
  }
  if (FromProto(counts.last_receive_time()) < stats.last) {
    *counts.mutable_last_receive_time() = ToProto(stats.last);
  }
  row.offsets.Add(stats.offsets);
  by_[batch.listener][std::string(NameOf(batch))] += batch.events;
}

void CoverageLedger::Lost(const ReadyBatch& batch) {
  const std::lock_guard lock(mutex_);
  v1::SourceHour& counts = CountingRow(NameOf(batch), HourOf(batch.stats.first)).counts;
  counts.set_lost(counts.lost() + batch.events);
}

void CoverageLedger::DroppedFar(const ReadyBatch& batch) {
  const std::lock_guard lock(mutex_);
  v1::SourceHour& counts = CountingRow(NameOf(batch), HourOf(batch.stats.first)).counts;
  counts.set_kernel_drops(counts.kernel_drops() + batch.events);
}

void CoverageLedger::Dropped(std::string_view listener, uint64_t datagrams) {
  const std::lock_guard lock(mutex_);
  drops_[std::string(listener)] += datagrams;
}

void CoverageLedger::SetSources(std::vector<v1::WatchedSource> sources) {
  const std::lock_guard lock(mutex_);
  sources_.clear();
  for (auto& source : sources) {
    const std::string name = source.name();
    sources_.insert_or_assign(name, std::move(source));
  }
  sources_told_ = false;
  quiet_noted_ = -1;
}

void CoverageLedger::Listened(TimePoint now) {
  const std::lock_guard lock(mutex_);
  if (listened_to_ == TimePoint{} || now < listened_to_ || now - listened_to_ > kLongestGap) {
    // A start, a clock that jumped, or a machine that slept.
    listened_to_ = now;
    if (listened_from_ == TimePoint{} || now < listened_from_) listened_from_ = now;
  }
  for (TimePoint at = listened_to_; at < now; at += minutes(1)) Watch(at);
  Watch(now);
  listened_to_ = now;
}

void CoverageLedger::Watch(TimePoint minute) {
  uint64_t& minutes_of = watched_[HourOf(minute)];
  if ((minutes_of & BitOf(minute)) != 0) return;
  minutes_of |= BitOf(minute);
  RowOf(kProcess, HourOf(minute));
}

void CoverageLedger::ShareDrops(int64_t hour) {
  for (auto& [listener, drops] : drops_) {
    const auto found = by_.find(listener);
    if (drops == 0 || found == by_.end() || found->second.empty()) continue;
    std::vector<uint64_t> lines;
    for (const auto& [source, own] : found->second) lines.push_back(own);
    const std::vector<uint64_t> shares = SharesOf(drops, lines);
    auto share = shares.begin();
    for (const auto& [source, own] : found->second) {
      const uint64_t drop = *share++;
      if (drop == 0) continue;
      v1::SourceHour& counts = RowOf(source, hour).counts;
      counts.set_kernel_drops(counts.kernel_drops() + drop);
    }
    drops = 0;
  }
  by_.clear();
}

// A source that sends nothing has rows, too, so that its silence can be told from nobody listening.
void CoverageLedger::NoteQuietSources(int64_t hour, int minute) {
  if (hour != last_hour_) {
    // Minutes after the last line have been watched since.
    for (auto at = rows_.lower_bound(Key(last_hour_, ""));
         at != rows_.end() && at->first.first == last_hour_; ++at) {
      at->second.told = false;
    }
    last_hour_ = hour;
  }
  const int64_t now = (hour * 60 + minute) / kQuietMinutes;
  if (now == quiet_noted_) return;
  quiet_noted_ = now;
  for (const auto& [name, source] : sources_) RowOf(name, hour);
}

void CoverageLedger::Describe(v1::SourceHour* counts) const {
  const auto watched = watched_.find(counts->hour());
  if (watched != watched_.end()) counts->set_watched_minutes(watched->second);
  const auto source = sources_.find(counts->source());
  if (source == sources_.end()) return;
  counts->set_site(source->second.site());
  counts->set_device(source->second.device());
}

v1::SourceHour CoverageLedger::Told(const Row& row) const {
  v1::SourceHour counts = row.counts;
  Describe(&counts);
  auto entries = row.offsets.entries();
  std::sort(entries.begin(), entries.end());
  for (const auto& [seconds, lines] : entries) {
    counts.add_offset_seconds(seconds);
    counts.add_offset_counts(lines);
  }
  return counts;
}

v1::CoverageReport CoverageLedger::NewReport() {
  v1::CoverageReport report;
  report.set_ingester(ingester_);
  report.set_instance(instance_);
  report.set_sequence(++sequence_);
  *report.mutable_start_time() = ToProto(listened_from_);
  *report.mutable_end_time() = ToProto(listened_to_);
  return report;
}

std::vector<v1::CoverageReport> CoverageLedger::Collect(TimePoint now) {
  const std::lock_guard lock(mutex_);
  const int64_t hour = HourOf(now);
  ShareDrops(hour);
  NoteQuietSources(hour, MinuteOf(now));
  std::vector<v1::CoverageReport> reports = {NewReport()};
  for (auto& [key, row] : rows_) {
    if (row.told) continue;
    if (reports.back().hours_size() == kMaxHours) reports.push_back(NewReport());
    *reports.back().add_hours() = Told(row);
    row.told = true;
  }
  if (!sources_told_ || now - sources_told_at_ >= kListSources) {
    for (const auto& [name, source] : sources_) *reports.back().add_sources() = source;
    reports.back().set_lists_sources(true);
    sources_told_ = true;
    sources_told_at_ = now;
  }
  for (size_t i = 0; i < reports.size(); ++i) {
    reports[i].set_report(reports.front().sequence());
    reports[i].set_part(static_cast<uint32_t>(i));
    reports[i].set_parts(static_cast<uint32_t>(reports.size()));
  }
  listened_from_ = listened_to_;
  CollectLate(&reports);
  Tidy(hour);
  return reports;
}

void CoverageLedger::CollectLate(std::vector<v1::CoverageReport>* reports) {
  std::move(late_untold_.begin(), late_untold_.end(), std::back_inserter(*reports));
  late_untold_.clear();
  v1::CoverageReport report;
  const auto finish = [&] {
    if (report.hours_size() == 0) return;
    report.set_ingester(ingester_);
    report.set_instance(fmt::format("{}{}{}", instance_, kLateMark, ++late_instances_));
    report.set_sequence(1);
    // It tells nothing of when we listened.
    *report.mutable_start_time() = ToProto(listened_from_);
    *report.mutable_end_time() = ToProto(listened_from_);
    reports->push_back(std::exchange(report, {}));
  };
  for (const auto& [key, row] : late_) {
    *report.add_hours() = Told(row);
    if (report.hours_size() == kMaxHours) finish();
  }
  finish();
  late_.clear();
}

v1::CoverageReport CoverageLedger::Untold() const {
  const std::lock_guard lock(mutex_);
  v1::CoverageReport report;
  for (const auto& [key, row] : rows_) {
    if (!row.told) *report.add_hours() = Told(row);
  }
  if (report.hours_size() == 0) return report;
  report.set_ingester(ingester_);
  report.set_instance(instance_);
  // Behind all that has been told, before all that will be, should this process live after all.
  report.set_sequence(sequence_ + 1);
  *report.mutable_start_time() = ToProto(listened_from_);
  *report.mutable_end_time() = ToProto(listened_to_);
  return report;
}

void CoverageLedger::PutBack(std::vector<v1::CoverageReport> reports) {
  const std::lock_guard lock(mutex_);
  for (auto& report : reports) {
    if (report.instance() != instance_) {
      late_untold_.push_back(std::move(report));  // as it is: it may have been told after all
      continue;
    }
    for (const auto& counts : report.hours()) {
      const bool is_kept = rows_.contains(Key(counts.hour(), counts.source()));
      Row& row = RowOf(counts.source(), counts.hour());
      if (is_kept) continue;
      row.counts = counts;
      row.counts.clear_offset_seconds();
      row.counts.clear_offset_counts();
      row.offsets.Add(counts.offset_seconds(), counts.offset_counts());
    }
    if (report.lists_sources()) sources_told_ = false;
    listened_from_ = std::min(listened_from_, FromProto(report.start_time()));
  }
}

size_t CoverageLedger::untold() const {
  const std::lock_guard lock(mutex_);
  return static_cast<size_t>(
      std::count_if(rows_.begin(), rows_.end(), [](const auto& row) { return !row.second.told; }));
}

uint64_t CoverageLedger::forgotten() const {
  const std::lock_guard lock(mutex_);
  return forgotten_;
}

// By then PutBack has been, too.
void CoverageLedger::Tidy(int64_t hour) {
  while (!rows_.empty() && rows_.begin()->first.first < hour - kKeptHours) {
    const auto oldest = rows_.begin()->first.first;
    size_t kept = 0;
    for (auto at = rows_.begin(); at != rows_.end() && at->first.first == oldest;) {
      if (at->second.told) {
        at = rows_.erase(at);
      } else {
        ++kept;
        ++at;
      }
    }
    if (kept > 0) break;
    watched_.erase(oldest);
  }
}

}  // namespace yagura::ingestion
