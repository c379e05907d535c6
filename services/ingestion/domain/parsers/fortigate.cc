#include <array>
#include <cstring>

#include "common/text/text.h"
#include "services/ingestion/domain/parsers/fields.h"
#include "services/ingestion/domain/parsers/parser.h"
#include "services/ingestion/domain/time_text.h"

// Fortinet key=value logs: FortiGate (traffic, utm, event) in its default and CSV formats, and the
// FortiWeb dialect, which names some fields otherwise.
namespace yagura::ingestion {
namespace {

using event::v1::Action;

// Fields that the typed core is made from.
enum Key : uint8_t {
  kAction,
  kApp,
  kAppid,
  kAttack,
  kAttackid,
  kCfgpath,
  kDate,
  kDevid,
  kDeviceId,
  kDevname,
  kDirection,
  kDst,
  kDstcountry,
  kDsthost,
  kDstintf,
  kDstip,
  kDstmac,
  kDstname,
  kDstport,
  kDstPort2,
  kDuration,
  kEventtime,
  kHostname,
  kHttpHost,
  kHttpUrl,
  kLevel,
  kLogdesc,
  kLogid,
  kLogId2,
  kMsg,
  kPolicy,
  kPolicyid,
  kPolicyname,
  kPri,
  kProto,
  kQname,
  kRcvdbyte,
  kRcvdpkt,
  kRemip,
  kSentbyte,
  kSentpkt,
  kService,
  kSessionid,
  kSeverity,
  kSignatureId,
  kSignatureSubclass,
  kSrc,
  kSrccountry,
  kSrcintf,
  kSrcip,
  kSrcmac,
  kSrcname,
  kSrcport,
  kSrcPort2,
  kStatus,
  kSubtype,
  kTime,
  kTimestamp,
  kTrandisp,
  kTranip,
  kTranport,
  kTransip,
  kTransport,
  kType,
  kTz,
  kUrl,
  kUser,
  kUtmaction,
  kVd,
  kVirus,
  kVirusid,
  kKeyCount,
};

constexpr std::array<std::string_view, kKeyCount> kKeyNames{"action",       "app",
                                                            "appid",        "attack",
                                                            "attackid",     "cfgpath",
                                                            "date",         "devid",
                                                            "device_id",    "devname",
                                                            "direction",    "dst",
                                                            "dstcountry",   "dsthost",
                                                            "dstintf",      "dstip",
                                                            "dstmac",       "dstname",
                                                            "dstport",      "dst_port",
                                                            "duration",     "eventtime",
                                                            "hostname",     "http_host",
                                                            "http_url",     "level",
                                                            "logdesc",      "logid",
                                                            "log_id",       "msg",
                                                            "policy",       "policyid",
                                                            "policyname",   "pri",
                                                            "proto",        "qname",
                                                            "rcvdbyte",     "rcvdpkt",
                                                            "remip",        "sentbyte",
                                                            "sentpkt",      "service",
                                                            "sessionid",    "severity",
                                                            "signature_id", "signature_subclass",
                                                            "src",          "srccountry",
                                                            "srcintf",      "srcip",
                                                            "srcmac",       "srcname",
                                                            "srcport",      "src_port",
                                                            "status",       "subtype",
                                                            "time",         "timestamp",
                                                            "trandisp",     "tranip",
                                                            "tranport",     "transip",
                                                            "transport",    "type",
                                                            "tz",           "url",
                                                            "user",         "utmaction",
                                                            "vd",           "virus",
                                                            "virusid"};

// Finds a name among kKeyNames with one probe in nearly every case.
class KeyTable {
 public:
  KeyTable() {
    slots_.fill(kKeyCount);
    for (size_t key = 0; key < kKeyCount; ++key) {
      size_t slot = Slot(kKeyNames[key]);
      while (slots_[slot] != kKeyCount) slot = (slot + 1) % kSlots;
      slots_[slot] = static_cast<uint8_t>(key);
    }
  }
  size_t Find(std::string_view name) const {
    for (size_t slot = Slot(name);; slot = (slot + 1) % kSlots) {
      const uint8_t key = slots_[slot];
      if (key == kKeyCount || kKeyNames[key] == name) return key;
    }
  }

