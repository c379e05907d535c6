#include "gtest/gtest.h"

#include "tests/unit/services/ingestion/vendors/core_text.h"

namespace yagura::ingestion {
namespace {

TEST(ModsecurityTest, Version3AsJson) {
  EXPECT_EQ(
      CoreOf(
          R"({"transaction":{"client_ip":"192.0.2.66","time_stamp":"Sat Nov 21 09:15:42 2026","server_id":"abc","client_port":40222,"host_ip":"10.1.0.80","host_port":443,"unique_id":"176368054212.345","is_interrupted":true,"request":{"method":"GET","http_version":1.1,"uri":"/?id=1%27--","headers":{"Host":"www.example.com"}},"response":{"http_code":403},"producer":{"modsecurity":"ModSecurity v3.0.12","secrules_engine":"Enabled"},"messages":[{"message":"SQL Injection Attack Detected","details":{"match":"detected SQLi","ruleId":"942100","severity":"2","tags":["attack-sqli"]}},{"message":"Inbound Anomaly Score Exceeded","details":{"ruleId":"949110","severity":"0"}}]}})"),
      "owasp.modsecurity category=waf severity=HIGH action=BLOCKED src=[192.0.2.66:40222] "
      "dst=[10.1.0.80:443 host www.example.com] signature_id=942100 signature=SQL Injection Attack "
      "Detected url=/?id=1%27-- session=176368054212.345 id=403 at 2026-11-21T00:15:42Z");
}

TEST(ModsecurityTest, Version3ThatOnlyDetected) {
  EXPECT_EQ(
      CoreOf(
          R"({"transaction":{"client_ip":"192.0.2.66","time_stamp":"Sat Nov 21 09:15:42 2026","unique_id":"1","request":{"uri":"/"},"response":{"http_code":200},"producer":{"modsecurity":"ModSecurity v3.0.12","secrules_engine":"DetectionOnly"},"messages":[{"message":"XSS","details":{"ruleId":"941100","severity":"4"}}]}})"),
      "owasp.modsecurity category=waf severity=MEDIUM action=DETECTED src=[192.0.2.66] "
      "signature_id=941100 signature=XSS url=/ session=1 id=200 at 2026-11-21T00:15:42Z");
}

TEST(ModsecurityTest, Version2AsJson) {
  const auto event = ParseLine(
      R"({"transaction":{"time":"21/Nov/2026:09:15:42.123456 +0900","transaction_id":"ZV0","remote_address":"192.0.2.66","remote_port":40222,"local_address":"10.1.0.80","local_port":80},"request":{"request_line":"GET /x HTTP/1.1","headers":{"Host":"www.example.com"}},"response":{"status":403},"audit_data":{"messages":["Access denied with code 403 (phase 2). [id \"949110\"] [msg \"Score\"] [severity \"CRITICAL\"]"],"action":{"intercepted":true,"phase":2,"message":"Operator GE matched 5"},"producer":["ModSecurity for Apache/2.9.7"]}})");
  EXPECT_EQ(CoreText(event),
            "owasp.modsecurity category=waf severity=HIGH action=BLOCKED src=[192.0.2.66:40222] "
            "dst=[10.1.0.80:80 host www.example.com] signature_id=949110 signature=Score url=/x "
            "session=ZV0 at 2026-11-21T00:15:42.123456Z");
}

TEST(ModsecurityTest, ApachesErrorLog) {
  EXPECT_EQ(
      CoreOf(
          R"([Sat Nov 21 09:15:42.123456 2026] [:error] [pid 4242] [client 192.0.2.66:40222] [client 192.0.2.66] ModSecurity: Access denied with code 403 (phase 2). Pattern match "x" at ARGS:id. [file "/etc/crs/942.conf"] [line "45"] [id "942100"] [rev "1"] [msg "SQL Injection Attack"] [data "1'--"] [severity "CRITICAL"] [hostname "www.example.com"] [uri "/login"] [unique_id "ZV0abc"])"),
      "owasp.modsecurity category=waf severity=HIGH action=BLOCKED src=[192.0.2.66:40222] "
      "dst=[host "
      "www.example.com] signature_id=942100 signature=SQL Injection Attack url=/login "
      "session=ZV0abc at 2026-11-21T00:15:42.123456Z");
}

TEST(ModsecurityTest, NginxsErrorLog) {
  EXPECT_EQ(
      CoreOf(
          R"(2026/11/21 09:15:42 [error] 99#99: *7 [client 192.0.2.66] ModSecurity: Warning. Matched "Operator `Rx'" [file "/etc/crs/941.conf"] [line "8"] [id "941100"] [msg "XSS"] [severity "4"] [hostname "10.1.0.80"] [uri "/"] [unique_id "17636"], client: 192.0.2.66, server: www.example.com, request: "GET / HTTP/1.1", host: "www.example.com")"),
      "owasp.modsecurity category=waf severity=MEDIUM action=DETECTED src=[192.0.2.66] "
      "dst=[10.1.0.80] signature_id=941100 signature=XSS url=/ session=17636 at "
      "2026-11-21T00:15:42Z");
}

}  // namespace
}  // namespace yagura::ingestion
