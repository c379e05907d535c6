#pragma once

#include <stop_token>
#include <string>

#include "services/notification/domain/delivery.h"

// The ways out. A transport makes one attempt, within bounded time, and tells how it ended; retries
// and records are the dispatcher's. Implementations are thread-safe.
namespace yagura::notification {

class MailTransport {
 public:
  virtual ~MailTransport() = default;
  // `message` as RenderMail makes it; `to` as IsMailAddress accepts it. `message_id` names the mail
  // where the transport itself can tell a repeat. A stop ends the attempt early.
  virtual Outcome Send(const std::string& to, const std::string& message,
                       const std::string& message_id, const std::stop_token& stop) = 0;
};

}  // namespace yagura::notification
