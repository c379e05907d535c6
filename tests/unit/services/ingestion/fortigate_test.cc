#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/unit/services/ingestion/parse_line.h"

namespace yagura::ingestion {
namespace {

namespace v1 = event::v1;

TEST(FortigateTest, ATrafficLineBecomesTheTypedCore) {
  const v1::Event event = ParseLine(
      "<189>date=2026-11-21 time=09:15:42 devname=\"fw-edge-01\" devid=\"FGT60FTK00000001\" "
      "eventtime=1795220142123456789 tz=\"+0900\" logid=\"0000000013\" type=\"traffic\" "
      "subtype=\"forward\" level=\"notice\" vd=\"root\" srcip=10.1.0.5 srcport=51515 "
      "srcintf=\"port2\" srcmac=\"00:00:5E:00:53:01\" srcname=\"pc5\" dstip=198.51.100.7 "
      "dstport=443 dstintf=\"wan1\" srccountry=\"Reserved\" dstcountry=\"Japan\" sessionid=4711 "
      "proto=6 action=\"close\" policyid=12 policyname=\"out\" service=\"HTTPS\" trandisp=\"snat\" "
      "transip=203.0.113.5 transport=51515 duration=30 sentbyte=1200 rcvdbyte=34000 sentpkt=10 "
      "rcvdpkt=30 user=\"alice\"");
  EXPECT_EQ(event.product(), "fortinet.fortigate");
  EXPECT_EQ(event.category(), "traffic");
  EXPECT_EQ(event.severity(), v1::LOW);
  EXPECT_EQ(event.action(), v1::ENDED);
  EXPECT_EQ(Ip(event.src().ip()), "10.1.0.5");
  EXPECT_EQ(event.src().port(), 51515u);
  EXPECT_EQ(event.src().interface(), "port2");
  EXPECT_EQ(event.src().mac(), "00:00:5e:00:53:01");
  EXPECT_EQ(event.src().host(), "pc5");
  EXPECT_EQ(event.src().country(), "Reserved");
  EXPECT_EQ(Ip(event.src().translated_ip()), "203.0.113.5");
  EXPECT_EQ(event.src().translated_port(), 51515u);
  EXPECT_EQ(Ip(event.dst().ip()), "198.51.100.7");
  EXPECT_EQ(event.dst().port(), 443u);
  EXPECT_EQ(event.dst().interface(), "wan1");
  EXPECT_EQ(event.dst().country(), "Japan");
  EXPECT_TRUE(event.dst().translated_ip().empty());
  EXPECT_EQ(event.protocol(), "tcp");
  EXPECT_EQ(event.app(), "https");
  EXPECT_EQ(event.bytes_out(), 1200u);
  EXPECT_EQ(event.bytes_in(), 34000u);
  EXPECT_EQ(event.packets_out(), 10u);
  EXPECT_EQ(event.packets_in(), 30u);
  EXPECT_EQ(event.duration().seconds(), 30);
  EXPECT_EQ(event.rule(), "12");
  EXPECT_EQ(event.user(), "alice");
  EXPECT_EQ(event.session(), "4711");
  EXPECT_EQ(event.virtual_context(), "root");
  EXPECT_EQ(event.host(), "fw-edge-01");
  EXPECT_EQ(event.vendor_event_id(), "0000000013");
  EXPECT_EQ(EventTime(event), "2026-11-21T00:15:42.123456789Z");
  EXPECT_EQ(event.fields_size(), 36);
  EXPECT_EQ(event.fields(2).name(), "devname");
  EXPECT_EQ(event.fields(2).value(), "fw-edge-01");
  EXPECT_EQ(event.flaws_size(), 0);
}

struct ActionCase {
  const char* fields;
  v1::Action action;
};
class FortigateActionTest : public ::testing::TestWithParam<ActionCase> {};
TEST_P(FortigateActionTest, IsRead) {
  EXPECT_EQ(ParseLine(std::string("date=2026-11-21 time=09:15:42 devid=FGT60FTK00000001 logid=1 ") +
                      GetParam().fields)
                .action(),
            GetParam().action);
}
INSTANTIATE_TEST_SUITE_P(
    All, FortigateActionTest,
    ::testing::Values(ActionCase{"type=traffic action=deny", v1::BLOCKED},
                      ActionCase{"type=traffic action=accept", v1::ALLOWED},
                      ActionCase{"type=traffic action=start", v1::STARTED},
                      ActionCase{"type=traffic action=timeout", v1::ENDED},
                      ActionCase{"type=traffic action=close utmaction=block", v1::BLOCKED},
                      ActionCase{"type=utm subtype=ips action=dropped", v1::BLOCKED},
                      ActionCase{"type=utm subtype=ips action=detected", v1::DETECTED},
                      ActionCase{"type=utm subtype=webfilter action=passthrough", v1::ALLOWED},
                      ActionCase{"type=utm subtype=webfilter action=blocked", v1::BLOCKED},
                      ActionCase{"type=event action=login status=failed", v1::LOGON_FAILED},
                      ActionCase{"type=event action=login status=success", v1::LOGON},
                      ActionCase{"type=event action=ssl-login-fail", v1::LOGON_FAILED},
                      ActionCase{"type=event action=Edit cfgpath=firewall.policy", v1::CHANGED},
                      ActionCase{"type=event action=perf-stats", v1::ACTION_UNSPECIFIED}));

TEST(FortigateTest, AnIntrusionHasItsSignature) {
  const v1::Event event = ParseLine(
      "date=2026-11-21 time=09:15:42 devname=fw devid=FGT60FTK00000001 logid=0419016384 type=utm "
      "subtype=ips level=alert vd=dmz severity=critical srcip=203.0.113.9 dstip=10.1.0.8 "
      "action=dropped proto=17 attack=\"Some.Attack\" attackid=51006 direction=incoming "
      "msg=\"web: Some.Attack\"");
  EXPECT_EQ(event.severity(), v1::CRITICAL);
  EXPECT_EQ(event.signature(), "Some.Attack");
  EXPECT_EQ(event.signature_id(), "51006");
  EXPECT_EQ(event.direction(), "inbound");
  EXPECT_EQ(event.protocol(), "udp");
  EXPECT_EQ(event.message(), "web: Some.Attack");
  EXPECT_EQ(EventTime(event), "2026-11-21T00:15:42Z") << "no tz: the source's zone";
}

TEST(FortigateTest, AUrlOfPathAndHostIsJoined) {
  const v1::Event event = ParseLine(
      "date=2026-11-21 time=09:15:42 devid=FGT60FTK00000001 logid=1 type=utm subtype=webfilter "
      "hostname=\"www.example.com\" url=\"/a?b=c d\" action=blocked");
  EXPECT_EQ(event.url(), "www.example.com/a?b=c d");
  EXPECT_EQ(event.dst().host(), "www.example.com");
  EXPECT_EQ(FieldOf(event, "url"), "/a?b=c d");
}

TEST(FortigateTest, QuotedValuesAreUnescaped) {
  const v1::Event event = ParseLine(
      R"(date=2026-11-21 devid=FGT60FTK00000001 logid=1 msg="say \"hi\" user=x" path="C:\\dir" )"
      R"(share="C:\temp\new" empty="" bare= last=1)");
  EXPECT_EQ(FieldsOf(event), (Pairs{{"date", "2026-11-21"},
                                    {"devid", "FGT60FTK00000001"},
                                    {"logid", "1"},
                                    {"msg", "say \"hi\" user=x"},
                                    {"path", "C:\\dir"},
                                    {"share", "C:\\temp\\new"},
                                    {"empty", ""},
                                    {"bare", ""},
                                    {"last", "1"}}));
  EXPECT_FALSE(HasFlaw(event, v1::PARTLY_PARSED));
}

TEST(FortigateTest, AValueThatEndsWithABackslashDoesNotSwallowTheLine) {
  const v1::Event event =
      ParseLine(R"(date=2026-11-21 devid=FGT60FTK00000001 logid=1 path="C:\dir\" action=x)");
  EXPECT_EQ(FieldOf(event, "path"), "C:\\dir\\");
  EXPECT_EQ(FieldOf(event, "action"), "x");
}

TEST(FortigateTest, TheCsvFormatIsRead) {
  const v1::Event event = ParseLine(
      "<189>date=2026-11-21,time=09:15:42,devname=\"fw 1\",devid=\"FGT60FTK00000001\",logid=\"1\","
      "type=\"traffic\",action=\"deny\",msg=\"a, b\"");
  EXPECT_EQ(event.action(), v1::BLOCKED);
  EXPECT_EQ(FieldOf(event, "msg"), "a, b");
  EXPECT_EQ(FieldOf(event, "devname"), "fw 1");
}

TEST(FortigateTest, WhatCannotBeReadIsMarkedAndTheRestKept) {
  const v1::Event event = ParseLine(
      "date=2026-11-21 time=99:15:42 devid=FGT60FTK00000001 logid=1 stray words action=x "
      "msg=\"no end");
  EXPECT_TRUE(HasFlaw(event, v1::PARTLY_PARSED));
  EXPECT_FALSE(event.parse_error().empty());
  EXPECT_EQ(FieldOf(event, "action"), "x");
  EXPECT_EQ(FieldOf(event, "msg"), "no end");
  EXPECT_TRUE(HasFlaw(event, v1::NO_EVENT_TIME));
  EXPECT_EQ(EventTime(event), "2026-11-21T00:15:45Z") << "the receive time";
}

TEST(FortigateTest, AClockThatIsFarOffIsFlaggedAndKept) {
  const v1::Event event = ParseLine(
      "date=2020-01-01 time=00:00:00 tz=+0000 devid=FGT60FTK00000001 logid=1 type=traffic");
  EXPECT_TRUE(HasFlaw(event, v1::CLOCK_ERROR));
  EXPECT_EQ(EventTime(event), "2020-01-01T00:00:00Z");
}

TEST(FortigateTest, FortiwebIsToldApart) {
  const v1::Event event = ParseLine(
      "<134> Nov 21 09:15:42 fortiweb date=2026-11-21 time=09:15:42 devname=waf log_id=20000010 "
      "device_id=FV-1KD3A15800072 vd=\"root\" type=attack pri=alert proto=tcp action=Alert_Deny "
      "policy=\"web\" src=203.0.113.6 src_port=60554 dst=10.0.9.13 dst_port=80 "
      "http_host=\"www.example.com\" http_url=\"/x\" signature_id=\"060150002\"");
  EXPECT_EQ(event.product(), "fortinet.fortiweb");
  EXPECT_EQ(event.action(), v1::BLOCKED);
  EXPECT_EQ(Ip(event.src().ip()), "203.0.113.6");
  EXPECT_EQ(event.dst().port(), 80u);
  EXPECT_EQ(event.rule(), "web");
  EXPECT_EQ(event.url(), "www.example.com/x");
  EXPECT_EQ(event.signature_id(), "060150002");
  EXPECT_EQ(event.severity(), v1::CRITICAL);
}

TEST(FortigateTest, BytesThatAreNotUtf8AreKeptExactly) {
  const v1::Event event = ParseLine(
      "date=2026-11-21 devid=FGT60FTK00000001 logid=1 user=\"\x83\x65\" msg=\"\xff\xfe\"");
  EXPECT_EQ(FieldOf(event, "user"), "\x83\x65");
  EXPECT_EQ(event.message(), "\xff\xfe");
  EXPECT_EQ(event.user(),
            "\xef\xbf\xbd"
            "e");
  EXPECT_NE(event.raw().find("\x83\x65"), std::string::npos);
}

}  // namespace
}  // namespace yagura::ingestion
