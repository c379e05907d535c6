#include "common/config/settings_reader.h"

#include <unistd.h>

#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/config/units.h"
#include "common/status/status.h"

namespace yagura::config {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

SettingsReader Read(std::string_view yaml) {
  auto reader = SettingsReader::FromYaml(yaml);
  EXPECT_TRUE(reader.ok()) << reader.status();
  return std::move(reader).value_or(SettingsReader::Empty());
}

std::string Complaint(const SettingsReader& reader) {
  return std::string(Message(reader.Finish()));
}

TEST(SettingsReader, WhatIsNotInTheFileCanBeRefused) {
  auto reader = Read("tls:\n  key_file: a.pem\n");
  auto tls = reader.Section("tls", "TLS.");
  EXPECT_EQ(tls.String("key_file", "", "Key."), "a.pem");
  EXPECT_EQ(tls.String("certificate_file", "", "Certificate."), "");
  tls.Refuse("certificate_file", "is needed beside key_file");
  auto absent = reader.Section("cluster", "Cluster.");
  absent.Refuse("name", "is needed");
  reader.Refuse("addresses", "at least one is needed");
  const std::string complaint = Complaint(reader);
  EXPECT_THAT(complaint, HasSubstr("tls.certificate_file: is needed beside key_file"));
  EXPECT_THAT(complaint, HasSubstr("cluster.name: is needed"));
  EXPECT_THAT(complaint, HasSubstr("addresses: at least one is needed"));

  auto empty = SettingsReader::Empty();
  empty.Refuse("addresses", "at least one is needed");
  EXPECT_EQ(Complaint(empty), "addresses: at least one is needed");
}

TEST(SettingsReader, EveryKindOfValueIsRead) {
  auto reader = Read(R"(
name: watch
port: 7070
ratio: 0.25
tls: true
timeout: 250ms
budget: 64MiB
topics: [events, findings]
smtp:
  host: mail.example.com
routes:
  - channel: mail
  - channel: webhook
)");
  EXPECT_EQ(reader.String("name", "", "Name."), "watch");
  EXPECT_EQ(reader.Integer("port", 1, 1, 65535, "Port."), 7070);
  EXPECT_EQ(reader.Number("ratio", 1, 0, 1, "Ratio."), 0.25);
  EXPECT_TRUE(reader.Boolean("tls", false, "TLS."));
  EXPECT_EQ(reader.Duration("timeout", seconds(1), milliseconds(1), hours(1), "Timeout."),
            milliseconds(250));
  EXPECT_EQ(reader.Bytes("budget", 1, 0, 1ull << 40, "Budget."), 64u << 20);
  EXPECT_THAT(reader.Strings("topics", {}, "Topics."), ElementsAre("events", "findings"));
  auto smtp = reader.Section("smtp", "Mail.");
  EXPECT_EQ(smtp.String("host", "", "Host."), "mail.example.com");
  auto routes = reader.Sections("routes", "Routes.");
  ASSERT_EQ(routes.size(), 2u);
  EXPECT_EQ(routes[1].String("channel", "", "Channel."), "webhook");
  EXPECT_EQ(routes[0].String("channel", "", "Channel."), "mail");
  EXPECT_TRUE(reader.Finish().ok()) << reader.Finish();
}

TEST(SettingsReader, WhatIsAbsentHasItsDefault) {
  auto reader = SettingsReader::Empty();
  EXPECT_EQ(reader.Integer("port", 7070, 0, 65535, "Port."), 7070);
  EXPECT_EQ(reader.Section("smtp", "Mail.").String("host", "localhost", "Host."), "localhost");
  EXPECT_TRUE(reader.Sections("routes", "Routes.").empty());
  EXPECT_TRUE(reader.Finish().ok());
}

TEST(SettingsReader, UnknownKeysAreErrorsWithTheirLine) {
  auto reader = Read("port: 1\nprot: 2\nsmtp:\n  hots: x\n");
  reader.Integer("port", 1, 0, 10, "Port.");
  reader.Section("smtp", "Mail.").String("host", "", "Host.");
  EXPECT_EQ(reader.Finish().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Complaint(reader), "line 2: prot: unknown key; line 4: smtp.hots: unknown key");
}

TEST(SettingsReader, EveryWrongValueIsNamedWithItsLineAndBounds) {
  auto reader = Read(
      "port: 70000\nratio: nan\ntls: maybe\ntimeout: 5 minutes\nbudget: 1kB\ntopics: x\n"
      "name: [a]\nsmtp: no\nroutes: 3\n");
  reader.Integer("port", 1, 1, 65535, "Port.");
  reader.Number("ratio", 1, 0, 1, "Ratio.");
  reader.Boolean("tls", false, "TLS.");
  reader.Duration("timeout", seconds(1), seconds(1), hours(1), "Timeout.");
  reader.Bytes("budget", 1, 0, 100, "Budget.");
  reader.Strings("topics", {}, "Topics.");
  reader.String("name", "", "Name.");
  reader.Section("smtp", "Mail.");
  reader.Sections("routes", "Routes.");
  const std::string complaint = Complaint(reader);
  for (const char* part :
       {"line 1: port: 1 to 65535", "line 2: ratio:", "line 3: tls:", "line 4: timeout:",
        "line 5: budget:", "line 6: topics:", "line 7: name:", "line 8: smtp: a map",
        "line 9: routes: a list of maps"}) {
    EXPECT_THAT(complaint, HasSubstr(part));
  }
}

TEST(SettingsReader, AKeyGivenTwiceIsAnError) {
  auto reader = Read("port: 1\nport: 2\n");
  reader.Integer("port", 1, 0, 10, "Port.");
  EXPECT_THAT(Complaint(reader), HasSubstr("line 2: port: given twice"));
}

TEST(SettingsReader, MalformedTextNamesItsLine) {
  auto reader = SettingsReader::FromYaml("a: 1\nb: [\n");
  EXPECT_THAT(std::string(Message(reader.status())), HasSubstr("line "));
  EXPECT_FALSE(SettingsReader::FromYaml("- a\n- b\n").ok());
  EXPECT_FALSE(SettingsReader::FromFile("/no/such/file").ok());
  EXPECT_TRUE(SettingsReader::FromYaml("").ok());
}

TEST(SettingsReader, ASecretComesFromAFileAndIsNeverShown) {
  const auto file =
      std::filesystem::temp_directory_path() / ("yagura-secret-" + std::to_string(::getpid()));
  std::ofstream(file) << "hunter2\n";
  auto reader = Read("password_file: " + file.string() + "\n");
  EXPECT_EQ(reader.Secret("password", "Password of the relay."), "hunter2");
  EXPECT_THAT(reader.Document(), Not(HasSubstr("hunter2")));
  EXPECT_TRUE(reader.Finish().ok());
  std::filesystem::remove(file);

  auto plain = Read("password: hunter2\n");
  plain.Secret("password", "Password of the relay.");
  EXPECT_THAT(Complaint(plain), HasSubstr("password: unknown key"));
  EXPECT_THAT(Complaint(plain), Not(HasSubstr("hunter2")));
  auto missing = Read("password_file: /no/such/file\n");
  missing.Secret("password", "Password of the relay.");
  EXPECT_THAT(Complaint(missing), HasSubstr("cannot read /no/such/file"));
}

TEST(SettingsReader, TheDocumentIsYamlThatReadsBackAsTheDefaults) {
  const auto declare = [](SettingsReader& reader) {
    reader.Integer("port", 7070, 0, 65535, "Port of the server.");
    reader.Duration("timeout", seconds(90), seconds(1), hours(1), "How long to wait.");
    auto smtp = reader.Section("smtp", "Mail.");
    smtp.String("host", "mail: \"x\"", "Relay.");
    smtp.Strings("to", {"a", "b"}, "Receivers.");
  };
  auto reader = SettingsReader::Empty();
  declare(reader);
  const std::string document = reader.Document();
  EXPECT_EQ(document,
            "# Port of the server. (0 to 65535)\nport: 7070\n\n"
            "# How long to wait. (1s to 1h)\ntimeout: 90s\n\n"
            "# Mail.\nsmtp:\n  # Relay.\n  host: \"mail: \\\"x\\\"\"\n"
            "  # Receivers.\n  to: [\"a\", \"b\"]\n");
  auto again = Read(document);
  declare(again);
  EXPECT_TRUE(again.Finish().ok()) << again.Finish();
}

TEST(Units, DurationsAndSizesReadBack) {
  for (const char* text : {"1ms", "30s", "90s", "5m", "12h", "7d", "0ms"}) {
    EXPECT_EQ(FormatDuration(ParseDuration(text).value()), text);
  }
  for (const char* text : {"0", "1000", "64KiB", "2GiB", "3TiB"}) {
    EXPECT_EQ(FormatBytes(ParseBytes(text).value()), text);
  }
  for (const char* text :
       {"", "s", "-1s", "1.5s", "1y", "99999999999999999999s", "9223372036854775807d", " 1s"}) {
    EXPECT_FALSE(ParseDuration(text)) << text;
  }
}

}  // namespace
}  // namespace yagura::config
