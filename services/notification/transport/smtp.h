#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "services/notification/transport/transport.h"

namespace yagura::notification {

enum class SmtpTls {
  kAuto,      // STARTTLS where the server offers it; demanded where there is a user name
  kStartTls,  // STARTTLS or nothing
  kImplicit,  // TLS from the first byte (port 465)
  kNone       // never
};

struct SmtpOptions {
  std::string host;
  int port = 25;
  SmtpTls tls = SmtpTls::kAuto;
  std::string ca_file;   // PEM; empty: the system's
  std::string username;  // empty: no AUTH
  std::string password;
  std::string from = "yagura@localhost";  // envelope sender
  std::string hello_name = "yagura.localdomain";
  std::chrono::milliseconds connect_timeout{10'000};
  std::chrono::milliseconds timeout{60'000};  // of a whole attempt
};

// Hands each mail to one SMTP server over a connection of its own. AMBIGUOUS where all of the mail
// was given to the connection and no reply to it came.
std::unique_ptr<MailTransport> NewSmtpTransport(SmtpOptions options);

}  // namespace yagura::notification
