#include "gtest/gtest.h"

#include "tests/unit/services/ingestion/vendors/core_text.h"

namespace yagura::ingestion {
namespace {

TEST(SonicWallTest, AClosedConnectionHasItsCounts) {
  EXPECT_EQ(
      CoreOf(
          "<134>id=firewall sn=0017C5000001 time=\"2026-11-21 00:15:42 UTC\" fw=203.0.113.1 pri=6 "
          "c=1024 m=537 msg=\"Connection Closed\" f=2 n=31 src=10.1.0.5:51515:X0:pc5 "
          "dst=198.51.100.7:53:X1:dns.example proto=udp/dns sent=59 rcvd=134 spkt=1 rpkt=1 "
          "cdur=250 rule=\"12 (LAN->WAN)\""),
      "sonicwall.firewall category=traffic severity=INFORMATIONAL action=ENDED "
      "src=[10.1.0.5:51515 host pc5 if X0] dst=[198.51.100.7:53 host dns.example if X1] "
      "protocol=udp app=dns out=59 in=134 packets_out=1 packets_in=1 duration=250ms rule=12 "
      "(LAN->WAN) id=537 at 2026-11-21T00:15:42Z");
}

TEST(SonicWallTest, AnOpenedConnectionHasItsTranslation) {
  EXPECT_EQ(
      CoreOf(
          "<134>id=firewall sn=0017C5000001 time=\"2026-11-21 00:15:42 UTC\" fw=203.0.113.1 pri=6 "
          "c=262144 m=98 msg=\"Connection Opened\" n=32 src=10.1.0.5:51515:X0 "
          "dst=198.51.100.7:443:X1 proto=tcp/https natSrc=203.0.113.5:1024 "
          "srcMac=00:00:5e:00:53:01"),
      "sonicwall.firewall category=traffic severity=INFORMATIONAL action=STARTED "
      "src=[10.1.0.5:51515 nat 203.0.113.5:1024 if X0 mac 00:00:5e:00:53:01] "
      "dst=[198.51.100.7:443 if X1] protocol=tcp app=https id=98 at 2026-11-21T00:15:42Z");
}

TEST(SonicWallTest, ADroppedConnectionIsBlocked) {
  EXPECT_EQ(
      CoreOf(
          "<132>id=firewall sn=0017C5000001 time=\"2026-11-21 00:15:42 UTC\" fw=203.0.113.1 pri=5 "
          "c=64 m=36 msg=\"TCP connection dropped\" n=33 src=203.0.113.9:40000:X1 "
          "dst=203.0.113.1:23:X1 proto=tcp/telnet fw_action=\"drop\""),
      "sonicwall.firewall category=traffic severity=LOW action=BLOCKED "
      "src=[203.0.113.9:40000 if X1] dst=[203.0.113.1:23 if X1] protocol=tcp app=telnet "
      "id=36 at 2026-11-21T00:15:42Z");
}

TEST(SonicWallTest, APreventedIntrusionHasItsSignature) {
  EXPECT_EQ(
      CoreOf(
          "<129>id=firewall sn=0017C5000001 time=\"2026-11-21 00:15:42 UTC\" fw=203.0.113.1 pri=1 "
          "c=32 m=609 msg=\"IPS Prevention Alert: Example Scan\" sid=1234 ipscat=WEB-ATTACKS n=3 "
          "src=203.0.113.9:40000:X1 dst=10.1.0.8:80:X0 proto=tcp/http"),
      "sonicwall.firewall category=ips severity=CRITICAL action=BLOCKED "
      "src=[203.0.113.9:40000 if X1] dst=[10.1.0.8:80 if X0] protocol=tcp app=http "
      "signature_id=1234 signature=WEB-ATTACKS id=609 at 2026-11-21T00:15:42Z");
}

TEST(SonicWallTest, ADeniedAdministratorIsAFailedLogOn) {
  EXPECT_EQ(
      CoreOf(
          "<134>id=firewall sn=0017C5000001 time=\"2026-11-21 09:15:42\" fw=203.0.113.1 pri=6 "
          "c=16 m=30 msg=\"Administrator login denied due to bad credentials\" n=5 usr=\"admin\" "
          "src=10.9.0.4:0:X0 dst=10.9.0.1:443:X0 proto=tcp/https"),
      "sonicwall.firewall category=authentication severity=INFORMATIONAL "
      "action=LOGON_FAILED src=[10.9.0.4 if X0] dst=[10.9.0.1:443 if X0] protocol=tcp "
      "app=https user=admin id=30 at 2026-11-21T00:15:42Z");
}

}  // namespace
}  // namespace yagura::ingestion
