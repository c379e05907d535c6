#include <utility>

#include "common/status/status.h"
#include "common/timer/claims.h"
#include "common/timer/timer.h"

namespace yagura::timer {

struct TimerQueue::Impl {
  Impl(std::shared_ptr<redis::Pool> state, std::string queue)
      : name(std::move(queue)), claims(std::move(state), name) {}

  const std::string name;
  const Claims claims;
};

TimerQueue::TimerQueue(std::shared_ptr<redis::Pool> state, std::string queue)
    : impl_(std::make_unique<Impl>(std::move(state), std::move(queue))) {}
TimerQueue::~TimerQueue() = default;

Status TimerQueue::Schedule(std::string_view id, TimePoint due, std::string_view payload) {
  return impl_->claims.Schedule(id, due, payload);
}
StatusOr<bool> TimerQueue::ScheduleIfAbsent(std::string_view id, TimePoint due,
                                            std::string_view payload) {
  return impl_->claims.ScheduleIfAbsent(id, due, payload);
}
Status TimerQueue::Cancel(std::string_view id) { return impl_->claims.Cancel(id); }
StatusOr<std::optional<Timer>> TimerQueue::Find(std::string_view id) const {
  return impl_->claims.Find(id);
}
StatusOr<uint64_t> TimerQueue::Size() const { return impl_->claims.Size(); }
const std::string& TimerQueue::name() const { return impl_->name; }

}  // namespace yagura::timer
