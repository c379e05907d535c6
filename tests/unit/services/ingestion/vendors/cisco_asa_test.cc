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
            "src=[10.1.0.5:51515 if inside] dst=[198.51.100.7:443 if outside] protocol=tcp in=4810 "
            "duration=30000ms session=4711 id=302014 at 2026-11-21T00:15:42Z");
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

TEST(CiscoAsaTest, ATeardownRunsToTheEndWithTheServicesPort) {
  EXPECT_EQ(CoreOf("<166>Nov 21 2026 09:15:42 asa1 : %ASA-6-302014: Teardown TCP connection "
                   "4711 for outside:198.51.100.7/51000 to dmz:10.2.0.8/443(LOCAL\\bob) "
                   "duration 26:00:30 bytes 4810 TCP Reset-O from outside"),
            "cisco.asa category=traffic severity=INFORMATIONAL action=ENDED "
            "src=[198.51.100.7:51000 if outside] dst=[10.2.0.8:443 if dmz] protocol=tcp "
            "in=4810 duration=93630000ms session=4711 host=asa1 id=302014 at "
            "2026-11-21T00:15:42Z");
  EXPECT_EQ(CoreOf("<166>Nov 21 2026 09:15:42 asa1 : %ASA-6-302016: Teardown UDP connection "
                   "12 for outside:203.0.113.53/53 to inside:10.1.0.5/51515 duration 0:02:01 "
                   "bytes 211"),
            "cisco.asa category=traffic severity=INFORMATIONAL action=ENDED "
            "src=[10.1.0.5:51515 if inside] dst=[203.0.113.53:53 if outside] protocol=udp "
            "in=211 duration=121000ms session=12 host=asa1 id=302016 at 2026-11-21T00:15:42Z");
  EXPECT_EQ(CoreOf("<166>Nov 21 2026 09:15:42 asa1 : %ASA-6-302304: Teardown TCP state-bypass "
                   "connection 7 from inside:10.1.0.5/51515 to outside:203.0.113.9/443 "
                   "duration 0:00:05 bytes 60 TCP FINs"),
            "cisco.asa category=traffic severity=INFORMATIONAL action=ENDED "
            "src=[10.1.0.5:51515 if inside] dst=[203.0.113.9:443 if outside] protocol=tcp "
            "in=60 duration=5000ms session=7 host=asa1 id=302304 at 2026-11-21T00:15:42Z");
  EXPECT_EQ(CoreOf("<166>Nov 21 2026 09:15:42 asa1 : %ASA-6-302014: Teardown TCP connection "
                   "15 for outside:203.0.113.53/1023 to inside:10.1.0.5/1024 duration "
                   "0:00:00 bytes 0 SYN Timeout"),
            "cisco.asa category=traffic severity=INFORMATIONAL action=ENDED "
            "src=[10.1.0.5:1024 if inside] dst=[203.0.113.53:1023 if outside] protocol=tcp "
            "duration=0ms session=15 host=asa1 id=302014 at 2026-11-21T00:15:42Z");
}

TEST(CiscoAsaTest, ATeardownOfLikePortsKeepsTheOrder) {
  EXPECT_EQ(CoreOf("<166>Nov 21 2026 09:15:42 asa1 : %ASA-6-302016: Teardown UDP connection "
                   "13 for outside:203.0.113.53/5500 to inside:10.1.0.5/4500 duration 0:02:01 "
                   "bytes 211"),
            "cisco.asa category=traffic severity=INFORMATIONAL action=ENDED "
            "src=[203.0.113.53:5500 if outside] dst=[10.1.0.5:4500 if inside] protocol=udp "
            "in=211 duration=121000ms session=13 host=asa1 id=302016 at 2026-11-21T00:15:42Z");
  EXPECT_EQ(CoreOf("<166>Nov 21 2026 09:15:42 asa1 : %ASA-6-302014: Teardown TCP connection "
                   "14 for outside:203.0.113.53/1024 to inside:10.1.0.5/65535 duration "
                   "0:00:00 bytes 0 SYN Timeout"),
            "cisco.asa category=traffic severity=INFORMATIONAL action=ENDED "
            "src=[203.0.113.53:1024 if outside] dst=[10.1.0.5:65535 if inside] protocol=tcp "
            "duration=0ms session=14 host=asa1 id=302014 at 2026-11-21T00:15:42Z");
  EXPECT_EQ(CoreOf("<166>Nov 21 2026 09:15:42 asa1 : %ASA-6-302018: Teardown GRE connection 3 "
                   "from inside:10.1.0.5 (198.51.100.1) to outside:203.0.113.9/100 duration "
                   "0:00:05 bytes 60"),
            "cisco.asa category=traffic severity=INFORMATIONAL action=ENDED src=[10.1.0.5 if "
            "inside] dst=[203.0.113.9 if outside] protocol=gre in=60 duration=5000ms "
            "session=3 host=asa1 id=302018 at 2026-11-21T00:15:42Z");
}

