#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/clock/clock.h"
#include "services/notification/domain/message.h"
#include "services/notification/domain/routing.h"
#include "yagura/notification/v1/alert.pb.h"
#include "yagura/notification/v1/delivery.pb.h"

// The ledger's rules: an attempt is on record before anything is sent, its result after; an attempt
// whose result is missing may have arrived, so its repeat says so and carries the same Message-ID.
namespace yagura::notification {

struct RetryPolicy {
  std::chrono::milliseconds first{5'000};      // after the first failure, then doubled each time
  std::chrono::milliseconds longest{900'000};  // between two attempts
  std::chrono::milliseconds deadline{24 * 3'600'000};  // after which it is given up
};

// How long to wait after failure number `failures` (from 1). `random` in [0, 1) spreads it over 80
// to 120 percent, so that what failed together does not come back together.
std::chrono::milliseconds Backoff(const RetryPolicy& policy, uint32_t failures, double random);

// How an attempt ended, as a transport tells it.
struct Outcome {
  v1::AttemptResult result = v1::TEMPORARY_FAILURE;
  int code = 0;
  std::string detail;          // the customer reads it: never a secret
  std::string inner_detail{};  // what the provider's log says besides
};

// The news that this alert has this severity, to this target: one id, however often it is made.
std::string DeliveryId(const v1::Alert& alert, const Target& target);
// A delivery due at once. `id_domain` is the right side of its Message-ID.
v1::Delivery NewDelivery(std::string_view tenant, std::string_view delivery_id,
                         const Target& target, Text text, std::string_view id_domain, TimePoint now,
                         const RetryPolicy& policy);

// Whether an attempt may begin now.
bool IsDue(const v1::Delivery& delivery, TimePoint now);
// Puts an attempt on record: PENDING to SENDING.
void BeginAttempt(v1::Delivery& delivery, TimePoint now, std::string_view holder);
// Puts the result of attempt `number` on record: DELIVERED, FAILED, or PENDING with the next time.
// A late result of an attempt that was taken for interrupted counts only where it was accepted.
void FinishAttempt(v1::Delivery& delivery, uint32_t number, const Outcome& outcome, TimePoint now,
                   const RetryPolicy& policy, double random);
// The process that held the attempt is gone: SENDING to PENDING, due at once, a possible repeat.
void InterruptAttempt(v1::Delivery& delivery, TimePoint now);
// No more attempts. Nothing happens to what has ended already.
void Cancel(v1::Delivery& delivery, std::string_view why, TimePoint now);

}  // namespace yagura::notification
