#include "gtest/gtest.h"

#include "tests/unit/services/ingestion/vendors/core_text.h"

namespace yagura::ingestion {
namespace {

TEST(YamahaRtxTest, TheInspectionTellsAFlow) {
  EXPECT_EQ(CoreOf("<134>Nov 21 09:15:42 rtx [INSPECT] PP[01][out][101] TCP 10.1.0.5:51515 > "
                   "198.51.100.7:443 (2026/11/21 09:15:40)"),
            "yamaha.rtx category=inspect severity=INFORMATIONAL src=[10.1.0.5:51515 if PP[01]] "
            "dst=[198.51.100.7:443] protocol=tcp rule=101 direction=outbound host=rtx at "
            "2026-11-21T00:15:42Z");
}

TEST(YamahaRtxTest, ARejectedPacketIsBlocked) {
  EXPECT_EQ(
      CoreOf("<134>Nov 21 09:15:42 rtx LAN2 Rejected at IN(2000) filter: TCP 203.0.113.9:40000 > "
             "198.51.100.1:22"),
      "yamaha.rtx severity=INFORMATIONAL action=BLOCKED src=[203.0.113.9:40000 if LAN2] "
      "dst=[198.51.100.1:22] protocol=tcp rule=2000 direction=inbound host=rtx at "
      "2026-11-21T00:15:42Z");
}

TEST(YamahaRtxTest, OtherMessagesHaveTheirModule) {
  EXPECT_EQ(CoreOf("<134>Nov 21 09:15:42 rtx [IKE] respond ISAKMP phase to 203.0.113.77"),
            "yamaha.rtx category=ike severity=INFORMATIONAL host=rtx at 2026-11-21T00:15:42Z");
}

TEST(YamahaRtxTest, ALogOnIsOne) {
  EXPECT_EQ(CoreOf("<134>Nov 21 09:15:42 rtx Login succeeded for SSH: 10.9.0.4 admin"),
            "yamaha.rtx severity=INFORMATIONAL action=LOGON src=[10.9.0.4] user=admin host=rtx at "
            "2026-11-21T00:15:42Z");
}

TEST(YamahaRtxTest, APassedPacketIsAllowed) {
  EXPECT_EQ(
      CoreOf("<134>Nov 21 09:15:42 rtx PP[01] Passed at OUT(2001) filter: UDP 10.1.0.5:40000 > "
             "198.51.100.53:domain"),
      "yamaha.rtx severity=INFORMATIONAL action=ALLOWED src=[10.1.0.5:40000 if PP[01]] "
      "dst=[198.51.100.53:53] protocol=udp rule=2001 direction=outbound host=rtx at "
      "2026-11-21T00:15:42Z");
}

TEST(YamahaRtxTest, LinesBeyondTheFirstAreToldApart) {
  EXPECT_EQ(CoreOf("<134>Nov 21 09:15:42 rtx PP[01] Rejected at IN(2000) filter: TCP "
                   "192.0.2.1:1 > 10.0.0.2:2"),
            "yamaha.rtx severity=INFORMATIONAL action=BLOCKED src=[192.0.2.1:1 if PP[01]] "
            "dst=[10.0.0.2:2] protocol=tcp rule=2000 direction=inbound host=rtx at "
            "2026-11-21T00:15:42Z");
  EXPECT_EQ(CoreOf("<134>PP[02] Rejected at IN(2000) filter: TCP 192.0.2.1:1 > 10.0.0.2:2"),
            "yamaha.rtx severity=INFORMATIONAL action=BLOCKED src=[192.0.2.1:1 if PP[02]] "
            "dst=[10.0.0.2:2] protocol=tcp rule=2000 direction=inbound at "
            "2026-11-21T00:15:45Z NO_EVENT_TIME");
  EXPECT_EQ(CoreOf("<134>Nov 21 09:15:42 rtx TUNNEL[1] Rejected at IN(2000) filter: TCP "
                   "192.0.2.1:1 > 10.0.0.2:2"),
            "yamaha.rtx severity=INFORMATIONAL action=BLOCKED src=[192.0.2.1:1 if TUNNEL[1]] "
            "dst=[10.0.0.2:2] protocol=tcp rule=2000 direction=inbound host=rtx at "
            "2026-11-21T00:15:42Z");
}

TEST(YamahaRtxTest, ALeaseIsOneAsOthersAre) {
  EXPECT_EQ(CoreOf("<134>Nov 21 09:15:42 rtx [DHCPD] LAN1(port1) Allocates 192.168.100.17: "
                   "00:a0:de:11:22:33"),
            "yamaha.rtx category=dhcp severity=INFORMATIONAL action=ALLOWED "
            "src=[192.168.100.17 if LAN1 mac 00:a0:de:11:22:33] host=rtx id=DHCPACK at "
            "2026-11-21T00:15:42Z");
  EXPECT_EQ(CoreOf("<134>Nov 21 09:15:42 rtx [DHCPD] LAN1(port1) Extends 192.168.100.17: "
                   "00:a0:de:11:22:33"),
            "yamaha.rtx category=dhcp severity=INFORMATIONAL action=ALLOWED "
            "src=[192.168.100.17 if LAN1 mac 00:a0:de:11:22:33] host=rtx id=DHCPACK at "
            "2026-11-21T00:15:42Z");
  EXPECT_EQ(CoreOf("<134>Nov 21 09:15:42 rtx [DHCPD] LAN1 has no address left"),
            "yamaha.rtx category=dhcp severity=INFORMATIONAL host=rtx at 2026-11-21T00:15:42Z");
}

}  // namespace
}  // namespace yagura::ingestion
