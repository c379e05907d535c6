// Rules as SigmaHQ writes them, one of each logsource, on events that our own parsers make of
// lines.
#include <cstdlib>
#include <filesystem>
#include <string>

#include "fmt/format.h"
#include "gtest/gtest.h"

#include "services/detection/domain/engine/batch_matcher.h"
#include "services/ingestion/domain/described/catalogue.h"
#include "services/ingestion/domain/line_pipeline.h"

namespace yagura::detection {
namespace {

struct LogsourceCase {
  std::string name;
  std::string logsource;
  std::string detection;
  std::string line;
};
void PrintTo(const LogsourceCase& one, std::ostream* out) { *out << one.name; }

std::shared_ptr<const ingestion::ParserCatalogue> Parsers() {
  const char* source = std::getenv("YAGURA_SOURCE_DIR");
  static const auto kLoaded = ingestion::ParserCatalogue::Load(
      std::filesystem::path(source != nullptr ? source : ".") / "content/parsers");
  EXPECT_TRUE(kLoaded.ok()) << kLoaded.status();
  return kLoaded.ok() ? *kLoaded : nullptr;
}

size_t MatchesOf(const std::string& logsource, const std::string& detection,
                 const std::string& line) {
  auto parsed = ParseSigma(
      fmt::format("title: T\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c001\nlogsource: {{{}}}\n"
                  "detection:\n{}\n  condition: s\n",
                  logsource, detection));
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  if (!parsed.ok()) return 0;
  ingestion::LinePipeline pipeline(Parsers());
  ingestion::LineContext context;
  context.receive_time = TimePoint(std::chrono::seconds(1'795'395'700));
  const auto& event = pipeline.Process(line, context).event;
  event::BatchBuilder builder({"acme", event::BatchIdOf({"test"}), context.receive_time});
  builder.Add(event);
  auto batch = event::BatchReader::Open(builder.Finish());
  BatchMatcher matcher(
      RuleSet::Build({{"", std::make_shared<const ParsedRule>(*std::move(parsed))}}));
  const auto matches = matcher.Run(*batch);
  EXPECT_TRUE(matches.ok()) << matches.status();
  return matches.ok() ? matches->size() : 0;
}

class LogsourceRouting : public ::testing::TestWithParam<LogsourceCase> {};

TEST_P(LogsourceRouting, RulesRunUnchangedOnOurEvents) {
  EXPECT_EQ(MatchesOf(GetParam().logsource, GetParam().detection, GetParam().line), 1U);
  // The selection alone is not what made it match: another product's events are left out.
  EXPECT_EQ(MatchesOf("product: another, service: nothing", GetParam().detection, GetParam().line),
            0U);
}

const std::string kAccess =
    R"line(192.0.2.66 - bob [23/Nov/2026:01:00:00 +0000] "POST /vpn/../vpns/cfg/smb.conf HTTP/1.1" 200 612 "http://ref.example/" "sqlmap/1.8")line";
const std::string kSquid =
    "1795395600.123    212 10.0.0.5 TCP_MISS/200 3120 GET http://evil.example/payload.class bob "
    "HIER_DIRECT/192.0.2.9 application/java";
const std::string kAsa =
    "<164>Nov 23 2026 01:00:00 asa1 : %ASA-4-106023: Deny tcp src outside:192.0.2.66/44444 dst "
    "inside:10.0.0.5/22 by access-group \"outside_in\" [0x0, 0x0]";
const std::string kYamaha =
    "<190>Nov 23 01:00:00 rtx1 PP[01] Rejected at IN(5000) filter: TCP 192.0.2.66:40000 > "
    "203.0.113.5:23";
const std::string kPanUrl =
    "<14>Nov 23 01:00:00 pa1 1,2026/11/23 01:00:00,0072,THREAT,url,2560,2026/11/23 "
    "01:00:00,10.0.0.5,"
    "198.51.100.7,0.0.0.0,0.0.0.0,out,,,web-browsing,vsys1,trust,untrust,a,b,fwd,2026/11/23 "
    "01:00:00,77,1,50000,80,0,0,0x0,tcp,alert,\"files.example/a.exe\",(9999),computers,"
    "informational,client-to-server,1";
const std::string kFortigateDns =
    R"line(date=2026-11-23 time=01:00:00 devname="fw" devid="FGT60FTK00000001" logid="1501054802" type="utm" subtype="dns" eventtype="dns-response" level="notice" vd="root" srcip=10.0.0.5 dstip=192.0.2.53 qname="a.duckdns.org" qtype="A" action="pass")line";
const std::string kExecve =
    R"line(type=EXECVE msg=audit(1795395600.123:456): argc=2 a0="cat" a1="/etc/shadow")line";
const std::string kBind =
    "<30>Nov 23 01:00:00 ns1 named[99]: client @0x7f 10.0.0.5#53122 (a.duckdns.org): query: "
    "a.duckdns.org IN A + (192.0.2.53)";
const std::string kVirus =
    R"line(date=2026-11-23 time=01:00:00 devname="fw" devid="FGT60FTK00000001" logid="0211008192" type="utm" subtype="virus" eventtype="infected" level="warning" vd="root" msg="File is infected." action="blocked" service="HTTP" srcip=10.0.0.5 dstip=192.0.2.9 filename="mimikatz.exe" virus="HackTool.Mimikatz")line";
const std::string kPolicy =
    R"line(date=2026-11-23 time=01:00:00 devname="fw" devid="FGT60FTK00000001" logid="0100044547" type="event" subtype="system" level="information" vd="root" logdesc="Object attribute configured" user="admin" ui="GUI(10.0.0.9)" action="Add" cfgtid=1 cfgpath="firewall.policy" cfgobj="7" msg="Add firewall.policy 7")line";
const std::string kZeek =
    R"line({"_path":"dns","ts":1795395600.1,"uid":"C1","id.orig_h":"10.0.0.5","id.orig_p":50000,"id.resp_h":"192.0.2.53","id.resp_p":53,"proto":"udp","query":"aaa.stage.123456.evil.example","qtype_name":"TXT"})line";

INSTANTIATE_TEST_SUITE_P(
    Logsources, LogsourceRouting,
    ::testing::Values(
        LogsourceCase{"WebserverUri", "category: webserver",
                      "  s:\n    cs-uri-query|contains: '/../vpns/'", kAccess},
        LogsourceCase{"WebserverMethodAgentStatus", "category: webserver",
                      "  s:\n    cs-method: POST\n    cs-user-agent|contains: sqlmap\n"
                      "    sc-status: 200\n    cs-referer|contains: ref.example\n"
                      "    cs-username: bob\n    c-ip: 192.0.2.66",
                      kAccess},
        LogsourceCase{"Proxy", "category: proxy",
                      "  s:\n    c-uri|endswith: .class\n    cs-method: GET\n    sc-status: 200",
                      kSquid},
        LogsourceCase{"Firewall", "category: firewall",
                      "  s:\n    src_ip: 192.0.2.66\n    dst_port: 22\n    action: blocked", kAsa},
        LogsourceCase{"FirewallOfYamaha", "category: firewall",
                      "  s:\n    src_ip: 192.0.2.66\n    dst_port: 23", kYamaha},
        LogsourceCase{"ProxyOfPaloAlto", "category: proxy", "  s:\n    c-uri|endswith: .exe",
                      kPanUrl},
        LogsourceCase{"DnsOfFortigate", "category: dns", "  s:\n    query|endswith: .duckdns.org",
                      kFortigateDns},
        LogsourceCase{"Auditd", "product: linux, service: auditd",
                      "  s:\n    type: EXECVE\n    a0: cat\n    a1|contains: shadow", kExecve},
        LogsourceCase{"Dns", "category: dns", "  s:\n    query|endswith: .duckdns.org", kBind},
        LogsourceCase{"DnsRecordType", "category: dns", "  s:\n    record_type: A", kBind},
        LogsourceCase{"Antivirus", "category: antivirus",
                      "  s:\n    Signature|contains: Mimikatz\n    Filename|endswith: .exe",
                      kVirus},
        LogsourceCase{"FortigateEvent", "product: fortigate, service: event",
                      "  s:\n    action: Add\n    cfgpath: firewall.policy", kPolicy},
        LogsourceCase{"ZeekDns", "product: zeek, service: dns",
                      "  s:\n    query|contains: '.stage.123456.'", kZeek},
        LogsourceCase{"CiscoAaa", "product: cisco, service: aaa",
                      "  s:\n    - 'show running-config'",
                      "<189>45: Nov 23 01:00:00.000: %PARSER-5-CFGLOG_LOGGEDCMD: User:eve  logged "
                      "command:show running-config"},
        LogsourceCase{"CiscoBgp", "product: cisco, service: bgp",
                      "  s:\n    '|all':\n      - '(179)'\n      - 'TCP-3-BADAUTH'",
                      "<187>47: Nov 23 01:00:00.000: %TCP-3-BADAUTH: No MD5 digest from "
                      "10.1.1.1(179) to 10.1.1.2(5000)"},
        LogsourceCase{"LinuxSshd", "product: linux, service: sshd", "  s:\n    - 'Failed password'",
                      "<86>Nov 23 01:00:00 srv1 sshd[1234]: Failed password for invalid user admin "
                      "from 192.0.2.66 port 50122 ssh2"},
        LogsourceCase{
            "LinuxSudo", "product: linux, service: sudo",
            "  s:\n    USER: root\n    COMMAND|contains: shadow",
            "<85>Nov 23 01:00:00 srv1 sudo:   eve : TTY=pts/0 ; PWD=/home/eve ; USER=root "
            "; COMMAND=/usr/bin/cat /etc/shadow"},
        LogsourceCase{"LinuxAuth", "product: linux, service: auth", "  s:\n    - 'not provided by'",
                      "<86>Nov 23 01:00:00 srv1 pkexec[77]: eve: The value for the SHELL variable "
                      "was not found; not provided by /etc/shells"},
        LogsourceCase{"LinuxCron", "product: linux, service: cron", "  s:\n    - REPLACE",
                      "<78>Nov 23 01:00:00 srv1 crontab[22]: (root) REPLACE (root)"},
        LogsourceCase{"LinuxClamav", "product: linux, service: clamav",
                      "  s:\n    - 'Webshell*FOUND'",
                      "<13>Nov 23 01:00:00 srv clamd[22]: /var/www/x.php: Webshell.PHP-1 FOUND"},
        LogsourceCase{
            "LinuxSyslog", "product: linux, service: syslog", "  s:\n    - ' denied AXFR from '",
            "<27>Nov 23 01:00:00 ns1 named[99]: denied: a view denied AXFR from 192.0.2.66"},
        LogsourceCase{"LinuxOfNoService", "product: linux", "  s:\n    - 'segfault at'",
                      "<4>Nov 23 01:00:00 srv kernel: x[1]: segfault at 0 ip 0"},
        LogsourceCase{
            "Apache", "service: apache", "  s:\n    - '__pthread_tpp_change_priority'",
            "<13>Nov 23 01:00:00 web apache2[22]: __pthread_tpp_change_priority: Assertion"}),
    [](const auto& one) { return one.param.name; });

}  // namespace
}  // namespace yagura::detection
