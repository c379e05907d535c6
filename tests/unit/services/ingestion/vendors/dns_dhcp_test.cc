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

TEST(DnsDhcpTest, BindTellsAFailure) {
  const auto event = ParseLine(
      "<30>Nov 21 09:15:42 ns1 named[42]: client @0x7f0c74087120 10.1.0.5#5353 (www.example.com): "
      "query failed (SERVFAIL) for www.example.com/IN/A at query.c:5570");
  EXPECT_EQ(CoreText(event),
            "isc.bind category=dns severity=INFORMATIONAL src=[10.1.0.5:5353] url=www.example.com "
            "program=named host=ns1 at 2026-11-21T00:15:42Z");
  EXPECT_EQ(FieldOf(event, "rcode"), "SERVFAIL");
}

TEST(DnsDhcpTest, BindTellsARefusedTransfer) {
  EXPECT_EQ(CoreOf("<30>Nov 21 09:15:42 ns1 named[42]: client @0x7f0c74087120 203.0.113.9#40222 "
                   "(example.com): zone transfer 'example.com/AXFR/IN' denied"),
            "isc.bind category=dns severity=INFORMATIONAL action=BLOCKED src=[203.0.113.9:40222] "
            "url=example.com program=named host=ns1 at 2026-11-21T00:15:42Z");
}

TEST(DnsDhcpTest, BindsOtherMessagesKeepTheirText) {
  const auto event =
      ParseLine("<30>Nov 21 09:15:42 ns1 named[42]: zone example.com/IN: loaded serial 2026112101");
  EXPECT_EQ(event.product(), "isc.bind");
  EXPECT_EQ(event.message(), "zone example.com/IN: loaded serial 2026112101");
}

TEST(DnsDhcpTest, UnboundTellsAQueryWithoutItsAnswer) {
  EXPECT_EQ(CoreOf("<30>Nov 21 09:15:42 ns1 unbound[1234]: [1234:0] info: 10.1.0.5 "
                   "www.example.com. AAAA IN"),
            "nlnetlabs.unbound category=dns severity=INFORMATIONAL src=[10.1.0.5] "
            "url=www.example.com. program=unbound host=ns1 at 2026-11-21T00:15:42Z");
}

TEST(DnsDhcpTest, UnboundTellsWhetherTheAnswerWasCached) {
  const auto event = ParseLine(
      "<30>Nov 21 09:15:42 ns1 unbound[1234]: [1234:0] reply: 10.1.0.5 nx.example.com. A IN "
      "NXDOMAIN 0.000000 1 33");
  EXPECT_EQ(FieldOf(event, "rcode"), "NXDOMAIN");
  EXPECT_EQ(FieldOf(event, "cached"), "1");
  EXPECT_EQ(FieldOf(event, "size"), "33");
}

TEST(DnsDhcpTest, UnboundsOtherMessagesKeepTheirText) {
  const auto event =
      ParseLine("<29>Nov 21 09:15:42 ns1 unbound[1234]: [1234:0] notice: init module 0: validator");
  EXPECT_EQ(event.product(), "nlnetlabs.unbound");
  EXPECT_EQ(event.message(), "[1234:0] notice: init module 0: validator");
}

TEST(DnsDhcpTest, UnboundTellsIpv6Clients) {
  EXPECT_EQ(CoreOf("<30>Nov 21 09:15:42 ns1 unbound[1234]: [1234:0] info: 2001:db8::5 "
                   "www.example.com. A IN"),
            "nlnetlabs.unbound category=dns severity=INFORMATIONAL src=[2001:db8::5] "
            "url=www.example.com. program=unbound host=ns1 at 2026-11-21T00:15:42Z");
}

TEST(DnsDhcpTest, BindsOwnFileTellsTheQueryWithAndWithoutItsCategory) {
  const std::string core =
      "isc.bind category=dns src=[10.1.0.5:5353] dst=[10.0.0.53] url=example.com at "
      "2026-11-21T00:15:42.123Z";
  const std::string rest =
      "client @0x7f0c74087120 10.1.0.5#5353 (example.com): query: example.com IN A +E(0)K "
      "(10.0.0.53)";
  for (const std::string head :
       {"21-Nov-2026 09:15:42.123 queries: info: ", "21-Nov-2026 09:15:42.123 info: ",
        "21-Nov-2026 09:15:42.123 queries: debug 3: ", "21-Nov-2026 09:15:42.123 queries: ",
        "21-Nov-2026 09:15:42.123 "}) {
    EXPECT_EQ(CoreOf(head + rest), core) << head;
  }
}

