#include <algorithm>
#include <array>

#include "fmt/format.h"

#include "common/text/text.h"
#include "services/ingestion/domain/parsers/fields.h"
#include "services/ingestion/domain/parsers/named_core.h"
#include "services/ingestion/domain/parsers/parser.h"
#include "services/ingestion/domain/sender_memory.h"

// Zeek's own format: tab-separated lines whose columns a head names once a file ("#fields",
// "#types"). The head is remembered by sender; a line whose head nobody saw keeps its values as
// "column_N" and says so. Source: https://docs.zeek.org/en/master/log-formats.html
namespace yagura::ingestion {
namespace {

// Of what is remembered of a table beside its columns.
constexpr size_t kMaxWord = 128;

constexpr std::array<std::string_view, 9> kHeadWords{
    "#separator", "#set_separator", "#empty_field", "#unset_field", "#path",
    "#open",      "#fields",        "#types",       "#close"};

SenderMemory::Stream StreamOf(const LineInput& input) {
  return {input.header.host.substr(0, kMaxWord), input.header.program.substr(0, kMaxWord)};
}

std::string_view HeadWordOf(std::string_view body) {
  if (!body.starts_with('#')) return {};
  const std::string_view word = body.substr(0, body.find_first_of(" \t"));
  const bool known = std::find(kHeadWords.begin(), kHeadWords.end(), word) != kHeadWords.end();
  return known && word.size() < body.size() ? word : std::string_view{};
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// "\x09" as the byte that it stands for.
std::string_view Unescape(std::string_view text, TextArena& arena) {
  if (text.find("\\x") == text.npos) return text;
  char* const start = arena.Reserve(text.size());
  char* out = start;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool escape = text[i] == '\\' && i + 3 < text.size() && text[i + 1] == 'x' &&
                        HexDigit(text[i + 2]) >= 0 && HexDigit(text[i + 3]) >= 0;
    *out++ =
        escape ? static_cast<char>(HexDigit(text[i + 2]) * 16 + HexDigit(text[i + 3])) : text[i];
    if (escape) i += 3;
  }
  const auto used = static_cast<size_t>(out - start);
  arena.Shrink(text.size(), used);
  return {start, used};
}

// "1795220142.123456<TAB>C6MsTn3dRb1pzVdrZd<TAB>": a record that needs no head to be known.
bool LooksLikeRecord(std::string_view body) {
  constexpr size_t kSeconds = 10;
  constexpr size_t kFraction = 6;
  constexpr size_t kLeastUid = 12;
  if (body.size() < kSeconds + kFraction + kLeastUid || body[kSeconds] != '.') return false;
  const size_t tab = body.find('\t');
  if (tab != kSeconds + 1 + kFraction) return false;
  const std::string_view digits = body.substr(0, tab);
  if (digits.find_first_not_of("0123456789.") != digits.npos) return false;
  const size_t end = body.find('\t', tab + 1);
  const std::string_view uid = body.substr(tab + 1, end - tab - 1);
  return end != body.npos && uid.size() >= kLeastUid && (uid[0] == 'C' || uid[0] == 'F') &&
         std::all_of(uid.begin(), uid.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
         });
}

class ZeekTableParser final : public Parser {
 public:
  std::string_view name() const override { return "zeek"; }

  bool Recognises(const LineInput& input) const override {
    const std::string_view body = input.header.body;
    if (!HeadWordOf(body).empty() || LooksLikeRecord(body)) return true;
    if (input.memory == nullptr || input.memory->empty() || body.starts_with('{')) return false;
    return TableOf(input) != nullptr;
  }

  void Parse(const LineInput& input, TextArena& arena, ParsedLine* parsed) override {
    event::EventView& event = parsed->event;
    event.product = "zeek.zeek";
    if (const auto word = HeadWordOf(input.header.body); !word.empty()) {
      ReadHead(input, word, arena, parsed);
      return;
    }
    const SenderMemory::Table* const table = TableOf(input);
    const std::string_view body = input.header.body;
    if (table == nullptr) {
      ReadColumns(body, arena, &event);
      MarkPartlyParsed("no #fields line that names so many columns came before", &event);
      if (const auto time = body.substr(0, body.find('\t')); LooksLikeRecord(body)) {
        NamedCore(input, arena, parsed).See("ts", time);
      }
      return;
    }
    NamedCore core(input, arena, parsed);
    ReadRecord(body, *table, arena, &event);
    for (const event::FieldView& field : event.fields) core.See(field.name, field.value);
    // What Zeek's JSON says of itself.
    core.See("@proc", "zeek");
    core.See("@stream", table->path.empty() ? "unknown" : arena.Copy(table->path));
    core.Finish();
  }

