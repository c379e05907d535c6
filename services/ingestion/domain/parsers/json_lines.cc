#include <simdjson.h>

#include <cstring>

#include "common/text/text.h"
#include "services/ingestion/domain/parsers/fields.h"
#include "services/ingestion/domain/parsers/parser.h"
#include "services/ingestion/domain/time_text.h"

// One JSON object a line, with or without a syslog header before it: Windows and Sysmon, Zeek,
// Suricata and applications. Nested names are joined by dots; elements of an array share its name.
namespace yagura::ingestion {
namespace {

namespace ondemand = simdjson::ondemand;

constexpr int kMaxDepth = 32;  // deeper objects are kept as JSON text

enum class Key : uint8_t {
  kTime,
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
  kWindowsMark,
  kZeekStream,
  kZeekMark,
  kSuricataType,
  kSuricataMark,
  kSignature,
  kSignatureId,
};

// Names by which the typed core, and the product, are known.
const StringMap<Key>& KeysByName() {
  static const StringMap<Key> kKeys{
      {"@timestamp", Key::kTime},
      {"timestamp", Key::kTime},
      {"time", Key::kTime},
      {"ts", Key::kTime},
      {"EventTime", Key::kTime},
      {"TimeCreated", Key::kTime},
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
      {"winlog.channel", Key::kChannel},
      {"SourceName", Key::kWindowsMark},
      {"ProviderGuid", Key::kWindowsMark},
      {"winlog.provider_name", Key::kWindowsMark},
      {"@stream", Key::kZeekStream},
      {"_path", Key::kZeekStream},
      {"uid", Key::kZeekMark},
      {"conn_state", Key::kZeekMark},
      {"@proc", Key::kZeekMark},
      {"event_type", Key::kSuricataType},
      {"flow_id", Key::kSuricataMark},
      {"in_iface", Key::kSuricataMark},
      {"alert.signature", Key::kSignature},
      {"alert.signature_id", Key::kSignatureId},
  };
  return kKeys;
}

// What the names found so far say about the product.
struct Marks {
  std::string_view channel;
  std::string_view zeek_stream;
  std::string_view suricata_type;
  bool windows = false;
  bool zeek = false;
  bool suricata = false;
};

void SetOnce(std::string_view value, std::string_view* target) {
  if (target->empty()) *target = value;
}

class Reader {
 public:
  Reader(const LineInput& input, TextArena& arena, ParsedLine* parsed)
      : input_(input), arena_(arena), parsed_(parsed), event_(parsed->event) {}

  simdjson::error_code ReadObject(ondemand::object object, std::string_view prefix, int depth) {
    for (simdjson::simdjson_result<ondemand::field> found : object) {
      ondemand::field field;
      if (const auto error = std::move(found).get(field)) return error;
      std::string_view name;
      if (const auto error = field.unescaped_key().get(name)) return error;
      if (!prefix.empty()) name = arena_.Join(prefix, ".", name);
      if (const auto error = ReadValue(field.value(), name, depth)) return error;
    }
    return simdjson::SUCCESS;
  }

  void SetProduct() {
    if (marks_.windows || (!marks_.channel.empty() && !event_.vendor_event_id.empty())) {
      event_.product = "microsoft.windows";
      event_.category = arena_.Lower(marks_.channel);
      SetWindowsAction();
    } else if (marks_.zeek && !marks_.zeek_stream.empty()) {
      event_.product = "zeek.zeek";
      event_.category = marks_.zeek_stream;
    } else if (marks_.suricata && !marks_.suricata_type.empty()) {
      event_.product = "oisf.suricata";
      event_.category = marks_.suricata_type;
    } else {
      event_.product = "generic.json";
    }
  }

 private:
  simdjson::error_code ReadValue(ondemand::value value, std::string_view name, int depth) {
    ondemand::json_type type;
    if (const auto error = value.type().get(type)) return error;
    std::string_view text;
    switch (type) {
      case ondemand::json_type::object: {
        ondemand::object object;
        if (const auto error = value.get_object().get(object)) return error;
        bool empty = false;
        if (const auto error = object.is_empty().get(empty)) return error;
        if (!empty && depth < kMaxDepth) return ReadObject(object, name, depth + 1);
        if (const auto error = object.raw_json().get(text)) return error;
        break;
      }
      case ondemand::json_type::array: {
        ondemand::array array;
        if (const auto error = value.get_array().get(array)) return error;
        bool empty = false;
        if (const auto error = array.is_empty().get(empty)) return error;
        if (!empty && depth < kMaxDepth) return ReadArray(array, name, depth + 1);
        if (const auto error = array.raw_json().get(text)) return error;
        break;
      }
      case ondemand::json_type::string:
        if (const auto error = value.get_string().get(text)) return error;
        break;
      default: {
        text = value.raw_json_token();
        const size_t end = text.find_last_not_of(" \t\r\n");
        text = text.substr(0, end == text.npos ? 0 : end + 1);
        if (const auto error = Consume(value, type)) return error;
      }
    }
    Add(name, text);
    return simdjson::SUCCESS;
  }

