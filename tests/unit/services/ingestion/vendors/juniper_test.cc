#include "gtest/gtest.h"

#include "tests/unit/services/ingestion/vendors/core_text.h"

namespace yagura::ingestion {
namespace {

TEST(JuniperSrxTest, AStructuredCloseIsWhole) {
  EXPECT_EQ(
      CoreOf(
          "<14>1 2026-11-21T09:15:42+09:00 srx RT_FLOW - RT_FLOW_SESSION_CLOSE "
          "[junos@2636.1.1.1.2.129 reason=\"TCP FIN\" source-address=\"10.1.0.5\" "
          "source-port=\"51515\" destination-address=\"198.51.100.7\" destination-port=\"443\" "
          "service-name=\"junos-https\" nat-source-address=\"203.0.113.5\" "
          "nat-source-port=\"1024\" "
          "nat-destination-address=\"198.51.100.7\" nat-destination-port=\"443\" protocol-id=\"6\" "
          "policy-name=\"out\" source-zone-name=\"trust\" destination-zone-name=\"untrust\" "
          "session-id-32=\"77\" packets-from-client=\"10\" bytes-from-client=\"1200\" "
          "packets-from-server=\"30\" bytes-from-server=\"34000\" elapsed-time=\"30\" "
          "username=\"alice\"]"),
      "juniper.srx category=traffic severity=INFORMATIONAL action=ENDED src=[10.1.0.5:51515 "
      "nat 203.0.113.5:1024 zone trust] dst=[198.51.100.7:443 nat 198.51.100.7:443 zone "
      "untrust] protocol=tcp app=junos-https out=1200 in=34000 packets_out=10 packets_in=30 "
      "duration=30000ms rule=out user=alice session=77 program=RT_FLOW host=srx "
      "id=RT_FLOW_SESSION_CLOSE at 2026-11-21T00:15:42Z");
}

TEST(JuniperSrxTest, AnUnstructuredDenialIsBlocked) {
  EXPECT_EQ(CoreOf("<14>Nov 21 09:15:42 srx RT_FLOW: RT_FLOW_SESSION_DENY: session denied "
                   "203.0.113.9/40000->10.1.0.8/22 junos-ssh 6(0) deny-all untrust dmz"),
            "juniper.srx category=traffic severity=INFORMATIONAL action=BLOCKED "
            "src=[203.0.113.9:40000 zone untrust] dst=[10.1.0.8:22 zone dmz] protocol=tcp "
            "app=junos-ssh rule=deny-all program=RT_FLOW host=srx id=RT_FLOW_SESSION_DENY at "
            "2026-11-21T00:15:42Z");
}

TEST(JuniperSrxTest, AnUnstructuredCreateHasItsTranslation) {
  EXPECT_EQ(
      CoreOf("<14>Nov 21 09:15:42 srx RT_FLOW: RT_FLOW_SESSION_CREATE: session created "
             "10.1.0.5/51515->198.51.100.7/53 junos-dns-udp 203.0.113.5/1024->198.51.100.7/53 snat "
             "None 17 out trust untrust 78 N/A(N/A) ge-0/0/1.0"),
      "juniper.srx category=traffic severity=INFORMATIONAL action=STARTED "
      "src=[10.1.0.5:51515 nat 203.0.113.5:1024 if ge-0/0/1.0 zone trust] "
      "dst=[198.51.100.7:53 nat 198.51.100.7:53 zone untrust] protocol=udp "
      "app=junos-dns-udp rule=out session=78 program=RT_FLOW host=srx "
      "id=RT_FLOW_SESSION_CREATE at 2026-11-21T00:15:42Z");
}

TEST(JuniperSrxTest, ADroppedAttackHasItsName) {
  EXPECT_EQ(CoreOf("<11>1 2026-11-21T09:15:42+09:00 srx RT_IDP - IDP_ATTACK_LOG_EVENT "
                   "[junos@2636.1.1.1.2.135 source-address=\"203.0.113.9\" source-port=\"40000\" "
                   "destination-address=\"10.1.0.8\" destination-port=\"80\" protocol-name=\"TCP\" "
                   "application-name=\"HTTP\" policy-name=\"Recommended\" action=\"DROP\" "
                   "threat-severity=\"CRITICAL\" attack-name=\"HTTP:EXAMPLE:RCE\" "
                   "source-zone-name=\"untrust\" "
                   "destination-zone-name=\"dmz\"]"),
            "juniper.srx category=idp severity=CRITICAL action=BLOCKED src=[203.0.113.9:40000 "
            "zone untrust] dst=[10.1.0.8:80 zone dmz] protocol=tcp app=http rule=Recommended "
            "signature=HTTP:EXAMPLE:RCE program=RT_IDP host=srx id=IDP_ATTACK_LOG_EVENT at "
            "2026-11-21T00:15:42Z");
}

TEST(JuniperSrxTest, ABlockedUrlIsTold) {
  EXPECT_EQ(CoreOf("<14>Nov 21 09:15:42 srx RT_UTM: WEBFILTER_URL_BLOCKED: WebFilter: ACTION=\"URL "
                   "Blocked\" 10.1.0.5(51515)->198.51.100.7(443) CATEGORY=\"Games\" "
                   "REASON=\"BY_PRE_DEFINED\" "
                   "PROFILE=\"p\" URL=games.example OBJ=/ username alice roles N/A"),
            "juniper.srx category=webfilter severity=INFORMATIONAL action=BLOCKED "
            "src=[10.1.0.5:51515] dst=[198.51.100.7:443] url=games.example program=RT_UTM "
            "host=srx id=WEBFILTER_URL_BLOCKED at 2026-11-21T00:15:42Z");
}

}  // namespace
}  // namespace yagura::ingestion
