#include "gtest/gtest.h"

#include "tests/unit/services/ingestion/vendors/core_text.h"

namespace yagura::ingestion {
namespace {

TEST(DnsDhcpTest, BindTellsTheQuery) {
  EXPECT_EQ(CoreOf("<30>Nov 21 09:15:42 ns1 named[42]: client @0x7f0c74087120 10.1.0.5#61568 "
                   "(www.example.com): query: www.example.com IN A +E(0)K (10.1.0.53)"),
            "isc.bind category=dns severity=INFORMATIONAL src=[10.1.0.5:61568] dst=[10.1.0.53] "
            "url=www.example.com program=named host=ns1 at 2026-11-21T00:15:42Z");
}

TEST(DnsDhcpTest, BindTellsADenial) {
  EXPECT_EQ(CoreOf("<30>Nov 21 09:15:42 ns1 named[42]: client @0x7f0c74087120 203.0.113.9#53 "
                   "(example.com): query (cache) 'example.com/ANY/IN' denied"),
            "isc.bind category=dns severity=INFORMATIONAL action=BLOCKED src=[203.0.113.9:53] "
            "url=example.com program=named host=ns1 at 2026-11-21T00:15:42Z");
}

TEST(DnsDhcpTest, UnboundTellsTheQuery) {
  EXPECT_EQ(CoreOf("<30>Nov 21 09:15:42 ns1 unbound: [1234:0] info: 10.1.0.5 www.example.com. A IN "
                   "NOERROR 0.012 0 62"),
            "nlnetlabs.unbound category=dns severity=INFORMATIONAL src=[10.1.0.5] "
            "url=www.example.com. program=unbound host=ns1 at 2026-11-21T00:15:42Z");
}

TEST(DnsDhcpTest, ADhcpAcknowledgementJoinsAddressAndHardware) {
  EXPECT_EQ(
      CoreOf("<30>Nov 21 09:15:42 dh1 dhcpd[7]: DHCPACK on 10.1.0.120 to 00:00:5e:00:53:01 (pc5) "
             "via eth1"),
      "isc.dhcpd category=dhcp severity=INFORMATIONAL action=ALLOWED src=[10.1.0.120 host "
      "pc5 if eth1 mac 00:00:5e:00:53:01] program=dhcpd host=dh1 id=DHCPACK at "
      "2026-11-21T00:15:42Z");
}

TEST(DnsDhcpTest, ADhcpRequestNamesItsServer) {
  EXPECT_EQ(CoreOf("<30>Nov 21 09:15:42 dh1 dhcpd[7]: DHCPREQUEST for 10.1.0.120 (10.1.0.2) from "
                   "00:00:5e:00:53:01 (pc5) via eth1"),
            "isc.dhcpd category=dhcp severity=INFORMATIONAL src=[10.1.0.120 host pc5 if eth1 mac "
            "00:00:5e:00:53:01] dst=[10.1.0.2] program=dhcpd host=dh1 id=DHCPREQUEST at "
            "2026-11-21T00:15:42Z");
}

}  // namespace
}  // namespace yagura::ingestion
