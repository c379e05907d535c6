#include "services/archive/workers/event_sealer.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "common/clock/proto_time.h"
#include "common/status/status.h"

namespace yagura::archive {
namespace {

constexpr size_t kMostOfAHead = 5'000;
// An insert may take a while between the store's clock and being seen.
constexpr std::chrono::minutes kOverlap{20};

}  // namespace

EventSealer::EventSealer(const ProofStore& store, auth::SigningKey key,
                         std::shared_ptr<const Clock> clock, Options options, Logger logger)
    : store_(store),
      key_(std::move(key)),
      clock_(std::move(clock)),
      options_(options),
      logger_(std::move(logger)),
      since_(clock_->Now() - options.look_back) {}

EventSealer::~EventSealer() { Stop(); }

Status EventSealer::Seal(const std::vector<EventUnit>& units) {
  const EventUnit& first = units.front();
  YAGURA_ASSIGN_OR_RETURN(const auto heads, store_.Heads(first.tenant, first.day));
  v1::EventHead head;
  head.set_tenant(first.tenant);
  head.set_day(first.day);
  head.set_sequence(heads.empty() ? 1 : heads.back().sequence() + 1);
  head.set_previous_hash(heads.empty() ? UnitChainStart(first.tenant, first.day)
                                       : heads.back().hash());
  std::string hash = head.previous_hash();
  int64_t expires = 0;
  for (const EventUnit& unit : units) {
    hash = UnitChainNext(hash, unit);
    head.add_units(unit.number);
    head.set_event_count(head.event_count() + unit.events);
    expires = std::max<int64_t>(expires, unit.expires);
  }
  head.set_hash(hash);
  *head.mutable_seal_time() = ToProto(clock_->Now());
  head.mutable_expire_time()->set_seconds(expires);
  head.set_key_id(key_.key_id());
  head.set_signature(key_.Sign(EventHeadText(head)));
  YAGURA_RETURN_IF_ERROR(store_.InsertHead(head));
  // Whichever came first is the one that counts.
  YAGURA_ASSIGN_OR_RETURN(const auto now, store_.Heads(first.tenant, first.day));
  if (now.empty()) return Internal("a head that was stored is not there");
  YAGURA_RETURN_IF_ERROR(store_.Remember(now.back()));
  if (now.back().hash() == head.hash()) return absl::OkStatus();
  return absl::AbortedError("another process sealed the day first; the rest follows");
}

Status EventSealer::SealAll(const std::vector<EventUnit>& units) {
  std::vector<EventUnit> day;
  for (const EventUnit& unit : units) {
    const bool other = !day.empty() && (day.front().tenant != unit.tenant ||
                                        day.front().day != unit.day || day.size() >= kMostOfAHead);
    if (other) {
      YAGURA_RETURN_IF_ERROR(Seal(day));
      day.clear();
    }
    day.push_back(unit);
  }
  return day.empty() ? absl::OkStatus() : Seal(day);
}

Status EventSealer::Turn() {
  const TimePoint began = clock_->Now();
  for (;;) {
    YAGURA_ASSIGN_OR_RETURN(const auto units, store_.Unsealed(since_));
    YAGURA_RETURN_IF_ERROR(SealAll(units));
    if (units.size() < ProofStore::kUnsealedAtOnce) break;
  }
  since_ = std::max(since_, began - kOverlap);
  return absl::OkStatus();
}

void EventSealer::Start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
}

void EventSealer::Stop() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

void EventSealer::Run(const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any wake;
  while (!stop.stop_requested()) {
    if (const Status status = Turn(); !status.ok()) {
      logger_.Warning("what was stored waits to be sealed", {{"why", Message(status)}});
    }
    std::unique_lock lock(mutex);
    wake.wait_for(lock, stop, options_.interval, [] { return false; });
  }
}

}  // namespace yagura::archive
