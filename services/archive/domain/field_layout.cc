#include "services/archive/domain/field_layout.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <unordered_map>
#include <utility>

#include "fmt/format.h"

#include "common/event/event_view.h"
#include "common/text/text.h"
#include "yagura/event/v1/event.pb.h"

namespace yagura::archive {
namespace {

using event::Column;
using event::Core;
using event::v1::Endpoint;
using event::v1::Event;

constexpr char kEntry = '\x1e';
constexpr char kPlace = '\x1f';
constexpr char kFirstCode = '0';  // of core column 0
constexpr int64_t kSecond = 1'000'000'000;

struct Alias {
  std::string_view name;
  std::array<Core, 2> cores;
  size_t count;
};

constexpr Alias One(std::string_view name, Core core) { return {name, {core, core}, 1}; }
constexpr Alias Two(std::string_view name, Core first, Core second) {
  return {name, {first, second}, 2};
}

// By name. Names of firewalls first of all, whose lines are most.
constexpr std::array kAliases{
    One("@system", Core::kHost),
    One("DestAddress", Core::kDstIp),
    One("DestPort", Core::kDstPort),
    One("DestinationHostname", Core::kDstHost),
    One("DestinationIp", Core::kDstIp),
    One("DestinationPort", Core::kDstPort),
    One("EventID", Core::kVendorEventId),
    Two("Hostname", Core::kHost, Core::kSrcHost),
    One("IpAddress", Core::kSrcIp),
    One("IpPort", Core::kSrcPort),
    One("Message", Core::kMessage),
    One("SourceAddress", Core::kSrcIp),
    One("SourceHostname", Core::kSrcHost),
    One("SourceIp", Core::kSrcIp),
    One("SourcePort", Core::kSrcPort),
    One("SubjectUserName", Core::kUser),
    One("TargetUserName", Core::kUser),
    One("User", Core::kUser),
    One("attack", Core::kSignature),
    One("attackid", Core::kSignatureId),
    One("bytes_received", Core::kBytesIn),
    One("bytes_sent", Core::kBytesOut),
    One("dest_ip", Core::kDstIp),
    One("dest_port", Core::kDstPort),
    One("destination-address", Core::kDstIp),
    One("destination-port", Core::kDstPort),
    One("devname", Core::kHost),
    One("dpt", Core::kDstPort),
    One("dst", Core::kDstIp),
    One("dst_ip", Core::kDstIp),
    One("dst_port", Core::kDstPort),
    One("dstcountry", Core::kDstCountry),
    One("dstintf", Core::kDstInterface),
    One("dstip", Core::kDstIp),
    One("dstport", Core::kDstPort),
    One("duration", Core::kDuration),
    One("eventtime", Core::kEventTime),
    One("host", Core::kHost),
    One("hostname", Core::kDstHost),
    One("id_orig_h", Core::kSrcIp),
    One("id_orig_p", Core::kSrcPort),
    One("id_resp_h", Core::kDstIp),
    One("id_resp_p", Core::kDstPort),
    One("logid", Core::kVendorEventId),
    One("message", Core::kMessage),
    One("msg", Core::kMessage),
    One("natdport", Core::kDstTranslatedPort),
    One("natdst", Core::kDstTranslatedIp),
    One("natsport", Core::kSrcTranslatedPort),
    One("natsrc", Core::kSrcTranslatedIp),
    One("orig_bytes", Core::kBytesOut),
    One("orig_pkts", Core::kPacketsOut),
    One("policyid", Core::kRule),
    One("query", Core::kUrl),
    One("rcvdbyte", Core::kBytesIn),
    One("rcvdpkt", Core::kPacketsIn),
    One("resp_bytes", Core::kBytesIn),
    One("resp_pkts", Core::kPacketsIn),
    One("rule", Core::kRule),
    One("sentbyte", Core::kBytesOut),
    One("sentpkt", Core::kPacketsOut),
    One("sessionid", Core::kSession),
    One("source-address", Core::kSrcIp),
    One("source-port", Core::kSrcPort),
    One("spt", Core::kSrcPort),
    One("src", Core::kSrcIp),
    One("src_ip", Core::kSrcIp),
    One("src_port", Core::kSrcPort),
    One("srccountry", Core::kSrcCountry),
    One("srcintf", Core::kSrcInterface),
    One("srcip", Core::kSrcIp),
    One("srcport", Core::kSrcPort),
    One("subtype", Core::kCategory),
    One("tranip", Core::kDstTranslatedIp),
    One("tranport", Core::kDstTranslatedPort),
    One("transip", Core::kSrcTranslatedIp),
    One("transport", Core::kSrcTranslatedPort),
    One("type", Core::kCategory),
    One("url", Core::kUrl),
    One("user", Core::kUser),
    One("vd", Core::kVirtualContext),
};
static_assert(std::is_sorted(kAliases.begin(), kAliases.end(),
                             [](const Alias& a, const Alias& b) { return a.name < b.name; }));

char CodeOf(Core core) { return static_cast<char>(kFirstCode + static_cast<int>(core)); }

bool IsAddress(Core core) {
  return core == Core::kSrcIp || core == Core::kDstIp || core == Core::kSrcTranslatedIp ||
         core == Core::kDstTranslatedIp;
}

// An IPv4 address as text. IPv6 addresses are written in too many ways.
bool AddressText(std::string_view bytes, std::string* text) {
  if (bytes.size() != 4) return false;
  *text = event::IpAddress::FromBytes(bytes).ToString();
  return true;
}

bool NumberText(Core core, int64_t number, std::string* text) {
  if (core == Core::kDuration) {
    if (number < 0 || number % kSecond != 0) return false;
    number /= kSecond;
  } else if (event::KindOf(core) == event::ColumnKind::kNumber) {
    *text = fmt::format("{}", static_cast<uint64_t>(number));
    return true;
  }
  *text = fmt::format("{}", number);
  return true;
}

int64_t NanosecondsOf(const google::protobuf::Timestamp& time) {
  return time.seconds() * kSecond + time.nanos();
}

std::string EndText(int of_source, const Endpoint& end) {
  std::string text;
  switch (static_cast<Core>(of_source)) {
    case Core::kSrcIp:
      AddressText(end.ip(), &text);
      return text;
    case Core::kSrcPort:
      return fmt::format("{}", end.port());
    case Core::kSrcTranslatedIp:
      AddressText(end.translated_ip(), &text);
      return text;
    case Core::kSrcTranslatedPort:
      return fmt::format("{}", end.translated_port());
    case Core::kSrcHost:
      return end.host();
    case Core::kSrcInterface:
      return end.interface();
    case Core::kSrcCountry:
      return end.country();
    default:
      return text;
  }
}

// The text of a core value that kAliases names.
std::string TextOf(Core core, const Event& event) {
  if (core >= Core::kSrcIp && core <= Core::kSrcCountry) {
    return EndText(static_cast<int>(core), event.src());
  }
  if (core >= Core::kDstIp && core <= Core::kDstCountry) {
    constexpr int kBetween = static_cast<int>(Core::kDstIp) - static_cast<int>(Core::kSrcIp);
    return EndText(static_cast<int>(core) - kBetween, event.dst());
  }
  switch (core) {
    case Core::kEventTime:
      return fmt::format("{}", NanosecondsOf(event.event_time()));
    case Core::kCategory:
      return event.category();
    case Core::kMessage:
      return event.message();
    case Core::kBytesOut:
      return fmt::format("{}", event.bytes_out());
    case Core::kBytesIn:
      return fmt::format("{}", event.bytes_in());
    case Core::kPacketsOut:
      return fmt::format("{}", event.packets_out());
    case Core::kPacketsIn:
      return fmt::format("{}", event.packets_in());
    case Core::kDuration:
      return fmt::format("{}", event.duration().seconds());
    case Core::kRule:
      return event.rule();
    case Core::kSignatureId:
      return event.signature_id();
    case Core::kSignature:
      return event.signature();
    case Core::kUser:
      return event.user();
    case Core::kUrl:
      return event.url();
    case Core::kSession:
      return event.session();
    case Core::kVirtualContext:
      return event.virtual_context();
    case Core::kHost:
      return event.host();
    case Core::kVendorEventId:
      return event.vendor_event_id();
    default:
      return "";
  }
}

}  // namespace

std::span<const Core> ColumnsForField(std::string_view name) {
  const auto it =
      std::lower_bound(kAliases.begin(), kAliases.end(), name,
                       [](const Alias& alias, std::string_view text) { return alias.name < text; });
  if (it == kAliases.end() || it->name != name) return {};
  return {it->cores.data(), it->count};
}

std::vector<std::string_view> FieldsWithColumns() {
  std::vector<std::string_view> names;
  for (const Alias& alias : kAliases) names.push_back(alias.name);
  return names;
}

std::string LayoutEntry(Core core, std::string_view field) {
  return fmt::format("{}{}{}{}", kEntry, CodeOf(core), field, kPlace);
}

bool CoreText(Core core, const Column& column, size_t value, std::string* text) {
  if (column.kind != event::ColumnKind::kText) {
    if (value == 0) return core != Core::kEventTime && NumberText(core, 0, text);
    return NumberText(core, column.numbers[value - 1], text);
  }
  if (value == 0) return false;
  const std::string_view known = column.texts[value - 1];
  if (IsAddress(core)) return AddressText(known, text);
  *text = known;
  return true;
}

void FieldLayouts::Prepare(const event::FieldTable& fields) {
  for (size_t i = 0; i < fields.sources.size(); ++i) {
    if (fields.sources[i].occurrence != 0) continue;
    for (const Core core : ColumnsForField(fields.sources[i].name)) {
      candidates_.push_back({static_cast<uint16_t>(i), core, nullptr, {}, {}});
    }
  }
}

bool FieldLayouts::Same(const event::FieldTable& fields, const Candidate& candidate,
                        size_t row) const {
  const size_t value = row < candidate.column->rows.size() ? candidate.column->rows[row] : 0;
  return candidate.has_text[value] &&
         fields.sources[candidate.source].column->text(row) == candidate.texts[value];
}

void FieldLayouts::Assign(const event::FieldTable& fields, size_t size) {
  for (Candidate& candidate : candidates_) {
    candidate.texts.resize(candidate.column->distinct() + 1);
    candidate.has_text.resize(candidate.texts.size());
    for (size_t value = 0; value < candidate.texts.size(); ++value) {
      candidate.has_text[value] =
          CoreText(candidate.core, *candidate.column, value, &candidate.texts[value]);
    }
  }
  // For each order of fields its own candidates.
  std::vector<std::vector<size_t>> of_order(fields.orders.size());
  for (size_t order = 0; order < fields.orders.size(); ++order) {
    std::vector<bool> has(fields.sources.size());
    for (const uint16_t source : fields.orders[order]) has[source] = true;
    for (size_t i = 0; i < candidates_.size(); ++i) {
      if (has[candidates_[i].source]) of_order[order].push_back(i);
    }
  }
  layouts_.push_back({});  // of events without fields
  rows_.resize(size);
  std::unordered_map<std::string, uint32_t> known;
  std::string choices;
  std::string key;
  for (size_t row = 0; row < size && row < fields.rows.size(); ++row) {
    if (fields.rows[row] == 0) continue;
    const size_t order = fields.rows[row] - 1U;
    choices.assign(candidates_.size(), '\0');
    for (const size_t i : of_order[order]) choices[i] = Same(fields, candidates_[i], row) ? 1 : 0;
    key = choices;
    key.append(reinterpret_cast<const char*>(&order), sizeof(order));
    const auto [it, fresh] = known.try_emplace(key, static_cast<uint32_t>(layouts_.size()));
    if (fresh) layouts_.push_back(Make(fields, fields.orders[order], choices));
    rows_[row] = it->second;
  }
}

FieldLayouts::Layout FieldLayouts::Make(const event::FieldTable& fields,
                                        const std::vector<uint16_t>& order,
                                        std::string_view choices) const {
  std::map<uint16_t, Core> moved;
  for (size_t i = 0; i < candidates_.size(); ++i) {
    if (choices[i] != 0) moved.try_emplace(candidates_[i].source, candidates_[i].core);
  }
  Layout layout;
  for (size_t place = 0; place < order.size(); ++place) {
    const auto it = moved.find(order[place]);
    if (it == moved.end()) {
      layout.stored.push_back(order[place]);
    } else {
      layout.text += LayoutEntry(it->second, fields.sources[order[place]].name);
      layout.text += fmt::format("{}", place);
    }
  }
  return layout;
}

void RestoreFields(std::string_view layout, Event* event) {
  google::protobuf::RepeatedPtrField<event::v1::Field> stored;
  stored.Swap(event->mutable_fields());
  int next = 0;
  for (size_t at = 0; at < layout.size() && layout[at] == kEntry;) {
    const size_t middle = layout.find(kPlace, at);
    if (middle == std::string_view::npos || middle < at + 2) break;
    const size_t end = std::min(layout.find(kEntry, middle), layout.size());
    const auto place = ParseNumber<int>(layout.substr(middle + 1, end - middle - 1));
    while (place && event->fields_size() < *place && next < stored.size()) {
      event->add_fields()->Swap(stored.Mutable(next++));
    }
    auto* field = event->add_fields();
    field->set_name(std::string(layout.substr(at + 2, middle - at - 2)));
    field->set_value(TextOf(static_cast<Core>(layout[at + 1] - kFirstCode), *event));
    at = end;
  }
  while (next < stored.size()) event->add_fields()->Swap(stored.Mutable(next++));
}

}  // namespace yagura::archive
