#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "common/clock/clock.h"
#include "common/text/text.h"

namespace yagura::rpc {

// What one customer may ask of us in a second, so that its flood leaves room for the others' pages.
// A bucket a key, filled at `per_second`, holding two seconds' worth unless told. Thread-safe.
class Quota {
 public:
  Quota(double per_second, std::shared_ptr<const Clock> clock);
  Quota(double per_second, double burst, std::shared_ptr<const Clock> clock);
  // Takes `amount` where anything is left; an amount larger than the bucket makes the next ones
  // wait for longer instead of never being served. Zero or the time after which to try again.
  std::chrono::milliseconds Take(std::string_view key, double amount);
  // Gives back what was taken for nothing.
  void Give(std::string_view key, double amount);
  // Takes it in any case; how long to pause before the next.
  std::chrono::milliseconds Charge(std::string_view key, double amount);

 private:
  struct Bucket {
    double level = 0;
    SteadyTime filled{};
  };
  Bucket& Filled(std::string_view key);
  std::chrono::milliseconds WaitFor(const Bucket& bucket) const;
  void DropFull(SteadyTime now);

  const double rate_;
  const double burst_;
  const std::shared_ptr<const Clock> clock_;
  std::mutex mutex_;
  StringMap<Bucket> buckets_;
};

// What one tenant may ask of a whole process, whichever way it comes in: by calls of the server and
// by the inputs that Apps open themselves. Keys are HomeTenantOf.
struct TenantQuotas {
  TenantQuotas(double calls_per_second, double bytes_per_second,
               const std::shared_ptr<const Clock>& clock)
      : calls(calls_per_second, clock), bytes(bytes_per_second, clock) {}
  Quota calls;
  Quota bytes;
};

}  // namespace yagura::rpc
