#include <algorithm>
#include <array>

#include "common/text/text.h"
#include "services/ingestion/domain/parsers/fields.h"
#include "services/ingestion/domain/parsers/named_core.h"
#include "services/ingestion/domain/parsers/parser.h"

// Windows events as Snare's agent writes them into syslog: "MSWinEventLog" and columns with tabs
// between. The text of the event is taken apart, too, where its names and values have room between
// them. (Snare's JSON goes to the JSON parser.)
namespace yagura::ingestion {
namespace {

constexpr std::string_view kMark = "MSWinEventLog";
constexpr std::array<std::string_view, 12> kColumns{
    "Criticality", "Channel", "SnareCounter", "EventTime", "EventID",        "SourceName",
    "UserName",    "SIDType", "EventType",    "Computer",  "CategoryString", "DataString"};

// What stands in an event's text, and what Windows calls it. An empty section: in any.
struct Wording {
  std::string_view section;
  std::string_view text;
  std::string_view name;
};
constexpr std::array kWordings{
    Wording{"Subject", "Security ID", "SubjectUserSid"},
    Wording{"Subject", "Account Name", "SubjectUserName"},
    Wording{"Subject", "Account Domain", "SubjectDomainName"},
    Wording{"Subject", "Logon ID", "SubjectLogonId"},
    Wording{"", "Security ID", "TargetUserSid"},
    Wording{"", "Account Name", "TargetUserName"},
    Wording{"", "Account Domain", "TargetDomainName"},
    Wording{"", "Supplied Realm Name", "TargetDomainName"},
    Wording{"", "Logon ID", "TargetLogonId"},
    Wording{"", "Logon GUID", "LogonGuid"},
    Wording{"", "Logon Type", "LogonType"},
    Wording{"", "Failure Reason", "FailureReason"},
    Wording{"", "Status", "Status"},
    Wording{"", "Sub Status", "SubStatus"},
    Wording{"", "Workstation Name", "WorkstationName"},
    Wording{"", "Source Network Address", "IpAddress"},
    Wording{"", "Client Address", "IpAddress"},
    Wording{"", "Client Port", "IpPort"},
    Wording{"", "Source Address", "SourceAddress"},
    Wording{"", "Source Port", "IpPort"},
    Wording{"", "Destination Address", "DestAddress"},
    Wording{"", "Destination Port", "DestPort"},
    Wording{"", "Protocol", "Protocol"},
    Wording{"", "Direction", "Direction"},
    Wording{"", "New Process ID", "NewProcessId"},
    Wording{"", "New Process Name", "NewProcessName"},
    Wording{"", "Creator Process ID", "ProcessId"},
    Wording{"", "Creator Process Name", "ParentProcessName"},
    Wording{"", "Process Command Line", "CommandLine"},
    Wording{"", "Process ID", "ProcessId"},
    Wording{"", "Caller Process ID", "ProcessId"},
    Wording{"", "Process Name", "ProcessName"},
    Wording{"", "Caller Process Name", "ProcessName"},
    Wording{"", "Token Elevation Type", "TokenElevationType"},
    Wording{"", "Logon Process", "LogonProcessName"},
    Wording{"", "Authentication Package", "AuthenticationPackageName"},
    Wording{"", "Key Length", "KeyLength"},
    Wording{"", "Object Name", "ObjectName"},
    Wording{"", "Service Name", "ServiceName"},
};
constexpr std::array<std::string_view, 14> kSections{"Subject",
                                                     "New Logon",
                                                     "Account For Which Logon Failed",
                                                     "Target Account",
                                                     "New Account",
                                                     "Account That Was Locked Out",
                                                     "Account Whose Credentials Were Used",
                                                     "Account Information",
                                                     "Network Information",
                                                     "Process Information",
                                                     "Failure Information",
                                                     "Detailed Authentication Information",
                                                     "Logon Information",
                                                     "Additional Information"};

// What separates the columns in `rest`, which begins with it; empty where nothing known does.
std::string_view SeparatorOf(std::string_view rest) {
  for (const std::string_view separator : {"\t", "#011", "\\t"}) {
    if (rest.starts_with(separator)) return separator;
  }
  return {};
}

// Columns from behind "MSWinEventLog".
std::string_view ColumnsOf(std::string_view line) {
  const size_t at = line.find(kMark);
  return at == line.npos ? std::string_view{} : line.substr(at + kMark.size());
}

class Reader {
 public:
  Reader(const LineInput& input, TextArena& arena, ParsedLine* parsed)
      : event_(parsed->event), core_(input, arena, parsed) {}

