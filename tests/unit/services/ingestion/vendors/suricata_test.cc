#include "gtest/gtest.h"

#include "tests/unit/services/ingestion/vendors/core_text.h"

namespace yagura::ingestion {
namespace {

TEST(SuricataTest, AnAlertThatWasLetThrough) {
  EXPECT_EQ(
      CoreOf(
          R"({"timestamp":"2026-11-21T09:15:42.123456+0900","flow_id":1859988758741639,"in_iface":"eth1","event_type":"alert","src_ip":"192.0.2.66","src_port":40222,"dest_ip":"10.1.0.80","dest_port":80,"proto":"TCP","alert":{"action":"allowed","gid":1,"signature_id":2034647,"rev":1,"signature":"Example exploit attempt","category":"Attempted Administrator Privilege Gain","severity":1},"http":{"hostname":"www.example.com","url":"/cgi-bin/x","http_method":"GET"},"app_proto":"http"})"),
      "oisf.suricata category=alert severity=HIGH action=DETECTED src=[192.0.2.66:40222 if eth1] "
      "dst=[10.1.0.80:80 host www.example.com] protocol=tcp app=http signature_id=2034647 "
      "signature=Example exploit attempt url=www.example.com/cgi-bin/x session=1859988758741639 at "
      "2026-11-21T00:15:42.123456Z");
}

TEST(SuricataTest, AnAlertThatWasBlocked) {
  EXPECT_EQ(
      CoreOf(
          R"({"timestamp":"2026-11-21T09:15:42+0900","flow_id":5,"event_type":"alert","src_ip":"192.0.2.66","dest_ip":"10.1.0.80","proto":"TCP","alert":{"action":"blocked","signature_id":7,"signature":"S","severity":3}})"),
      "oisf.suricata category=alert severity=LOW action=BLOCKED src=[192.0.2.66] dst=[10.1.0.80] "
      "protocol=tcp signature_id=7 signature=S session=5 at 2026-11-21T00:15:42Z");
}

TEST(SuricataTest, AFlow) {
  EXPECT_EQ(
      CoreOf(
          R"({"timestamp":"2026-11-21T09:15:42.5+0900","flow_id":9,"in_iface":"eth1","event_type":"flow","src_ip":"10.1.0.5","src_port":51515,"dest_ip":"198.51.100.7","dest_port":443,"proto":"TCP","app_proto":"tls","flow":{"pkts_toserver":12,"pkts_toclient":10,"bytes_toserver":1200,"bytes_toclient":5400,"start":"2026-11-21T09:15:12.5+0900","age":30,"state":"closed","reason":"timeout"}})"),
      "oisf.suricata category=flow action=ENDED src=[10.1.0.5:51515 if eth1] "
      "dst=[198.51.100.7:443] protocol=tcp app=tls out=1200 in=5400 packets_out=12 packets_in=10 "
      "duration=30000ms session=9 at 2026-11-21T00:15:42.5Z");
}

TEST(SuricataTest, DnsAndTlsNameWhatWasAskedFor) {
  EXPECT_EQ(
      CoreOf(
          R"({"timestamp":"2026-11-21T09:15:42+0900","flow_id":9,"event_type":"dns","src_ip":"10.1.0.5","src_port":5353,"dest_ip":"10.1.0.53","dest_port":53,"proto":"UDP","dns":{"version":3,"type":"request","queries":[{"rrname":"www.example.com","rrtype":"A"}]}})"),
      "oisf.suricata category=dns src=[10.1.0.5:5353] dst=[10.1.0.53:53] protocol=udp "
      "url=www.example.com session=9 at 2026-11-21T00:15:42Z");
  EXPECT_EQ(
      CoreOf(
          R"({"timestamp":"2026-11-21T09:15:42+0900","flow_id":9,"event_type":"tls","src_ip":"10.1.0.5","dest_ip":"198.51.100.7","proto":"TCP","tls":{"sni":"www.example.com","version":"TLS 1.3"}})"),
      "oisf.suricata category=tls src=[10.1.0.5] dst=[198.51.100.7 host www.example.com] "
      "protocol=tcp session=9 at 2026-11-21T00:15:42Z");
}

TEST(SuricataTest, EventsNeedNoFlowId) {
  EXPECT_EQ(
      CoreOf(
          R"({"timestamp":"2026-11-21T09:15:42+0900","event_type":"alert","src_ip":"192.0.2.66","src_port":40222,"dest_ip":"10.1.0.80","dest_port":80,"proto":"TCP","alert":{"action":"allowed","gid":1,"signature_id":7,"signature":"S","severity":2}})"),
      "oisf.suricata category=alert severity=MEDIUM action=DETECTED src=[192.0.2.66:40222] "
      "dst=[10.1.0.80:80] protocol=tcp signature_id=7 signature=S at 2026-11-21T00:15:42Z");
  EXPECT_EQ(
      CoreOf(
          R"({"timestamp":"2026-11-21T09:15:42+0900","event_type":"dns","src_ip":"10.1.0.5","src_port":5353,"dest_ip":"10.1.0.53","dest_port":53,"proto":"UDP","dns":{"type":"query","rrname":"www.example.com","rrtype":"A"}})"),
      "oisf.suricata category=dns src=[10.1.0.5:5353] dst=[10.1.0.53:53] protocol=udp "
      "url=www.example.com at 2026-11-21T00:15:42Z");
  // Others have types of events, too.
  for (const char* other :
       {R"({"timestamp":"2026-11-21T09:15:42+0900","event_type":"login","src_ip":"10.1.0.5"})",
        R"({"timestamp":"2026-11-21T09:15:42+0900","event_type":"alert","message":"disk full"})"}) {
    EXPECT_EQ(ParseLine(other).product(), "generic.json") << other;
  }
}

TEST(SuricataTest, ADroppedPacket) {
  EXPECT_EQ(
      CoreOf(
          R"({"timestamp":"2026-11-21T09:15:42+0900","flow_id":9,"event_type":"drop","src_ip":"192.0.2.66","dest_ip":"10.1.0.80","proto":"ICMP","drop":{"len":84,"reason":"rules"}})"),
      "oisf.suricata category=drop action=BLOCKED src=[192.0.2.66] dst=[10.1.0.80] protocol=icmp "
      "session=9 at 2026-11-21T00:15:42Z");
}

TEST(SuricataTest, AHeadThatCannotBeReadDoesNotHideTheEvent) {
  for (const std::string head :
       {"<134> ?? fw1 suricata[5885]: ", "<134>fw1 suricata[5885]: ",
        "<134>fw1 suricata[5885]: @cee: ", "<134>Nov 21 09:15:40 fw1 suricata[5885]: "}) {
    const auto event = ParseLine(
        head +
        R"({"timestamp":"2026-11-21T09:15:42+0900","event_type":"stats","stats":{"uptime":12}})");
    EXPECT_EQ(CoreText(event),
              "oisf.suricata category=stats severity=INFORMATIONAL program=suricata host=fw1 at "
              "2026-11-21T00:15:42Z")
        << head;
    EXPECT_EQ(FieldOf(event, "stats.uptime"), "12");
  }
}

}  // namespace
}  // namespace yagura::ingestion
