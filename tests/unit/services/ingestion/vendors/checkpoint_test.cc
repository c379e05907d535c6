#include "gtest/gtest.h"

#include "tests/unit/services/ingestion/vendors/core_text.h"

namespace yagura::ingestion {
namespace {

TEST(CheckPointTest, TheColonFormatIsRead) {
  EXPECT_EQ(
      CoreOf("<134>1 2026-11-21T00:15:42Z cpgw CheckPoint 26203 - [action:\"Accept\"; "
             "flags:\"411908\"; ifdir:\"inbound\"; ifname:\"eth1\"; loguid:\"{0x1,0x0,0x1,0x2}\"; "
             "origin:\"10.9.0.1\"; time:\"1795220142\"; version:\"5\"; dst:\"198.51.100.7\"; "
             "proto:\"6\"; "
             "s_port:\"51515\"; service:\"443\"; service_id:\"https\"; src:\"10.1.0.5\"; "
             "rule_name:\"Outbound web\"; xlatesrc:\"203.0.113.5\"; xlatesport:\"1024\"]"),
      "checkpoint.firewall severity=INFORMATIONAL action=ALLOWED src=[10.1.0.5:51515 nat "
      "203.0.113.5:1024] dst=[198.51.100.7:443] protocol=tcp app=https rule=Outbound web "
      "direction=inbound program=CheckPoint host=cpgw at 2026-11-21T00:15:42Z");
}

TEST(CheckPointTest, ADropNamesItsRuleAndZones) {
  EXPECT_EQ(
      CoreOf("<134>1 2026-11-21T00:15:42Z cpgw CheckPoint 26203 - [sc4s@2620 action=\"Drop\" "
             "ifdir=\"inbound\" ifname=\"eth0\" loguid=\"{0x1,0x0,0x1,0x3}\" origin=\"10.9.0.1\" "
             "time=\"1795220142\" dst=\"10.1.0.8\" inzone=\"External\" outzone=\"Internal\" "
             "product=\"VPN-1 "
             "& FireWall-1\" proto=\"17\" rule_name=\"Cleanup\" s_port=\"40000\" service=\"161\" "
             "src=\"203.0.113.9\"]"),
      "checkpoint.firewall category=vpn-1 & firewall-1 severity=INFORMATIONAL "
      "action=BLOCKED src=[203.0.113.9:40000 zone External] dst=[10.1.0.8:161 zone "
      "Internal] protocol=udp rule=Cleanup direction=inbound program=CheckPoint host=cpgw "
      "at 2026-11-21T00:15:42Z");
}

TEST(CheckPointTest, APreventedAttackHasItsProtection) {
  EXPECT_EQ(
      CoreOf("<134>1 2026-11-21T00:15:42Z cpgw CheckPoint 26203 - [sc4s@2620 action=\"Prevent\" "
             "loguid=\"{0x1,0x0,0x1,0x4}\" origin=\"10.9.0.1\" time=\"1795220142\" attack=\"Web "
             "Server "
             "Exposed\" dst=\"10.1.0.8\" product=\"SmartDefense\" proto=\"6\" "
             "protection_id=\"asm_dynamic_prop_CVE_2021_0001\" protection_name=\"Example Log "
             "Injection\" s_port=\"40000\" service=\"80\" severity=\"4\" src=\"203.0.113.9\"]"),
      "checkpoint.firewall category=smartdefense severity=CRITICAL action=BLOCKED "
      "src=[203.0.113.9:40000] dst=[10.1.0.8:80] protocol=tcp "
      "signature_id=asm_dynamic_prop_CVE_2021_0001 signature=Example Log Injection "
      "program=CheckPoint host=cpgw at 2026-11-21T00:15:42Z");
}

TEST(CheckPointTest, TheBarFormatIsRead) {
  EXPECT_EQ(CoreOf("time=1795220142|hostname=cpgw|severity=Medium|product=Firewall|action=Reject|"
                   "ifdir=outbound|ifname=eth1|loguid={0x0,0x0,0x0,0x1}|origin=10.9.0.1|"
                   "originsicname=CN\\=cpgw,O\\=mgmt|sequencenum=64|version=5|src=10.1.0.5|s_port="
                   "51515|dst=203.0.113.7|service=25|proto=6|rule_name=No "
                   "mail"),
            "checkpoint.firewall category=firewall severity=MEDIUM action=BLOCKED "
            "src=[10.1.0.5:51515] dst=[203.0.113.7:25] protocol=tcp rule=No mail "
            "direction=outbound at 2026-11-21T00:15:42Z");
}

TEST(CheckPointTest, AnAdministratorsLogOnIsOne) {
  EXPECT_EQ(
      CoreOf(
          "<134>1 2026-11-21T00:15:42Z cpmgmt CheckPoint 26203 - [sc4s@2620 action=\"Accept\" "
          "flags=\"163872\" ifdir=\"outbound\" loguid=\"{0x1,0x0,0x1,0x5}\" origin=\"10.9.0.2\" "
          "time=\"1795220142\" administrator=\"admin\" client_ip=\"10.9.0.4\" operation=\"Log In\" "
          "product=\"SmartConsole\" subject=\"Administrator Login\"]"),
      "checkpoint.firewall category=smartconsole severity=INFORMATIONAL action=LOGON "
      "src=[10.9.0.4] user=admin direction=outbound program=CheckPoint host=cpmgmt at "
      "2026-11-21T00:15:42Z");
}

}  // namespace
}  // namespace yagura::ingestion
