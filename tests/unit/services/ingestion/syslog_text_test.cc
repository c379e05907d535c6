#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/unit/services/ingestion/parse_line.h"

namespace yagura::ingestion {
namespace {

namespace v1 = event::v1;

TEST(SyslogTextTest, HeaderAndPairsBecomeFields) {
  const v1::Event event = ParseLine(
      "<38>Nov 21 09:15:42 srv1 agent[4242]: session for=alice src=192.0.2.7, note=\"two words\" "
      "list=a,b;next=1");
  EXPECT_EQ(FieldsOf(event), (Pairs{{"facility", "auth"},
                                    {"severity", "info"},
                                    {"timestamp", "Nov 21 09:15:42"},
                                    {"hostname", "srv1"},
                                    {"appname", "agent"},
                                    {"procid", "4242"},
                                    {"for", "alice"},
                                    {"src", "192.0.2.7"},
                                    {"note", "two words"},
                                    {"list", "a,b"},
                                    {"next", "1"}}));
  EXPECT_EQ(event.product(), "generic.syslog");
  EXPECT_EQ(event.category(), "auth");
  EXPECT_EQ(event.severity(), v1::INFORMATIONAL);
  EXPECT_EQ(event.host(), "srv1");
  EXPECT_EQ(event.program(), "agent");
  EXPECT_EQ(EventTime(event), "2026-11-21T00:15:42Z");
  EXPECT_EQ(event.origin(), "192.0.2.1");
}

TEST(SyslogTextTest, StructuredDataBecomesFields) {
  const v1::Event event =
      ParseLine("<11>1 2026-11-21T09:15:42+09:00 h app 7 ID1 [x@1 k=\"v\"] text");
  EXPECT_EQ(FieldOf(event, "x@1.k"), "v");
  EXPECT_EQ(event.message(), "text");
  EXPECT_EQ(event.severity(), v1::HIGH);
  EXPECT_EQ(event.vendor_event_id(), "ID1");
}

TEST(SyslogTextTest, WhatNobodyKnowsIsKeptAsItIs) {
  const v1::Event event = ParseLine(std::string("what \0 is \xff this", 16));
  EXPECT_TRUE(HasFlaw(event, v1::UNPARSED));
  EXPECT_TRUE(HasFlaw(event, v1::NO_EVENT_TIME));
  EXPECT_EQ(event.product(), "unknown");
  EXPECT_EQ(event.raw(), std::string("what \0 is \xff this", 16));
  EXPECT_FALSE(event.parse_error().empty());
}

TEST(SyslogTextTest, ALevelIsNoHost) {
  const v1::Event error = ParseLine("2026-11-21 09:15:42 ERROR boom");
  EXPECT_EQ(error.host(), "");
  EXPECT_EQ(error.message(), "ERROR boom");
  EXPECT_EQ(error.severity(), v1::HIGH);
  EXPECT_EQ(FieldOf(error, "level"), "ERROR");
  EXPECT_EQ(FieldOf(error, "hostname"), "(absent)");
  for (const char* line :
       {"2026-11-21 09:15:42,123 WARN main: x=1", "2026-11-21T09:15:42Z info all is well",
        "2026-11-21 09:15:42 ERROR: boom", "2026-11-21 09:15:42 FATAL shop[12]: boom",
        "<14>2026-11-21 09:15:42 TRACE boom", "2026/11/21 09:15:42 debug db: boom",
        "2026-11-21 09:15:42.5 Severe boom"}) {
    const v1::Event event = ParseLine(line);
    EXPECT_EQ(event.host(), "") << line;
    EXPECT_EQ(event.program(), "") << line;
    EXPECT_NE(FieldOf(event, "level"), "(absent)") << line;
  }
  // Machines may be called so.
  const v1::Event host = ParseLine("<14>Nov 21 09:15:42 info sshd[7]: Connection closed");
  EXPECT_EQ(host.host(), "info");
  EXPECT_EQ(host.program(), "sshd");
  EXPECT_EQ(ParseLine("2026-11-21 09:15:42 fw1 up").host(), "fw1");
}

TEST(SyslogTextTest, AFixedParserIsNotSecondGuessed) {
  const v1::Event event = ParseLine("a=1 b=\"2 3\"", "2026-11-21T00:15:45Z", "", "fortigate");
  EXPECT_EQ(FieldsOf(event), (Pairs{{"a", "1"}, {"b", "2 3"}}));
}

TEST(SyslogTextTest, ANameMayStandInQuotes) {
  const v1::Event event = ParseLine(
      R"(<134>Core: @@306,changed,"apMac"="54:EC:2F:35:99:50","radio"="11g/n","a b"="c, d=e","x"="" y=1 z"q"="no" "=2)");
  const Pairs fields = FieldsOf(event);
  const Pairs read(fields.begin() + 3, fields.end());  // behind facility, severity, appname
  EXPECT_EQ(read, (Pairs{{"apMac", "54:EC:2F:35:99:50"},
                         {"radio", "11g/n"},
                         {"a b", "c, d=e"},
                         {"x", ""},
                         {"y", "1"}}));
}

TEST(SyslogTextTest, AValueMayStandInCurlyQuotes) {
  const v1::Event event =
      ParseLine("<134>dlp: Name=”test 2” Rules=“rule = 1” Open=”never closed Next=1");
  EXPECT_EQ(FieldOf(event, "Name"), "test 2");
  EXPECT_EQ(FieldOf(event, "Rules"), "rule = 1");
  EXPECT_EQ(FieldOf(event, "Open"), "”never");
  EXPECT_EQ(FieldOf(event, "Next"), "1");
}

TEST(SyslogTextTest, OversizedLinesAreCutAndMarked) {
  const v1::Event event = ParseLine("<13>x: " + std::string(100'000, 'a'));
  EXPECT_EQ(event.raw().size(), 64u * 1024);
  EXPECT_TRUE(HasFlaw(event, v1::TRUNCATED));
  EXPECT_LE(event.message().size(), 64u * 1024);
}

TEST(SyslogTextTest, OfAnOversizedRecordTheRawLineIsCutAndTheFieldsAreRead) {
  const std::string pad(200'000, 'a');
  const v1::Event event = ParseLine(R"({"timestamp":"2026-11-21T00:15:42Z","user":"ann","pad":")" +
                                    pad + R"(","src_ip":"192.0.2.66"})");
  EXPECT_EQ(event.raw().size(), 64u * 1024);
  EXPECT_TRUE(HasFlaw(event, v1::TRUNCATED));
  EXPECT_FALSE(HasFlaw(event, v1::PARTLY_PARSED)) << event.parse_error();
  EXPECT_EQ(event.user(), "ann");
  EXPECT_EQ(FieldOf(event, "pad").size(), pad.size());
  EXPECT_EQ(FieldOf(event, "src_ip"), "192.0.2.66");
  // Beyond 1 MiB nothing is read.
  const v1::Event huge =
      ParseLine("<13>x: a=1 pad=" + std::string(1 << 20, 'b') + " late=2", "2026-11-21T00:15:45Z");
  EXPECT_EQ(FieldOf(huge, "a"), "1");
  EXPECT_EQ(FieldOf(huge, "late"), "(absent)");
  EXPECT_TRUE(HasFlaw(huge, v1::TRUNCATED));
}

}  // namespace
}  // namespace yagura::ingestion