  void Read(std::string_view rest) {
    const std::string_view separator = SeparatorOf(rest);
    size_t column = 0;
    while (!separator.empty() && rest.starts_with(separator) && column < kColumns.size()) {
      rest.remove_prefix(separator.size());
      const size_t end = std::min(rest.find(separator), rest.size());
      if (end > 0) Add(kColumns[column], rest.substr(0, end));
      rest.remove_prefix(end);
      ++column;
    }
    if (column < kColumns.size()) {
      MarkPartlyParsed("columns of Snare's format are missing", &event_);
    }
    if (!separator.empty() && rest.starts_with(separator)) rest.remove_prefix(separator.size());
    ReadText(WithoutCounter(rest, separator));
    core_.Finish();
  }

 private:
  // Behind the text may stand a number of the agent.
  std::string_view WithoutCounter(std::string_view text, std::string_view separator) {
    const size_t last = separator.empty() ? text.npos : text.rfind(separator);
    if (last == text.npos) return text;
    const std::string_view number = Trim(text.substr(last + separator.size()));
    const bool digits = !number.empty() && std::all_of(number.begin(), number.end(),
                                                       [](char c) { return c >= '0' && c <= '9'; });
    if (!digits && !number.empty()) return text;
    if (digits) Add("SnareEventCounter", number);
    return text.substr(0, last);
  }

  // "Subject:   Security ID:  S-1-0-0   Account Name:  alice   ...": two spaces or more, a tab or a
  // line end stand between the pieces.
  void ReadText(std::string_view text) {
    text = Trim(text);
    if (text.empty()) return;
    Add("Message", text);
    std::string_view section;
    std::string_view key;
    while (!text.empty()) {
      const size_t end = EndOfPiece(text);
      const std::string_view piece = Trim(text.substr(0, end));
      text.remove_prefix(end);
      text = Trim(text);
      if (piece.ends_with(':')) {
        key = piece.substr(0, piece.size() - 1);
        const bool heading = std::find(kSections.begin(), kSections.end(), key) != kSections.end();
        if (heading) section = std::exchange(key, {});
      } else if (!key.empty()) {
        AddWorded(section, std::exchange(key, {}), piece);
      } else if (const size_t colon = piece.find(": "); colon != piece.npos) {
        AddWorded(section, piece.substr(0, colon), Trim(piece.substr(colon + 1)));
      }
    }
  }

  static size_t EndOfPiece(std::string_view text) {
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '\t' || text[i] == '\r' || text[i] == '\n') return i;
      if (text[i] == ' ' && i + 1 < text.size() && text[i + 1] == ' ') return i;
    }
    return text.size();
  }

  void AddWorded(std::string_view section, std::string_view text, std::string_view value) {
    const auto* const found =
        std::find_if(kWordings.begin(), kWordings.end(), [&](const Wording& wording) {
          return wording.text == text && (wording.section.empty() || wording.section == section);
        });
    if (found == kWordings.end()) return;
    seen_address_ = seen_address_ || found->name == "SourceAddress";
    Add(seen_address_ && found->name == "IpPort" ? "SourcePort" : found->name, value);
  }

  void Add(std::string_view name, std::string_view value) {
    if (event_.fields.size() >= kMaxFields) return;
    event_.fields.push_back({name, value});
    core_.See(name, value);
  }

  event::EventView& event_;
  NamedCore core_;
  bool seen_address_ = false;
};

class SnareParser final : public Parser {
 public:
  std::string_view name() const override { return "snare"; }

  bool Recognises(const LineInput& input) const override {
    const SyslogHeader& header = input.header;
    if (!header.body.starts_with(kMark) && header.program != kMark) return false;
    return !SeparatorOf(ColumnsOf(input.line)).empty();
  }

  void Parse(const LineInput& input, TextArena& arena, ParsedLine* parsed) override {
    Reader(input, arena, parsed).Read(ColumnsOf(input.line));
    parsed->event.product = "microsoft.windows";
  }
};

}  // namespace

std::unique_ptr<Parser> MakeSnareParser() { return std::make_unique<SnareParser>(); }

}  // namespace yagura::ingestion
