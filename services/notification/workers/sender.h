#pragma once

#include <functional>
#include <memory>
#include <stop_token>
#include <string>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"
#include "common/log/log.h"
#include "common/metrics/metrics.h"
#include "services/notification/domain/delivery.h"
#include "services/notification/storage/holders.h"
#include "services/notification/storage/secrets.h"
#include "services/notification/storage/stores.h"
#include "services/notification/transport/transport.h"
#include "services/notification/transport/webhook_client.h"

namespace yagura::notification {

// Makes one attempt of a delivery: on record, sent, its result on record. A process that dies in
// between leaves the attempt STARTED; whoever finds its holder gone repeats it with the same
// Message-ID, marked as a possible repeat. Thread-safe.
class Sender {
 public:
  struct Options {
    std::string from = "yagura@localhost";
    std::string from_name = "Yagura";
    RetryPolicy retry;
  };
  struct Parts {
    Stores stores;
    std::shared_ptr<ContactSecrets> secrets;
    std::shared_ptr<MailTransport> mail;
    std::shared_ptr<WebhookClient> webhook;
    std::shared_ptr<Holders> holders;
    std::shared_ptr<const Clock> clock;
    std::shared_ptr<MetricsRegistry> metrics;
    Logger logger;
    std::function<double()> random;  // in [0, 1); thread-safe
  };
  Sender(Parts parts, Options options);

  // The delivery afterwards. The caller sees to it that no two attempts of one delivery run in this
  // process. ABORTED where it was not due, or is another's. `abort` ends the
  // sending early; `give_up` ends the tries to put a result on record while Redis is away.
  absl::StatusOr<v1::Delivery> Attempt(const std::string& name, const std::stop_token& abort,
                                       const std::stop_token& give_up);

 private:
  absl::StatusOr<v1::Delivery> Begin(const std::string& name);
  absl::StatusOr<std::string> WhyCancel(const v1::Delivery& delivery, v1::Contact& contact) const;
  Outcome Send(const v1::Delivery& delivery, const std::stop_token& abort);
  Outcome SendMail(const v1::Delivery& delivery, const std::stop_token& abort);
  Outcome SendWebhook(const v1::Delivery& delivery, const std::stop_token& abort);
  absl::StatusOr<v1::Delivery> Finish(const v1::Delivery& begun, const Outcome& outcome,
                                      const std::stop_token& give_up);

  Parts parts_;
  const Options options_;
};

}  // namespace yagura::notification
