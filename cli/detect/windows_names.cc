#include "cli/detect/windows_names.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

namespace yagura::cli {
namespace {

// The longer ones first.
constexpr std::array<std::string_view, 8> kPrefixes = {
    "Event.EventData.", "Event.System.", "Event.UserData.",    "EventData.",
    "System.",          "UserData.",     "winlog.event_data.", "winlog."};
// What is called otherwise behind its prefix.
constexpr std::array<std::pair<std::string_view, std::string_view>, 8> kOtherNames{
    {{"EventID.#text", "EventID"},
     {"event_id", "EventID"},
     {"channel", "Channel"},
     {"computer_name", "Computer"},
     {"Provider.#attributes.Name", "Provider_Name"},
     {"Provider.@Name", "Provider_Name"},
     {"Provider.Name", "Provider_Name"},
     {"provider_name", "Provider_Name"}}};

// Empty where the name has no prefix.
std::string_view PlainName(std::string_view name) {
  for (const auto prefix : kPrefixes) {
    if (!name.starts_with(prefix)) continue;
    const auto rest = name.substr(prefix.size());
    const auto* const other = std::find_if(kOtherNames.begin(), kOtherNames.end(),
                                           [rest](const auto& row) { return row.first == rest; });
    return other == kOtherNames.end() ? rest : other->second;
  }
  return {};
}

}  // namespace

void AddWindowsNames(event::EventView& event) {
  const bool nested = std::any_of(event.fields.begin(), event.fields.end(), [](const auto& field) {
    return PlainName(field.name) == "Channel";
  });
  if (!nested) return;
  const size_t count = event.fields.size();
  event.fields.reserve(2 * count);
  for (size_t i = 0; i < count; ++i) {
    const auto name = PlainName(event.fields[i].name);
    if (!name.empty()) event.fields.push_back({name, event.fields[i].value});
  }
}

}  // namespace yagura::cli
