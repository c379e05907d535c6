#include <algorithm>
#include <array>

#include "services/ingestion/domain/level_word.h"
#include "services/ingestion/domain/parsers/fields.h"
#include "services/ingestion/domain/parsers/parser.h"

// Any line with a syslog header: the header's parts, structured data, and whatever stands as
// name=value in the message become fields.
namespace yagura::ingestion {
namespace {

constexpr std::array<std::string_view, 24> kFacilities{
    "kern",   "user",   "mail",     "daemon", "auth",   "syslog", "lpr",    "news",
    "uucp",   "cron",   "authpriv", "ftp",    "ntp",    "audit",  "alert",  "clock",
    "local0", "local1", "local2",   "local3", "local4", "local5", "local6", "local7"};
constexpr std::array<std::string_view, 8> kLevels{"emerg",   "alert",  "crit", "err",
                                                  "warning", "notice", "info", "debug"};

bool IsNameChar(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-' || c == '.' || c == '@' || c == '/';
}
bool IsBoundary(char c) {
  return c == ' ' || c == '\t' || c == ',' || c == ';' || c == '(' || c == '[' || c == '{' ||
         c == '|' || c == ':' || c == '&' || c == '?';
}

// Whether "name=" begins at the front, after spaces.
bool BeginsWithName(std::string_view text) {
  const size_t start = text.find_first_not_of(' ');
  if (start == text.npos) return false;
  size_t end = start;
  while (end < text.size() && IsNameChar(text[end])) ++end;
  return end > start && end < text.size() && text[end] == '=';
}

// Size of an unquoted value: to the next space, or to a comma or semicolon before the next name.
size_t BareValueSize(std::string_view text) {
  size_t end = 0;
  while (end < text.size() && text[end] != ' ' && text[end] != '\t') {
    const char c = text[end];
    if ((c == ',' || c == ';' || c == '|' || c == '&') &&
        (end + 1 == text.size() || BeginsWithName(text.substr(end + 1)))) {
      break;
    }
    ++end;
  }
  return end;
}

// "“" and "”", which word processors put into templates.
constexpr std::string_view kLeftQuote = "\xe2\x80\x9c";
constexpr std::string_view kRightQuote = "\xe2\x80\x9d";
constexpr size_t kLongestInCurlyQuotes = 4096;

// The value at the front of `text`; answers how many bytes it takes, quotes included.
size_t ReadValue(std::string_view text, std::string_view* value) {
  const char quote = text.empty() ? '\0' : text.front();
  if (quote == '"' || quote == '\'') {
    size_t end = 1;
    while (end < text.size() && text[end] != quote) end += text[end] == '\\' ? 2 : 1;
    if (end < text.size()) {
      *value = text.substr(1, end - 1);
      return end + 1;
    }
  }
  if (text.starts_with(kLeftQuote) || text.starts_with(kRightQuote)) {
    const std::string_view near = text.substr(kRightQuote.size(), kLongestInCurlyQuotes);
    const size_t end = near.find(kRightQuote);
    if (end != near.npos) {
      *value = near.substr(0, end);
      return end + 2 * kRightQuote.size();
    }
  }
  const size_t size = BareValueSize(text);
  *value = text.substr(0, size);
  if (!value->empty() && (value->back() == ',' || value->back() == ';')) value->remove_suffix(1);
  return size;
}

// The name that ends where "=" stands, which may be in double quotes; not before `from`, empty
// where there is none.
std::string_view NameBefore(std::string_view text, size_t from, size_t equals) {
  size_t start = equals;
  if (equals > from && text[equals - 1] == '"') {
    constexpr size_t kLongest = 128;
    const size_t first = equals - std::min(equals - from, kLongest + 2);
    const std::string_view quoted = text.substr(first, equals - 1 - first);
    const size_t open = quoted.rfind('"');
    if (open == quoted.npos) return {};
    start = first + open;
    if (start != from && !IsBoundary(text[start - 1])) return {};
    return quoted.substr(open + 1);
  }
  while (start > from && IsNameChar(text[start - 1])) --start;
  if (start != 0 && start != from && !IsBoundary(text[start - 1])) return {};
  return text.substr(start, equals - start);
}

void AddPairs(std::string_view text, event::EventView* event) {
  size_t from = 0;
  for (;;) {
    const size_t equals = text.find('=', from);
    if (equals == text.npos) return;
    const std::string_view name = NameBefore(text, from, equals);
    if (name.empty()) {
      from = equals + 1;
      continue;
    }
    if (event->fields.size() >= kMaxFields) {
      MarkPartlyParsed("more than 1,024 fields", event);
      return;
    }
    std::string_view value;
    const size_t size = ReadValue(text.substr(equals + 1), &value);
    event->fields.push_back({name, value});
    from = equals + 1 + size;
  }
}

// What the header left in the body, as it is neither host nor program.
void AddLevel(const SyslogHeader& header, event::EventView* event) {
  if (!header.time || !header.host.empty() || !header.program.empty()) return;
  std::string_view word = header.body.substr(0, header.body.find(' '));
  if (word.ends_with(':')) word.remove_suffix(1);
  if (!IsLevelWord(word)) return;
  event->fields.push_back({"level", word});
  if (event->severity == 0) event->severity = SeverityOfWord(word);
}

class SyslogTextParser final : public Parser {
 public:
  std::string_view name() const override { return "syslog"; }

  bool Recognises(const LineInput& input) const override { return !input.header.empty(); }

  void Parse(const LineInput& input, TextArena&, ParsedLine* parsed) override {
    const SyslogHeader& header = input.header;
    event::EventView& event = parsed->event;
    event.product = "generic.syslog";
    const auto add = [&event](std::string_view name, std::string_view value) {
      if (!value.empty()) event.fields.push_back({name, value});
    };
    if (header.priority >= 0) {
      const auto priority = static_cast<size_t>(header.priority);
      event.category = kFacilities[priority / 8];
      add("facility", kFacilities[priority / 8]);
      add("severity", kLevels[priority % 8]);
    }
    add("timestamp", header.time_text);
    add("hostname", header.host);
    add("appname", header.program);
    AddLevel(header, &event);
    add("procid", header.process_id);
    add("msgid", header.message_id);
    event.fields.insert(event.fields.end(), header.structured_data.begin(),
                        header.structured_data.end());
    if (header.broken_structured_data) {
      MarkPartlyParsed("structured data is broken", &event);
    }
    event.message = header.body;
    event.vendor_event_id = header.message_id;
    AddPairs(header.body, &event);
  }
};

}  // namespace

std::unique_ptr<Parser> MakeSyslogTextParser() { return std::make_unique<SyslogTextParser>(); }

}  // namespace yagura::ingestion
