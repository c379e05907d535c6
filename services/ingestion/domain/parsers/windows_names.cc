#include "services/ingestion/domain/parsers/windows_names.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

namespace yagura::ingestion {
namespace {

// The longer ones first.
constexpr std::array<std::string_view, 8> kDataPrefixes{
    "Event.EventData.",   "Event.UserData.",   "EventData.",    "UserData.",
    "winlog.event_data.", "winlog.user_data.", "Event.System.", "System."};
// Of the rest of "winlog." only what Windows itself has.
constexpr std::array<std::pair<std::string_view, std::string_view>, 15> kWinlogNames{
    {{"winlog.event_id", "EventID"},
     {"winlog.channel", "Channel"},
     {"winlog.computer_name", "Computer"},
     {"winlog.provider_name", "Provider_Name"},
     {"winlog.provider_guid", "Provider_Guid"},
     {"winlog.record_id", "EventRecordID"},
     {"winlog.task", "Task"},
     {"winlog.opcode", "Opcode"},
     {"winlog.keywords", "Keywords"},
     {"winlog.version", "Version"},
     {"winlog.activity_id", "Correlation.ActivityID"},
     {"winlog.process.pid", "Execution.ProcessID"},
     {"winlog.process.thread.id", "Execution.ThreadID"},
     {"winlog.user.identifier", "Security.UserID"},
     {"winlog.time_created", "TimeCreated.SystemTime"}}};
constexpr std::array<std::pair<std::string_view, std::string_view>, 3> kOtherNames{
    {{"EventID.#text", "EventID"},
     {"Provider.Name", "Provider_Name"},
     {"Provider.Guid", "Provider_Guid"}}};

template <typename Table>
std::string_view Lookup(const Table& table, std::string_view name) {
  const auto* const found = std::find_if(table.begin(), table.end(),
                                         [name](const auto& row) { return row.first == name; });
  return found == table.end() ? std::string_view{} : found->second;
}

// "Provider.#attributes.Name" and "Provider.@Name" as "Provider.Name".
std::string_view WithoutMarks(std::string_view name, TextArena& arena) {
  constexpr std::string_view kAttributes = "#attributes.";
  if (const size_t at = name.find(kAttributes); at != name.npos) {
    name = arena.Join(name.substr(0, at), name.substr(at + kAttributes.size()));
  }
  if (const size_t at = name.find('@'); at != name.npos && (at == 0 || name[at - 1] == '.')) {
    name = arena.Join(name.substr(0, at), name.substr(at + 1));
  }
  return name;
}

// "X" of "LogFileCleared.X": what wraps the data of a user's event is named like the event.
std::string_view WithoutFirst(std::string_view name) {
  const size_t dot = name.find('.');
  return dot == name.npos ? name : name.substr(dot + 1);
}

std::string_view PlainName(std::string_view name, TextArena& arena) {
  if (name.starts_with("winlog.")) {
    if (const auto known = Lookup(kWinlogNames, name); !known.empty()) return known;
  }
  for (const std::string_view prefix : kDataPrefixes) {
    if (!name.starts_with(prefix)) continue;
    std::string_view rest = name.substr(prefix.size());
    if (prefix.ends_with("UserData.")) rest = WithoutFirst(rest);
    rest = WithoutMarks(rest, arena);
    const auto other = Lookup(kOtherNames, rest);
    return other.empty() ? rest : other;
  }
  return name;
}

bool IsDataName(std::string_view name) {
  return name == "Data.Name" || name == "Data.#attributes.Name";
}

}  // namespace

void TakeWindowsNames(TextArena& arena, std::vector<event::FieldView>* fields) {
  size_t kept = 0;
  for (size_t i = 0; i < fields->size(); ++i) {
    event::FieldView field = (*fields)[i];
    field.name = PlainName(field.name, arena);
    if (IsDataName(field.name)) {
      field.name = field.value;
      field.value = {};
      if (i + 1 < fields->size() && (*fields)[i + 1].name.ends_with("EventData.Data.#text")) {
        field.value = (*fields)[++i].value;
      }
    }
    (*fields)[kept++] = field;
  }
  fields->resize(kept);
}

}  // namespace yagura::ingestion
