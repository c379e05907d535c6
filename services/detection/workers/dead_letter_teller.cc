#include "services/detection/workers/dead_letter_teller.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <map>
#include <optional>

#include "fmt/format.h"

#include "common/status/status.h"
#include "common/store/store.h"
#include "common/text/text.h"
#include "services/detection/domain/dead_letter.h"
#include "services/detection/domain/findings.h"
#include "services/detection/domain/rule_resource.h"

namespace yagura::detection {
namespace {

constexpr std::chrono::seconds kInterval{1};
constexpr int64_t kHourMs = 3600LL * 1000;
constexpr int64_t kMsNanos = 1'000'000;

int64_t HourOf(const stream::EntryId& id) {
  return static_cast<int64_t>(id.milliseconds) / kHourMs;
}

// "<hour>/<tenant>/<topic>/<reader>".
std::string CountKey(const GivenUp& one) {
  return fmt::format("{}/{}/{}/{}", one.hour, one.tenant, one.topic, one.reader);
}

// No attempt will ever put it.
bool CannotBeTold(const Status& status) {
  return status.code() == absl::StatusCode::kInvalidArgument ||
         status.code() == absl::StatusCode::kFailedPrecondition ||
         status.code() == absl::StatusCode::kNotFound;
}

}  // namespace

DeadLetterTeller::DeadLetterTeller(std::shared_ptr<redis::Pool> flow,
                                   std::shared_ptr<redis::Pool> state,
                                   std::vector<stream::Topic> topics,
                                   std::shared_ptr<FindingSink> sink, MetricsRegistry& metrics,
                                   Logger logger)
    : letters_(std::move(flow)),
      state_(std::move(state)),
      topics_(std::move(topics)),
      sink_(std::move(sink)),
      kept_(metrics.GetGauge("yagura_detection_dead_letters",
                             "Dead letters of the readers of events, hits and findings")),
      dropped_(metrics.GetGauge("yagura_detection_dead_letters_dropped",
                                "Dead letters that went for newer ones, ever")),
      logger_(std::move(logger)) {}

DeadLetterTeller::~DeadLetterTeller() { Stop(); }

absl::Status DeadLetterTeller::TellOnce() {
  YAGURA_ASSIGN_OR_RETURN(const auto totals, letters_.Count(topics_));
  kept_->Set(static_cast<double>(totals.kept));
  dropped_->Set(static_cast<double>(totals.dropped));
  while (true) {
    YAGURA_ASSIGN_OR_RETURN(const size_t told, TellSome());
    if (told == 0) return absl::OkStatus();
  }
}

absl::StatusOr<size_t> DeadLetterTeller::TellSome() {
  YAGURA_ASSIGN_OR_RETURN(DeadLetterPlaces places, letters_.Load());
  YAGURA_ASSIGN_OR_RETURN(const auto tenants, store::ListTenants(*state_));
  const std::map<std::string, uint64_t> counted = places.counts;
  size_t read = 0;
  int64_t read_to = std::numeric_limits<int64_t>::max();  // hour of the shard furthest behind
  std::map<std::string, GivenUp> given_up;                // by count key
  for (const auto& topic : topics_) {
    for (int shard = 0; shard < topic.shards; ++shard) {
      stream::EntryId& last = places.last[{topic.name, shard}];
      YAGURA_ASSIGN_OR_RETURN(const auto letters, letters_.Read(topic, shard, last));
      if (!letters.empty()) read_to = std::min(read_to, HourOf(letters.back().id));
      for (const DeadLetter& letter : letters) {
        last = letter.id;
        ++read;
        auto tenant = TenantOfLetter(topic.name, letter.payload);
        if (!tenant) continue;
        if (std::find(tenants.begin(), tenants.end(), *tenant) == tenants.end()) {
          tenant = kProviderTenant;
        }
        const auto ms = static_cast<int64_t>(letter.id.milliseconds);
        GivenUp one{*tenant, topic.name,   letter.reader, HourOf(letter.id),
                    0,       letter.error, ms * kMsNanos, ms * kMsNanos};
        const auto found = given_up.try_emplace(CountKey(one), one).first;
        found->second.count = ++places.counts[found->first];
        found->second.error = letter.error;
        found->second.first = std::min(found->second.first, one.first);
        found->second.last = std::max(found->second.last, one.last);
      }
    }
  }
  if (read == 0) return read;
  const auto before = [&counted](const std::string& key) {
    const auto found = counted.find(key);
    return found == counted.end() ? uint64_t{0} : found->second;
  };
  for (const auto& [key, one] : given_up) {
    const v1::Finding finding = DeadLetterFinding(one);
    const bool grew = std::bit_width(before(key)) < std::bit_width(one.count) && before(key) > 0;
    const Status put = sink_->Put({{finding, true, true}, {finding, false, grew}});
    if (put.ok()) continue;
    if (!CannotBeTold(put)) return put;
    // It must not keep the rest from being told.
    logger_.Error("no finding of dead letters", {{"reason", Message(put)}});
  }
  // A shard may be many pages behind the others after a pause; what it still has goes on counting.
  // One that gave nothing now may get more meanwhile: hence the hour before.
  std::erase_if(places.counts, [read_to](const auto& one) {
    const std::string_view hour = std::string_view(one.first).substr(0, one.first.find('/'));
    return ParseNumber<int64_t>(hour).value_or(0) < read_to - 1;
  });
  const Status saved = letters_.Save(places);
  // Another process was first and tells of the same.
  if (saved.code() == absl::StatusCode::kAborted) return read;
  if (!saved.ok()) return saved;
  return read;
}

void DeadLetterTeller::Start() {
  thread_ = std::thread([this] { Work(); });
}

void DeadLetterTeller::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void DeadLetterTeller::Work() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    lock.unlock();
    if (const Status status = TellOnce(); !status.ok()) {
      logger_.Warning("dead letters cannot be told of", {{"reason", Message(status)}});
    }
    lock.lock();
    wake_.wait_for(lock, kInterval, [this] { return stopping_; });
  }
}

}  // namespace yagura::detection
