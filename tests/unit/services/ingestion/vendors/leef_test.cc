#include "gtest/gtest.h"

#include "tests/unit/services/ingestion/vendors/core_text.h"

namespace yagura::ingestion {
namespace {

TEST(LeefTest, TabsSeparateByDefault) {
  EXPECT_EQ(CoreOf("<14>Nov 21 09:15:42 host "
                   "LEEF:1.0|Vendor|Product|1|Deny|src=10.1.0.5\tdst=203.0.113.7\tsrcPort="
                   "51515\tdstPort=25\tproto=tcp\tsev=5\tcat=firewall\tusrName=bob\tdevTime=Nov "
                   "21 2026 09:15:40"),
            "vendor.product category=firewall severity=MEDIUM src=[10.1.0.5:51515] "
            "dst=[203.0.113.7:25] protocol=tcp user=bob host=host id=Deny at 2026-11-21T00:15:40Z");
}

TEST(LeefTest, VersionTwoNamesItsDelimiter) {
  EXPECT_EQ(CoreOf("<14>Nov 21 09:15:42 host "
                   "LEEF:2.0|Vendor|Product|1|Allow|^|src=10.1.0.5^dst=203.0.113.7^sev=2^"
                   "srcPostNAT=203.0.113.5^url=http://a.example/?x=1|2"),
            "vendor.product severity=LOW src=[10.1.0.5 nat 203.0.113.5] dst=[203.0.113.7] "
            "url=http://a.example/?x=1|2 host=host id=Allow at 2026-11-21T00:15:42Z");
}

TEST(LeefTest, TheDelimiterMayBeHexadecimal) {
  EXPECT_EQ(
      CoreOf("<14>Nov 21 09:15:42 host LEEF:2.0|Vendor|Product|1|Alert|x5E|src=10.1.0.5^sev=9"),
      "vendor.product severity=CRITICAL src=[10.1.0.5] host=host id=Alert at "
      "2026-11-21T00:15:42Z");
}

TEST(LeefTest, SomeSendersWriteBars) {
  EXPECT_EQ(CoreOf("<14>Nov 21 09:15:42 host LEEF:1.0|Palo "
                   "Example|PAN|8|allow|cat=TRAFFIC|src=10.1.0.5|dst=203.0.113.7|RuleName=out|"
                   "action=allow|SourceZone=trust"),
            "palo_example.pan category=traffic severity=INFORMATIONAL action=ALLOWED "
            "src=[10.1.0.5 zone trust] dst=[203.0.113.7] rule=out host=host id=allow at "
            "2026-11-21T00:15:42Z");
}

TEST(LeefTest, AnEmptyDelimiterIsATab) {
  EXPECT_EQ(
      CoreOf(
          "<14>1 2026-11-21T00:15:42Z host "
          "LEEF:2.0|Vendor|Product|1|E1||src=10.1.0.5\tsev=7\tpolicy=p1\taccountName=CORP\\alice"),
      "vendor.product severity=HIGH src=[10.1.0.5] rule=p1 user=CORP\\alice host=host id=E1 "
      "at 2026-11-21T00:15:42Z");
}

}  // namespace
}  // namespace yagura::ingestion
