#include "gtest/gtest.h"

#include "tests/unit/services/ingestion/vendors/core_text.h"

namespace yagura::ingestion {
namespace {

TEST(F5BigIpTest, AnAuditNamesItsUser) {
  EXPECT_EQ(
      CoreOf("<133>Nov 21 09:15:42 lb1 notice tmsh[16322]: 01420002:5: AUDIT - pid=16322 user=root "
             "folder=/ module=(tmos)# status=[Command OK] cmd_data=list"),
      "f5.bigip severity=LOW user=root host=lb1 id=01420002 at 2026-11-21T00:15:42Z");
}

TEST(F5BigIpTest, AHandshakeHasItsEnds) {
  EXPECT_EQ(
      CoreOf("<132>Nov 21 09:15:42 lb1 warning tmm[23068]: 01260013:4: SSL Handshake failed for "
             "TCP 203.0.113.9:50365 -> 10.1.0.150:443"),
      "f5.bigip severity=MEDIUM src=[203.0.113.9:50365] dst=[10.1.0.150:443] protocol=tcp "
      "host=lb1 id=01260013 at 2026-11-21T00:15:42Z");
}

TEST(F5BigIpTest, AMessageHasItsNumber) {
  EXPECT_EQ(
      CoreOf("<133>Nov 21 09:15:42 lb1 notice mcpd[10653]: 01070638:5: Pool /Common/web member "
             "/Common/web3:443 monitor status down."),
      "f5.bigip severity=LOW host=lb1 id=01070638 at 2026-11-21T00:15:42Z");
}

TEST(F5BigIpTest, TheApplicationFirewallBlocks) {
  EXPECT_EQ(
      CoreOf(
          "<131>Nov 21 09:15:42 lb1 "
          "ASM:unit_hostname=\"lb1\",policy_name=\"/Common/"
          "web\",attack_type=\"SQL-Injection\",ip_client=\"203.0.113.9\",src_port=\"40000\",dest_"
          "ip=\"10.1.0.150\",dest_port=\"443\",request_status=\"blocked\",uri=\"/"
          "login.php\",sig_ids=\"200002147\",sig_names=\"SQL-INJ "
          "example\",violations=\"Attack signature detected\",support_id=\"77\",username=\"N/A\""),
      "f5.bigip severity=HIGH action=BLOCKED src=[203.0.113.9:40000] dst=[10.1.0.150:443] "
      "rule=/Common/web signature_id=200002147 signature=SQL-INJ example url=/login.php "
      "host=lb1 id=77 at 2026-11-21T00:15:42Z");
}

TEST(F5BigIpTest, AnIrulesLineIsGluedToItsHost) {
  EXPECT_EQ(
      CoreOf("<134>Nov 21 09:15:42 lb1,f5_irule=Example-HTTP,src_ip=10.1.0.5,vip=198.51.100.7,"
             "http_method=GET,http_host=www.example.com:80,http_url=www.example.com:80/x,"
             "http_user_agent=\"Mozilla/5.0 (X11; Linux)\",user=alice,bytes_in=0"),
      "f5.bigip severity=INFORMATIONAL src=[10.1.0.5] dst=[198.51.100.7 host "
      "www.example.com:80] user=alice url=www.example.com:80/x host=lb1 at "
      "2026-11-21T00:15:42Z");
}

TEST(F5BigIpTest, AccessPolicysStructuredDataIsRead) {
  const auto event = ParseLine(
      "<134>2026-11-21T09:15:42+09:00 lb1 apmd 7389 01490248:5: [F5@12276 hostname=\"lb1\" "
      "errdefs_msgno=\"01490248:5:\" session_id=\"7a78\"] /Common/vpn:Common:7a78: Received client "
      "info");
  EXPECT_EQ(event.product(), "f5.bigip");
  EXPECT_EQ(FieldOf(event, "session_id"), "7a78");
  EXPECT_EQ(FieldOf(event, "errdefs_msgno"), "01490248:5:");
}

TEST(F5BigIpTest, AnErrorIsGrave) {
  EXPECT_EQ(CoreOf("<131>Nov 21 09:15:42 lb1 err tmm1[72331]: 01220001:3: TCL error: /Common/rule1 "
                   "<HTTP_REQUEST> - ERR_NOT_SUPPORTED (line 8)"),
            "f5.bigip severity=HIGH host=lb1 id=01220001 at 2026-11-21T00:15:42Z");
}

}  // namespace
}  // namespace yagura::ingestion
