#include "gtest/gtest.h"

#include "tests/unit/services/ingestion/vendors/core_text.h"

namespace yagura::ingestion {
namespace {

TEST(CiscoFirepowerTest, ABlockedConnection) {
  const auto event = ParseLine(
      "<134>Nov 21 09:15:42 fmc1 SFIMS: Protocol: TCP, SrcIP: 10.1.0.5, OriginalClientIP: ::, "
      "DstIP: "
      "198.51.100.7, SrcPort: 47097, DstPort: 443, TCPFlags: 0x0, DE: Primary Detection Engine "
      "(asdf), Policy: edge, ConnectType: Start, AccessControlRuleName: Block all, "
      "AccessControlRuleAction: Block with reset, Prefilter Policy: Default Prefilter Policy, "
      "InitiatorPackets: 1, ResponderPackets: 0, InitiatorBytes: 66, ResponderBytes: 0");
  EXPECT_EQ(CoreText(event),
            "cisco.ftd category=traffic severity=INFORMATIONAL action=BLOCKED src=[10.1.0.5:47097] "
            "dst=[198.51.100.7:443] protocol=tcp out=66 packets_out=1 rule=Block all program=SFIMS "
            "host=fmc1 at 2026-11-21T00:15:42Z");
  EXPECT_EQ(FieldOf(event, "Prefilter Policy"), "Default Prefilter Policy");
  EXPECT_EQ(FieldOf(event, "DE"), "Primary Detection Engine (asdf)");
}

TEST(CiscoFirepowerTest, AnAllowedConnectionWithUserAndUrl) {
  EXPECT_EQ(
      CoreOf(
          "<134>Nov 21 09:15:42 fmc1 SFIMS: Protocol: UDP, SrcIP: 10.1.0.5, DstIP: 198.51.100.7, "
          "SrcPort: 5353, DstPort: 53, IngressZone: in, EgressZone: out, User: alice, "
          "ApplicationProtocol: DNS, URL: http://www.example.com/, AccessControlRuleName: Out, "
          "AccessControlRuleAction: Allow"),
      "cisco.ftd category=traffic severity=INFORMATIONAL action=ALLOWED src=[10.1.0.5:5353 zone "
      "in] "
      "dst=[198.51.100.7:53 zone out] protocol=udp app=dns rule=Out user=alice "
      "url=http://www.example.com/ program=SFIMS host=fmc1 at 2026-11-21T00:15:42Z");
}

TEST(CiscoFirepowerTest, AnIntrusion) {
  EXPECT_EQ(
      CoreOf("<129>Nov 21 09:15:42 fmc1 SFIMS: [1:2034647:2] \"Example exploit\" [Impact: "
             "Vulnerable] From \"ips1\" at Sat Nov 21 00:15:42 2026 UTC [Classification: Attempted "
             "Administrator Privilege Gain] [Priority: 1] {tcp} 192.0.2.66:40222 (unknown)->"
             "10.1.0.80:80 (unknown)"),
      "cisco.ftd category=ips severity=HIGH action=DETECTED src=[192.0.2.66:40222] "
      "dst=[10.1.0.80:80] protocol=tcp signature_id=2034647 signature=Example exploit "
      "program=SFIMS host=fmc1 at 2026-11-21T00:15:42Z");
}

TEST(CiscoFirepowerTest, WhatWouldHaveBeenDropped) {
  EXPECT_EQ(CoreOf("<134>Nov 21 09:15:42 fmc1 SFIMS: Protocol: TCP, SrcIP: 192.0.2.66, DstIP: "
                   "10.1.0.80, InlineResult: Would have dropped"),
            "cisco.ftd category=traffic severity=INFORMATIONAL action=DETECTED src=[192.0.2.66] "
            "dst=[10.1.0.80] protocol=tcp program=SFIMS host=fmc1 at 2026-11-21T00:15:42Z");
}

TEST(CiscoFirepowerTest, TheDevicesOwnMessageHasItsNumber) {
  EXPECT_EQ(CoreOf("<113>2026-11-21T00:15:42Z ftd1 %FTD-1-430002: EventPriority: Low, DeviceUUID: "
                   "a-b, InstanceID: 5, ConnectionID: 77, AccessControlRuleAction: Block, SrcIP: "
                   "10.1.0.5, DstIP: 198.51.100.7, SrcPort: 40222, DstPort: 23, Protocol: tcp, "
                   "IngressInterface: inside, EgressInterface: outside"),
            "cisco.ftd category=traffic severity=CRITICAL action=BLOCKED src=[10.1.0.5:40222 if "
            "inside] dst=[198.51.100.7:23 if outside] protocol=tcp session=77 "
            "host=ftd1 id=430002 at 2026-11-21T00:15:42Z");
}

}  // namespace
}  // namespace yagura::ingestion
