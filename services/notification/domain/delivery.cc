#include "services/notification/domain/delivery.h"

#include <algorithm>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/digest/sha256.h"
#include "common/text/printable.h"

namespace yagura::notification {
namespace {

constexpr int kFirstAttemptsKept = 5;
constexpr int kAttemptsKept = 50;
constexpr size_t kMaxDetail = 500;
constexpr size_t kMaxBody = 32 * 1024;

v1::Attempt* Find(v1::Delivery& delivery, uint32_t number) {
  for (auto& attempt : *delivery.mutable_attempts()) {
    if (attempt.number() == number) return &attempt;
  }
  return nullptr;
}

void Fail(v1::Delivery& delivery) {
  delivery.set_state(v1::FAILED);
  delivery.clear_next_attempt_time();
}

void ScheduleNext(v1::Delivery& delivery, TimePoint now, const RetryPolicy& policy, double random) {
  const TimePoint next = now + Backoff(policy, delivery.attempt_count(), random);
  if (next > FromProto(delivery.deadline())) return Fail(delivery);
  delivery.set_state(v1::PENDING);
  *delivery.mutable_next_attempt_time() = ToProto(next);
}

}  // namespace

std::chrono::milliseconds Backoff(const RetryPolicy& policy, uint32_t failures, double random) {
  const double doubled =
      static_cast<double>(policy.first.count()) *
      static_cast<double>(1ull << std::min(failures > 0 ? failures - 1 : 0u, 30u));
  const double base = std::min(doubled, static_cast<double>(policy.longest.count()));
  return std::chrono::milliseconds(static_cast<int64_t>(base * (0.8 + 0.4 * random)));
}

std::string DeliveryId(const v1::Alert& alert, const Target& target) {
  return Sha256Hex(fmt::format("{}\n{}\n{}\n{}\n{}", alert.name(), target.contact,
                               v1::Channel_Name(target.channel),
                               target.contact.empty() ? target.address : "",
                               static_cast<int>(alert.severity())))
      .substr(0, 32);
}

v1::Delivery NewDelivery(std::string_view tenant, std::string_view delivery_id,
                         const Target& target, Text text, std::string_view id_domain, TimePoint now,
                         const RetryPolicy& policy) {
  v1::Delivery delivery;
  delivery.set_name(fmt::format("tenants/{}/deliveries/{}", tenant, delivery_id));
  delivery.set_state(v1::PENDING);
  delivery.set_contact(target.contact);
  delivery.set_channel(target.channel);
  delivery.set_target(target.address);
  delivery.set_subject(std::move(text.subject));
  delivery.set_body(std::move(text.body));
  if (delivery.body().size() > kMaxBody) delivery.mutable_body()->resize(kMaxBody);
  delivery.set_message_id(fmt::format("{}.{}@{}", delivery_id, tenant, id_domain));
  *delivery.mutable_next_attempt_time() = ToProto(now);
  *delivery.mutable_deadline() = ToProto(now + policy.deadline);
  return delivery;
}

bool IsDue(const v1::Delivery& delivery, TimePoint now) {
  return delivery.state() == v1::PENDING && FromProto(delivery.next_attempt_time()) <= now;
}

void BeginAttempt(v1::Delivery& delivery, TimePoint now, std::string_view holder) {
  auto& attempts = *delivery.mutable_attempts();
  if (attempts.size() >= kAttemptsKept) attempts.DeleteSubrange(kFirstAttemptsKept, 1);
  delivery.set_attempt_count(delivery.attempt_count() + 1);
  v1::Attempt& attempt = *attempts.Add();
  attempt.set_number(delivery.attempt_count());
  attempt.set_result(v1::STARTED);
  *attempt.mutable_start_time() = ToProto(now);
  attempt.set_possible_repeat(delivery.possible_repeat());
  attempt.set_holder(std::string(holder));
  delivery.set_state(v1::SENDING);
  delivery.clear_next_attempt_time();
}

void FinishAttempt(v1::Delivery& delivery, uint32_t number, const Outcome& outcome, TimePoint now,
                   const RetryPolicy& policy, double random) {
  v1::Attempt* attempt = Find(delivery, number);
  const bool current = attempt != nullptr && attempt->result() == v1::STARTED;
  if (!current && outcome.result != v1::ACCEPTED) return;
  if (attempt != nullptr) {
    attempt->set_result(outcome.result);
    *attempt->mutable_end_time() = ToProto(now);
    attempt->set_code(outcome.code);
    attempt->set_detail(Printable(outcome.detail, kMaxDetail));
  }
  if (outcome.result == v1::AMBIGUOUS) delivery.set_possible_repeat(true);
  switch (outcome.result) {
    case v1::ACCEPTED:
      delivery.set_state(v1::DELIVERED);
      if (!delivery.has_accept_time()) *delivery.mutable_accept_time() = ToProto(now);
      delivery.clear_next_attempt_time();
      break;
    case v1::PERMANENT_FAILURE:
      Fail(delivery);
      break;
    default:
      ScheduleNext(delivery, now, policy, random);
  }
}

void InterruptAttempt(v1::Delivery& delivery, TimePoint now) {
  if (delivery.state() != v1::SENDING) return;
  if (!delivery.attempts().empty()) {
    v1::Attempt& last = *delivery.mutable_attempts()->rbegin();
    last.set_result(v1::INTERRUPTED);
    *last.mutable_end_time() = ToProto(now);
    last.set_detail("its process ended while it was under way; it may have been taken");
  }
  delivery.set_possible_repeat(true);
  delivery.set_state(v1::PENDING);
  *delivery.mutable_next_attempt_time() = ToProto(now);
}

void Cancel(v1::Delivery& delivery, std::string_view why, TimePoint now) {
  if (delivery.state() != v1::PENDING && delivery.state() != v1::SENDING) return;
  if (delivery.state() == v1::SENDING && !delivery.attempts().empty()) {
    v1::Attempt& last = *delivery.mutable_attempts()->rbegin();
    last.set_result(v1::TEMPORARY_FAILURE);
    *last.mutable_end_time() = ToProto(now);
    last.set_detail(std::string(why));
  }
  delivery.set_state(v1::CANCELLED);
  delivery.clear_next_attempt_time();
}

}  // namespace yagura::notification
