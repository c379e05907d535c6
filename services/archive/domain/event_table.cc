#include "services/archive/domain/event_table.h"

#include <algorithm>
#include <chrono>
#include <unordered_map>
#include <utility>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/text/text.h"
#include "yagura/event/v1/event.pb.h"

namespace yagura::archive {
namespace {

using event::v1::Endpoint;
using event::v1::Event;
using eventstore::RowBinaryWriter;
using eventstore::Value;
using filter::ColumnType;

constexpr std::chrono::hours kOldest{7 * 24};
constexpr std::chrono::hours kNewest{1};
constexpr std::string_view kMapped("\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);

constexpr const char* kDictionary = "LowCardinality(String) CODEC(ZSTD(1))";
constexpr const char* kText = "String CODEC(ZSTD(1))";
constexpr const char* kLongText = "String CODEC(ZSTD(1))";
constexpr const char* kAddress = "IPv6 CODEC(ZSTD(1))";
constexpr const char* kNumber32 = "UInt32 CODEC(ZSTD(1))";
constexpr const char* kNumber64 = "UInt64 CODEC(ZSTD(1))";

template <typename Message>
struct TextField {
  const std::string& (Message::*get)() const;
  std::string* (Message::*mutate)();
};

EventColumn Text(std::string name, const char* definition, TextField<Event> field) {
  std::string path = name;
  return {std::move(name),
          definition,
          std::move(path),
          ColumnType::kString,
          [get = field.get](const Event& event, RowBinaryWriter& out) { out.Text((event.*get)()); },
          [mutate = field.mutate](const Value& value, Event* event) {
            if (!value.text.empty()) *(event->*mutate)() = value.text;
          }};
}

EventColumn Number(std::string name, uint64_t (Event::*get)() const, void (Event::*set)(uint64_t)) {
  std::string path = name;
  return {std::move(name),
          kNumber64,
          std::move(path),
          ColumnType::kInteger,
          [get](const Event& event, RowBinaryWriter& out) { out.Unsigned64((event.*get)()); },
          [set](const Value& value, Event* event) { (event->*set)(value.AsUnsigned()); }};
}

EventColumn Time(std::string name, const google::protobuf::Timestamp& (Event::*get)() const,
                 google::protobuf::Timestamp* (Event::*mutate)()) {
  std::string path = name;
  return {std::move(name),
          "DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1))",
          std::move(path),
          ColumnType::kTime,
          [get](const Event& event, RowBinaryWriter& out) { out.Time(FromProto((event.*get)())); },
          [mutate](const Value& value, Event* event) {
            if (value.AsSigned() != 0) *(event->*mutate)() = ToProto(value.AsTime());
          }};
}

// What lies in one end of the connection.
class EndColumns {
 public:
  EndColumns(std::string name, const Endpoint& (Event::*get)() const, Endpoint* (Event::*mutate)())
      : name_(std::move(name)), get_(get), mutate_(mutate) {}

  EventColumn Text(const std::string& field, const char* definition,
                   TextField<Endpoint> member) const {
    return {name_ + "_" + field,
            definition,
            name_ + "." + field,
            ColumnType::kString,
            [get = get_, member](const Event& event, RowBinaryWriter& out) {
              out.Text(((event.*get)().*member.get)());
            },
            [mutate = mutate_, member](const Value& value, Event* event) {
              if (!value.text.empty()) *((event->*mutate)()->*member.mutate)() = value.text;
            }};
  }

  EventColumn Address(const std::string& field, TextField<Endpoint> member) const {
    return {name_ + "_" + field,
            kAddress,
            name_ + "." + field,
            ColumnType::kIp,
            [get = get_, member](const Event& event, RowBinaryWriter& out) {
              const std::string& ip = ((event.*get)().*member.get)();
              if (ip.size() == 4) {
                out.Raw(kMapped);
                out.Raw(ip);
              } else {
                out.Raw(ip.size() == 16 ? std::string_view(ip) : std::string_view(kNoAddress));
              }
            },
            [mutate = mutate_, member](const Value& value, Event* event) {
              const std::string_view ip = value.text;
              if (ip == kNoAddress) return;
              std::string* out = ((event->*mutate)()->*member.mutate)();
              *out = ip.starts_with(kMapped) ? ip.substr(kMapped.size()) : ip;
            }};
  }

  EventColumn Port(const std::string& field, uint32_t (Endpoint::*get)() const,
                   void (Endpoint::*set)(uint32_t)) const {
    return {name_ + "_" + field,
            kNumber32,
            name_ + "." + field,
            ColumnType::kInteger,
            [end = get_, get](const Event& event, RowBinaryWriter& out) {
              out.Unsigned32(((event.*end)().*get)());
            },
            [mutate = mutate_, set](const Value& value, Event* event) {
              if (value.AsUnsigned() != 0) {
                ((event->*mutate)()->*set)(static_cast<uint32_t>(value.AsUnsigned()));
              }
            }};
  }

  void AppendTo(std::vector<EventColumn>* columns) const {
    columns->push_back(Address("ip", {&Endpoint::ip, &Endpoint::mutable_ip}));
    columns->push_back(Port("port", &Endpoint::port, &Endpoint::set_port));
    columns->push_back(
        Address("translated_ip", {&Endpoint::translated_ip, &Endpoint::mutable_translated_ip}));
    columns->push_back(
        Port("translated_port", &Endpoint::translated_port, &Endpoint::set_translated_port));
    columns->push_back(Text("host", kDictionary, {&Endpoint::host, &Endpoint::mutable_host}));
    columns->push_back(
        Text("interface", kDictionary, {&Endpoint::interface, &Endpoint::mutable_interface}));
    columns->push_back(Text("zone", kDictionary, {&Endpoint::zone, &Endpoint::mutable_zone}));
    columns->push_back(Text("mac", kDictionary, {&Endpoint::mac, &Endpoint::mutable_mac}));
    columns->push_back(
        Text("country", kDictionary, {&Endpoint::country, &Endpoint::mutable_country}));
  }

 private:
  static constexpr std::string_view kNoAddress{"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16};

  std::string name_;
  const Endpoint& (Event::*get_)() const;
  Endpoint* (Event::*mutate_)();
};

// Enums are open: a number that does not fit the column becomes 0, "not told".
uint8_t EnumByte(int number) {
  return number > 0 && number < 256 ? static_cast<uint8_t>(number) : 0;
}

EventColumn SeverityColumn() {
  return {
      "severity",
      "UInt8 CODEC(ZSTD(1))",
      "severity",
      ColumnType::kInteger,
      [](const Event& event, RowBinaryWriter& out) { out.Unsigned8(EnumByte(event.severity())); },
      [](const Value& value, Event* event) {
        event->set_severity(static_cast<event::v1::Severity>(value.AsUnsigned()));
      }};
}

EventColumn ActionColumn() {
  return {"action",
          "UInt8 CODEC(ZSTD(1))",
          "action",
          ColumnType::kInteger,
          [](const Event& event, RowBinaryWriter& out) { out.Unsigned8(EnumByte(event.action())); },
          [](const Value& value, Event* event) {
            event->set_action(static_cast<event::v1::Action>(value.AsUnsigned()));
          }};
}

EventColumn DurationColumn() {
  return {"duration",
          "Int64 CODEC(ZSTD(1))",
          "duration",
          ColumnType::kDuration,
          [](const Event& event, RowBinaryWriter& out) {
            out.Signed64(event.has_duration() ? FromProto(event.duration()).count() : 0);
          },
          [](const Value& value, Event* event) {
            if (value.AsSigned() == 0) return;
            *event->mutable_duration() =
                ToProtoDuration(std::chrono::nanoseconds(value.AsSigned()));
          }};
}

// Behind it the key of a map has which occurrence of the name it is.
constexpr char kOccurrence = '\x1f';

// Names of an event's fields as keys that are unique, as a lookup by a repeated key gives sometimes
// the first and sometimes the last value: the name itself for its first occurrence.
class FieldKeys {
 public:
  std::string_view KeyOf(const std::string& name) {
    const bool plain = name.find(kOccurrence) == std::string::npos;
    const int occurrence = ++seen_[name];
    if (plain && occurrence == 1) return name;
    key_ = fmt::format("{}{}{}", name, kOccurrence, occurrence);
    return key_;
  }
  static std::string_view NameOf(std::string_view key) {
    return key.substr(0, key.rfind(kOccurrence));
  }

 private:
  std::unordered_map<std::string_view, int> seen_;
  std::string key_;
};

// Exact: order and repeated names are kept. In merged parts the keys are spread over buckets, so
// that one field is read without the others.
EventColumn FieldsColumn() {
  return {"fields",
          "Map(LowCardinality(String), String) CODEC(ZSTD(3))",
          "",
          ColumnType::kString,
          [](const Event& event, RowBinaryWriter& out) {
            out.Count(static_cast<size_t>(event.fields_size()));
            FieldKeys keys;
            for (const auto& field : event.fields()) {
              out.Text(keys.KeyOf(field.name()));
              out.Text(field.value());
            }
          },
          [](const Value& value, Event* event) {
            for (size_t i = 0; i + 1 < value.items.size(); i += 2) {
              auto* field = event->add_fields();
              field->set_name(std::string(FieldKeys::NameOf(value.items[i].text)));
              field->set_value(value.items[i + 1].text);
            }
          }};
}

bool IsClockError(const Event& event) {
  const auto ahead = FromProto(event.event_time()) - FromProto(event.receive_time());
  return event.has_event_time() && (ahead > kNewest || ahead < -kOldest);
}

EventColumn FlawsColumn() {
  return {
      "flaws",
      "Array(UInt8) CODEC(ZSTD(1))",
      "flaws",
      ColumnType::kIntegerArray,
      [](const Event& event, RowBinaryWriter& out) {
        std::vector<uint8_t> flaws;
        for (const int flaw : event.flaws()) flaws.push_back(EnumByte(flaw));
        constexpr auto kClock = static_cast<uint8_t>(event::v1::CLOCK_ERROR);
        if (IsClockError(event) && std::find(flaws.begin(), flaws.end(), kClock) == flaws.end()) {
          flaws.push_back(kClock);
        }
        out.Count(flaws.size());
        for (const uint8_t flaw : flaws) out.Unsigned8(flaw);
      },
      [](const Value& value, Event* event) {
        for (const Value& flaw : value.items) {
          event->add_flaws(static_cast<event::v1::Flaw>(flaw.AsUnsigned()));
        }
      }};
}

std::vector<EventColumn> MakeColumns() {
  std::vector<EventColumn> all;
  all.push_back(Text("id", kText, {&Event::id, &Event::mutable_id}));
  all.push_back(Text("tenant", kDictionary, {&Event::tenant, &Event::mutable_tenant}));
  all.push_back(Time("receive_time", &Event::receive_time, &Event::mutable_receive_time));
  all.push_back(Time("event_time", &Event::event_time, &Event::mutable_event_time));
  all.push_back(Text("site", kDictionary, {&Event::site, &Event::mutable_site}));
  all.push_back(Text("device", kDictionary, {&Event::device, &Event::mutable_device}));
  all.push_back(Text("raw", kLongText, {&Event::raw, &Event::mutable_raw}));
  all.push_back(Text("product", kDictionary, {&Event::product, &Event::mutable_product}));
  all.push_back(Text("category", kDictionary, {&Event::category, &Event::mutable_category}));
  all.push_back(SeverityColumn());
  all.push_back(ActionColumn());
  EndColumns("src", &Event::src, &Event::mutable_src).AppendTo(&all);
  EndColumns("dst", &Event::dst, &Event::mutable_dst).AppendTo(&all);
  all.push_back(Text("message", kLongText, {&Event::message, &Event::mutable_message}));
  all.push_back(FieldsColumn());
  all.push_back(Text("protocol", kDictionary, {&Event::protocol, &Event::mutable_protocol}));
  all.push_back(Text("app", kDictionary, {&Event::app, &Event::mutable_app}));
  all.push_back(Number("bytes_out", &Event::bytes_out, &Event::set_bytes_out));
  all.push_back(Number("bytes_in", &Event::bytes_in, &Event::set_bytes_in));
  all.push_back(Number("packets_out", &Event::packets_out, &Event::set_packets_out));
  all.push_back(Number("packets_in", &Event::packets_in, &Event::set_packets_in));
  all.push_back(DurationColumn());
  all.push_back(Text("rule", kDictionary, {&Event::rule, &Event::mutable_rule}));
  all.push_back(
      Text("signature_id", kDictionary, {&Event::signature_id, &Event::mutable_signature_id}));
  all.push_back(Text("signature", kDictionary, {&Event::signature, &Event::mutable_signature}));
  all.push_back(Text("user", kDictionary, {&Event::user, &Event::mutable_user}));
  all.push_back(Text("url", kLongText, {&Event::url, &Event::mutable_url}));
  all.push_back(Text("session", kText, {&Event::session, &Event::mutable_session}));
  all.push_back(Text("virtual_context", kDictionary,
                     {&Event::virtual_context, &Event::mutable_virtual_context}));
  all.push_back(Text("direction", kDictionary, {&Event::direction, &Event::mutable_direction}));
  all.push_back(Text("program", kDictionary, {&Event::program, &Event::mutable_program}));
  all.push_back(Text("host", kDictionary, {&Event::host, &Event::mutable_host}));
  all.push_back(Text("origin", kDictionary, {&Event::origin, &Event::mutable_origin}));
  all.push_back(FlawsColumn());
  all.push_back(
      Text("parse_error", kDictionary, {&Event::parse_error, &Event::mutable_parse_error}));
  all.push_back(Text("vendor_event_id", kDictionary,
                     {&Event::vendor_event_id, &Event::mutable_vendor_event_id}));
  return all;
}

}  // namespace

EventTable::EventTable() : columns_(MakeColumns()) {
  std::vector<std::string> names;
  for (const EventColumn& column : columns_) {
    names.push_back(fmt::format("`{}`", column.name));
    if (!column.path.empty()) {
      column_map_.columns[column.path] = {fmt::format("`{}`", column.name), column.type};
    }
  }
  column_map_.keyed["fields"] = "fields[$name]";
  column_map_.search = {"lower(raw)"};
  column_list_ = Join(names, ", ");
  insert_sql_ =
      fmt::format("INSERT INTO yagura.events ({}, expires) FORMAT RowBinary", column_list_);
}

const EventColumn* EventTable::FindPath(std::string_view path) const {
  const auto it = std::find_if(columns_.begin(), columns_.end(),
                               [path](const EventColumn& column) { return column.path == path; });
  return it == columns_.end() || path.empty() ? nullptr : &*it;
}

void EventTable::Encode(const Event& event, TimePoint expires, RowBinaryWriter* out) const {
  for (const EventColumn& column : columns_) column.write(event, *out);
  const auto seconds =
      std::chrono::duration_cast<std::chrono::seconds>(expires.time_since_epoch()).count();
  out->Unsigned32(static_cast<uint32_t>(std::clamp<int64_t>(seconds, 0, UINT32_MAX)));
}

void EventTable::Decode(const eventstore::Row& row, Event* event) const {
  event->Clear();
  for (size_t i = 0; i < columns_.size() && i < row.size(); ++i) columns_[i].read(row[i], event);
}

}  // namespace yagura::archive