 private:
  static constexpr size_t kSlots = 1024;
  static size_t Slot(std::string_view name) {
    if (name.empty()) return 0;
    const auto byte = [&](size_t i) {
      return static_cast<uint64_t>(static_cast<uint8_t>(name[i]));
    };
    const uint64_t mix = byte(0) | byte(name.size() - 1) << 8 | byte(name.size() / 2) << 16 |
                         byte(name.size() / 3) << 24 | static_cast<uint64_t>(name.size()) << 32;
    return (mix * 0x9e3779b97f4a7c15ull) >> 54;
  }
  std::array<uint8_t, kSlots> slots_;
};

using Values = std::array<std::string_view, kKeyCount>;

// Where the value's closing quote is; npos where there is none. `text` begins after the opening
// one.
size_t FindClosingQuote(std::string_view text) {
  size_t at = 0;
  for (;;) {
    at = text.find('"', at);
    if (at == text.npos || at == 0 || text[at - 1] != '\\') return at;
    size_t backslashes = 1;
    while (backslashes < at && text[at - 1 - backslashes] == '\\') ++backslashes;
    if (backslashes % 2 == 0) return at;
    ++at;
  }
}

// A device that does not escape ends a value with a backslash ("C:\dir\"): then the quote before a
// separator is the end.
size_t FindQuoteBeforeSeparator(std::string_view text, char separator) {
  for (size_t at = text.find('"'); at != text.npos; at = text.find('"', at + 1)) {
    if (at + 1 == text.size() || text[at + 1] == separator) return at;
  }
  return text.npos;
}

// \" and \\ lose their backslash; any other backslash is meant.
std::string_view Unescape(std::string_view text, TextArena& arena) {
  char* const start = arena.Reserve(text.size());
  char* out = start;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size() && (text[i + 1] == '"' || text[i + 1] == '\\')) ++i;
    *out++ = text[i];
  }
  arena.Shrink(text.size(), static_cast<size_t>(out - start));
  return {start, static_cast<size_t>(out - start)};
}

bool IsAny(std::string_view word, std::initializer_list<std::string_view> words) {
  for (const std::string_view known : words) {
    if (known == word) return true;
  }
  return false;
}

bool IsBlockingWord(std::string_view word) {
  return IsAny(word,
               {"deny",          "denied",       "block",       "blocked",      "dropped",
                "drop",          "drop_session", "reset",       "reset_client", "reset_server",
                "clear_session", "quarantine",   "quarantined", "blackhole",    "ban",
                "ban-ip",        "violation",    "Alert_Deny",  "Deny",         "Period_Block"});
}

Action ActionOfTraffic(const Values& values) {
  const std::string_view action = values[kAction];
  if (IsBlockingWord(action) || IsBlockingWord(values[kUtmaction])) return event::v1::BLOCKED;
  if (IsAny(action, {"accept", "pass", "passthrough", "allow"})) return event::v1::ALLOWED;
  if (action == "start") return event::v1::STARTED;
  if (IsAny(action, {"close", "timeout", "client-rst", "server-rst", "ip-conn"})) {
    return event::v1::ENDED;
  }
  if (action.empty() && values[kStatus] == "success") return event::v1::ALLOWED;  // FortiWeb
  return event::v1::ACTION_UNSPECIFIED;
}

Action ActionOfSecurity(const Values& values) {
  const std::string_view action = values[kAction];
  if (IsBlockingWord(action)) return event::v1::BLOCKED;
  if (IsAny(action, {"detected", "monitored", "monitor", "pass_session", "log-only", "Alert"})) {
    return event::v1::DETECTED;
  }
  if (IsAny(action, {"pass", "passthrough", "allow", "allowed", "accept", "exempt", "analytics"})) {
    return event::v1::ALLOWED;
  }
  return event::v1::ACTION_UNSPECIFIED;
}

Action ActionOfEvent(const Values& values) {
  const std::string_view action = values[kAction];
  const std::string_view status = values[kStatus];
  if (IsAny(action, {"login", "authentication", "auth-logon", "FSSO-logon", "Authentication"})) {
    if (IsAny(status, {"failed", "failure", "fail", "timed_out"})) return event::v1::LOGON_FAILED;
    if (status.empty() || status == "success") return event::v1::LOGON;
    return event::v1::ACTION_UNSPECIFIED;
  }
  if (action == "ssl-login-fail") return event::v1::LOGON_FAILED;
  if (IsAny(action, {"ssl-new-con", "tunnel-up"})) return event::v1::STARTED;
  if (IsAny(action, {"logout", "auth-logout", "FSSO-logoff", "tunnel-down", "ssl-exit-error"})) {
    return event::v1::ENDED;
  }
  if (!values[kCfgpath].empty() || IsAny(action, {"Edit", "Add", "Delete", "Move"})) {
    return event::v1::CHANGED;
  }
  if (IsBlockingWord(action)) return event::v1::BLOCKED;
  return event::v1::ACTION_UNSPECIFIED;
}