TEST(CiscoAsaTest, APingComesFromTheEndWithAnIdentifier) {
  EXPECT_EQ(CoreOf("<166>Nov 21 2026 09:15:42 asa1 : %ASA-6-302020: Built outbound ICMP "
                   "connection for faddr 203.0.113.9/0 gaddr 198.51.100.1/33 laddr "
                   "10.1.0.5/33 type 8 code 0"),
            "cisco.asa category=traffic severity=INFORMATIONAL action=STARTED src=[10.1.0.5 "
            "nat 198.51.100.1] dst=[203.0.113.9] protocol=icmp direction=outbound host=asa1 "
            "id=302020 at 2026-11-21T00:15:42Z");
  EXPECT_EQ(CoreOf("<166>Nov 21 2026 09:15:42 asa1 : %ASA-6-302020: Built inbound ICMP "
                   "connection for faddr 203.0.113.9/33 gaddr 198.51.100.1/0 laddr 10.1.0.5/0 "
                   "type 8 code 0"),
            "cisco.asa category=traffic severity=INFORMATIONAL action=STARTED "
            "src=[203.0.113.9] dst=[10.1.0.5 nat 198.51.100.1] protocol=icmp "
            "direction=inbound host=asa1 id=302020 at 2026-11-21T00:15:42Z");
  EXPECT_EQ(CoreOf("<166>Nov 21 2026 09:15:42 asa1 : %ASA-6-302021: Teardown ICMP connection "
                   "for faddr 203.0.113.9/0 gaddr 198.51.100.1/33 laddr 10.1.0.5/33 type 8 "
                   "code 0"),
            "cisco.asa category=traffic severity=INFORMATIONAL action=ENDED src=[10.1.0.5 nat "
            "198.51.100.1] dst=[203.0.113.9] protocol=icmp host=asa1 id=302021 at "
            "2026-11-21T00:15:42Z");
  EXPECT_EQ(CoreOf("<166>Nov 21 2026 09:15:42 asa1 : %ASA-6-302021: Teardown ICMP connection "
                   "for faddr 203.0.113.9/33 gaddr 198.51.100.1/0 laddr 10.1.0.5/0"),
            "cisco.asa category=traffic severity=INFORMATIONAL action=ENDED src=[203.0.113.9] "
            "dst=[10.1.0.5 nat 198.51.100.1] protocol=icmp host=asa1 id=302021 at "
            "2026-11-21T00:15:42Z");
}

TEST(CiscoAsaTest, AVpnSessionEndsWithWhatItMoved) {
  EXPECT_EQ(CoreOf("<164>Nov 21 2026 09:15:42 asa1 : %ASA-4-113019: Group = staff vpn, "
                   "Username = alice, IP = 203.0.113.70, Session disconnected. Session Type: "
                   "AnyConnect-Parent, Duration: 1d 2h:31m:59s, Bytes xmt: 1234, Bytes rcv: "
                   "5678, Reason: User Requested"),
            "cisco.asa category=vpn severity=MEDIUM action=ENDED src=[203.0.113.70] out=5678 "
            "in=1234 duration=95519000ms user=alice host=asa1 id=113019 at "
            "2026-11-21T00:15:42Z");
}

