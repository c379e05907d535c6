#include "common/testing/fortigate_lines.h"

#include <array>
#include <string_view>

#include "fmt/chrono.h"
#include "fmt/format.h"

namespace yagura::testing {
namespace {

struct Signature {
  std::string_view id;
  std::string_view name;
  std::string_view severity;
  std::string_view action;
};
constexpr std::array kSignatures{
    Signature{"51006", "Apache.Log4j.Error.Log.Remote.Code.Execution", "critical", "dropped"},
    Signature{"43745", "MS.SMB.Server.SMB1.Trans2.Secondary.Handling.Code.Execution", "critical",
              "dropped"},
    Signature{"12713", "HTTP.URI.SQL.Injection", "high", "dropped"},
    Signature{"47642", "Bash.Function.Definitions.Remote.Code.Execution", "high", "detected"},
    Signature{"107347981", "Acunetix.Web.Vulnerability.Scanner", "low", "detected"},
};

struct Service {
  int port;
  int protocol;
  std::string_view name;
};
constexpr std::array kServices{Service{443, 6, "HTTPS"}, Service{80, 6, "HTTP"},
                               Service{53, 17, "DNS"},   Service{123, 17, "NTP"},
                               Service{25, 6, "SMTP"},   Service{22, 6, "SSH"}};
constexpr std::array<std::string_view, 5> kUsers{"alice", "bob", "carol", "dave", "erin"};
constexpr std::array<std::string_view, 4> kCountries{"Japan", "United States", "Germany",
                                                     "Reserved"};

}  // namespace

FortigateLines::FortigateLines() : FortigateLines(Options{}) {}

FortigateLines::FortigateLines(Options options)
    : options_(std::move(options)), state_(options_.seed) {}

uint64_t FortigateLines::Random(uint64_t below) {  // splitmix64
  state_ += 0x9e3779b97f4a7c15ull;
  uint64_t value = state_;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ull;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebull;
  return (value ^ (value >> 31)) % below;
}

std::string FortigateLines::Next() {
  ++counts_.lines;
  const uint64_t kind = Random(100);
  std::string body;
  if (kind < 88) {
    body = Traffic();
  } else if (kind < 94) {
    body = WebFilter();
  } else if (kind < 96) {
    body = Intrusion();
  } else if (kind < 98) {
    body = Login();
  } else {
    body = System();
  }
  return options_.syslog_header ? "<189>" + body : body;
}

std::string FortigateLines::Head(const char* type, const char* log_id, const char* level) const {
  const TimePoint time = options_.start + options_.step * static_cast<int64_t>(counts_.lines - 1);
  const auto seconds = std::chrono::time_point_cast<std::chrono::seconds>(time);
  const auto shown = fmt::gmtime(std::chrono::system_clock::to_time_t(seconds));
  return fmt::format(
      "date={:%Y-%m-%d} time={:%H:%M:%S} devname=\"{}\" devid=\"{}\" eventtime={} tz=\"+0000\" "
      "logid=\"{}\" {} level=\"{}\" vd=\"{}\"",
      shown, shown, options_.device_name, options_.serial, time.time_since_epoch().count(), log_id,
      type, level, options_.virtual_context);
}

std::string FortigateLines::Traffic() {
  ++counts_.traffic;
  const Service& service = kServices[Random(kServices.size())];
  const bool denied = Random(100) < 12;
  const std::string source = fmt::format("10.1.{}.{}", Random(4), 1 + Random(200));
  const std::string target = fmt::format("198.51.100.{}", 1 + Random(250));
  const uint64_t source_port = 1024 + Random(60000);
  const std::string_view country = kCountries[Random(kCountries.size())];
  const uint64_t sent = denied ? 0 : 60 + Random(20000);
  const uint64_t received = denied ? 0 : 60 + Random(900000);
  const uint64_t seconds = denied ? 0 : 1 + Random(300);
  counts_.sent_bytes += sent;
  counts_.received_bytes += received;
  if (denied) {
    ++counts_.denied;
    ++counts_.denied_by_source[source];
  }
  std::string line =
      Head("type=\"traffic\" subtype=\"forward\"", "0000000013", denied ? "warning" : "notice");
  line += fmt::format(
      " srcip={} srcport={} srcintf=\"port2\" srcintfrole=\"lan\" dstip={} dstport={} "
      "dstintf=\"wan1\" dstintfrole=\"wan\" srccountry=\"Reserved\" dstcountry=\"{}\" "
      "sessionid={} proto={} action=\"{}\" policyid={} policytype=\"policy\" service=\"{}\"",
      source, source_port, target, service.port, country, counts_.lines, service.protocol,
      denied ? "deny" : (service.protocol == 6 ? "close" : "accept"), denied ? 0 : 1 + Random(40),
      service.name);
  if (denied) {
    line += " trandisp=\"noop\" duration=0 sentbyte=0 rcvdbyte=0 sentpkt=0 rcvdpkt=0";
  } else {
    line += fmt::format(
        " trandisp=\"snat\" transip=203.0.113.5 transport={} duration={} sentbyte={} rcvdbyte={} "
        "sentpkt={} rcvdpkt={}",
        source_port, seconds, sent, received, 1 + sent / 1400, 1 + received / 1400);
  }
  return line + " appcat=\"unscanned\"";
}

std::string FortigateLines::WebFilter() {
  const bool blocked = Random(100) < 30;
  counts_.web_blocked += blocked;
  return Head("type=\"utm\" subtype=\"webfilter\" eventtype=\"ftgd_blk\"",
              blocked ? "0316013056" : "0317013312", blocked ? "warning" : "notice") +
         fmt::format(
             " policyid={} sessionid={} user=\"{}\" srcip=10.1.{}.{} srcport={} srcintf=\"port2\" "
             "dstip=198.51.100.{} dstport=443 dstintf=\"wan1\" proto=6 service=\"HTTPS\" "
             "hostname=\"www{}.example.com\" profile=\"default\" action=\"{}\" reqtype=\"direct\" "
             "url=\"/page/{}?q=a=b&c=d\" direction=\"outgoing\" "
             "msg=\"URL belongs to {} category in policy\" cat={} catdesc=\"Web \\\"2.0\\\"\"",
             1 + Random(40), counts_.lines, kUsers[Random(kUsers.size())], Random(4),
             1 + Random(200), 1024 + Random(60000), 1 + Random(250), Random(50),
             blocked ? "blocked" : "passthrough", Random(1000), blocked ? "a denied" : "an allowed",
             Random(90));
}

std::string FortigateLines::Intrusion() {
  const Signature& signature = kSignatures[Random(kSignatures.size())];
  ++counts_.intrusions;
  ++counts_.intrusions_by_signature[std::string(signature.name)];
  return Head("type=\"utm\" subtype=\"ips\" eventtype=\"signature\"", "0419016384", "alert") +
         fmt::format(
             " severity=\"{}\" srcip=203.0.113.{} srccountry=\"{}\" dstip=10.1.0.{} "
             "srcintf=\"wan1\" dstintf=\"dmz\" sessionid={} action=\"{}\" proto=6 service=\"HTTP\" "
             "policyid={} attack=\"{}\" srcport={} dstport=80 direction=\"incoming\" attackid={} "
             "profile=\"protect\" incidentserialno={} msg=\"web: {}\"",
             signature.severity, 1 + Random(250), kCountries[Random(kCountries.size())],
             1 + Random(20), counts_.lines, signature.action, 1 + Random(40), signature.name,
             1024 + Random(60000), signature.id, 1000000 + counts_.lines, signature.name);
}

std::string FortigateLines::Login() {
  const bool failed = Random(100) < 60;
  const std::string source = fmt::format("192.0.2.{}", 1 + Random(6));
  if (failed) {
    ++counts_.logins_failed;
    ++counts_.logins_failed_by_source[source];
  } else {
    ++counts_.logins;
  }
  const std::string_view user = kUsers[Random(kUsers.size())];
  return Head("type=\"event\" subtype=\"system\"", failed ? "0100032002" : "0100032001",
              failed ? "alert" : "information") +
         fmt::format(
             " logdesc=\"Admin login {}\" sn=\"{}\" user=\"{}\" ui=\"https({})\" method=\"https\" "
             "srcip={} dstip=192.0.2.254 action=\"login\" status=\"{}\" reason=\"{}\" "
             "msg=\"Administrator {} login {} from https({})\"",
             failed ? "failed" : "successful", counts_.lines, user, source, source,
             failed ? "failed" : "success", failed ? "passwd_invalid" : "none", user,
             failed ? "failed" : "successful", source);
}

std::string FortigateLines::System() {
  return Head("type=\"event\" subtype=\"system\"", "0100040704", "notice") +
         fmt::format(
             " logdesc=\"System performance statistics\" action=\"perf-stats\" cpu={} mem={} "
             "totalsession={} sn=\"{}\" msg=\"Performance statistics\"",
             Random(100), Random(100), Random(100000), counts_.lines);
}

}  // namespace yagura::testing