TEST(DnsDhcpTest, BindsOwnFileTellsDenialsFailuresAndTheRest) {
  EXPECT_EQ(CoreOf("21-Nov-2026 09:15:42.123 security: info: client @0x7f0c74087120 "
                   "203.0.113.9#53 (example.com): query (cache) 'example.com/ANY/IN' denied"),
            "isc.bind category=dns action=BLOCKED src=[203.0.113.9:53] url=example.com at "
            "2026-11-21T00:15:42.123Z");
  const auto failed = ParseLine(
      "21-Nov-2026 09:15:42.123 query-errors: debug 1: client @0x7f0c74087120 10.1.0.5#5353 "
      "(www.example.com): query failed (SERVFAIL) for www.example.com/IN/A at query.c:5570");
  EXPECT_EQ(FieldOf(failed, "rcode"), "SERVFAIL");
  EXPECT_EQ(EventTime(failed), "2026-11-21T00:15:42.123Z");
  const auto other =
      ParseLine("21-Nov-2026 09:15:42.123 general: notice: zone example.com/IN: loaded serial 7");
  EXPECT_EQ(CoreText(other), "isc.bind category=dns at 2026-11-21T00:15:42.123Z");
  EXPECT_EQ(ParseLine("21-Nov-2026 09:15:42.123 the shop is open").product(), "unknown");
}

TEST(DnsDhcpTest, BindsOwnFileMayHaveTimesOfIso8601) {
  EXPECT_EQ(CoreOf("2026-11-21T00:15:42.123Z queries: info: client @0x7f0c74087120 10.1.0.5#5353 "
                   "(example.com): query: example.com IN A +E(0)K (10.0.0.53)"),
            "isc.bind category=dns src=[10.1.0.5:5353] dst=[10.0.0.53] url=example.com "
            "program=queries at 2026-11-21T00:15:42.123Z");
}

TEST(DnsDhcpTest, UnboundsOwnFileTellsTheQuery) {
  EXPECT_EQ(CoreOf("[1795220142] unbound[123:0] info: 10.1.0.5 example.com. A IN"),
            "nlnetlabs.unbound category=dns src=[10.1.0.5] url=example.com. program=unbound at "
            "2026-11-21T00:15:42Z");
  const auto answered = ParseLine(
      "[1795220142] unbound[123:1f] reply: 10.1.0.5 example.com. A IN NOERROR 0.012 0 62");
  EXPECT_EQ(answered.product(), "nlnetlabs.unbound");
  EXPECT_EQ(FieldOf(answered, "rcode"), "NOERROR");
  EXPECT_EQ(CoreOf("[1795220142] unbound[123:0] notice: init module 0: validator"),
            "nlnetlabs.unbound category=dns program=unbound at 2026-11-21T00:15:42Z");
  EXPECT_EQ(ParseLine("[1795220142] unboundedly[123:0] info: x").product(), "unknown");
}

TEST(DnsDhcpTest, ADhcpDiscoverHasNoAddressYet) {
  EXPECT_EQ(
      CoreOf("<30>Nov 21 09:15:42 dh1 dhcpd[7]: DHCPDISCOVER from 00:00:5e:00:53:01 via eth1"),
      "isc.dhcpd category=dhcp severity=INFORMATIONAL src=[if eth1 mac 00:00:5e:00:53:01] "
      "program=dhcpd host=dh1 id=DHCPDISCOVER at 2026-11-21T00:15:42Z");
}

TEST(DnsDhcpTest, ADhcpRefusalIsABlock) {
  EXPECT_EQ(
      CoreOf(
          "<30>Nov 21 09:15:42 dh1 dhcpd[7]: DHCPNAK on 10.1.0.120 to 00:00:5e:00:53:01 via eth1"),
      "isc.dhcpd category=dhcp severity=INFORMATIONAL action=BLOCKED src=[10.1.0.120 if eth1 mac "
      "00:00:5e:00:53:01] program=dhcpd host=dh1 id=DHCPNAK at 2026-11-21T00:15:42Z");
}