TEST(CiscoAsaTest, OtherDenialsHaveTheirEnds) {
  EXPECT_EQ(CoreOf("<163>Nov 21 2026 09:15:42 asa1 : %ASA-3-313001: Denied ICMP type=8, "
                   "code=0 from 203.0.113.9 on interface outside"),
            "cisco.asa category=traffic severity=HIGH action=BLOCKED src=[203.0.113.9 if "
            "outside] protocol=icmp host=asa1 id=313001 at 2026-11-21T00:15:42Z");
  EXPECT_EQ(CoreOf("<164>Nov 21 2026 09:15:42 asa1 : %ASA-4-313005: No matching connection "
                   "for ICMP error message: icmp src outside:203.0.113.9 dst inside:10.1.0.5 "
                   "(type 3, code 1) on outside interface.  Original IP payload: tcp src "
                   "10.1.0.5/51515 dst 203.0.113.9/443."),
            "cisco.asa category=traffic severity=MEDIUM action=BLOCKED src=[203.0.113.9 if "
            "outside] dst=[10.1.0.5 if inside] protocol=icmp host=asa1 id=313005 at "
            "2026-11-21T00:15:42Z");
  EXPECT_EQ(CoreOf("<161>Nov 21 2026 09:15:42 asa1 : %ASA-1-106021: Deny TCP reverse path "
                   "check from 203.0.113.9 to 10.1.0.5 on interface outside"),
            "cisco.asa category=traffic severity=CRITICAL action=BLOCKED src=[203.0.113.9 if "
            "outside] dst=[10.1.0.5] protocol=tcp host=asa1 id=106021 at 2026-11-21T00:15:42Z");
  EXPECT_EQ(CoreOf("<162>Nov 21 2026 09:15:42 asa1 : %ASA-2-106016: Deny IP spoof from "
                   "(203.0.113.9) to 10.1.0.5 on interface outside"),
            "cisco.asa category=traffic severity=HIGH action=BLOCKED src=[203.0.113.9 if "
            "outside] dst=[10.1.0.5] protocol=ip host=asa1 id=106016 at 2026-11-21T00:15:42Z");
  EXPECT_EQ(CoreOf("<166>Nov 21 2026 09:15:42 asa1 : %ASA-6-106015: Deny TCP (no connection) "
                   "from 10.1.0.5/51515 to 203.0.113.9/443 flags RST ACK  on interface inside"),
            "cisco.asa category=traffic severity=INFORMATIONAL action=BLOCKED "
            "src=[10.1.0.5:51515 if inside] dst=[203.0.113.9:443] protocol=tcp host=asa1 "
            "id=106015 at 2026-11-21T00:15:42Z");
}

TEST(CiscoAsaTest, WhatCouldNotBeForwardedHasItsEndsAndNoAction) {
  EXPECT_EQ(CoreOf("<166>Nov 21 2026 09:15:42 asa1 : %ASA-6-110003: Routing failed to locate "
                   "next hop for TCP from inside:10.1.0.5/51515 to outside:203.0.113.9/443"),
            "cisco.asa category=traffic severity=INFORMATIONAL src=[10.1.0.5:51515 if inside] "
            "dst=[203.0.113.9:443 if outside] protocol=tcp host=asa1 id=110003 at "
            "2026-11-21T00:15:42Z");
  EXPECT_EQ(CoreOf("<163>Nov 21 2026 09:15:42 asa1 : %ASA-3-305006: portmap translation "
                   "creation failed for udp src inside:10.1.0.5/51515 dst "
                   "outside:203.0.113.9/53"),
            "cisco.asa category=nat severity=HIGH src=[10.1.0.5:51515 if inside] "
            "dst=[203.0.113.9:53 if outside] protocol=udp host=asa1 id=305006 at "
            "2026-11-21T00:15:42Z");
  EXPECT_EQ(CoreOf("<164>Nov 21 2026 09:15:42 asa1 : %ASA-4-419002: Duplicate TCP SYN from "
                   "inside:10.1.0.5/51515 to outside:203.0.113.9/443 with different initial "
                   "sequence number"),
            "cisco.asa category=traffic severity=MEDIUM src=[10.1.0.5:51515 if inside] "
            "dst=[203.0.113.9:443 if outside] protocol=tcp host=asa1 id=419002 at "
            "2026-11-21T00:15:42Z");
}