  // Checks that the number or word is one; the reader moves past it.
  static simdjson::error_code Consume(ondemand::value value, ondemand::json_type type) {
    if (type == ondemand::json_type::number) {
      // Numbers beyond 64 bits are kept as their text.
      const auto error = value.get_number().error();
      return error == simdjson::NUMBER_ERROR ? value.get_double().error() : error;
    }
    if (type == ondemand::json_type::boolean) return value.get_bool().error();
    bool is_null = false;
    return value.is_null().get(is_null) != simdjson::SUCCESS || !is_null ? simdjson::N_ATOM_ERROR
                                                                         : simdjson::SUCCESS;
  }

  simdjson::error_code ReadArray(ondemand::array array, std::string_view name, int depth) {
    for (simdjson::simdjson_result<ondemand::value> found : array) {
      ondemand::value element;
      if (const auto error = std::move(found).get(element)) return error;
      if (const auto error = ReadValue(element, name, depth)) return error;
    }
    return simdjson::SUCCESS;
  }

  void Add(std::string_view name, std::string_view value) {
    if (event_.fields.size() >= kMaxFields) {
      MarkPartlyParsed("more than 1,024 fields", &event_);
      return;
    }
    event_.fields.push_back({name, value});
    const auto& keys = KeysByName();
    const auto found = keys.find(name);
    if (found != keys.end()) SetCore(found->second, value);
  }

  void SetCore(Key key, std::string_view value) {
    switch (key) {
      case Key::kTime:
        return SetTime(value);
      case Key::kSrcIp:
        if (event_.src.ip.empty()) SetAddress(value, &event_.src.ip);
        return;
      case Key::kSrcPort:
        return SetPort(value, &event_.src.port);
      case Key::kSrcHost:
        return SetOnce(value, &event_.src.host);
      case Key::kDstIp:
        if (event_.dst.ip.empty()) SetAddress(value, &event_.dst.ip);
        return;
      case Key::kDstPort:
        return SetPort(value, &event_.dst.port);
      case Key::kDstHost:
        return SetOnce(value, &event_.dst.host);
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
      case Key::kChannel:
        return SetOnce(value, &marks_.channel);
      case Key::kZeekStream:
        return SetOnce(value, &marks_.zeek_stream);
      case Key::kSuricataType:
        return SetOnce(value, &marks_.suricata_type);
      case Key::kWindowsMark:
        marks_.windows = true;
        return;
      case Key::kZeekMark:
        marks_.zeek = true;
        return;
      case Key::kSuricataMark:
        marks_.suricata = true;
        return;
    }
  }

  void SetTime(std::string_view value) {
    if (time_seen_) return;
    std::string_view rest = value;
    bool zone_used = false;
    auto time = TakeIsoTime(rest, input_.zone, &zone_used);
    if (!time || !rest.empty()) {
      time = ReadEpoch(value);
      zone_used = false;
    }
    if (!time) return;
    time_seen_ = true;
    event_.event_time = *time;
    parsed_->zone_used = zone_used;
  }

  void SetWindowsAction() {
    if (marks_.channel != "Security") return;
    const std::string_view id = event_.vendor_event_id;
    if (id == "4624") event_.action = event::v1::LOGON;
    if (id == "4625" || id == "4771") event_.action = event::v1::LOGON_FAILED;
    if (id == "4634" || id == "4647") event_.action = event::v1::ENDED;
    if (id == "5156") event_.action = event::v1::ALLOWED;
    if (id == "5152" || id == "5157") event_.action = event::v1::BLOCKED;
  }

  const LineInput& input_;
  TextArena& arena_;
  ParsedLine* parsed_;
  event::EventView& event_;
  Marks marks_;
  bool time_seen_ = false;
  bool host_seen_ = false;
};

class JsonLinesParser final : public Parser {
 public:
  std::string_view name() const override { return "json"; }

  bool Recognises(const LineInput& input) const override {
    const std::string_view body = input.header.body;
    const size_t start = body.find_first_not_of(" \t");
    return start != body.npos && body[start] == '{';
  }

  void Parse(const LineInput& input, TextArena& arena, ParsedLine* parsed) override {
    const std::string_view body = input.header.body;
    char* const padded = arena.Reserve(body.size() + simdjson::SIMDJSON_PADDING);
    std::memcpy(padded, body.data(), body.size());
    std::memset(padded + body.size(), 0, simdjson::SIMDJSON_PADDING);
    Reader reader(input, arena, parsed);
    const auto error = Read(
        simdjson::padded_string_view(padded, body.size(), body.size() + simdjson::SIMDJSON_PADDING),
        reader);
    if (error != simdjson::SUCCESS) {
      MarkPartlyParsed(simdjson::error_message(error), &parsed->event);
    }
    reader.SetProduct();
  }

 private:
  simdjson::error_code Read(simdjson::padded_string_view json, Reader& reader) {
    ondemand::document document;
    if (const auto error = json_.iterate(json).get(document)) return error;
    ondemand::object object;
    if (const auto error = document.get_object().get(object)) return error;
    if (const auto error = reader.ReadObject(object, {}, 0)) return error;
    // Past the end there is no location.
    return document.current_location().error() != simdjson::SUCCESS ? simdjson::SUCCESS
                                                                    : simdjson::TRAILING_CONTENT;
  }

  ondemand::parser json_;  // names and values point into it until the next line
};

}  // namespace

std::unique_ptr<Parser> MakeJsonLinesParser() { return std::make_unique<JsonLinesParser>(); }

}  // namespace yagura::ingestion
