#include "gtest/gtest.h"

#include "tests/unit/services/ingestion/vendors/core_text.h"

namespace yagura::ingestion {
namespace {

TEST(SophosUtmTest, APacketIsDropped) {
  EXPECT_EQ(CoreOf("<30>2026:11:21-09:15:42 utm ulogd[4711]: id=\"2001\" severity=\"info\" "
                   "sys=\"SecureNet\" sub=\"packetfilter\" name=\"Packet dropped\" "
                   "action=\"drop\" fwrule=\"60001\" initf=\"eth0\" "
                   "srcmac=\"00:00:5e:00:53:01\" dstmac=\"00:00:5e:00:53:02\" "
                   "srcip=\"203.0.113.9\" dstip=\"198.51.100.7\" proto=\"6\" length=\"60\" "
                   "tos=\"0x00\" prec=\"0x00\" ttl=\"52\" srcport=\"40000\" dstport=\"22\" "
                   "tcpflags=\"SYN\""),
            "sophos.utm category=traffic severity=INFORMATIONAL action=BLOCKED "
            "src=[203.0.113.9:40000 if eth0 mac 00:00:5e:00:53:01] dst=[198.51.100.7:22 mac "
            "00:00:5e:00:53:02] protocol=tcp out=60 rule=60001 program=ulogd host=utm id=2001 at "
            "2026-11-21T00:15:42Z");
  EXPECT_EQ(CoreOf("<30>Nov 21 09:15:42 utm ulogd[4711]: id=\"2002\" severity=\"info\" "
                   "sys=\"SecureNet\" sub=\"packetfilter\" name=\"Packet accepted\" "
                   "action=\"accept\" fwrule=\"5\" initf=\"eth1\" outitf=\"eth0\" "
                   "srcip=\"10.1.0.5\" dstip=\"203.0.113.53\" proto=\"17\" length=\"70\" "
                   "srcport=\"51515\" dstport=\"53\""),
            "sophos.utm category=traffic severity=INFORMATIONAL action=ALLOWED "
            "src=[10.1.0.5:51515 if eth1] dst=[203.0.113.53:53 if eth0] protocol=udp out=70 "
            "rule=5 program=ulogd host=utm id=2002 at 2026-11-21T00:15:42Z");
}

TEST(SophosUtmTest, TheProxyTellsUserAndPage) {
  EXPECT_EQ(CoreOf("<30>Nov 21 09:15:42 utm httpproxy[555]: id=\"0001\" severity=\"info\" "
                   "sys=\"SecureWeb\" sub=\"http\" name=\"http access\" action=\"pass\" "
                   "method=\"GET\" srcip=\"10.1.0.5\" dstip=\"203.0.113.80\" user=\"alice\" "
                   "statuscode=\"200\" cached=\"0\" profile=\"REF_Default\" "
                   "filteraction=\"REF_Filter\" size=\"4810\" "
                   "url=\"http://www.example.com/a\" category=\"105\""),
            "sophos.utm category=http severity=INFORMATIONAL action=ALLOWED src=[10.1.0.5] "
            "dst=[203.0.113.80] in=4810 rule=REF_Filter user=alice "
            "url=http://www.example.com/a program=httpproxy host=utm id=0001 at "
            "2026-11-21T00:15:42Z");
  EXPECT_EQ(CoreOf("<30>Nov 21 09:15:42 utm httpproxy[555]: id=\"0060\" severity=\"info\" "
                   "sys=\"SecureWeb\" sub=\"http\" name=\"web request blocked, forbidden "
                   "category detected\" action=\"block\" method=\"GET\" srcip=\"10.1.0.5\" "
                   "dstip=\"\" user=\"\" statuscode=\"403\" size=\"0\" "
                   "url=\"http://bad.example/\" reason=\"category\""),
            "sophos.utm category=http severity=INFORMATIONAL action=BLOCKED src=[10.1.0.5] "
            "signature=category url=http://bad.example/ program=httpproxy host=utm id=0060 at "
            "2026-11-21T00:15:42Z");
}

TEST(SophosUtmTest, AttacksAndLogOnsAreTold) {
  EXPECT_EQ(CoreOf("<30>Nov 21 09:15:42 utm snort[77]: id=\"2101\" severity=\"warn\" "
                   "sys=\"SecureNet\" sub=\"ips\" name=\"Intrusion protection alert\" "
                   "action=\"drop\" reason=\"SERVER-WEBAPP traversal\" group=\"500\" "
                   "srcip=\"203.0.113.9\" dstip=\"10.1.0.8\" proto=\"6\" srcport=\"40000\" "
                   "dstport=\"80\" sid=\"1122\" class=\"Attempted Admin\" priority=\"1\" "
                   "generator=\"1\" msgid=\"0\""),
            "sophos.utm category=ips severity=MEDIUM action=BLOCKED src=[203.0.113.9:40000] "
            "dst=[10.1.0.8:80] protocol=tcp signature_id=1122 signature=SERVER-WEBAPP "
            "traversal program=snort host=utm id=2101 at 2026-11-21T00:15:42Z");
  EXPECT_EQ(CoreOf("<30>Nov 21 09:15:42 utm aua[88]: id=\"3005\" severity=\"warn\" "
                   "sys=\"System\" sub=\"auth\" name=\"Authentication failed\" "
                   "srcip=\"203.0.113.9\" host=\"\" user=\"admin\" caller=\"sshd\" "
                   "reason=\"DENIED\""),
            "sophos.utm category=auth severity=MEDIUM action=LOGON_FAILED src=[203.0.113.9] "
            "signature=DENIED user=admin program=aua host=utm id=3005 at 2026-11-21T00:15:42Z");
}

}  // namespace
}  // namespace yagura::ingestion
