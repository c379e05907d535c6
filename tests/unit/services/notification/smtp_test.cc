#include "services/notification/transport/smtp.h"

#include <chrono>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/testing/smtp_server.h"

namespace yagura::notification {
namespace {

using ::testing::HasSubstr;
using testing::SmtpServer;

constexpr char kMessage[] = "Subject: hello\r\nMessage-ID: <1@test>\r\n\r\nbody\r\n.dot\r\n";

SmtpOptions OptionsFor(const SmtpServer& server) {
  SmtpOptions options;
  options.host = "localhost";
  options.port = server.port();
  options.timeout = std::chrono::seconds(20);
  return options;
}

Outcome Send(const SmtpOptions& options, const std::string& to = "alice@example.com") {
  return NewSmtpTransport(options)->Send(to, kMessage, "1@test", {});
}

TEST(Smtp, HandsAMailToAPlainServer) {
  const SmtpServer server;
  const Outcome outcome = Send(OptionsFor(server));
  EXPECT_EQ(outcome.result, v1::ACCEPTED) << outcome.detail;
  EXPECT_EQ(outcome.code, 250);
  const auto mails = server.Mails();
  ASSERT_EQ(mails.size(), 1u);
  EXPECT_EQ(mails[0].message, kMessage);
  EXPECT_THAT(mails[0].envelope, HasSubstr("alice@example.com"));
}

TEST(Smtp, UsesStartTlsAndAuthenticates) {
  const SmtpServer server({SmtpServer::Tls::kStartTls, "yagura", "pass word"});
  SmtpOptions options = OptionsFor(server);
  options.ca_file = server.ca_file();
  options.username = "yagura";
  options.password = "pass word";
  const Outcome outcome = Send(options);
  EXPECT_EQ(outcome.result, v1::ACCEPTED) << outcome.detail;
  ASSERT_EQ(server.Mails().size(), 1u);
  EXPECT_THAT(server.Mails()[0].envelope, HasSubstr("\"tls\": true, \"authenticated\": true"));
}

TEST(Smtp, UsesTlsFromTheFirstByte) {
  const SmtpServer server({SmtpServer::Tls::kImplicit, "", ""});
  SmtpOptions options = OptionsFor(server);
  options.tls = SmtpTls::kImplicit;
  options.ca_file = server.ca_file();
  const Outcome outcome = Send(options);
  EXPECT_EQ(outcome.result, v1::ACCEPTED) << outcome.detail;
  ASSERT_EQ(server.Mails().size(), 1u);
  EXPECT_THAT(server.Mails()[0].envelope, HasSubstr("\"tls\": true"));
}

TEST(Smtp, NeverSpeaksToAServerWhoseCertificateItCannotCheck) {
  const SmtpServer server({SmtpServer::Tls::kStartTls, "yagura", "password"});
  SmtpOptions options = OptionsFor(server);
  options.username = "yagura";
  options.password = "password";
  EXPECT_EQ(Send(options).result, v1::TEMPORARY_FAILURE);
  EXPECT_TRUE(server.Mails().empty());
}

TEST(Smtp, NeverSendsAPasswordWithoutTls) {
  const SmtpServer server;
  SmtpOptions options = OptionsFor(server);
  options.username = "yagura";
  options.password = "password";
  EXPECT_EQ(Send(options).result, v1::TEMPORARY_FAILURE);
  EXPECT_TRUE(server.Mails().empty());
}

TEST(Smtp, AWrongPasswordIsTriedAgainLaterAndNotTold) {
  const SmtpServer server({SmtpServer::Tls::kStartTls, "yagura", "right"});
  SmtpOptions options = OptionsFor(server);
  options.ca_file = server.ca_file();
  options.username = "yagura";
  options.password = "wrong-secret";
  const Outcome outcome = Send(options);
  EXPECT_EQ(outcome.result, v1::TEMPORARY_FAILURE);
  EXPECT_THAT(outcome.detail, ::testing::Not(HasSubstr("wrong-secret")));
}

TEST(Smtp, TellsLaterFromNever) {
  const SmtpServer server;
  server.Script({"reject 451 4.3.0 later", "reject 554 5.7.1 never"});
  const Outcome later = Send(OptionsFor(server));
  EXPECT_EQ(later.result, v1::TEMPORARY_FAILURE);
  EXPECT_EQ(later.code, 451);
  EXPECT_THAT(later.detail, HasSubstr("later"));
  const Outcome never = Send(OptionsFor(server));
  EXPECT_EQ(never.result, v1::PERMANENT_FAILURE);
  EXPECT_EQ(never.code, 554);
  server.RefuseRecipients({"nobody@example.com"});
  const Outcome nobody = Send(OptionsFor(server), "nobody@example.com");
  EXPECT_EQ(nobody.result, v1::PERMANENT_FAILURE);
  EXPECT_EQ(nobody.code, 550);
}

TEST(Smtp, NoReplyToTheMailIsAmbiguous) {
  const SmtpServer server;
  server.Script({"keep-drop", "hang"});
  EXPECT_EQ(Send(OptionsFor(server)).result, v1::AMBIGUOUS);
  EXPECT_EQ(server.Mails().size(), 1u);
  SmtpOptions impatient = OptionsFor(server);
  impatient.timeout = std::chrono::milliseconds(300);
  EXPECT_EQ(Send(impatient).result, v1::AMBIGUOUS);
}

TEST(Smtp, NoServerIsATemporaryFailure) {
  SmtpServer server;
  const SmtpOptions options = OptionsFor(server);
  server.Stop();
  EXPECT_EQ(Send(options).result, v1::TEMPORARY_FAILURE);
}

TEST(Smtp, AStopEndsAnAttemptEarly) {
  const SmtpServer server;
  server.Script({"hang"});
  const auto transport = NewSmtpTransport(OptionsFor(server));
  std::stop_source stop;
  stop.request_stop();
  const auto start = std::chrono::steady_clock::now();
  EXPECT_NE(transport->Send("a@example.com", kMessage, "1@test", stop.get_token()).result,
            v1::ACCEPTED);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
}

}  // namespace
}  // namespace yagura::notification
