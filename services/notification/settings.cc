#include "services/notification/settings.h"

#include "common/config/settings_reader.h"
#include "common/status/status.h"
#include "common/stream/topics.h"
#include "services/notification/domain/mime.h"

namespace yagura::notification {
namespace {

using std::chrono::milliseconds;

absl::StatusOr<SmtpTls> ParseTls(const std::string& text) {
  if (text == "auto") return SmtpTls::kAuto;
  if (text == "starttls") return SmtpTls::kStartTls;
  if (text == "implicit") return SmtpTls::kImplicit;
  if (text == "none") return SmtpTls::kNone;
  return InvalidField("smtp.tls", "must be auto, starttls, implicit or none");
}

absl::StatusOr<SmtpOptions> ReadSmtp(config::SettingsReader smtp) {
  SmtpOptions options;
  options.host = smtp.String("host", "", "SMTP server; empty: mails go to the maildir");
  options.port = static_cast<int>(smtp.Integer("port", 25, 1, 65535, "port of the SMTP server"));
  YAGURA_ASSIGN_OR_RETURN(
      options.tls, ParseTls(smtp.String("tls", "auto",
                                        "auto (STARTTLS where offered, demanded with a user name), "
                                        "starttls, implicit (port 465) or none")));
  options.ca_file = smtp.String("ca_file", "", "PEM of trusted authorities; empty: the system's");
  options.username = smtp.String("username", "", "for AUTH; empty: none");
  options.password = smtp.Secret("password", "for AUTH");
  options.from = smtp.String("from", options.from, "sender of all mails");
  options.hello_name = smtp.String("hello_name", options.hello_name, "name given in EHLO");
  options.connect_timeout =
      smtp.Duration("connect_timeout", options.connect_timeout, milliseconds(100),
                    milliseconds(120'000), "until a connection stands");
  options.timeout = smtp.Duration("timeout", options.timeout, milliseconds(1'000),
                                  milliseconds(600'000), "of one attempt as a whole");
  if (!IsMailAddress(options.from)) return InvalidField("smtp.from", "must be a mail address");
  if (options.tls == SmtpTls::kNone && !options.username.empty()) {
    return InvalidField("smtp.tls", "a password is never sent without TLS");
  }
  return options;
}

}  // namespace

absl::StatusOr<Settings> ReadSettings(config::SettingsReader& reader) {
  Settings settings;
  settings.findings = stream::ReadTopic(reader, settings.findings);
  settings.finding_threads = static_cast<int>(
      reader.Integer("finding_threads", settings.finding_threads, 1, 16, "threads on findings"));
  YAGURA_ASSIGN_OR_RETURN(settings.smtp, ReadSmtp(reader.Section("smtp", "the mail server")));
  settings.from_name = reader.String("from_name", settings.from_name, "sender's name in mails");
  settings.id_domain = reader.String("id_domain", settings.id_domain,
                                     "right side of Message-IDs, a domain of yours");
  settings.fallback_email =
      reader.String("fallback_email", "", "told where no route fits an alert");
  settings.portal_url =
      reader.String("portal_url", "", "where people reach the portal, for links; empty: none");
  settings.group_window = std::chrono::duration_cast<std::chrono::seconds>(reader.Duration(
      "group_window", std::chrono::hours(24), milliseconds(0), std::chrono::hours(24 * 90),
      "how long a matter may pause before the next finding is a new alert; 0s: for ever"));
  config::SettingsReader retry = reader.Section("retry", "when a delivery fails");
  settings.retry.first = retry.Duration("first", settings.retry.first, milliseconds(10),
                                        milliseconds(3'600'000), "until the second attempt");
  settings.retry.longest =
      retry.Duration("longest", settings.retry.longest, milliseconds(10), milliseconds(86'400'000),
                     "between two attempts at most; waits double up to it");
  settings.retry.deadline =
      retry.Duration("deadline", settings.retry.deadline, milliseconds(1'000),
                     std::chrono::hours(24 * 14), "after which a delivery is given up");
  config::SettingsReader webhook = reader.Section("webhook", "HTTP deliveries");
  settings.webhook.ca_file =
      webhook.String("ca_file", "", "PEM of trusted authorities; empty: the system's");
  settings.webhook.proxy = webhook.String("proxy", "", "http://host:port; empty: none");
  settings.webhook.connect_timeout =
      webhook.Duration("connect_timeout", settings.webhook.connect_timeout, milliseconds(100),
                       milliseconds(120'000), "until a connection stands");
  settings.webhook.timeout =
      webhook.Duration("timeout", settings.webhook.timeout, milliseconds(1'000),
                       milliseconds(600'000), "of one attempt as a whole");
  YAGURA_ASSIGN_OR_RETURN(
      settings.webhook.policy,
      WebhookPolicy::Make(
          webhook.Strings("allowed_networks", {},
                          "networks such as \"10.1.0.0/16\" that may be called although they are "
                          "loopback, link-local, private, multicast or reserved"),
          webhook.Strings("allowed_hosts", {},
                          "host names that may be called whatever addresses they have")));
  settings.mail_threads = static_cast<int>(
      reader.Integer("mail_threads", settings.mail_threads, 1, 64, "mails sent at once"));
  settings.webhook_threads = static_cast<int>(reader.Integer(
      "webhook_threads", settings.webhook_threads, 1, 64, "webhooks called at once"));
  if (!settings.fallback_email.empty() && !IsMailAddress(settings.fallback_email)) {
    return InvalidField("fallback_email", "must be a mail address");
  }
  if (!IsMailAddress("x@" + settings.id_domain)) {
    return InvalidField("id_domain", "must be a domain name");
  }
  return settings;
}

}  // namespace yagura::notification