 private:
  static const SenderMemory::Table* TableOf(const LineInput& input) {
    if (input.memory == nullptr) return nullptr;
    const std::string_view body = input.header.body;
    const auto tabs = static_cast<size_t>(std::count(body.begin(), body.end(), '\t'));
    const SenderMemory::Table* const table = input.memory->Find(StreamOf(input), tabs + 1);
    return table != nullptr && table->separator == '\t' ? table : nullptr;
  }

  static void ReadHead(const LineInput& input, std::string_view word, TextArena& arena,
                       ParsedLine* parsed) {
    event::EventView& event = parsed->event;
    const std::string_view value = input.header.body.substr(word.size() + 1);
    event.category = "head";
    event.message = input.header.body;
    event.fields.push_back({word.substr(1), value});
    if (input.memory == nullptr) return;
    const SenderMemory::Stream stream = StreamOf(input);
    SenderMemory::Table& table = input.memory->Building(stream);
    if (word == "#separator") {
      table = {};
      table.host = stream.host;
      table.program = stream.program;
      const std::string_view separator = Unescape(value, arena);
      if (separator.size() == 1) table.separator = separator.front();
    }
    if (word == "#set_separator") table.set_separator = value.substr(0, kMaxWord);
    if (word == "#empty_field") table.empty = value.substr(0, kMaxWord);
    if (word == "#unset_field") table.unset = value.substr(0, kMaxWord);
    if (word == "#path") table.path = value.substr(0, kMaxWord);
    if (word != "#fields" && word != "#types") return;
    auto& names = word == "#fields" ? table.columns : table.types;
    names.clear();
    if (value.size() > SenderMemory::kMaxNameBytes) {
      MarkPartlyParsed("the head is too long to be remembered", &event);
      return;
    }
    for (const std::string_view name : Split(value, '\t')) names.emplace_back(name);
    if (names.size() > SenderMemory::kMaxColumns) {
      names.clear();
      MarkPartlyParsed("the head has too many columns to be remembered", &event);
      return;
    }
    if (word == "#fields") table.types.clear();
    input.memory->Finish(stream);
  }

  template <typename Visit>
  static void ForEachValue(std::string_view body, std::string_view separator, const Visit& visit) {
    for (size_t i = 0;; ++i) {
      const size_t end = separator.empty() ? body.npos : body.find(separator);
      visit(i, body.substr(0, end));
      if (end == body.npos) return;
      body.remove_prefix(end + separator.size());
    }
  }

  static void ReadColumns(std::string_view body, TextArena& arena, event::EventView* event) {
    ForEachValue(body, "\t", [&](size_t i, std::string_view value) {
      if (value == "-" || event->fields.size() >= kMaxFields) return;
      event->fields.push_back(
          {arena.Copy(fmt::format("column_{}", i + 1)), Unescape(value, arena)});
    });
  }

  static void ReadRecord(std::string_view body, const SenderMemory::Table& table, TextArena& arena,
                         event::EventView* event) {
    ForEachValue(body, "\t", [&](size_t i, std::string_view value) {
      if (value == table.unset) return;
      // The table may be forgotten while the event lives.
      const std::string_view name = arena.Copy(table.columns[i]);
      const auto add = [&](std::string_view text) {
        if (event->fields.size() < kMaxFields) {
          event->fields.push_back({name, text == table.empty ? "" : Unescape(text, arena)});
        }
      };
      const std::string_view type = i < table.types.size() ? table.types[i] : std::string_view{};
      if (type.starts_with("set[") || type.starts_with("vector[")) {
        ForEachValue(value, table.set_separator, [&](size_t, std::string_view one) { add(one); });
      } else {
        add(value);
      }
    });
  }
};

}  // namespace

std::unique_ptr<Parser> MakeZeekTableParser() { return std::make_unique<ZeekTableParser>(); }

}  // namespace yagura::ingestion
