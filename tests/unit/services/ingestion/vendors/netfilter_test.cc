#include "gtest/gtest.h"

#include "tests/unit/services/ingestion/vendors/core_text.h"

namespace yagura::ingestion {
namespace {

TEST(NetfilterTest, UfwBlocks) {
  EXPECT_EQ(
      CoreOf("<4>Nov 21 09:15:42 fw01 kernel: [12345.678901] [UFW BLOCK] IN=eth0 OUT= "
             "MAC=00:00:5e:00:53:01:00:00:5e:00:53:02:08:00 SRC=203.0.113.9 DST=198.51.100.7 "
             "LEN=60 TOS=0x00 PREC=0x00 TTL=52 ID=1 DF PROTO=TCP SPT=40000 DPT=22 WINDOW=64240 "
             "RES=0x00 SYN URGP=0"),
      "linux.netfilter category=traffic severity=MEDIUM action=BLOCKED "
      "src=[203.0.113.9:40000 if eth0 mac 00:00:5e:00:53:02] dst=[198.51.100.7:22 mac "
      "00:00:5e:00:53:01] protocol=tcp out=60 rule=UFW BLOCK program=kernel host=fw01 at "
      "2026-11-21T00:15:42Z");
}

TEST(NetfilterTest, APrefixThatSaysAcceptIsAllowed) {
  EXPECT_EQ(CoreOf("<4>Nov 21 09:15:42 fw01 kernel: nft-accept IN=eth1 OUT=eth0 SRC=10.1.0.5 "
                   "DST=198.51.100.7 LEN=60 PROTO=UDP SPT=40000 DPT=53 LEN=40"),
            "linux.netfilter category=traffic severity=MEDIUM action=ALLOWED src=[10.1.0.5:40000 "
            "if eth1] dst=[198.51.100.7:53 if eth0] protocol=udp out=60 rule=nft-accept "
            "program=kernel host=fw01 at 2026-11-21T00:15:42Z");
}

TEST(NetfilterTest, TheLetterOfAVyosRuleDecides) {
  EXPECT_EQ(
      CoreOf("<4>Nov 21 09:15:42 edge kernel: [WAN_IN-10-D]IN=eth0 OUT=eth1 MAC= SRC=203.0.113.9 "
             "DST=10.1.0.8 LEN=40 TTL=240 PROTO=TCP SPT=40000 DPT=3389 WINDOW=1024 SYN URGP=0"),
      "linux.netfilter category=traffic severity=MEDIUM action=BLOCKED "
      "src=[203.0.113.9:40000 if eth0] dst=[10.1.0.8:3389 if eth1] protocol=tcp out=40 "
      "rule=WAN_IN-10-D program=kernel host=edge at 2026-11-21T00:15:42Z");
}

TEST(NetfilterTest, AnAcceptedPingHasNoPorts) {
  EXPECT_EQ(CoreOf("<4>Nov 21 09:15:42 edge kernel: [LAN_LOCAL-default-A]IN=eth1 OUT= SRC=10.1.0.5 "
                   "DST=10.1.0.1 LEN=84 PROTO=ICMP TYPE=8 CODE=0"),
            "linux.netfilter category=traffic severity=MEDIUM action=ALLOWED src=[10.1.0.5 if "
            "eth1] dst=[10.1.0.1] protocol=icmp out=84 rule=LAN_LOCAL-default-A program=kernel "
            "host=edge at 2026-11-21T00:15:42Z");
}

TEST(NetfilterTest, WithoutAPrefixNothingIsSaidOfTheAction) {
  EXPECT_EQ(
      CoreOf("<4>Nov 21 09:15:42 fw01 kernel: IN=eth0 OUT= SRC=2001:db8::9 DST=2001:db8::1 LEN=80 "
             "PROTO=TCP SPT=40000 DPT=22 SYN URGP=0"),
      "linux.netfilter category=traffic severity=MEDIUM src=[2001:db8::9:40000 if eth0] "
      "dst=[2001:db8::1:22] protocol=tcp out=80 program=kernel host=fw01 at "
      "2026-11-21T00:15:42Z");
}

TEST(NetfilterTest, AnIcmpErrorHasTheEndsOfTheErrorItself) {
  EXPECT_EQ(CoreOf("<4>Nov 21 09:15:42 fw01 kernel: [12.3] FW-DROP: IN=eth0 OUT=eth1 "
                   "SRC=10.0.0.9 DST=10.0.0.5 LEN=88 TTL=64 PROTO=ICMP TYPE=3 CODE=1 "
                   "[SRC=10.0.0.5 DST=10.0.0.99 LEN=60 DF PROTO=TCP SPT=1111 DPT=2222 SYN "
                   "URGP=0 ] MARK=0x1"),
            "linux.netfilter category=traffic severity=MEDIUM action=BLOCKED src=[10.0.0.9 if "
            "eth0] dst=[10.0.0.5 if eth1] protocol=icmp out=88 rule=FW-DROP program=kernel "
            "host=fw01 at 2026-11-21T00:15:42Z");
}

TEST(NetfilterTest, ThePacketThatAnErrorQuotesHasNamesOfItsOwn) {
  const auto event = ParseLine(
      "<4>Nov 21 09:15:42 fw01 kernel: IN=eth0 OUT= SRC=10.0.0.9 DST=10.0.0.5 PROTO=ICMP TYPE=3 "
      "CODE=1 [SRC=10.0.0.5 DST=10.0.0.99 PROTO=TCP SPT=1111 DPT=2222 ] MARK=0x1");
  EXPECT_EQ(FieldsOf(event), (Pairs{{"IN", "eth0"},
                                    {"OUT", ""},
                                    {"SRC", "10.0.0.9"},
                                    {"DST", "10.0.0.5"},
                                    {"PROTO", "ICMP"},
                                    {"TYPE", "3"},
                                    {"CODE", "1"},
                                    {"MARK", "0x1"},
                                    {"inner.SRC", "10.0.0.5"},
                                    {"inner.DST", "10.0.0.99"},
                                    {"inner.PROTO", "TCP"},
                                    {"inner.SPT", "1111"},
                                    {"inner.DPT", "2222"}}));
}

}  // namespace
}  // namespace yagura::ingestion