TEST(CiscoAsaTest, AnAccessedPageHasItsUrl) {
  EXPECT_EQ(CoreOf("<165>Nov 21 2026 09:15:42 asa1 : %ASA-5-304001: alice@10.1.0.5 Accessed "
                   "URL 203.0.113.9:http://www.example.com/a?b=c"),
            "cisco.asa category=url severity=LOW action=ALLOWED src=[10.1.0.5] "
            "dst=[203.0.113.9] user=alice url=http://www.example.com/a?b=c host=asa1 "
            "id=304001 at 2026-11-21T00:15:42Z");
  EXPECT_EQ(CoreOf("<165>Nov 21 2026 09:15:42 asa1 : %ASA-5-304002: Access denied URL "
                   "http://www.example.com/ SRC 10.1.0.5 DEST 203.0.113.9 on interface inside"),
            "cisco.asa category=url severity=LOW action=BLOCKED src=[10.1.0.5 if inside] "
            "dst=[203.0.113.9] url=http://www.example.com/ host=asa1 id=304002 at "
            "2026-11-21T00:15:42Z");
}

TEST(CiscoAsaTest, ThreatsHaveWhomTheyConcern) {
  EXPECT_EQ(CoreOf("<164>Nov 21 2026 09:15:42 asa1 : %ASA-4-338002: Dynamic Filter monitored "
                   "blacklisted TCP traffic from inside:10.1.0.5/51515 (198.51.100.1/7000) to "
                   "outside:203.0.113.9/80 (203.0.113.9/80), destination 203.0.113.9 resolved "
                   "from dynamic list: bad.example, threat-level: very-high, category: Malware"),
            "cisco.asa category=botnet severity=MEDIUM action=DETECTED src=[10.1.0.5:51515 "
            "nat 198.51.100.1:7000 if inside] dst=[203.0.113.9:80 nat 203.0.113.9:80 if "
            "outside] protocol=tcp signature=bad.example host=asa1 id=338002 at "
            "2026-11-21T00:15:42Z");
  EXPECT_EQ(CoreOf("<164>Nov 21 2026 09:15:42 asa1 : %ASA-4-733101: Host 203.0.113.9 is "
                   "attacking. Current burst rate is 200 per second, max configured rate is "
                   "0; Current average rate is 0 per second, max configured rate is 0; "
                   "Cumulative total count is 2024"),
            "cisco.asa category=threat severity=MEDIUM action=DETECTED src=[203.0.113.9] "
            "host=asa1 id=733101 at 2026-11-21T00:15:42Z");
  EXPECT_EQ(CoreOf("<164>Nov 21 2026 09:15:42 asa1 : %ASA-4-733101: Subnet 10.1.0.0 is "
                   "targeted. Current burst rate is 200 per second, max configured rate is 0; "
                   "Current average rate is 0 per second, max configured rate is 0; "
                   "Cumulative total count is 2024"),
            "cisco.asa category=threat severity=MEDIUM action=DETECTED dst=[10.1.0.0] "
            "host=asa1 id=733101 at 2026-11-21T00:15:42Z");
}

TEST(CiscoAsaTest, ATypeOfIcmpIsANumber) {
  const auto event = ParseLine(
      "<163>Nov 21 2026 09:15:42 asa1 : %ASA-3-313001: Denied ICMP type=8, code=0 from 203.0.113.9 "
      "on interface outside");
  EXPECT_EQ(FieldOf(event, "icmp_type"), "8");
  EXPECT_EQ(FieldOf(event, "type"), "(absent)");
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
      "duration=2000ms rule=Deny, web user=bob url=http://a.example/ "
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
