#include "services/ingestion/workers/coverage_reporter.h"

#include <algorithm>
#include <condition_variable>
#include <fstream>
#include <mutex>
#include <sstream>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/status/status.h"
#include "common/stream/producer.h"
#include "services/ingestion/workers/current_sources.h"

namespace yagura::ingestion {
namespace {

constexpr std::chrono::seconds kTick{2};
// Rows a second that the flow Redis and archive are given at most, over time.
constexpr size_t kRowsPerSecond = 50;
constexpr uintmax_t kMaxFileBytes = 256u << 20;

v1::WatchedSource Watched(const SourceTarget& target) {
  v1::WatchedSource source;
  source.set_name(target.name);
  source.set_site(target.site);
  source.set_device(target.device);
  if (target.silence_limit.count() > 0) {
    *source.mutable_silence_limit() = ToProtoDuration(target.silence_limit);
  }
  return source;
}

}  // namespace

CoverageReporter::CoverageReporter(Options options, Parts parts)
    : options_(std::move(options)), parts_(std::move(parts)) {}

CoverageReporter::~CoverageReporter() { Stop(); }

void CoverageReporter::Start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
}

void CoverageReporter::Stop() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  thread_.join();
  Turn(/*tell=*/true);
}

void CoverageReporter::Run(const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any changed;
  while (!stop.stop_requested()) {
    Turn(/*tell=*/false);
    std::unique_lock lock(mutex);
    changed.wait_for(lock, stop, std::min<std::chrono::milliseconds>(kTick, options_.interval),
                     [] { return false; });
  }
}

void CoverageReporter::Turn(bool tell) {
  FollowSources();
  parts_.ledger->Listened(parts_.clock->Now());
  const SteadyTime now = parts_.clock->SteadyNow();
  const auto rows = std::chrono::seconds(parts_.ledger->untold() / kRowsPerSecond);
  const auto interval = std::max<std::chrono::milliseconds>(options_.interval, rows);
  if (tell || told_at_ == SteadyTime{} || now - told_at_ >= interval) {
    told_at_ = now;
    TellAll();
  }
  Keep();
}

void CoverageReporter::FollowSources() {
  const auto map = parts_.sources->Get();
  if (map == nullptr || map == seen_) return;
  std::vector<v1::WatchedSource> sources;
  for (const SourceTarget* target : map->targets()) sources.push_back(Watched(*target));
  parts_.ledger->SetSources(std::move(sources));
  seen_ = map;
}

absl::Status CoverageReporter::TellLeftOver() {
  if (left_over_told_) return absl::OkStatus();
  std::error_code error;
  const auto size = std::filesystem::file_size(options_.file, error);
  if (!error && size > 0 && size <= kMaxFileBytes) {
    std::ifstream in(options_.file, std::ios::binary);
    std::stringstream bytes;
    bytes << in.rdbuf();
    v1::CoverageReport report;
    if (!report.ParseFromString(bytes.str())) {
      parts_.logger.Warning("what an earlier process kept of its coverage cannot be read",
                            {{"file", options_.file.string()}});
    } else {
      // In parts, as all reports.
      v1::CoverageReport part = report;
      part.set_report(report.sequence());
      part.set_parts(static_cast<uint32_t>((report.hours_size() + CoverageLedger::kMaxHours - 1) /
                                           CoverageLedger::kMaxHours));
      for (int from = 0; from < report.hours_size(); from += CoverageLedger::kMaxHours) {
        part.clear_hours();
        for (int i = from; i < std::min(report.hours_size(), from + CoverageLedger::kMaxHours);
             ++i) {
          *part.add_hours() = report.hours(i);
        }
        YAGURA_RETURN_IF_ERROR(Tell(part));
        part.set_sequence(part.sequence() + 1);
        part.set_part(part.part() + 1);
      }
    }
  }
  left_over_told_ = true;
  std::filesystem::remove(options_.file, error);
  return absl::OkStatus();
}

absl::Status CoverageReporter::Tell(const v1::CoverageReport& report) const {
  const std::string key = fmt::format("{}/{}", report.instance(), report.sequence());
  return parts_.topic
      ->Append(stream::ShardOf(report.ingester(), parts_.topic->topic().shards), key,
               report.SerializeAsString())
      .status();
}

void CoverageReporter::TellAll() {
  Status status = TellLeftOver();
  if (status.ok()) {
    auto reports = parts_.ledger->Collect(parts_.clock->Now());
    size_t told = 0;
    while (told < reports.size() && (status = Tell(reports[told])).ok()) ++told;
    reports.erase(reports.begin(), reports.begin() + static_cast<ptrdiff_t>(told));
    parts_.ledger->PutBack(reports);
  }
  if (!status.ok() && !failing_) {
    parts_.logger.Warning("coverage cannot be told; it is kept until it can",
                          {{"error", Message(status)}});
  }
  failing_ = !status.ok();
}

void CoverageReporter::Keep() {
  if (!left_over_told_) return;  // the file has what an earlier process left
  const v1::CoverageReport report = parts_.ledger->Untold();
  std::error_code error;
  if (report.hours_size() == 0) {
    std::filesystem::remove(options_.file, error);
    return;
  }
  std::filesystem::create_directories(options_.file.parent_path(), error);
  const auto fresh = options_.file.string() + ".new";
  std::ofstream out(fresh, std::ios::binary | std::ios::trunc);
  out << report.SerializeAsString();
  out.close();
  if (out) std::filesystem::rename(fresh, options_.file, error);
}

}  // namespace yagura::ingestion
