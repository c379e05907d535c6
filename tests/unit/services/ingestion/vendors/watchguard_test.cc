#include "gtest/gtest.h"

#include "tests/unit/services/ingestion/vendors/core_text.h"

namespace yagura::ingestion {
namespace {

TEST(WatchGuardTest, ADeniedPacketNamesItsPolicy) {
  EXPECT_EQ(
      CoreOf("<140>Nov 21 09:15:42 Firebox 80B101234 firewall: msg_id=\"3000-0148\" Deny 1-Trusted "
             "0-External 52 tcp 20 127 10.0.1.2 198.51.100.7 51515 443 offset 8 S 123 win 32 "
             "(Unhandled Internal Packet-00)"),
      "watchguard.firebox severity=MEDIUM action=BLOCKED src=[10.0.1.2:51515 if 1-Trusted] "
      "dst=[198.51.100.7:443 if 0-External] protocol=tcp rule=Unhandled Internal Packet-00 "
      "host=Firebox id=3000-0148 at 2026-11-21T00:15:42Z");
}

TEST(WatchGuardTest, AnAllowedFlowHasItsTranslation) {
  EXPECT_EQ(
      CoreOf(
          "<142>Nov 21 09:15:42 Firebox 80B101234 firewall: msg_id=\"3000-0148\" Allow 1-Trusted "
          "0-External 60 udp 20 63 10.0.1.2 198.51.100.53 40000 53 src_ip_nat=\"203.0.113.5\" "
          "src_port_nat=\"1024\" geo_dst=\"JPN\" duration=\"5\" sent_bytes=\"60\" "
          "rcvd_bytes=\"120\" "
          "(DNS-00)"),
      "watchguard.firebox severity=INFORMATIONAL action=ALLOWED src=[10.0.1.2:40000 nat "
      "203.0.113.5:1024 if 1-Trusted] dst=[198.51.100.53:53 if 0-External] protocol=udp "
      "out=60 in=120 duration=5000ms rule=DNS-00 host=Firebox id=3000-0148 at "
      "2026-11-21T00:15:42Z");
}

TEST(WatchGuardTest, AProxyTellsTheUrl) {
  EXPECT_EQ(
      CoreOf("<142>Nov 21 09:15:42 Firebox 80B101234 http-proxy[2]: msg_id=\"1AFF-0024\" Allow "
             "1-Trusted 0-External tcp 10.0.1.2 198.51.100.7 51515 80 msg=\"HTTP request\" "
             "proxy_act=\"HTTP-Client\" op=\"GET\" dstname=\"www.example.com\" arg=\"/index.html\" "
             "sent_bytes=\"100\" rcvd_bytes=\"2000\" app_name=\"Web\" (HTTP-proxy-00)"),
      "watchguard.firebox severity=INFORMATIONAL action=ALLOWED src=[10.0.1.2:51515 if "
      "1-Trusted] dst=[198.51.100.7:80 host www.example.com if 0-External] protocol=tcp "
      "app=web out=100 in=2000 rule=HTTP-proxy-00 url=www.example.com/index.html "
      "host=Firebox id=1AFF-0024 at 2026-11-21T00:15:42Z");
}

TEST(WatchGuardTest, AnEchoRequestHasNoPorts) {
  EXPECT_EQ(
      CoreOf(
          "<140>Nov 21 09:15:42 Firebox 80B101234 firewall: msg_id=\"3000-0150\" Deny 0-External "
          "Firebox 84 icmp 20 50 203.0.113.9 203.0.113.1 8 0 (Unhandled External Packet-00)"),
      "watchguard.firebox severity=MEDIUM action=BLOCKED src=[203.0.113.9 if 0-External] "
      "dst=[203.0.113.1 if Firebox] protocol=icmp rule=Unhandled External Packet-00 "
      "host=Firebox id=3000-0150 at 2026-11-21T00:15:42Z");
}

TEST(WatchGuardTest, ADroppedIntrusionHasItsSignature) {
  EXPECT_EQ(
      CoreOf("<140>Nov 21 09:15:42 Firebox 80B101234 http-proxy[2]: msg_id=\"1AFF-0034\" Drop "
             "0-External 1-Trusted tcp 203.0.113.9 10.0.1.8 40000 80 msg=\"ProxyDrop: HTTP IPS "
             "match\" signature_name=\"WEB Example Injection\" signature_id=\"1051234\" "
             "severity=\"5\" "
             "(HTTP-in-00)"),
      "watchguard.firebox severity=MEDIUM action=BLOCKED src=[203.0.113.9:40000 if "
      "0-External] dst=[10.0.1.8:80 if 1-Trusted] protocol=tcp rule=HTTP-in-00 "
      "signature_id=1051234 signature=WEB Example Injection host=Firebox id=1AFF-0034 at "
      "2026-11-21T00:15:42Z");
}

}  // namespace
}  // namespace yagura::ingestion
