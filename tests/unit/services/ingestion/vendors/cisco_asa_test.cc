#include "gtest/gtest.h"

#include "tests/unit/services/ingestion/vendors/core_text.h"

namespace yagura::ingestion {
namespace {

TEST(CiscoAsaTest, AnOutboundConnectionHasItsInsideAsSource) {
  EXPECT_EQ(CoreOf("<166>Nov 21 2026 09:15:42 asa1 : %ASA-6-302013: Built outbound TCP connection "
                   "4711 for outside:198.51.100.7/443 (198.51.100.7/443) to inside:10.1.0.5/51515 "
                   "(203.0.113.5/1024) (alice)"),
            "cisco.asa category=traffic severity=INFORMATIONAL action=STARTED "
            "src=[10.1.0.5:51515 nat 203.0.113.5:1024 if inside] "
            "dst=[198.51.100.7:443 nat 198.51.100.7:443 if outside] protocol=tcp user=alice "
            "session=4711 direction=outbound host=asa1 id=302013 at 2026-11-21T00:15:42Z");
}

TEST(CiscoAsaTest, AnInboundConnectionHasItsOutsideAsSource) {
  EXPECT_EQ(CoreOf("<166>Nov 21 2026 09:15:42 asa1 : %ASA-6-302015: Built inbound UDP connection 9 "
                   "for outside:198.51.100.9/5353 (198.51.100.9/5353) to dmz:10.2.0.8/53 "
                   "(203.0.113.8/53)"),
            "cisco.asa category=traffic severity=INFORMATIONAL action=STARTED "
            "src=[198.51.100.9:5353 nat 198.51.100.9:5353 if outside] "
            "dst=[10.2.0.8:53 nat 203.0.113.8:53 if dmz] protocol=udp "
            "session=9 direction=inbound host=asa1 id=302015 at 2026-11-21T00:15:42Z");
}

TEST(CiscoAsaTest, ATeardownEndsTheSession) {
  EXPECT_EQ(CoreOf("<166>Nov 21 2026 09:15:42: %ASA-6-302014: Teardown TCP connection 4711 for "
                   "outside:198.51.100.7/443 to inside:10.1.0.5/51515 duration 0:00:30 bytes 4810 "
                   "TCP FINs"),
            "cisco.asa category=traffic severity=INFORMATIONAL action=ENDED "
            "src=[198.51.100.7:443 if outside] dst=[10.1.0.5:51515 if inside] protocol=tcp in=4810 "
            "session=4711 program=%ASA-6-302014 id=302014 at 2026-11-21T00:15:42Z");
}

TEST(CiscoAsaTest, ADenialNamesItsAccessGroup) {
  EXPECT_EQ(CoreOf("<164>Nov 21 2026 09:15:42 asa1 : %ASA-4-106023: Deny tcp src "
                   "outside:203.0.113.9/4000 dst inside:10.1.0.8/22 by access-group "
                   "\"outside_in\" [0x0, 0x0]"),
            "cisco.asa category=traffic severity=MEDIUM action=BLOCKED "
            "src=[203.0.113.9:4000 if outside] dst=[10.1.0.8:22 if inside] protocol=tcp "
            "rule=outside_in host=asa1 id=106023 at 2026-11-21T00:15:42Z");
  EXPECT_EQ(
      CoreOf("<164>Nov 21 2026 09:15:42 asa1 : %ASA-6-106100: access-list acl_in denied udp "
             "inside/10.1.0.5(137) -> outside/203.0.113.9(53) hit-cnt 1 first hit [0x1, 0x0]"),
      "cisco.asa category=traffic severity=INFORMATIONAL action=BLOCKED "
      "src=[10.1.0.5:137 if inside] dst=[203.0.113.9:53 if outside] protocol=udp "
      "rule=acl_in host=asa1 id=106100 at 2026-11-21T00:15:42Z");
}

TEST(CiscoAsaTest, LogOnsAndTheirFailuresAreTold) {
  EXPECT_EQ(CoreOf("<166>Nov 21 2026 09:15:42 asa1 : %ASA-6-605005: Login permitted from "
                   "10.9.0.4/50022 to mgmt:10.9.0.1/ssh for user \"admin\""),
            "cisco.asa category=authentication severity=INFORMATIONAL action=LOGON "
            "src=[10.9.0.4:50022] dst=[10.9.0.1 if mgmt] app=ssh user=admin host=asa1 id=605005 at "
            "2026-11-21T00:15:42Z");
  EXPECT_EQ(
      CoreOf("<166>Nov 21 2026 09:15:42 asa1 : %ASA-6-113015: AAA user authentication Rejected "
             ": reason = Invalid password : local database : user = mallory : user IP = "
             "203.0.113.66"),
      "cisco.asa category=authentication severity=INFORMATIONAL action=LOGON_FAILED "
      "src=[203.0.113.66] user=mallory host=asa1 id=113015 at 2026-11-21T00:15:42Z");
}

TEST(CiscoAsaTest, AThreatDefenseConnectionIsReadFromItsPairs) {
  EXPECT_EQ(
      CoreOf(
          "<134>2026-11-21T00:15:42Z ftd1  %FTD-6-430003: AccessControlRuleAction: Block with "
          "reset, SrcIP: 10.1.0.5, DstIP: 203.0.113.7, SrcPort: 50000, DstPort: 80, Protocol: "
          "tcp, IngressZone: in, EgressZone: out, AccessControlRuleName: Deny, web, User: bob, "
          "ConnectionDuration: 2, InitiatorPackets: 3, ResponderPackets: 1, InitiatorBytes: 180, "
          "ResponderBytes: 60, URL: http://a.example/"),
      "cisco.ftd category=traffic severity=INFORMATIONAL action=BLOCKED src=[10.1.0.5:50000 zone "
      "in] "
      "dst=[203.0.113.7:80 zone out] protocol=tcp out=180 in=60 packets_out=3 packets_in=1 "
      "duration=2000ms rule=Deny, web user=bob url=http://a.example/ program=%FTD-6-430003 "
      "host=ftd1 "
      "id=430003 at 2026-11-21T00:15:42Z");
}

TEST(CiscoAsaTest, AMessageWithoutADescriptionKeepsItsText) {
  const auto event = ParseLine("<163>Nov 21 2026 09:15:42 asa1 : %ASA-3-199999: Something new");
  EXPECT_EQ(event.message(), "Something new");
  EXPECT_EQ(event.severity(), event::v1::HIGH);
  EXPECT_FALSE(HasFlaw(event, event::v1::PARTLY_PARSED));
}

}  // namespace
}  // namespace yagura::ingestion
