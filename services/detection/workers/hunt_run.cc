#include "services/detection/workers/hunt_run.h"

#include <algorithm>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/status/status.h"
#include "services/detection/domain/event_filter.h"
#include "services/detection/domain/hunt_result.h"

namespace yagura::detection {
namespace {

using std::chrono::nanoseconds;
using SteadyClock = std::chrono::steady_clock;

constexpr nanoseconds kLeastSlice = std::chrono::minutes(1);
constexpr nanoseconds kMostSlice = std::chrono::hours(8 * 24);
constexpr std::chrono::seconds kQuick{5};
constexpr int kMostStuck = 3;

}  // namespace

absl::StatusOr<bool> HuntRun::Go(Checkpoint& at, const Keep& keep) {
  if (!at.has_slice_start()) *at.mutable_slice_start() = ToProto(range_.start);
  while (at.pass() < probe_.filters().size()) {
    while (FromProto(at.slice_start()) < range_.end && !full_) {
      YAGURA_RETURN_IF_ERROR(ReadSome(at, keep));
      if (stopped_) return false;
    }
    at.set_pass(at.pass() + 1);
    *at.mutable_slice_start() = ToProto(range_.start);
    reached_ = range_.start;
    if (full_) break;
  }
  probe_.Finish(*at.mutable_result());
  return true;
}

absl::Status HuntRun::ReadSome(Checkpoint& at, const Keep& keep) {
  const TimePoint from = FromProto(at.slice_start());
  const TimePoint until =
      at.page_token().empty() ? std::min(range_.end, from + width_) : FromProto(at.slice_end());
  bool got_events = false;
  absl::Status kept;
  const auto go_on = [&]() -> bool {
    const auto may = keep(ProgressAt(at));
    kept = may.status();
    stopped_ = may.ok() && !*may;
    return may.ok() && *may;
  };
  const auto begun = SteadyClock::now();
  const absl::Status status =
      archive_.Read({range_.tenant, JoinFilters({range_.event_filter, probe_.filters()[at.pass()]}),
                     from, until, at.page_token()},
                    [&](archive::v1::SearchEventsResponse& message) {
                      got_events = got_events || message.events_size() > 0;
                      return Take(message, until, at) && go_on();
                    });
  YAGURA_RETURN_IF_ERROR(looked_);
  YAGURA_RETURN_IF_ERROR(kept);
  if (stopped_ || full_) return absl::OkStatus();
  if (!status.ok()) return AfterTrouble(status, got_events, at);
  stuck_ = 0;
  if (SteadyClock::now() - begun < kQuick) width_ = std::min(width_ * 2, kMostSlice);
  go_on();
  return kept;
}

// False: no more messages are wanted.
bool HuntRun::Take(archive::v1::SearchEventsResponse& message, TimePoint slice_end,
                   Checkpoint& at) {
  if (message.has_progress()) return true;  // says nothing of events
  if (message.events_size() > 0) {
    looked_ = probe_.Look(at.pass(), message.events(), *at.mutable_result());
    if (!looked_.ok()) return false;
    auto& result = *at.mutable_result();
    result.set_events_read(result.events_read() + static_cast<uint64_t>(message.events_size()));
    reached_ = FromProto(message.events(message.events_size() - 1).receive_time());
    full_ = result.events_read() >= options_.most_events;
    if (full_) {
      AddRemark(fmt::format("{} events were looked at, which is the most; those received after {} "
                            "were not (pass {} of {}).",
                            result.events_read(), FormatTime(reached_), at.pass() + 1,
                            probe_.filters().size()),
                result);
    }
  }
  // From here on a repetition begins behind what was looked at.
  at.set_page_token(message.next_page_token());
  if (message.next_page_token().empty()) {
    *at.mutable_slice_start() = ToProto(slice_end);
    at.clear_slice_end();
  } else {
    *at.mutable_slice_end() = ToProto(slice_end);
  }
  return !full_;
}

// Less at a time where it was too much for one call.
absl::Status HuntRun::AfterTrouble(const absl::Status& status, bool got_events,
                                   const Checkpoint& at) {
  const bool too_much = status.code() == absl::StatusCode::kDeadlineExceeded ||
                        status.code() == absl::StatusCode::kResourceExhausted;
  if (!too_much) return status;
  if (got_events) return absl::OkStatus();
  if (!at.page_token().empty()) return ++stuck_ > kMostStuck ? status : absl::OkStatus();
  if (width_ <= kLeastSlice) return status;
  width_ = std::max(width_ / 4, kLeastSlice);
  return absl::OkStatus();
}

double HuntRun::ProgressAt(const Checkpoint& at) const {
  const double all = std::chrono::duration<double>(range_.end - range_.start).count();
  const TimePoint until = std::max(FromProto(at.slice_start()), reached_);
  const double part = std::chrono::duration<double>(until - range_.start).count() / all;
  const double passes = static_cast<double>(probe_.filters().size());
  return std::clamp((at.pass() + std::clamp(part, 0.0, 1.0)) / passes, 0.0, 1.0);
}

}  // namespace yagura::detection
