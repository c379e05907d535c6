#include "services/archive/domain/event_table.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/event/alias.h"
#include "common/text/text.h"
#include "services/archive/domain/field_layout.h"
#include "services/archive/domain/word_index.h"
#include "yagura/event/v1/event.pb.h"

namespace yagura::archive {
namespace {

using event::Core;
using event::v1::Endpoint;
using event::v1::Event;
using eventstore::Value;
using filter::ColumnType;

constexpr std::string_view kMapped("\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);
constexpr const char* kDictionary = "LowCardinality(String)";
constexpr const char* kPlain = "ZSTD(1)";
// Neighbours share leading bytes, but not whole words.
constexpr const char* kFine = "ZSTD(3)";
constexpr const char* kNumber = "T64, ZSTD(1)";
// As the part has it: level 1 as it comes, a higher one once its day is over (Tiering::recompress).
constexpr const char* kOfPart = "Default";
constexpr std::string_view kLayout = "layout";

template <typename Message>
using Mutator = std::string* (Message::*)();

std::function<void(const Value&, Event*)> ReadText(Mutator<Event> mutate) {
  return [mutate](const Value& value, Event* event) {
    if (!value.text.empty()) *(event->*mutate)() = value.text;
  };
}

EventColumn Text(std::string name, NewBlockColumn make, Mutator<Event> mutate) {
  std::string path = name;
  return {std::move(name),     "String",        kOfPart,         std::move(path),
          ColumnType::kString, std::move(make), ReadText(mutate)};
}

// An identifier: of a kind with those before and behind it.
EventColumn Identifier(std::string name, NewBlockColumn make, Mutator<Event> mutate) {
  EventColumn column = Text(std::move(name), std::move(make), mutate);
  column.codec = kFine;
  return column;
}

EventColumn Text(std::string name, Core core, Mutator<Event> mutate) {
  return Text(std::move(name), TextColumn(core), mutate);
}

EventColumn Word(std::string name, NewBlockColumn make, Mutator<Event> mutate) {
  EventColumn column = Text(std::move(name), std::move(make), mutate);
  column.type_name = kDictionary;
  column.codec = kPlain;
  return column;
}

EventColumn Word(std::string name, Core core, Mutator<Event> mutate) {
  return Word(std::move(name), DictionaryOf(core), mutate);
}

EventColumn Number(std::string name, Core core, void (Event::*set)(uint64_t)) {
  std::string path = name;
  return {std::move(name),
          "UInt64",
          kNumber,
          std::move(path),
          ColumnType::kInteger,
          UnsignedColumn(core),
          [set](const Value& value, Event* event) { (event->*set)(value.AsUnsigned()); }};
}

EventColumn Time(std::string name, Core core, google::protobuf::Timestamp* (Event::*mutate)()) {
  std::string path = name;
  return {std::move(name),
          "DateTime64(9, 'UTC')",
          "Delta, ZSTD(1)",
          std::move(path),
          ColumnType::kTime,
          SignedColumn(core),
          [mutate](const Value& value, Event* event) {
            if (value.AsSigned() != 0) *(event->*mutate)() = ToProto(value.AsTime());
          }};
}

// What lies in one end of the connection. The columns of both ends are numbered alike.
class EndColumns {
 public:
  EndColumns(std::string name, Core first, Endpoint* (Event::*mutate)())
      : name_(std::move(name)), first_(first), mutate_(mutate) {}

  void AppendTo(std::vector<EventColumn>* columns) const {
    columns->push_back(Address("ip", Core::kSrcIp, &Endpoint::mutable_ip));
    columns->push_back(Port("port", Core::kSrcPort, &Endpoint::set_port));
    columns->push_back(
        Address("translated_ip", Core::kSrcTranslatedIp, &Endpoint::mutable_translated_ip));
    columns->push_back(
        Port("translated_port", Core::kSrcTranslatedPort, &Endpoint::set_translated_port));
    columns->push_back(Name("host", Core::kSrcHost, &Endpoint::mutable_host));
    columns->push_back(Name("interface", Core::kSrcInterface, &Endpoint::mutable_interface));
    columns->push_back(Name("zone", Core::kSrcZone, &Endpoint::mutable_zone));
    columns->push_back(Name("mac", Core::kSrcMac, &Endpoint::mutable_mac));
    columns->push_back(Name("country", Core::kSrcCountry, &Endpoint::mutable_country));
  }

 private:
  Core OfThisEnd(Core of_source) const {
    return static_cast<Core>(static_cast<int>(first_) + static_cast<int>(of_source) -
                             static_cast<int>(Core::kSrcIp));
  }

  EventColumn Name(const std::string& field, Core core, Mutator<Endpoint> member) const {
    return {name_ + "_" + field,
            kDictionary,
            kPlain,
            name_ + "." + field,
            ColumnType::kString,
            DictionaryOf(OfThisEnd(core)),
            [mutate = mutate_, member](const Value& value, Event* event) {
              if (!value.text.empty()) *((event->*mutate)()->*member)() = value.text;
            }};
  }

  EventColumn Address(const std::string& field, Core core, Mutator<Endpoint> member) const {
    return {name_ + "_" + field,
            "IPv6",
            kPlain,
            name_ + "." + field,
            ColumnType::kIp,
            AddressColumn(OfThisEnd(core)),
            [mutate = mutate_, member](const Value& value, Event* event) {
              const std::string_view ip = value.text;
              if (ip == kNoAddress) return;
              std::string* out = ((event->*mutate)()->*member)();
              *out = ip.starts_with(kMapped) ? ip.substr(kMapped.size()) : ip;
            }};
  }

  EventColumn Port(const std::string& field, Core core, void (Endpoint::*set)(uint32_t)) const {
    return {name_ + "_" + field,
            "UInt32",
            kNumber,
            name_ + "." + field,
            ColumnType::kInteger,
            Unsigned32Column(OfThisEnd(core)),
            [mutate = mutate_, set](const Value& value, Event* event) {
              if (value.AsUnsigned() != 0) {
                ((event->*mutate)()->*set)(static_cast<uint32_t>(value.AsUnsigned()));
              }
            }};
  }

  std::string name_;
  Core first_;
  Endpoint* (Event::*mutate_)();
};

EventColumn SeverityColumn() {
  return {"severity",
          "UInt8",
          kPlain,
          "severity",
          ColumnType::kInteger,
          EnumColumn(Core::kSeverity),
          [](const Value& value, Event* event) {
            event->set_severity(static_cast<event::v1::Severity>(value.AsUnsigned()));
          }};
}

EventColumn ActionColumn() {
  return {"action",
          "UInt8",
          kPlain,
          "action",
          ColumnType::kInteger,
          EnumColumn(Core::kAction),
          [](const Value& value, Event* event) {
            event->set_action(static_cast<event::v1::Action>(value.AsUnsigned()));
          }};
}

EventColumn DurationColumn() {
  return {"duration",
          "Int64",
          kPlain,
          "duration",
          ColumnType::kDuration,
          SignedColumn(Core::kDuration),
          [](const Value& value, Event* event) {
            if (value.AsSigned() == 0) return;
            *event->mutable_duration() =
                ToProtoDuration(std::chrono::nanoseconds(value.AsSigned()));
          }};
}

EventColumn FieldsColumn() {
  return {"fields",
          "Map(LowCardinality(String), LowCardinality(String))",
          kOfPart,
          "",
          ColumnType::kString,
          FieldsOf(),
          [](const Value& value, Event* event) {
            for (size_t i = 0; i + 1 < value.items.size(); i += 2) {
              auto* field = event->add_fields();
              field->set_name(std::string(FieldName(value.items[i].text)));
              field->set_value(value.items[i + 1].text);
            }
          }};
}

// What Decode does with it, it does once all other columns have been read.
EventColumn LayoutColumn() {
  return {std::string(kLayout),
          kDictionary,
          kPlain,
          "",
          ColumnType::kString,
          LayoutOf(),
          [](const Value& /*value*/, Event* /*event*/) {}};
}

// A text of our own in SQL.
std::string Literal(std::string_view text) {
  std::string sql = "'";
  for (const char c : text) {
    const bool plain = c >= ' ' && c != '\'' && c != '\\';
    sql += plain ? std::string(1, c) : fmt::format("\\x{:02x}", static_cast<uint8_t>(c));
  }
  return sql + "'";
}

// A column's value as an original field has it: what CoreText says, in SQL.
std::string FieldTextSql(const EventColumn& column) {
  switch (column.type) {
    case ColumnType::kIp:  // only those that map IPv4: "::ffff:192.0.2.1"
      return fmt::format("substring(toString(`{}`), 8)", column.name);
    case ColumnType::kTime:
      return fmt::format("toString(toUnixTimestamp64Nano(`{}`))", column.name);
    case ColumnType::kDuration:
      return fmt::format("toString(intDiv(`{}`, 1000000000))", column.name);
    default:
      return fmt::format("toString(`{}`)", column.name);
  }
}

// For bare words alone.
EventColumn FoldedColumn() {
  return {"folded",
          "String",
          kOfPart,
          "",
          ColumnType::kString,
          FoldedOf(),
          [](const Value& /*value*/, Event* /*event*/) {}};
}

// For verification alone.
EventColumn EventUnitColumn() {
  return {"unit",
          "UInt64",
          kPlain,
          "",
          ColumnType::kInteger,
          UnitColumn(),
          [](const Value& /*value*/, Event* /*event*/) {}};
}

EventColumn FlawsColumn() {
  return {"flaws",
          "Array(UInt8)",
          kPlain,
          "flaws",
          ColumnType::kIntegerArray,
          FlawsOf(),
          [](const Value& value, Event* event) {
            for (const Value& flaw : value.items) {
              event->add_flaws(static_cast<event::v1::Flaw>(flaw.AsUnsigned()));
            }
          }};
}

std::vector<EventColumn> MakeColumns() {
  std::vector<EventColumn> all;
  all.push_back(Identifier("id", IdColumn(), &Event::mutable_id));
  all.push_back(Word("tenant", TenantColumn(), &Event::mutable_tenant));
  all.push_back(Time("receive_time", Core::kReceiveTime, &Event::mutable_receive_time));
  all.push_back(Time("event_time", Core::kEventTime, &Event::mutable_event_time));
  all.push_back(Word("site", Core::kSite, &Event::mutable_site));
  all.push_back(Word("device", Core::kDevice, &Event::mutable_device));
  all.push_back(Text("raw", RawColumn(), &Event::mutable_raw));
  all.push_back(Word("product", Core::kProduct, &Event::mutable_product));
  all.push_back(Word("category", Core::kCategory, &Event::mutable_category));
  all.push_back(SeverityColumn());
  all.push_back(ActionColumn());
  EndColumns("src", Core::kSrcIp, &Event::mutable_src).AppendTo(&all);
  EndColumns("dst", Core::kDstIp, &Event::mutable_dst).AppendTo(&all);
  all.push_back(Text("message", Core::kMessage, &Event::mutable_message));
  all.push_back(FieldsColumn());
  all.push_back(LayoutColumn());
  all.push_back(FoldedColumn());
  all.push_back(EventUnitColumn());
  all.push_back(Word("protocol", Core::kProtocol, &Event::mutable_protocol));
  all.push_back(Word("app", Core::kApp, &Event::mutable_app));
  all.push_back(Number("bytes_out", Core::kBytesOut, &Event::set_bytes_out));
  all.push_back(Number("bytes_in", Core::kBytesIn, &Event::set_bytes_in));
  all.push_back(Number("packets_out", Core::kPacketsOut, &Event::set_packets_out));
  all.push_back(Number("packets_in", Core::kPacketsIn, &Event::set_packets_in));
  all.push_back(DurationColumn());
  all.push_back(Word("rule", Core::kRule, &Event::mutable_rule));
  all.push_back(Word("signature_id", Core::kSignatureId, &Event::mutable_signature_id));
  all.push_back(Word("signature", Core::kSignature, &Event::mutable_signature));
  all.push_back(Word("user", Core::kUser, &Event::mutable_user));
  all.push_back(Text("url", Core::kUrl, &Event::mutable_url));
  all.push_back(Identifier("session", TextColumn(Core::kSession), &Event::mutable_session));
  all.push_back(Word("virtual_context", Core::kVirtualContext, &Event::mutable_virtual_context));
  all.push_back(Word("direction", Core::kDirection, &Event::mutable_direction));
  all.push_back(Word("program", Core::kProgram, &Event::mutable_program));
  all.push_back(Word("host", Core::kHost, &Event::mutable_host));
  all.push_back(Word("origin", Core::kOrigin, &Event::mutable_origin));
  all.push_back(FlawsColumn());
  all.push_back(Word("parse_error", Core::kParseError, &Event::mutable_parse_error));
  all.push_back(Word("vendor_event_id", Core::kVendorEventId, &Event::mutable_vendor_event_id));
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
  for (const std::string_view field : FieldsWithColumns()) {
    std::string sql;
    for (const Core core : ColumnsForField(field)) {
      const EventColumn& column = *FindPath(event::CoreName(core));
      sql += fmt::format("position(layout, {}) > 0, {}, ", Literal(LayoutEntry(core, field)),
                         FieldTextSql(column));
    }
    column_map_.keyed_names["fields"][std::string(field)] =
        fmt::format("multiIf({}toString(fields[$name]))", sql);
  }
  layout_ = static_cast<size_t>(
      std::find_if(columns_.begin(), columns_.end(),
                   [](const EventColumn& column) { return column.name == kLayout; }) -
      columns_.begin());
  column_map_.search = {"lower(raw)"};
  column_map_.search_folded = {"folded"};
  column_map_.folded_indexes = {{std::string(kFoldedIndex.expression), kFoldedIndex.has_ascii}};
  for (const WordIndex& index : kRawIndexes) {
    column_map_.search_indexes.push_back({std::string(index.expression), index.has_ascii});
  }
  column_list_ = Join(names, ", ");
  insert_sql_ =
      fmt::format("INSERT INTO yagura.events ({}, {}) FORMAT Native", column_list_, kExpires);
}

const EventColumn* EventTable::FindPath(std::string_view path) const {
  const auto it = std::find_if(columns_.begin(), columns_.end(),
                               [path](const EventColumn& column) { return column.path == path; });
  return it == columns_.end() || path.empty() ? nullptr : &*it;
}

const std::string& EventTable::FieldExpression(std::string_view name) const {
  return *column_map_.FindKeyed("fields", name);
}

void EventTable::Decode(const eventstore::Row& row, Event* event) const {
  event->Clear();
  for (size_t i = 0; i < columns_.size() && i < row.size(); ++i) columns_[i].read(row[i], event);
  if (layout_ < row.size() && !row[layout_].text.empty()) RestoreFields(row[layout_].text, event);
}

}  // namespace yagura::archive
