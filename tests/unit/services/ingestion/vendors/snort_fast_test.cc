#include "gtest/gtest.h"

#include "tests/unit/services/ingestion/vendors/core_text.h"

namespace yagura::ingestion {
namespace {

TEST(SnortFastTest, AnAlertIsDetected) {
  EXPECT_EQ(
      CoreOf("11/21/2026-09:15:42.123456  [**] [1:2000001:3] EXAMPLE Scan [**] [Classification: "
             "Attempted Recon] [Priority: 2] {TCP} 203.0.113.9:40000 -> 10.1.0.8:22"),
      "snort.snort category=alert severity=MEDIUM action=DETECTED src=[203.0.113.9:40000] "
      "dst=[10.1.0.8:22] protocol=tcp signature_id=2000001 signature=EXAMPLE Scan at "
      "2026-11-21T00:15:42.123456Z");
}

TEST(SnortFastTest, Ipv6WithoutBracketsIsRead) {
  EXPECT_EQ(CoreOf("<33>Nov 21 09:15:42 ids snort[9]: [1:2000002:1] EXAMPLE v6 [Classification: x] "
                   "[Priority: 1]: {UDP} 2001:db8::9:53 -> 2001:db8::8:40000"),
            "snort.snort category=alert severity=HIGH action=DETECTED src=[2001:db8::9:53] "
            "dst=[2001:db8::8:40000] protocol=udp signature_id=2000002 signature=EXAMPLE v6 "
            "program=snort host=ids at 2026-11-21T00:15:42Z");
}

TEST(SnortFastTest, ADroppedPacketIsBlocked) {
  EXPECT_EQ(CoreOf("11/21/2026-09:15:42.000001  [Drop] [**] [1:2000003:1] EXAMPLE dropped [**] "
                   "[Classification: (null)] [Priority: 3] {ICMP} 203.0.113.9 -> 10.1.0.8"),
            "snort.snort category=alert severity=LOW action=BLOCKED src=[203.0.113.9] "
            "dst=[10.1.0.8] protocol=icmp signature_id=2000003 signature=EXAMPLE dropped at "
            "2026-11-21T00:15:42.000001Z");
}

TEST(SnortFastTest, ATimeWithoutAYearIsRead) {
  EXPECT_EQ(
      CoreOf("11/21-09:15:42.5 [**] [129:12:1] Consecutive TCP small segments [**] [Priority: 3] "
             "{TCP} 10.1.0.5:51515 -> 198.51.100.7:22"),
      "snort.snort category=alert severity=LOW action=DETECTED src=[10.1.0.5:51515] "
      "dst=[198.51.100.7:22] protocol=tcp signature_id=12 signature=Consecutive TCP small "
      "segments at 2026-11-21T00:15:42.5Z");
}

TEST(SnortFastTest, Ipv6InBracketsIsRead) {
  EXPECT_EQ(
      CoreOf("<33>Nov 21 09:15:42 ids suricata: [1:2000004:1] EXAMPLE tls [Classification: Misc "
             "activity] [Priority: 1] {TCP} [2001:db8::9]:443 -> [2001:db8::8]:51515"),
      "snort.snort category=alert severity=HIGH action=DETECTED src=[2001:db8::9:443] "
      "dst=[2001:db8::8:51515] protocol=tcp signature_id=2000004 signature=EXAMPLE tls "
      "program=suricata host=ids at 2026-11-21T00:15:42Z");
}

}  // namespace
}  // namespace yagura::ingestion