std::string_view FirstOf(std::initializer_list<std::string_view> values) {
  for (const std::string_view value : values) {
    if (!value.empty() && value != "N/A") return value;
  }
  return {};
}

class FortigateParser final : public Parser {
 public:
  std::string_view name() const override { return "fortigate"; }

  bool Recognises(const LineInput& input) const override {
    const std::string_view body = input.header.body;
    if (!body.starts_with("date=") && !body.starts_with("logver=") &&
        !body.starts_with("devname=") && !body.starts_with("timestamp=") &&
        !body.starts_with("eventtime=")) {
      return false;
    }
    const std::string_view head = body.substr(0, 512);
    return head.find("devid=") != head.npos || head.find("logid=") != head.npos ||
           head.find("device_id=") != head.npos || head.find("log_id=") != head.npos;
  }

  void Parse(const LineInput& input, TextArena& arena, ParsedLine* parsed) override {
    Values values{};
    ReadPairs(input.header.body, arena, &parsed->event, &values);
    SetWhat(values, arena, &parsed->event);
    SetEnds(values, arena, &parsed->event);
    SetTime(input, values, parsed);
    parsed->device_serial = FirstOf({values[kDevid], values[kDeviceId]});
  }

 private:
  void ReadPairs(std::string_view text, TextArena& arena, event::EventView* event,
                 Values* values) const {
    const size_t first_space = text.find_first_of(" ,");
    const char separator = first_space == text.npos ? ' ' : text[first_space];
    const char* at = text.data();
    const char* const end = at + text.size();
    while (at < end) {
      while (at < end && *at == separator) ++at;
      if (at == end) break;
      const char* equals = at;
      while (equals < end && *equals != '=') ++equals;
      if (equals == end) {
        MarkPartlyParsed("text without a name at the end of the line", event);
        return;
      }
      const char* name = at;
      for (const char* c = equals; c > at; --c) {
        if (c[-1] != separator && c[-1] != ' ') continue;
        MarkPartlyParsed("text without a name between the fields", event);
        name = c;
        break;
      }
      if (event->fields.size() == kMaxFields) {
        MarkPartlyParsed("more than 1,024 fields", event);
        return;
      }
      std::string_view value;
      at = ReadValue({equals + 1, static_cast<size_t>(end - equals - 1)}, separator, arena, event,
                     &value);
      const std::string_view key(name, static_cast<size_t>(equals - name));
      event->fields.push_back({key, value});
      const size_t known = keys_.Find(key);
      if (known != kKeyCount) (*values)[known] = value;
    }
  }

  // The value at the front of `text`; answers where the next pair begins.
  static const char* ReadValue(std::string_view text, char separator, TextArena& arena,
                               event::EventView* event, std::string_view* value) {
    if (text.empty() || text.front() != '"') {
      const void* stop = text.empty() ? nullptr : std::memchr(text.data(), separator, text.size());
      const size_t size = stop == nullptr
                              ? text.size()
                              : static_cast<size_t>(static_cast<const char*>(stop) - text.data());
      *value = text.substr(0, size);
      return text.data() + size;
    }
    text.remove_prefix(1);
    size_t end = FindClosingQuote(text);
    bool escaped = true;
    if (end == text.npos) {
      end = FindQuoteBeforeSeparator(text, separator);
      escaped = false;
    }
    if (end == text.npos) {
      MarkPartlyParsed("a quoted value has no end", event);
      *value = text;
      return text.data() + text.size();
    }
    *value = text.substr(0, end);
    if (escaped && value->find('\\') != value->npos) *value = Unescape(*value, arena);
    return text.data() + end + 1;
  }

