#include "services/ingestion/domain/syslog_header.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/unit/services/ingestion/parse_line.h"

namespace yagura::ingestion {
namespace {

class SyslogHeaderTest : public ::testing::Test {
 protected:
  const SyslogHeader& Read(std::string_view line) {
    ReadSyslogHeader(line, At("2026-11-21T09:20:00Z"), SourceZone(), arena_, &header_);
    return header_;
  }
  std::string Summary(std::string_view line) {
    const SyslogHeader& header = Read(line);
    std::string text = std::to_string(header.priority);
    for (const std::string_view part :
         {header.host, header.program, header.process_id, header.message_id, header.body}) {
      text += "|" + std::string(part);
    }
    return text;
  }
  std::string Time(std::string_view line) {
    const auto& time = Read(line).time;
    return time ? FormatTime(*time) : "none";
  }

  TextArena arena_;
  SyslogHeader header_;
};

TEST_F(SyslogHeaderTest, Rfc3164InItsDialects) {
  EXPECT_EQ(Summary("<34>Nov 21 09:15:42 mymachine su: 'su root' failed for lonvick"),
            "34|mymachine|su|||'su root' failed for lonvick");
  EXPECT_EQ(Summary("<13> Nov  1 09:15:42 host sshd[42]: hello"), "13|host|sshd|42||hello");
  EXPECT_EQ(Summary("<13>Nov 21 09:15:42 sshd[42]: no host"), "13||sshd|42||no host");
  EXPECT_EQ(Summary("<13>Nov 21 09:15:42 host no tag here"), "13|host||||no tag here");
  EXPECT_EQ(Summary("<13>kernel: no time"), "13||kernel|||no time");
  EXPECT_EQ(Summary("<13>just text"), "13|||||just text");
  EXPECT_EQ(Summary("<13>*Nov 21 09:15:42.123: %SYS-5-CONFIG_I: text"),
            "13||%SYS-5-CONFIG_I|||text");
  EXPECT_EQ(Summary("<13>2026-11-21T09:15:42+09:00 fw1 /usr/sbin/cron[7]: job"),
            "13|fw1|/usr/sbin/cron|7||job");
  EXPECT_EQ(Summary("<13>Nov 21 09:15:42 2001:db8::1 prog: x"), "13|2001:db8::1|prog|||x");
  EXPECT_EQ(Summary("<13>Nov 21 09:15:42 fw date=2026-11-21 time=09:15:42"),
            "13|fw||||date=2026-11-21 time=09:15:42");
  EXPECT_EQ(Summary("<13>Nov 21 09:15:42 date=2026-11-21 time=09:15:42"),
            "13|||||date=2026-11-21 time=09:15:42");
}

TEST_F(SyslogHeaderTest, Rfc5424) {
  EXPECT_EQ(Summary("<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 "
                    "[exampleSDID@32473 iut=\"3\" eventSource=\"App\\\"l\\]\\\\\"][b@1] "
                    "\xef\xbb\xbf"
                    "An event"),
            "165|mymachine.example.com|evntslog||ID47|An event");
  ASSERT_EQ(header_.structured_data.size(), 3u);
  EXPECT_EQ(header_.structured_data[0].name, "exampleSDID@32473.iut");
  EXPECT_EQ(header_.structured_data[1].value, "App\"l]\\");
  EXPECT_EQ(header_.structured_data[2].name, "b@1");
  EXPECT_TRUE(header_.rfc5424);
  EXPECT_EQ(Time("<165>1 2003-10-11T22:14:15.003Z h a - - - m"), "2003-10-11T22:14:15.003Z");
  EXPECT_EQ(Summary("<165>1 - - - - - -"), "165|||||");
  EXPECT_EQ(Summary("<14>1 2026-11-21T09:15:42Z h app 1 m - text"), "14|h|app|1|m|text");
}

TEST_F(SyslogHeaderTest, BrokenStructuredDataStaysInTheBody) {
  EXPECT_EQ(Summary("<14>1 2026-11-21T09:15:42Z h app 1 m [id a=\"unfinished text"),
            "14|h|app|1|m|[id a=\"unfinished text");
  EXPECT_TRUE(header_.broken_structured_data);
  EXPECT_TRUE(header_.structured_data.empty());
}

TEST_F(SyslogHeaderTest, WhatIsNoHeaderIsTheBody) {
  EXPECT_EQ(Summary("date=2026-11-21 time=09:15:42"), "-1|||||date=2026-11-21 time=09:15:42");
  EXPECT_EQ(Summary("<192>text"), "-1|||||<192>text");
  EXPECT_EQ(Summary("<1x>text"), "-1|||||<1x>text");
  EXPECT_EQ(Summary(""), "-1|||||");
  EXPECT_EQ(Summary("{\"a\":1}"), "-1|||||{\"a\":1}");
}

TEST_F(SyslogHeaderTest, CiscoNumbersItsMessagesAndNamesItsZone) {
  EXPECT_EQ(Summary("<189>000123: *Nov 21 09:15:42.123: %SYS-5-CONFIG_I: text"),
            "189||%SYS-5-CONFIG_I|||text");
  EXPECT_EQ(Time("<189>000123: *Nov 21 09:15:42.123: %SYS-5-CONFIG_I: text"),
            "2026-11-21T09:15:42.123Z");
  EXPECT_EQ(Summary("<189>123: rtr1: .Nov 21 09:15:42: %SYS-5-CONFIG_I: text"),
            "189|rtr1|%SYS-5-CONFIG_I|||text");
  EXPECT_EQ(Summary("<189>rtr1: *Nov 21 09:15:42: %SYS-5-CONFIG_I: text"),
            "189|rtr1|%SYS-5-CONFIG_I|||text");
  EXPECT_EQ(Time("<189>12: Nov 21 18:15:42 JST: %SYS-5-CONFIG_I: text"), "2026-11-21T09:15:42Z");
  EXPECT_FALSE(header_.zone_used);
  EXPECT_EQ(Time("<189>12: Nov 21 04:15:42 EST: %SYS-5-CONFIG_I: text"), "2026-11-21T09:15:42Z");
  EXPECT_FALSE(header_.zone_used);
  EXPECT_EQ(Summary("<134>:Nov 21 09:15:42 UTC: %ASA-6-302015: Built"),
            "134||%ASA-6-302015|||Built");
  EXPECT_FALSE(header_.zone_used);
  // A tag is no zone, and a tag with a time behind it no Cisco.
  EXPECT_EQ(Summary("<13>Nov 21 09:15:42 ASM: text"), "13||ASM|||text");
  EXPECT_EQ(Summary("<13>app: Nov 21 09:15:42 text"), "13||app|||Nov 21 09:15:42 text");
}

TEST_F(SyslogHeaderTest, LettersOfAZoneAreNoHost) {
  EXPECT_EQ(Time("<189>000123: *Nov 21 10:15:42.123 CET: %SYS-5-CONFIG_I: text"),
            "2026-11-21T09:15:42.123Z");
  EXPECT_EQ(Summary("<189>Nov 21 10:15:42 CET h app: x"), "189|h|app|||x");
  EXPECT_EQ(Time("<189>Nov 21 10:15:42 CET h app: x"), "2026-11-21T09:15:42Z");
  EXPECT_EQ(Time("<189>Nov 21 12:15:42 MSK h app: x"), "2026-11-21T09:15:42Z");
  EXPECT_EQ(Time("<189>Nov 21 02:15:42 PDT h app: x"), "2026-11-21T09:15:42Z");
  EXPECT_EQ(Time("<189>Nov 20 21:15:42 2026 EDT h app: x"), "2026-11-21T01:15:42Z");
  EXPECT_FALSE(header_.zone_used);
  EXPECT_FALSE(header_.unknown_zone);
  // A host may be called as a zone is.
  EXPECT_EQ(Summary("<189>Nov 21 09:15:42 CET app: x"), "189|CET|app|||x");
  EXPECT_EQ(Time("<189>Nov 21 09:15:42 CET app: x"), "2026-11-21T09:15:42Z");
}

TEST_F(SyslogHeaderTest, LettersOfSeveralZonesAreTold) {
  EXPECT_EQ(Summary("<189>Nov 21 09:15:42 IST fw-1 app: x"), "189|fw-1|app|||x");
  EXPECT_EQ(Time("<189>Nov 21 09:15:42 IST fw sshd[42]: x"), "2026-11-21T09:15:42Z");
  EXPECT_EQ(header_.host, "fw");
  EXPECT_TRUE(header_.zone_used);
  EXPECT_TRUE(header_.unknown_zone);
  Read("<189>12: Nov 21 09:15:42 CST: %SYS-5-CONFIG_I: text");
  EXPECT_TRUE(header_.unknown_zone);
  // Words behind a host's name may be words.
  EXPECT_EQ(Summary("<13>Nov 21 09:15:42 FWA kernel error: x"), "13|FWA||||kernel error: x");
  EXPECT_EQ(Summary("<13>Nov 21 09:15:42 FWA sshd[42]: x"), "13|FWA|sshd|42||x");
  EXPECT_FALSE(header_.unknown_zone);
}

TEST_F(SyslogHeaderTest, AZoneThatTheSourceHasIsKnown) {
  constexpr std::string_view kLine = "<189>Nov 21 14:45:42 IST fw-1 sshd[42]: x";
  const auto at = [&](std::string_view zone) {
    return ParseLine(kLine, "2026-11-21T09:20:00Z", zone);
  };
  EXPECT_EQ(EventTime(at("Asia/Kolkata")), "2026-11-21T09:15:42Z");
  EXPECT_FALSE(HasFlaw(at("Asia/Kolkata"), event::v1::PARTLY_PARSED));
  EXPECT_TRUE(HasFlaw(at("Asia/Tokyo"), event::v1::PARTLY_PARSED));
  EXPECT_THAT(at("Asia/Tokyo").parse_error(), ::testing::HasSubstr("zone"));
  // What its own zone is called, whatever the letters mean elsewhere.
  EXPECT_EQ(EventTime(ParseLine("<189>Nov 21 17:15:42 PST fw-1 sshd[42]: x", "2026-11-21T09:20:00Z",
                                "Asia/Manila")),
            "2026-11-21T09:15:42Z");
}

TEST_F(SyslogHeaderTest, AHostInCapitalsBeforeAnAddressIsNoZone) {
  EXPECT_EQ(Summary("<13>Nov 21 09:15:42 VPN 10.0.0.1 login: accepted").find("13|VPN|"), 0u);
}

TEST_F(SyslogHeaderTest, TheYearMayStandBehindTheTime) {
  EXPECT_EQ(Summary("<13>Nov 21 09:15:42 2020 ap1 authmgr[7]: text"), "13|ap1|authmgr|7||text");
  EXPECT_EQ(Time("<13>Nov 21 09:15:42 2020 ap1 authmgr[7]: text"), "2020-11-21T09:15:42Z");
}

TEST_F(SyslogHeaderTest, ACountSince1970IsATimeWhereAHostFollows) {
  EXPECT_EQ(Summary("<134>1 1795220142.123456 mx1 flows src=10.1.0.5"),
            "134|mx1||||flows src=10.1.0.5");
  EXPECT_EQ(Time("<134>1795220142 mx1 urls x"), "2026-11-21T00:15:42Z");
  EXPECT_FALSE(header_.zone_used);
  EXPECT_EQ(Time("<134>1795220142.123     45 10.1.0.5 TCP_MISS/200 1 GET x"), "none");
}

TEST_F(SyslogHeaderTest, OtherDatesAndRelays) {
  EXPECT_EQ(Time("<13>2026/11/21 09:15:42 rt1 app: text"), "2026-11-21T09:15:42Z");
  EXPECT_EQ(Time("<13>2026-11-21 18:15:42 +0900 rt1 app: text"), "2026-11-21T09:15:42Z");
  EXPECT_EQ(Summary("<13>2026-11-21 18:15:42 +0900 rt1 app: text"), "13|rt1|app|||text");
  EXPECT_EQ(Summary("<13>Nov 21 09:15:42 Message forwarded from srv7: sshd[42]: text"),
            "13|srv7|sshd|42||text");
}

TEST_F(SyslogHeaderTest, ATagIsFoundBehindATimeThatIsNone) {
  EXPECT_EQ(Summary("<13>fw1 sshd[42]: text"), "13|fw1|sshd|42||text");
  EXPECT_EQ(Summary("<13>?? fw1 sshd[42]: text"), "13|fw1|sshd|42||text");
  EXPECT_EQ(Summary("<13>some words without a tag"), "13|||||some words without a tag");
  EXPECT_EQ(Summary("<13>error in module[3]: text"), "13|||||error in module[3]: text");
}

TEST_F(SyslogHeaderTest, LinesOfAFileHaveATimeButNoPriority) {
  EXPECT_EQ(Summary("Nov 21 09:15:42 host app[1]: text"), "-1|host|app|1||text");
  EXPECT_EQ(Summary("2026-11-21T09:15:42Z host app: text"), "-1|host|app|||text");
}

}  // namespace
}  // namespace yagura::ingestion
