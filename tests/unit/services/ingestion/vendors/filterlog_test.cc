#include "gtest/gtest.h"

#include "tests/unit/services/ingestion/vendors/core_text.h"

namespace yagura::ingestion {
namespace {

TEST(FilterlogTest, ABlockedTcpPacketIsRead) {
  EXPECT_EQ(CoreOf("<134>Nov 21 09:15:42 pf1 filterlog[123]: "
                   "5,,,1000000103,em0,match,block,in,4,0x0,,64,12345,0,DF,6,tcp,60,203.0.113.9,"
                   "198.51.100.7,40000,22,0,S,123,,64240,,mss;sackOK"),
            "netgate.pfsense category=traffic severity=INFORMATIONAL action=BLOCKED "
            "src=[203.0.113.9:40000 if em0] dst=[198.51.100.7:22] protocol=tcp rule=1000000103 "
            "direction=inbound program=filterlog host=pf1 at 2026-11-21T00:15:42Z");
}

TEST(FilterlogTest, AnIpv6PacketIsRead) {
  EXPECT_EQ(CoreOf("<134>Nov 21 09:15:42 pf1 filterlog[123]: "
                   "5,,,1000000104,em0,match,pass,out,6,0x00,0x0,64,udp,17,80,2001:db8::5,2001:db8:"
                   ":53,40000,53,72"),
            "netgate.pfsense category=traffic severity=INFORMATIONAL action=ALLOWED "
            "src=[2001:db8::5:40000 if em0] dst=[2001:db8::53:53] protocol=udp rule=1000000104 "
            "direction=outbound program=filterlog host=pf1 at 2026-11-21T00:15:42Z");
}

TEST(FilterlogTest, ALineWithoutAProcessIdIsRead) {
  EXPECT_EQ(
      CoreOf(
          "<134>Nov 21 09:15:42 pf1 filterlog: "
          "9,,,0,igb1,match,pass,in,4,0x0,,128,1,0,none,17,udp,60,10.1.0.5,10.1.0.1,40000,53,40"),
      "netgate.pfsense category=traffic severity=INFORMATIONAL action=ALLOWED "
      "src=[10.1.0.5:40000 if igb1] dst=[10.1.0.1:53] protocol=udp rule=0 direction=inbound "
      "program=filterlog host=pf1 at 2026-11-21T00:15:42Z");
}

TEST(FilterlogTest, AnUnusualProtocolHasItsAddresses) {
  EXPECT_EQ(CoreOf("<134>Nov 21 09:15:42 pf1 filterlog[1]: "
                   "4,,,1000000003,em0,match,block,in,4,0x0,,1,0,0,none,2,igmp,32,10.1.0.9,224.0.0."
                   "1,datalength=8"),
            "netgate.pfsense category=traffic severity=INFORMATIONAL action=BLOCKED src=[10.1.0.9 "
            "if em0] dst=[224.0.0.1] protocol=igmp rule=1000000003 direction=inbound "
            "program=filterlog host=pf1 at 2026-11-21T00:15:42Z");
}

TEST(FilterlogTest, OpnSensesHeaderIsRead) {
  EXPECT_EQ(
      CoreOf("<134>1 2026-11-21T09:15:42+09:00 opn.example filterlog 1 - [meta sequenceId=\"1\"] "
             "82,,,02f4bab031b57d1e30553ce08e0ec131,vtnet0,match,pass,in,4,0x0,,64,0,0,DF,1,icmp,"
             "84,10.1.0.5,198.51.100.7,request,1,2"),
      "netgate.pfsense category=traffic severity=INFORMATIONAL action=ALLOWED src=[10.1.0.5 "
      "if vtnet0] dst=[198.51.100.7] protocol=icmp rule=02f4bab031b57d1e30553ce08e0ec131 "
      "direction=inbound program=filterlog host=opn.example at 2026-11-21T00:15:42Z");
}

}  // namespace
}  // namespace yagura::ingestion
