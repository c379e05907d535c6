#include "gtest/gtest.h"

#include "tests/unit/services/ingestion/vendors/core_text.h"

namespace yagura::ingestion {
namespace {

TEST(SophosTest, AnAllowedConnectionIsWhole) {
  EXPECT_EQ(
      CoreOf(
          "<30>device=\"SFW\" date=2026-11-21 time=09:15:42 timezone=\"JST\" device_name=\"XG-1\" "
          "device_id=C0000000001 log_id=010101600001 log_type=\"Firewall\" "
          "log_component=\"Firewall Rule\" log_subtype=\"Allowed\" status=\"Allow\" "
          "priority=Information duration=30 fw_rule_id=12 user_name=\"alice\" "
          "application=\"HTTPS\" "
          "in_interface=\"Port1\" out_interface=\"Port2\" src_mac=00:00:5e:00:53:01 "
          "src_ip=10.1.0.5 "
          "src_country_code=R1 dst_ip=198.51.100.7 dst_country_code=JPN protocol=\"TCP\" "
          "src_port=51515 dst_port=443 sent_pkts=10  recv_pkts=30 sent_bytes=1200 "
          "recv_bytes=34000 tran_src_ip=203.0.113.5 tran_src_port=1024 srczone=\"LAN\" "
          "dstzone=\"WAN\" con_id=77"),
      "sophos.firewall category=firewall severity=INFORMATIONAL action=ALLOWED "
      "src=[10.1.0.5:51515 nat 203.0.113.5:1024 if Port1 zone LAN mac 00:00:5e:00:53:01 "
      "country R1] dst=[198.51.100.7:443 if Port2 zone WAN country JPN] protocol=tcp "
      "app=https out=1200 in=34000 packets_out=10 packets_in=30 duration=30000ms rule=12 "
      "user=alice session=77 host=XG-1 id=010101600001 at 2026-11-21T00:15:42Z");
}

TEST(SophosTest, ADeniedConnectionIsBlocked) {
  EXPECT_EQ(
      CoreOf(
          "<30>device=\"SFW\" date=2026-11-21 time=09:15:42 timezone=\"JST\" device_name=\"XG-1\" "
          "device_id=C0000000001 log_id=010102600002 log_type=\"Firewall\" "
          "log_component=\"Firewall Rule\" log_subtype=\"Denied\" status=\"Deny\" "
          "priority=Information fw_rule_id=0 src_ip=203.0.113.9 dst_ip=10.1.0.8 protocol=\"TCP\" "
          "src_port=40000 dst_port=22"),
      "sophos.firewall category=firewall severity=INFORMATIONAL action=BLOCKED "
      "src=[203.0.113.9:40000] dst=[10.1.0.8:22] protocol=tcp rule=0 host=XG-1 "
      "id=010102600002 at 2026-11-21T00:15:42Z");
}

TEST(SophosTest, ADroppedIntrusionHasItsSignature) {
  EXPECT_EQ(
      CoreOf(
          "<30>device=\"SFW\" date=2026-11-21 time=09:15:42 device_name=\"XG-1\" "
          "device_id=C0000000001 log_id=020804407002 log_type=\"IDP\" log_component=\"Signatures\" "
          "log_subtype=\"Drop\" priority=Warning idp_policy_name=\"lan\" signature_id=1881 "
          "signature_msg=\"WEB bad request\" classification=\"attack\" src_ip=203.0.113.9 "
          "dst_ip=10.1.0.8 protocol=\"TCP\" src_port=40000 dst_port=80 platform=\"BSD,Linux\" "
          "fw_rule_id=3"),
      "sophos.firewall category=idp severity=MEDIUM action=BLOCKED src=[203.0.113.9:40000] "
      "dst=[10.1.0.8:80] protocol=tcp rule=3 signature_id=1881 signature=WEB bad request "
      "host=XG-1 id=020804407002 at 2026-11-21T00:15:42Z");
}

TEST(SophosTest, TheNewerFormatIsRead) {
  EXPECT_EQ(
      CoreOf(
          "<30>device_name=\"SFW\" timestamp=\"2026-11-21T09:15:42+0900\" device_model=\"XGS\" "
          "device_serial_id=\"C0000000002\" log_id=\"050901616001\" log_type=\"Content Filtering\" "
          "log_component=\"HTTP\" log_subtype=\"Allowed\" severity=\"Information\" "
          "fw_rule_id=\"2\" "
          "user=\"bob\" category=\"Search Engines\" url=\"https://www.example.com/?a=b c\" "
          "src_ip=\"10.1.0.6\" dst_ip=\"198.51.100.8\" protocol=\"TCP\" src_port=\"51516\" "
          "dst_port=\"443\" bytes_sent=\"591\" bytes_received=\"4428\" domain=\"www.example.com\" "
          "con_id=\"2491\""),
      "sophos.firewall category=content filtering severity=INFORMATIONAL action=ALLOWED "
      "src=[10.1.0.6:51516] dst=[198.51.100.8:443 host www.example.com] protocol=tcp "
      "out=591 in=4428 rule=2 user=bob url=https://www.example.com/?a=b c session=2491 "
      "host=SFW id=050901616001 at 2026-11-21T00:15:42Z");
}

TEST(SophosTest, AFailedLogOnIsOne) {
  EXPECT_EQ(
      CoreOf(
          "<30>device=\"SFW\" date=2026-11-21 time=09:15:42 device_name=\"XG-1\" "
          "device_id=C0000000001 log_id=062910617702 log_type=\"Event\" log_component=\"Firewall "
          "Authentication\" log_subtype=\"Authentication\" status=\"Failed\" priority=Notice "
          "user_name=\"mallory\" src_ip=10.1.0.66 message=\"User mallory failed to login to "
          "Firewall through Local authentication mechanism because of wrong credentials\""),
      "sophos.firewall category=event severity=LOW action=LOGON_FAILED src=[10.1.0.66] "
      "user=mallory host=XG-1 id=062910617702 at 2026-11-21T00:15:42Z");
}

}  // namespace
}  // namespace yagura::ingestion
