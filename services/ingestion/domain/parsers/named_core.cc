#include "services/ingestion/domain/parsers/named_core.h"

#include <algorithm>
#include <array>

#include "common/text/text.h"
#include "services/ingestion/domain/described/time_format.h"
#include "services/ingestion/domain/parsers/fields.h"
#include "services/ingestion/domain/time_text.h"

namespace yagura::ingestion {
namespace {

void SetOnce(std::string_view value, std::string_view* target) {
  if (target->empty()) *target = value;
}

bool IsAny(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

// A number that is plausibly a time since 1970; others are durations and the like.
std::optional<TimePoint> TimeOfNumber(std::string_view text) {
  constexpr TimePoint kFirst{std::chrono::sys_days(std::chrono::year(2000) / 1 / 1)};
  constexpr TimePoint kPast{std::chrono::sys_days(std::chrono::year(2100) / 1 / 1)};
  const auto time = ReadEpoch(text);
  return time && *time >= kFirst && *time < kPast ? time : std::nullopt;
}

// "942100" of ModSecurity's '... [id "942100"] ...'.
std::string_view TagOf(std::string_view text, std::string_view name) {
  for (size_t at = text.find(name); at != text.npos; at = text.find(name, at + 1)) {
    const size_t value = at + name.size() + 2;
    if (at == 0 || text[at - 1] != '[' || text.substr(at + name.size(), 2) != " \"") continue;
    const size_t end = text.find("\"]", value);
    return end == text.npos ? std::string_view{} : text.substr(value, end - value);
  }
  return {};
}

}  // namespace

enum class NamedCore::Key : uint8_t {
  kTime,
  kUtcTime,
  kSrcIp,
  kSrcPort,
  kSrcHost,
  kDstIp,
  kDstPort,
  kDstHost,
  kProtocol,
  kApp,
  kUser,
  kUrl,
  kHost,
  kMessage,
  kBytesOut,
  kBytesIn,
  kPacketsOut,
  kPacketsIn,
  kSeverity,
  kEventId,
  kChannel,
  kWrappedChannel,
  kWindowsMark,
  kZeekStream,
  kZeekMark,
  kZeekUid,
  kSuricataType,
  kSuricataMark,
  kSuricataAction,
  kFlowId,
  kSignature,
  kSignatureId,
  kGrade,
  kWindowsLevel,
  kWindowsSubject,
  kWindowsStatus,
  kSession,
  kDuration,
  kSrcMac,
  kDstMac,
  kSrcInterface,
  kUrlPath,
  kQuery,
  kModsecurityMark,
  kModsecurityStop,
  kModsecurityText,
  kRequestLine,
  kResponseCode,
};

const StringMap<NamedCore::Key>& NamedCore::KeysByName() {
  static const StringMap<Key> kKeys{
      {"@timestamp", Key::kTime},
      {"timestamp", Key::kTime},
      {"time", Key::kTime},
      {"ts", Key::kTime},
      {"EventTime", Key::kTime},
      {"TimeCreated", Key::kTime},
      {"UtcTime", Key::kUtcTime},
      {"SourceIp", Key::kSrcIp},
      {"SourceAddress", Key::kSrcIp},
      {"IpAddress", Key::kSrcIp},
      {"src_ip", Key::kSrcIp},
      {"srcip", Key::kSrcIp},
      {"source.ip", Key::kSrcIp},
      {"src_endpoint.ip", Key::kSrcIp},
      {"id_orig_h", Key::kSrcIp},
      {"id.orig_h", Key::kSrcIp},
      {"SourcePort", Key::kSrcPort},
      {"IpPort", Key::kSrcPort},
      {"src_port", Key::kSrcPort},
      {"source.port", Key::kSrcPort},
      {"src_endpoint.port", Key::kSrcPort},
      {"id_orig_p", Key::kSrcPort},
      {"id.orig_p", Key::kSrcPort},
      {"SourceHostname", Key::kSrcHost},
      {"WorkstationName", Key::kSrcHost},
      {"source.domain", Key::kSrcHost},
      {"DestinationIp", Key::kDstIp},
      {"DestAddress", Key::kDstIp},
      {"dest_ip", Key::kDstIp},
      {"dst_ip", Key::kDstIp},
      {"dstip", Key::kDstIp},
      {"destination.ip", Key::kDstIp},
      {"dst_endpoint.ip", Key::kDstIp},
      {"id_resp_h", Key::kDstIp},
      {"id.resp_h", Key::kDstIp},
      {"DestinationPort", Key::kDstPort},
      {"DestPort", Key::kDstPort},
      {"dest_port", Key::kDstPort},
      {"dst_port", Key::kDstPort},
      {"destination.port", Key::kDstPort},
      {"dst_endpoint.port", Key::kDstPort},
      {"id_resp_p", Key::kDstPort},
      {"id.resp_p", Key::kDstPort},
      {"DestinationHostname", Key::kDstHost},
      {"destination.domain", Key::kDstHost},
      {"http.hostname", Key::kDstHost},
      {"Protocol", Key::kProtocol},
      {"proto", Key::kProtocol},
      {"network.transport", Key::kProtocol},
      {"service", Key::kApp},
      {"app_proto", Key::kApp},
      {"network.protocol", Key::kApp},
      {"TargetUserName", Key::kUser},
      {"User", Key::kUser},
      {"user", Key::kUser},
      {"user.name", Key::kUser},
      {"username", Key::kUser},
      {"url", Key::kUrl},
      {"url.original", Key::kUrl},
      {"url.full", Key::kUrl},
      {"Hostname", Key::kHost},
      {"Computer", Key::kHost},
      {"hostname", Key::kHost},
      {"host", Key::kHost},
      {"host.name", Key::kHost},
      {"@system", Key::kHost},
      {"Message", Key::kMessage},
      {"message", Key::kMessage},
      {"msg", Key::kMessage},
      {"source.bytes", Key::kBytesOut},
      {"orig_bytes", Key::kBytesOut},
      {"flow.bytes_toserver", Key::kBytesOut},
      {"destination.bytes", Key::kBytesIn},
      {"resp_bytes", Key::kBytesIn},
      {"flow.bytes_toclient", Key::kBytesIn},
      {"orig_pkts", Key::kPacketsOut},
      {"flow.pkts_toserver", Key::kPacketsOut},
      {"resp_pkts", Key::kPacketsIn},
      {"flow.pkts_toclient", Key::kPacketsIn},
      {"level", Key::kSeverity},
      {"severity", Key::kSeverity},
      {"log.level", Key::kSeverity},
      {"EventID", Key::kEventId},
      {"event.code", Key::kEventId},
      {"Channel", Key::kChannel},
      {"winlog.channel", Key::kWrappedChannel},
      {"Event.System.Channel", Key::kWrappedChannel},
      {"System.Channel", Key::kWrappedChannel},
      {"SourceName", Key::kWindowsMark},
      {"ProviderGuid", Key::kWindowsMark},
      {"winlog.provider_name", Key::kWindowsMark},
      {"@stream", Key::kZeekStream},
      {"_path", Key::kZeekStream},
      {"uid", Key::kZeekUid},
      {"conn_state", Key::kZeekMark},
      {"@proc", Key::kZeekMark},
      {"event_type", Key::kSuricataType},
      {"flow_id", Key::kFlowId},
      {"in_iface", Key::kSrcInterface},
      {"stats.uptime", Key::kSuricataMark},
      {"engine.message", Key::kSuricataMark},
      {"alert.action", Key::kSuricataAction},
      {"verdict.action", Key::kSuricataAction},
      {"alert.severity", Key::kGrade},
      {"anomaly.event", Key::kSignature},
      {"flow.age", Key::kDuration},
      {"ether.src_mac", Key::kSrcMac},
      {"ether.dest_mac", Key::kDstMac},
      {"http.url", Key::kUrlPath},
      {"dns.rrname", Key::kQuery},
      {"dns.queries.rrname", Key::kQuery},
      {"tls.sni", Key::kDstHost},
      {"quic.sni", Key::kDstHost},
      {"alert.signature", Key::kSignature},
      {"alert.signature_id", Key::kSignatureId},
      {"TimeCreated.SystemTime", Key::kTime},
      {"Level", Key::kWindowsLevel},
      {"Severity", Key::kSeverity},
      {"SubjectUserName", Key::kWindowsSubject},
      {"Status", Key::kWindowsStatus},
      {"query", Key::kQuery},
      {"uri", Key::kUrlPath},
      {"orig_l2_addr", Key::kSrcMac},
      {"resp_l2_addr", Key::kDstMac},
      {"transaction.time_stamp", Key::kTime},
      {"transaction.time", Key::kTime},
      {"transaction.client_ip", Key::kSrcIp},
      {"transaction.remote_address", Key::kSrcIp},
      {"transaction.client_port", Key::kSrcPort},
      {"transaction.remote_port", Key::kSrcPort},
      {"transaction.host_ip", Key::kDstIp},
      {"transaction.local_address", Key::kDstIp},
      {"transaction.host_port", Key::kDstPort},
      {"transaction.local_port", Key::kDstPort},
      {"transaction.unique_id", Key::kSession},
      {"transaction.transaction_id", Key::kSession},
      {"transaction.request.uri", Key::kUrl},
      {"transaction.request.headers.Host", Key::kDstHost},
      {"request.headers.Host", Key::kDstHost},
      {"transaction.response.http_code", Key::kResponseCode},
      {"transaction.messages.message", Key::kSignature},
      {"transaction.messages.details.ruleId", Key::kSignatureId},
      {"transaction.messages.details.severity", Key::kGrade},
      {"transaction.producer.modsecurity", Key::kModsecurityMark},
      {"audit_data.producer", Key::kModsecurityMark},
      {"audit_data.messages", Key::kModsecurityText},
      {"request.request_line", Key::kRequestLine},
      {"transaction.is_interrupted", Key::kModsecurityStop},
      {"audit_data.action.intercepted", Key::kModsecurityStop},
  };
  return kKeys;
}

void NamedCore::Set(Key key, std::string_view value) {
  switch (key) {
    case Key::kTime:
      return SetTime(value);
    case Key::kUtcTime:
      return SetOnce(value, &marks_.utc_time);
    case Key::kSrcIp:
      if (event_.src.ip.empty()) SetAddress(value, &event_.src.ip);
      return;
    case Key::kSrcPort:
      return SetPort(value, &event_.src.port);
    case Key::kSrcHost:
      if (value != "-") SetOnce(value, &event_.src.host);
      return;
    case Key::kDstIp:
      if (event_.dst.ip.empty()) SetAddress(value, &event_.dst.ip);
      return;
    case Key::kDstPort:
      return SetPort(value, &event_.dst.port);
    case Key::kDstHost:
      if (value != "-") SetOnce(value, &event_.dst.host);
      return;
    case Key::kProtocol:
      return SetOnce(ProtocolName(value, arena_), &event_.protocol);
    case Key::kApp:
      return SetOnce(arena_.Lower(value), &event_.app);
    case Key::kUser:
      if (value != "-") SetOnce(value, &event_.user);
      return;
    case Key::kUrl:
      return SetOnce(value, &event_.url);
    case Key::kHost:
      if (!host_seen_) event_.host = value;
      host_seen_ = true;
      return;
    case Key::kMessage:
      return SetOnce(value, &event_.message);
    case Key::kBytesOut:
      return SetCount(value, &event_.bytes_out);
    case Key::kBytesIn:
      return SetCount(value, &event_.bytes_in);
    case Key::kPacketsOut:
      return SetCount(value, &event_.packets_out);
    case Key::kPacketsIn:
      return SetCount(value, &event_.packets_in);
    case Key::kSeverity:
      if (const auto severity = SeverityOfWord(value)) event_.severity = severity;
      return;
    case Key::kEventId:
      return SetOnce(value, &event_.vendor_event_id);
    case Key::kSignature:
      return SetOnce(value, &event_.signature);
    case Key::kSignatureId:
      return SetOnce(value, &event_.signature_id);
    case Key::kWrappedChannel:
      wrapped_windows_ = true;
      [[fallthrough]];
    case Key::kChannel:
      return SetOnce(value, &marks_.channel);
    case Key::kZeekStream:
      return SetOnce(value, &marks_.zeek_stream);
    case Key::kSuricataType:
      return SetOnce(value, &marks_.suricata_type);
    case Key::kWindowsMark:
      marks_.windows = true;
      return;
    case Key::kZeekUid:
      SetOnce(value, &marks_.uid);
      [[fallthrough]];
    case Key::kZeekMark:
      marks_.zeek = true;
      return;
    case Key::kFlowId:
      SetOnce(value, &event_.session);
      marks_.suricata = true;
      return;
    case Key::kSrcInterface:
      SetOnce(value, &event_.src.interface);
      marks_.suricata = true;
      return;
    case Key::kSuricataMark:
      marks_.suricata = true;
      return;
    case Key::kSuricataAction:
      marks_.suricata_action = value;  // the verdict comes last
      return;
    case Key::kGrade:
      SetOnce(value, &marks_.grade);
      return;
    case Key::kWindowsLevel:
      SetOnce(value, &marks_.level);
      return;
    case Key::kWindowsSubject:
      if (value != "-") SetOnce(value, &marks_.subject);
      return;
    case Key::kWindowsStatus:
      SetOnce(value, &marks_.status);
      return;
    case Key::kSession:
      return SetOnce(value, &event_.session);
    case Key::kDuration:
      SetOnce(value, &marks_.seconds);
      return;
    case Key::kSrcMac:
      return SetOnce(arena_.Lower(value), &event_.src.mac);
    case Key::kDstMac:
      return SetOnce(arena_.Lower(value), &event_.dst.mac);
    case Key::kUrlPath:
      return SetOnce(value, &marks_.url_path);
    case Key::kQuery:
      return SetOnce(value, &marks_.query);
    case Key::kModsecurityMark:
      marks_.modsecurity = true;
      return;
    case Key::kModsecurityStop:
      marks_.stopped = value == "true" || value == "1";
      return;
    case Key::kModsecurityText:
      SetOnce(TagOf(value, "id"), &event_.signature_id);
      SetOnce(TagOf(value, "msg"), &event_.signature);
      return SetOnce(TagOf(value, "severity"), &marks_.grade);
    case Key::kRequestLine:
      return SetOnce(value, &marks_.request_line);
    case Key::kResponseCode:
      return SetOnce(value, &marks_.response);
  }
}

void NamedCore::SetTime(std::string_view value) {
  if (time_rank_ == TimeRank::kZoned) return;
  std::string_view rest = value;
  bool zone_used = false;
  auto time = TakeIsoTime(rest, input_.zone, &zone_used);
  if (!time || !rest.empty()) {
    time = TimeOfNumber(value);
    zone_used = false;
  }
  if (!time) time = OtherTime(value, &zone_used);
  if (!time) return;
  const TimeRank rank = zone_used ? TimeRank::kLocal : TimeRank::kZoned;
  if (rank <= time_rank_) return;
  time_rank_ = rank;
  event_.event_time = *time;
  parsed_->zone_used = zone_used;
}

void NamedCore::SetUtcTime() {
  std::string_view rest = marks_.utc_time;
  if (rest.empty() || time_rank_ >= TimeRank::kUtc) return;
  bool zone_used = false;
  const auto time = TakeIsoTime(rest, SourceZone(), &zone_used);
  if (!time || !rest.empty()) return;
  time_rank_ = TimeRank::kUtc;
  event_.event_time = *time;
  parsed_->zone_used = false;
}

// "Sat Nov 21 09:15:42 2026" and "21/Nov/2026:09:15:42.123 +0900".
std::optional<TimePoint> NamedCore::OtherTime(std::string_view value, bool* zone_used) const {
  constexpr size_t kWeekday = 4;
  if (value.size() > kWeekday && value[kWeekday - 1] == ' ') {
    std::string_view rest = value.substr(kWeekday);
    const auto time = TakeBsdTime(rest, input_.receive_time, input_.zone);
    if (!time || !rest.empty()) return std::nullopt;
    *zone_used = true;
    return time;
  }
  static const std::array<TimeFormat, 2> kFormats{
      TimeFormat::Parse("%d/%b/%Y:%H:%M:%S.%f %z").value(),
      TimeFormat::Parse("%d/%b/%Y:%H:%M:%S %z").value()};
  for (const TimeFormat& format : kFormats) {
    if (const auto time = format.Read(value, input_.receive_time, input_.zone, zone_used)) {
      return time;
    }
  }
  return std::nullopt;
}

void NamedCore::Finish() {
  // Suricata's events need no flow: their type and their ends tell them, of an alert its rule, too.
  const auto is_eve = [this](std::string_view type) {
    return IsAny(type,
                 {"alert", "anomaly", "dhcp", "dns",  "drop",    "fileinfo", "flow", "ftp",
                  "http",  "ikev2",   "krb5", "mqtt", "netflow", "nfs",      "quic", "rdp",
                  "rfb",   "sip",     "smb",  "smtp", "snmp",    "ssh",      "tftp", "tls"}) &&
           !event_.src.ip.empty() && !event_.dst.ip.empty() && !event_.protocol.empty() &&
           (type != "alert" || !event_.signature_id.empty());
  };
  const bool suricata =
      !marks_.suricata_type.empty() &&
      (marks_.suricata || event_.program == "suricata" || is_eve(marks_.suricata_type));
  if (marks_.windows || (!marks_.channel.empty() && !event_.vendor_event_id.empty())) {
    event_.product = "microsoft.windows";
    event_.category = arena_.Lower(marks_.channel);
    FinishWindows();
  } else if (marks_.zeek && !marks_.zeek_stream.empty()) {
    event_.product = "zeek.zeek";
    event_.category = marks_.zeek_stream;
    FinishZeek();
  } else if (suricata) {
    event_.product = "oisf.suricata";
    event_.category = marks_.suricata_type;
    FinishSuricata();
  } else if (marks_.modsecurity) {
    event_.product = "owasp.modsecurity";
    event_.category = "waf";
    FinishModsecurity();
  } else {
    event_.product = "generic.json";
  }
}

void NamedCore::FinishWindows() {
  SetUtcTime();
  SetOnce(marks_.subject, &event_.user);
  // Of Windows' levels 4 is information and 5 verbose; 0 says nothing.
  if (marks_.level == "1") event_.severity = event::v1::CRITICAL;
  if (marks_.level == "2") event_.severity = event::v1::HIGH;
  if (marks_.level == "3") event_.severity = event::v1::MEDIUM;
  if (IsAny(marks_.level, {"4", "5"})) event_.severity = event::v1::INFORMATIONAL;
  if (const auto level = SeverityOfWord(marks_.level)) event_.severity = level;
  if (!EqualsIgnoreCase(marks_.channel, "Security")) return;
  const std::string_view id = event_.vendor_event_id;
  if (id == "4624") event_.action = event::v1::LOGON;
  if (IsAny(id, {"4625", "4771"})) event_.action = event::v1::LOGON_FAILED;
  if (IsAny(id, {"4768", "4776"}) && !marks_.status.empty()) {
    const bool good = IsAny(marks_.status, {"0x0", "0x00000000", "0"});
    event_.action = good ? event::v1::LOGON : event::v1::LOGON_FAILED;
  }
  if (IsAny(id, {"4634", "4647"})) event_.action = event::v1::ENDED;
  if (id == "5156") event_.action = event::v1::ALLOWED;
  if (IsAny(id, {"5031", "5150", "5151", "5152", "5155", "5157"})) {
    event_.action = event::v1::BLOCKED;
  }
  // Accounts, groups, policies, the log itself.
  if (IsAny(id, {"1102", "4704", "4705", "4717", "4718", "4719", "4720", "4722", "4723", "4724",
                 "4725", "4726", "4727", "4728", "4729", "4730", "4731", "4732", "4733", "4734",
                 "4735", "4737", "4738", "4739", "4741", "4742", "4743", "4754", "4755", "4756",
                 "4757", "4758", "4767", "4781", "4946", "4947", "4948", "4950"})) {
    event_.action = event::v1::CHANGED;
  }
}

void NamedCore::FinishZeek() {
  SetOnce(marks_.uid, &event_.session);
  if (event_.category == "dns") SetOnce(marks_.query, &event_.url);
  if (event_.category == "http") SetUrl();
}

void NamedCore::SetUrl() {
  const std::string_view path = marks_.url_path;
  if (path.empty() || !event_.url.empty()) return;
  event_.url =
      path.front() == '/' && !event_.dst.host.empty() ? arena_.Join(event_.dst.host, path) : path;
}

void NamedCore::FinishSuricata() {
  SetUrl();
  SetOnce(marks_.query, &event_.url);
  const std::string_view type = marks_.suricata_type;
  const std::string_view action = marks_.suricata_action;
  if (type == "alert") event_.action = event::v1::DETECTED;
  if (type == "flow" || type == "netflow") event_.action = event::v1::ENDED;
  if (type == "drop" || IsAny(action, {"blocked", "drop", "reject"})) {
    event_.action = event::v1::BLOCKED;
  }
  // 1 is the gravest of a signature's four.
  if (marks_.grade == "1") event_.severity = event::v1::HIGH;
  if (marks_.grade == "2") event_.severity = event::v1::MEDIUM;
  if (marks_.grade == "3") event_.severity = event::v1::LOW;
  if (marks_.grade == "4") event_.severity = event::v1::INFORMATIONAL;
  if (const auto seconds = ParseNumber<uint32_t>(marks_.seconds)) {
    event_.duration = std::chrono::seconds(*seconds);
  }
}

void NamedCore::FinishModsecurity() {
  if (!event_.signature_id.empty() || !event_.signature.empty()) {
    event_.action = event::v1::DETECTED;
  }
  if (marks_.stopped) event_.action = event::v1::BLOCKED;
  if (const auto grade = ParseNumber<int>(marks_.grade); grade && *grade >= 0 && *grade <= 7) {
    event_.severity = SeverityOfPriority(*grade);  // counted as syslog does
  } else if (const auto word = SeverityOfWord(marks_.grade)) {
    event_.severity = word;
  }
  if (event_.url.empty()) {  // "GET /x HTTP/1.1"
    const std::string_view line = marks_.request_line;
    const size_t start = std::min(line.find(' '), line.size());
    event_.url = Trim(line.substr(start, std::max(line.rfind(' '), start) - start));
  }
  SetOnce(marks_.response, &event_.vendor_event_id);
}

}  // namespace yagura::ingestion
