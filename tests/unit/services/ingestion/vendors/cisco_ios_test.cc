#include "gtest/gtest.h"

#include "tests/unit/services/ingestion/vendors/core_text.h"

namespace yagura::ingestion {
namespace {

TEST(CiscoIosTest, AFailedLogOnHasItsSource) {
  EXPECT_EQ(
      CoreOf("<189>45: sw1: 000123: *Nov 21 09:15:42.123 JST: %SEC_LOGIN-4-LOGIN_FAILED: Login "
             "failed [user: admin] [Source: 203.0.113.9] [localport: 22] [Reason: Login "
             "Authentication Failed] at 09:15:42 JST Sat Nov 21 2026"),
      "cisco.ios category=authentication severity=MEDIUM action=LOGON_FAILED "
      "src=[203.0.113.9] dst=[:22] user=admin host=sw1 id=SEC_LOGIN-4-LOGIN_FAILED at "
      "2026-11-21T00:15:42.123Z");
}

// With the tag taken for a program the text begins as Yamaha's "Login failed for ..." does.
TEST(CiscoIosTest, AFailedLogOnBehindAHeaderWithTheYearIsNotYamahas) {
  const auto event = ParseLine(
      "<189>45: r-1: Nov 23 2026 01:00:00: %SEC_LOGIN-4-LOGIN_FAILED: Login failed [user: admin] "
      "[Source: 192.0.2.9] [localport: 22] [Reason: Login Authentication Failed] at 01:00:00 UTC "
      "Mon Nov 23 2026");
  EXPECT_EQ(event.product(), "cisco.ios");
  EXPECT_EQ(event.action(), event::v1::LOGON_FAILED);
  EXPECT_EQ(event.user(), "admin");
}

TEST(CiscoIosTest, AnAccessListDenies) {
  EXPECT_EQ(CoreOf("<189>45: Nov 21 09:15:42: %SEC-6-IPACCESSLOGP: list 101 denied tcp "
                   "203.0.113.9(40000) -> 10.1.0.8(22), 1 packet"),
            "cisco.ios category=traffic severity=INFORMATIONAL action=BLOCKED "
            "src=[203.0.113.9:40000] dst=[10.1.0.8:22] protocol=tcp packets_out=1 rule=101 "
            "id=SEC-6-IPACCESSLOGP at 2026-11-21T00:15:42Z");
}

TEST(CiscoIosTest, AChangeOfTheConfigurationIsOne) {
  EXPECT_EQ(
      CoreOf("<189>45: Nov 21 09:15:42: %SYS-5-CONFIG_I: Configured from console by admin on vty0 "
             "(10.9.0.4)"),
      "cisco.ios category=configuration severity=LOW action=CHANGED src=[10.9.0.4] "
      "user=admin id=SYS-5-CONFIG_I at 2026-11-21T00:15:42Z");
}

TEST(CiscoIosTest, NexusWritesTheYearFirst) {
  EXPECT_EQ(CoreOf("<187>2026 Nov 21 09:15:42 JST: %ETHPORT-5-IF_DOWN_LINK_FAILURE: Interface "
                   "Ethernet1/1 is down (Link failure)"),
            "cisco.ios severity=LOW id=ETHPORT-5-IF_DOWN_LINK_FAILURE at 2026-11-21T00:15:42Z");
}

TEST(CiscoIosTest, ALoggedCommandIsAChange) {
  EXPECT_EQ(
      CoreOf("<189>rtr1: 99: *Nov 21 2026 09:15:42.5: %PARSER-5-CFGLOG_LOGGEDCMD: User:admin  "
             "logged command:no ip http server"),
      "cisco.ios category=configuration severity=LOW action=CHANGED user=admin host=rtr1 "
      "id=PARSER-5-CFGLOG_LOGGEDCMD at 2026-11-21T00:15:42.5Z");
}

}  // namespace
}  // namespace yagura::ingestion