  static void SetWhat(const Values& values, TextArena& arena, event::EventView* event) {
    const bool web = !values[kDeviceId].empty() || values[kDevid].starts_with("FV");
    event->product = web ? "fortinet.fortiweb" : "fortinet.fortigate";
    event->category = arena.Lower(values[kType]);
    if (const auto level = SeverityOfWord(FirstOf({values[kLevel], values[kPri]}))) {
      event->severity = level;
    }
    if (event->category == "traffic") {
      event->action = ActionOfTraffic(values);
    } else if (event->category == "event") {
      event->action = ActionOfEvent(values);
    } else {
      event->action = ActionOfSecurity(values);
      if (const auto grade = SeverityOfWord(values[kSeverity])) {
        // "critical" is the gravest of an IPS, not the third of syslog's eight.
        event->severity = values[kSeverity] == "critical" ? event::v1::CRITICAL : grade;
      }
    }
    event->message = FirstOf({values[kMsg], values[kLogdesc]});
    event->vendor_event_id = FirstOf({values[kLogid], values[kLogId2]});
    event->virtual_context = values[kVd];
    event->host = FirstOf({values[kDevname], event->host});
    event->session = values[kSessionid];
    event->rule = FirstOf({values[kPolicyid], values[kPolicyname], values[kPolicy]});
    event->user = FirstOf({values[kUser]});
    if (!values[kAttack].empty() || !values[kAttackid].empty()) {
      event->signature_id = values[kAttackid];
      event->signature = values[kAttack];
    } else if (!values[kVirus].empty() || !values[kVirusid].empty()) {
      event->signature_id = values[kVirusid];
      event->signature = values[kVirus];
    } else if (values[kSubtype] == "app-ctrl") {
      event->signature_id = values[kAppid];
      event->signature = values[kApp];
    } else {
      event->signature_id = values[kSignatureId];
      event->signature = values[kSignatureSubclass];
    }
    event->app = arena.Lower(FirstOf({values[kService], values[kApp]}));
    if (!values[kProto].empty()) event->protocol = ProtocolName(values[kProto], arena);
    if (IsAny(values[kDirection], {"outgoing", "outbound"})) event->direction = "outbound";
    if (IsAny(values[kDirection], {"incoming", "inbound"})) event->direction = "inbound";
    event->url = UrlOf(values, arena);
  }

  static std::string_view UrlOf(const Values& values, TextArena& arena) {
    const std::string_view url = FirstOf({values[kUrl], values[kHttpUrl]});
    const std::string_view host = FirstOf({values[kHostname], values[kHttpHost]});
    if (url.empty()) return FirstOf({host, values[kQname]});
    if (url.front() == '/' && !host.empty()) return arena.Join(host, url);
    return url;
  }

  static void SetEnds(const Values& values, TextArena& arena, event::EventView* event) {
    SetAddress(FirstOf({values[kSrcip], values[kSrc], values[kRemip]}), &event->src.ip);
    SetPort(FirstOf({values[kSrcport], values[kSrcPort2]}), &event->src.port);
    event->src.interface = values[kSrcintf];
    event->src.host = values[kSrcname];
    event->src.mac = arena.Lower(values[kSrcmac]);
    event->src.country = values[kSrccountry];
    SetAddress(FirstOf({values[kDstip], values[kDst]}), &event->dst.ip);
    SetPort(FirstOf({values[kDstport], values[kDstPort2]}), &event->dst.port);
    event->dst.interface = values[kDstintf];
    event->dst.host =
        FirstOf({values[kHostname], values[kHttpHost], values[kDstname], values[kDsthost]});
    event->dst.mac = arena.Lower(values[kDstmac]);
    event->dst.country = values[kDstcountry];
    if (!values[kTrandisp].empty() && values[kTrandisp] != "noop") {
      SetAddress(values[kTransip], &event->src.translated_ip);
      SetPort(values[kTransport], &event->src.translated_port);
      SetAddress(values[kTranip], &event->dst.translated_ip);
      SetPort(values[kTranport], &event->dst.translated_port);
    }
    SetCount(values[kSentbyte], &event->bytes_out);
    SetCount(values[kRcvdbyte], &event->bytes_in);
    SetCount(values[kSentpkt], &event->packets_out);
    SetCount(values[kRcvdpkt], &event->packets_in);
    if (const auto seconds = ParseNumber<uint32_t>(values[kDuration])) {
      event->duration = std::chrono::seconds(*seconds);
    }
  }

  static void SetTime(const LineInput& input, const Values& values, ParsedLine* parsed) {
    for (const Key key : {kEventtime, kTimestamp}) {
      if (const auto time = ReadEpoch(values[key])) {
        parsed->event.event_time = *time;
        parsed->zone_used = false;
        return;
      }
    }
    const auto date = ReadDate(values[kDate]);
    const auto time = ReadTimeOfDay(values[kTime]);
    if (!date || !time) return;  // the header's time stays
    if (const auto offset = ReadOffset(values[kTz])) {
      parsed->event.event_time = TimePoint(*date + *time - *offset);
      parsed->zone_used = false;
    } else {
      parsed->event.event_time = LocalToUtc(*date + *time, input.zone);
      parsed->zone_used = true;
    }
  }

  const KeyTable keys_;
};

}  // namespace

std::unique_ptr<Parser> MakeFortigateParser() { return std::make_unique<FortigateParser>(); }

}  // namespace yagura::ingestion
