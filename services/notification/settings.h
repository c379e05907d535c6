#pragma once

#include <chrono>
#include <string>

#include "absl/status/statusor.h"

#include "common/stream/topics.h"
#include "services/notification/domain/delivery.h"
#include "services/notification/transport/smtp.h"
#include "services/notification/transport/webhook_client.h"

namespace yagura::config {
class SettingsReader;
}

namespace yagura::notification {

struct Settings {
  stream::Topic findings = stream::FindingsTopic();
  int finding_threads = 1;
  SmtpOptions smtp;  // without a host mails go to the maildir "<data folder>/maildir"
  std::string from_name = "Yagura";
  std::string id_domain = "yagura.localdomain";
  std::string fallback_email;
  std::string portal_url;
  std::chrono::seconds group_window{24 * 3600};
  RetryPolicy retry;
  WebhookOptions webhook;
  int mail_threads = 4;
  int webhook_threads = 4;
};

// Reads this service's keys. The caller calls Finish on the root; what is wrong in a combination is
// an INVALID_ARGUMENT here.
absl::StatusOr<Settings> ReadSettings(config::SettingsReader& reader);

}  // namespace yagura::notification
