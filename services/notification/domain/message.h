#pragma once

#include <string>

#include "yagura/notification/v1/alert.pb.h"
#include "yagura/notification/v1/contact.pb.h"

// The words of a message. Every text that came from outside is one printable line of bounded
// length.
namespace yagura::notification {

struct Text {
  std::string subject;  // one line
  std::string body;     // lines ending in \n, or JSON
};

// Plain text for a mail. `portal_url` leads to the alert where it is not empty.
Text MailText(const v1::Alert& alert, const std::string& portal_url);
// A JSON object: {"type":"alert","alert":{...}}, names as in the proto's JSON form.
Text WebhookText(const v1::Alert& alert);

Text TestMailText(const v1::Contact& contact);
Text TestWebhookText(const v1::Contact& contact);

}  // namespace yagura::notification
