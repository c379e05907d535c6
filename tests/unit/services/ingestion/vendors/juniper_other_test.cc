// Junos of switches and routers, and ScreenOS.
#include "gtest/gtest.h"

#include "tests/unit/services/ingestion/vendors/core_text.h"

namespace yagura::ingestion {
namespace {

TEST(JunosTest, ALinkGoesDown) {
  const auto event = ParseLine(
      "<28>Nov 21 09:15:42 sw1 mib2d[1234]: SNMP_TRAP_LINK_DOWN: ifIndex 584, ifAdminStatus up(1), "
      "ifOperStatus down(2), ifName ge-0/0/45");
  EXPECT_EQ(CoreText(event),
            "juniper.junos category=system severity=MEDIUM src=[if ge-0/0/45] program=mib2d "
            "host=sw1 id=SNMP_TRAP_LINK_DOWN at 2026-11-21T00:15:42Z");
  EXPECT_EQ(FieldOf(event, "oper_status"), "down(2)");
}

TEST(JunosTest, ACommitIsAChange) {
  EXPECT_EQ(CoreOf("<189>Nov 21 09:15:42 sw1 mgd[4242]: UI_COMMIT: User 'alice' requested 'commit' "
                   "operation (comment: none)"),
            "juniper.junos category=config severity=LOW action=CHANGED user=alice program=mgd "
            "host=sw1 id=UI_COMMIT at 2026-11-21T00:15:42Z");
}

TEST(JunosTest, AFailedLogOn) {
  const auto event = ParseLine(
      "<37>Nov 21 09:15:42 sw1 sshd[4242]: SSHD_LOGIN_FAILED: Login failed for user 'root' from "
      "host '192.0.2.66'");
  EXPECT_EQ(event.action(), event::v1::LOGON_FAILED);
}

TEST(JunosTest, AFilterThatDiscards) {
  EXPECT_EQ(CoreOf("<190>Nov 21 09:15:42 sw1 fpc0: PFE_FW_SYSLOG_ETH_IP: FW: xe-0/0/3.0   D 0800 "
                   "00:00:5e:00:53:01 -> 00:00:5e:00:53:02  tcp 192.0.2.66 10.1.0.80 36146  22 (1 "
                   "packets)"),
            "juniper.junos category=traffic severity=INFORMATIONAL action=BLOCKED "
            "src=[192.0.2.66:36146 if xe-0/0/3.0] dst=[10.1.0.80:22] protocol=tcp packets_out=1 "
            "program=fpc0 host=sw1 id=PFE_FW_SYSLOG_ETH_IP at 2026-11-21T00:15:42Z");
}

TEST(JunosTest, ASpoofedArp) {
  EXPECT_EQ(CoreOf("<28>Nov 21 09:15:42 sw1 eswd[7]: ESWD_DAI_FAILED: 12 ARP_REQUEST received, "
                   "interface ge-0/0/8.0[index 76], vlan office[index 14], sender ip/mac "
                   "10.1.0.17/00:00:5e:00:53:01, receiver ip/mac 10.1.0.1/00:00:00:00:00:00"),
            "juniper.junos category=system severity=MEDIUM src=[10.1.0.17 if ge-0/0/8.0 mac "
            "00:00:5e:00:53:01] dst=[10.1.0.1 mac 00:00:00:00:00:00] program=eswd host=sw1 "
            "id=ESWD_DAI_FAILED at 2026-11-21T00:15:42Z");
}

TEST(ScreenosTest, ADeniedConnection) {
  EXPECT_EQ(
      CoreOf("<134>Nov 21 09:15:42 fw1 ns204: NetScreen device_id=ns204  "
             "[Root]system-notification-00257(traffic): start_time=\"2026-11-21 09:15:40\" "
             "duration=0 policy_id=320001 service=msrpc Endpoint Mapper(tcp) proto=6 src zone=Null "
             "dst zone=self action=Deny sent=0 rcvd=16384 src=192.0.2.66 dst=198.51.100.7"),
      "juniper.screenos category=traffic severity=LOW action=BLOCKED src=[192.0.2.66 zone Null] "
      "dst=[198.51.100.7 zone self] protocol=tcp app=msrpc endpoint mapper(tcp) in=16384 "
      "duration=0ms rule=320001 context=Root program=ns204 host=ns204 id=00257 at "
      "2026-11-21T00:15:42Z");
}

TEST(ScreenosTest, APermittedConnectionIsTranslated) {
  EXPECT_EQ(
      CoreOf("<134>Nov 21 09:15:42 fw1 ns204: NetScreen device_id=ns204  "
             "[Root]system-notification-00257(traffic): start_time=\"2026-11-21 09:15:12\" "
             "duration=30 policy_id=7 service=http proto=6 src zone=Trust dst zone=Untrust "
             "action=Permit sent=1200 rcvd=5400 src=10.1.0.5 dst=198.51.100.7 src_port=51515 "
             "dst_port=80 src-xlated ip=203.0.113.5 port=1024 dst-xlated ip=198.51.100.7 port=80 "
             "session_id=4711 reason=Close - TCP FIN"),
      "juniper.screenos category=traffic severity=LOW action=ALLOWED src=[10.1.0.5:51515 nat "
      "203.0.113.5:1024 zone Trust] dst=[198.51.100.7:80 nat 198.51.100.7:80 zone Untrust] "
      "protocol=tcp app=http out=1200 in=5400 duration=30000ms rule=7 session=4711 context=Root "
      "program=ns204 host=ns204 id=00257 at 2026-11-21T00:15:42Z");
}

TEST(ScreenosTest, OtherMessagesKeepTheirText) {
  const auto event = ParseLine(
      "<133>Nov 21 09:15:42 fw1 ns204: NetScreen device_id=ns204  [Root]system-warning-00515: "
      "Admin "
      "alice has logged on via HTTPS (2026-11-21 09:15:42)");
  EXPECT_EQ(event.message(), "Admin alice has logged on via HTTPS (2026-11-21 09:15:42)");
  EXPECT_EQ(event.vendor_event_id(), "00515");
  EXPECT_EQ(event.severity(), event::v1::MEDIUM);
}

TEST(ScreenosTest, AnAlertIsGrave) {
  EXPECT_EQ(CoreOf("<128>Nov 21 09:15:42 fw1 ns204: NetScreen device_id=ns204  "
                   "[Root]system-emergency-00005: SYN flood! From 192.0.2.66:40222 to "
                   "198.51.100.7:80, proto TCP"),
            "juniper.screenos severity=CRITICAL context=Root program=ns204 host=ns204 id=00005 at "
            "2026-11-21T00:15:42Z");
}

TEST(ScreenosTest, WithoutAVirtualSystem) {
  EXPECT_EQ(CoreOf("<134>Nov 21 09:15:42 fw1 ssg5: NetScreen device_id=ssg5  "
                   "system-information-00536: IKE 203.0.113.9 Phase 1: Completed"),
            "juniper.screenos severity=INFORMATIONAL program=ssg5 host=ssg5 id=00536 at "
            "2026-11-21T00:15:42Z");
}

}  // namespace
}  // namespace yagura::ingestion
