#include <simdjson.h>

#include <charconv>
#include <cstring>
#include <string>

#include "common/text/text.h"
#include "services/ingestion/domain/json_text.h"
#include "services/ingestion/domain/parsers/fields.h"
#include "services/ingestion/domain/parsers/named_core.h"
#include "services/ingestion/domain/parsers/parser.h"
#include "services/ingestion/domain/parsers/windows_names.h"

// One JSON object a line, with or without a syslog header before it: Windows and Sysmon, Zeek,
// Suricata, ModSecurity and applications. Nested names are joined by dots; elements of an array
// share its name. The names of a Windows event are its own, without those of its shipper's objects.
namespace yagura::ingestion {
namespace {

namespace ondemand = simdjson::ondemand;

constexpr int kMaxDepth = 32;  // deeper objects are kept as JSON text

// A number that is none of ours only because no 64 bits hold it.
bool IsOutOfRange(std::string_view text) {
  double number = 0;
  const char* const end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, number);
  return error == std::errc::result_out_of_range && at == end;
}

class Reader {
 public:
  Reader(const LineInput& input, TextArena& arena, ParsedLine* parsed)
      : arena_(arena), event_(parsed->event), core_(input, arena, parsed) {}

  // The text that is read next.
  void Begin(std::string_view json) { json_ = json; }

  simdjson::error_code ReadObject(ondemand::object object, std::string_view prefix, int depth) {
    for (simdjson::simdjson_result<ondemand::field> found : object) {
      ondemand::field field;
      if (const auto error = std::move(found).get(field)) return error;
      const char* const key = field.key().raw();
      std::string_view name;
      if (field.unescaped_key().get(name) != simdjson::SUCCESS) name = Repaired(key);
      name = name.substr(0, kMaxNameBytes);
      if (!prefix.empty()) {
        name = arena_.Join(prefix, ".", name).substr(0, kMaxNameBytes);
      }
      if (const auto error = ReadValue(field.value(), name, depth)) return error;
    }
    return simdjson::SUCCESS;
  }

  void Finish() {
    if (core_.wrapped_windows()) {
      TakeWindowsNames(arena_, &event_.fields);
      for (const event::FieldView& field : event_.fields) core_.See(field.name, field.value);
    }
    core_.Finish();
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
      case ondemand::json_type::string: {
        const char* const quote = value.raw_json_token().data();
        if (value.get_string().get(text) != simdjson::SUCCESS) text = Repaired(quote + 1);
        break;
      }
      default: {
        text = value.raw_json_token();
        const size_t end = text.find_last_not_of(" \t\r\n");
        text = text.substr(0, end == text.npos ? 0 : end + 1);
        // Whoever reads the object moves past what was not read.
        const auto error = Consume(value, type);
        if (error != simdjson::SUCCESS && !IsOutOfRange(text)) {
          MarkPartlyParsed(simdjson::error_message(error), &event_);
        }
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

  // The string behind a quote, with an escape that is none.
  std::string_view Repaired(const char* start) {
    MarkPartlyParsed("an escape that is none", &event_);
    return arena_.Copy(UnescapeJson(json_.substr(static_cast<size_t>(start - json_.data()))));
  }

  void Add(std::string_view name, std::string_view value) {
    if (event_.fields.size() >= kMaxFields) {
      MarkPartlyParsed("more than 1,024 fields", &event_);
      return;
    }
    event_.fields.push_back({name, value});
    core_.See(name, value);
  }

  TextArena& arena_;
  event::EventView& event_;
  std::string_view json_;
  NamedCore core_;
};

// The object that a line consists of, or ends with behind a head that could not be read (a broken
// time, a level, "@cee:"); empty where there is none.
std::string_view ObjectOf(const SyslogHeader& header) {
  const std::string_view body = header.body;
  const size_t start = body.find_first_not_of(" \t");
  if (start == body.npos) return {};
  if (body[start] == '{') return body.substr(start);
  constexpr size_t kLongestHead = 256;
  if (header.empty() || !body.ends_with('}')) return {};
  const size_t found = body.substr(0, kLongestHead).find('{');
  if (found == body.npos || (body[found - 1] != ' ' && body[found - 1] != ':')) return {};
  const size_t name = body.find_first_not_of(" \t", found + 1);
  // What stands before must be no text with pairs of its own, which would be lost.
  if (name == body.npos || body[name] != '"' || body.substr(0, found).find('=') != body.npos) {
    return {};
  }
  return body.substr(found);
}

class JsonLinesParser final : public Parser {
 public:
  std::string_view name() const override { return "json"; }

  bool Recognises(const LineInput& input) const override { return !ObjectOf(input.header).empty(); }

  void Parse(const LineInput& input, TextArena& arena, ParsedLine* parsed) override {
    std::string_view body = ObjectOf(input.header);
    if (body.empty()) body = input.header.body;  // the source says that it is JSON
    auto& fields = parsed->event.fields;
    fields.insert(fields.end(), input.header.structured_data.begin(),
                  input.header.structured_data.end());
    Reader reader(input, arena, parsed);
    bool begun = false;
    const auto error = Read(body, arena, reader, &begun);
    if (error != simdjson::SUCCESS) {
      MarkPartlyParsed(simdjson::error_message(error), &parsed->event);
      if (!begun) {
        const std::string repaired = RepairJsonObject(Trim(body));
        if (!repaired.empty()) Read(repaired, arena, reader, &begun);
      }
    }
    reader.Finish();
    // What stands before the object is no field of it.
    const auto before = static_cast<size_t>(body.data() - input.header.body.data());
    const std::string_view head = Trim(input.header.body.substr(0, before));
    if (parsed->event.message.empty() && head != "@cee:") parsed->event.message = head;
  }

 private:
  // *begun: it was an object, as far as can be seen before it is read.
  simdjson::error_code Read(std::string_view body, TextArena& arena, Reader& reader, bool* begun) {
    const size_t room = body.size() + simdjson::SIMDJSON_PADDING;
    char* const padded = arena.Reserve(room);
    std::memcpy(padded, body.data(), body.size());
    std::memset(padded + body.size(), 0, simdjson::SIMDJSON_PADDING);
    reader.Begin({padded, body.size()});
    ondemand::document document;
    const simdjson::padded_string_view json(padded, body.size(), room);
    if (const auto error = json_.iterate(json).get(document)) return error;
    ondemand::object object;
    if (const auto error = document.get_object().get(object)) return error;
    *begun = true;
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