TEST(DnsDhcpTest, ADhcpOfferNamesTheHost) {
  EXPECT_EQ(CoreOf("<30>Nov 21 09:15:42 dh1 dhcpd[7]: DHCPOFFER on 10.1.0.120 to 00:00:5e:00:53:01 "
                   "(pc5) via eth1"),
            "isc.dhcpd category=dhcp severity=INFORMATIONAL src=[10.1.0.120 host pc5 if eth1 mac "
            "00:00:5e:00:53:01] program=dhcpd host=dh1 id=DHCPOFFER at 2026-11-21T00:15:42Z");
}

TEST(DnsDhcpTest, AnAnswerToWhoAskedHasTheMac) {
  EXPECT_EQ(CoreOf("<30>Nov 21 09:15:42 gw dhcpd[7]: DHCPACK to 10.5.5.20 (aa:bb:cc:dd:ee:ff) "
                   "via eth1"),
            "isc.dhcpd category=dhcp severity=INFORMATIONAL action=ALLOWED src=[10.5.5.20 if "
            "eth1 mac aa:bb:cc:dd:ee:ff] program=dhcpd host=gw id=DHCPACK at "
            "2026-11-21T00:15:42Z");
  EXPECT_EQ(CoreOf("<30>Nov 21 09:15:42 gw dhcpd[7]: DHCPREQUEST for 10.5.5.20 (10.5.5.1) "
                   "from aa:bb:cc:dd:ee:ff (pc5) via eth1"),
            "isc.dhcpd category=dhcp severity=INFORMATIONAL src=[10.5.5.20 host pc5 if eth1 "
            "mac aa:bb:cc:dd:ee:ff] dst=[10.5.5.1] program=dhcpd host=gw id=DHCPREQUEST at "
            "2026-11-21T00:15:42Z");
}

TEST(DnsDhcpTest, KeaGivesLeasesToo) {
  EXPECT_EQ(CoreOf("<30>Nov 21 09:15:42 gw kea-dhcp4[7]: INFO  [kea-dhcp4.leases.0x7f] "
                   "DHCP4_LEASE_ALLOC [hwtype=1 00:0c:01:02:03:04], cid=[no info], tid=0x1: "
                   "lease 192.0.2.10 has been allocated for 4000 seconds"),
            "isc.kea category=dhcp severity=INFORMATIONAL action=ALLOWED src=[192.0.2.10 mac "
            "00:0c:01:02:03:04] program=kea-dhcp4 host=gw id=DHCPACK at 2026-11-21T00:15:42Z");
  EXPECT_EQ(CoreOf("<30>Nov 21 09:15:42 gw kea-dhcp4[7]: INFO  [kea-dhcp4.dhcp4.0x7f] "
                   "DHCP4_STARTED Kea DHCPv4 server version 2.6.1 started"),
            "isc.kea category=dhcp severity=INFORMATIONAL program=kea-dhcp4 host=gw "
            "id=DHCP4_STARTED at 2026-11-21T00:15:42Z");
}

TEST(DnsDhcpTest, ARefusalToAKeyHasItsClient) {
  EXPECT_EQ(CoreOf("<30>Nov 21 09:15:42 ns named[5]: client @0x7f 10.3.3.3#53211/key k1 "
                   "(z.example): zone transfer 'z.example/AXFR/IN' denied"),
            "isc.bind category=dns severity=INFORMATIONAL action=BLOCKED src=[10.3.3.3:53211] "
            "url=z.example program=named host=ns at 2026-11-21T00:15:42Z");
  EXPECT_EQ(CoreOf("<30>Nov 21 09:15:42 ns named[5]: client @0x7f 10.3.3.3#53212 "
                   "(bad.example): rpz QNAME NXDOMAIN rewrite bad.example/A/IN via "
                   "bad.example.rpz.local"),
            "isc.bind category=dns severity=INFORMATIONAL src=[10.3.3.3:53212] "
            "url=bad.example program=named host=ns at 2026-11-21T00:15:42Z");
}

}  // namespace
}  // namespace yagura::ingestion
