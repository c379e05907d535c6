#include "common/clock/clock.h"

namespace yagura {
namespace {

class MachineClock final : public Clock {
 public:
  TimePoint Now() const override { return std::chrono::system_clock::now(); }
  SteadyTime SteadyNow() const override { return std::chrono::steady_clock::now(); }
};

}  // namespace

std::shared_ptr<const Clock> SystemClock() { return std::make_shared<MachineClock>(); }

}  // namespace yagura
