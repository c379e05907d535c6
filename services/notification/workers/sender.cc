#include "services/notification/workers/sender.h"

#include <thread>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "services/notification/domain/mime.h"
#include "services/notification/domain/webhook.h"

namespace yagura::notification {
namespace {

constexpr std::chrono::milliseconds kRecordPause{100};

store::WriteContext Context() {
  store::WriteContext context;
  context.principal = "services/notification";
  context.method = "worker/deliveries";
  return context;
}

absl::Status NotOurs(std::string_view why) {
  return MakeError(absl::StatusCode::kAborted, "DELIVERY_NOT_DUE", why);
}

}  // namespace

Sender::Sender(Parts parts, Options options)
    : parts_(std::move(parts)), options_(std::move(options)) {}

absl::StatusOr<v1::Delivery> Sender::Attempt(const std::string& name, const std::stop_token& abort,
                                             const std::stop_token& give_up) {
  YAGURA_ASSIGN_OR_RETURN(v1::Delivery begun, Begin(name));
  if (begun.state() != v1::SENDING) return begun;  // cancelled
  const Outcome outcome = Send(begun, abort);
  parts_.metrics
      ->GetCounter("yagura_notification_attempts_total", "Attempts to hand a message over.",
                   {{"channel", ToLower(v1::Channel_Name(begun.channel()))},
                    {"result", ToLower(v1::AttemptResult_Name(outcome.result))}})
      ->Add();
  if (outcome.result != v1::ACCEPTED) {
    parts_.logger.Warning("an attempt failed", {{"delivery", name},
                                                {"attempt", begun.attempt_count()},
                                                {"result", v1::AttemptResult_Name(outcome.result)},
                                                {"detail", outcome.detail},
                                                {"inner_detail", outcome.inner_detail}});
  }
  return Finish(begun, outcome, give_up);
}

absl::StatusOr<v1::Delivery> Sender::Begin(const std::string& name) {
  YAGURA_ASSIGN_OR_RETURN(const v1::Delivery seen, parts_.stores.deliveries.Get(name));
  v1::Contact contact;
  YAGURA_ASSIGN_OR_RETURN(const std::string why_cancel, WhyCancel(seen, contact));
  return parts_.stores.deliveries.Mutate(
      Context(), name, [&](v1::Delivery& delivery) -> absl::Status {
        const TimePoint now = parts_.clock->Now();
        if (delivery.state() == v1::SENDING) {
          const std::string holder =
              delivery.attempts().empty() ? "" : delivery.attempts().rbegin()->holder();
          // Ours, though it is not in hand: the answer to an earlier Begin or Finish was lost.
          if (holder != parts_.holders->self()) {
            YAGURA_ASSIGN_OR_RETURN(const bool alive, parts_.holders->IsAlive(holder));
            if (alive) return NotOurs("another process has it");
          }
          InterruptAttempt(delivery, now);
        }
        if (!IsDue(delivery, now)) return NotOurs("it is not due");
        if (!why_cancel.empty()) {
          Cancel(delivery, why_cancel, now);
        } else {
          BeginAttempt(delivery, now, parts_.holders->self());
        }
        return absl::OkStatus();
      });
}

absl::StatusOr<std::string> Sender::WhyCancel(const v1::Delivery& delivery,
                                              v1::Contact& contact) const {
  if (!delivery.alert().empty()) {
    const auto alert = parts_.stores.alerts.Get(delivery.alert());
    if (absl::IsNotFound(alert.status())) return std::string("the alert is gone");
    if (!alert.ok()) return alert.status();
    if (alert->state() == v1::RESOLVED) return std::string("the alert is resolved");
  }
  if (delivery.contact().empty()) return std::string();
  auto found = parts_.stores.contacts.Get(delivery.contact());
  if (absl::IsNotFound(found.status())) return std::string("the contact is gone");
  if (!found.ok()) return found.status();
  contact = *std::move(found);
  if (contact.disabled()) return std::string("the contact is disabled");
  return std::string();
}

Outcome Sender::Send(const v1::Delivery& delivery, const std::stop_token& abort) {
  return delivery.channel() == v1::WEBHOOK ? SendWebhook(delivery, abort)
                                           : SendMail(delivery, abort);
}

Outcome Sender::SendMail(const v1::Delivery& delivery, const std::stop_token& abort) {
  if (!IsMailAddress(delivery.target())) {
    return {v1::PERMANENT_FAILURE, 0, "the address is not one that mail can go to"};
  }
  Mail mail;
  mail.from = options_.from;
  mail.from_name = options_.from_name;
  mail.to = delivery.target();
  mail.subject = delivery.subject();
  mail.message_id = delivery.message_id();
  mail.date = FromProto(delivery.create_time());
  mail.body = delivery.body();
  mail.x_headers = {{"X-Yagura-Delivery", delivery.name()}};
  if (!delivery.alert().empty()) mail.x_headers.emplace_back("X-Yagura-Alert", delivery.alert());
  if (delivery.attempts().rbegin()->possible_repeat()) {
    mail.x_headers.emplace_back("X-Yagura-Possible-Repeat", "yes");
  }
  return parts_.mail->Send(delivery.target(), RenderMail(mail), delivery.message_id(), abort);
}

Outcome Sender::SendWebhook(const v1::Delivery& delivery, const std::stop_token& abort) {
  const auto contact = parts_.stores.contacts.Get(delivery.contact());
  if (!contact.ok()) {
    return {v1::TEMPORARY_FAILURE, 0, std::string(Message(contact.status()))};
  }
  if (!IsWebhookUrl(contact->webhook_url())) {
    return {v1::PERMANENT_FAILURE, 0, "the contact has no webhook any more"};
  }
  const TimePoint now = parts_.clock->Now();
  WebhookRequest request;
  request.url = contact->webhook_url();
  request.body = delivery.body();
  request.headers = {{"Content-Type", "application/json"},
                     {"X-Yagura-Delivery", delivery.message_id()},
                     {"X-Yagura-Attempt", fmt::format("{}", delivery.attempt_count())},
                     {"X-Yagura-Timestamp", WebhookTimestamp(now)}};
  if (delivery.attempts().rbegin()->possible_repeat()) {
    request.headers.emplace_back("X-Yagura-Possible-Repeat", "yes");
  }
  if (contact->webhook_secret_set()) {
    const auto secret = parts_.secrets->Get(delivery.contact());
    if (!secret.ok()) {
      return {v1::TEMPORARY_FAILURE, 0, "the webhook's secret cannot be read, so nothing was sent"};
    }
    request.headers.emplace_back("X-Yagura-Signature",
                                 WebhookSignature(*secret, now, request.body));
  }
  return parts_.webhook->Post(request, abort);
}

absl::StatusOr<v1::Delivery> Sender::Finish(const v1::Delivery& begun, const Outcome& outcome,
                                            const std::stop_token& give_up) {
  while (true) {
    auto finished = parts_.stores.deliveries.Mutate(
        Context(), begun.name(), [&](v1::Delivery& delivery) -> absl::Status {
          FinishAttempt(delivery, begun.attempt_count(), outcome, parts_.clock->Now(),
                        options_.retry, parts_.random());
          return absl::OkStatus();
        });
    const bool again = absl::IsUnavailable(finished.status()) ||
                       absl::IsResourceExhausted(finished.status()) ||
                       absl::IsAborted(finished.status());
    if (!again || give_up.stop_requested()) return finished;
    parts_.logger.Warning("a result waits for its record",
                          {{"delivery", begun.name()}, {"error", Message(finished.status())}});
    std::this_thread::sleep_for(kRecordPause);
  }
}

}  // namespace yagura::notification
