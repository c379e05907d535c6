#pragma once

#include <vector>

#include "common/event/event_view.h"
#include "services/ingestion/domain/text_arena.h"

// Windows events nest their fields, and every shipper does it in its own way: "Event.EventData.X"
// and "Event.System.X" (evtx dumps), "winlog.event_data.X" (winlogbeat), "EventData.X". Here they
// get the names that Windows has for them, so that rules and searches know them whoever sent them.
namespace yagura::ingestion {

// Takes the wrapping off the names of `fields`, and makes a field of each {"@Name": "X", "#text":
// "value"} of EventData. Their order stays.
void TakeWindowsNames(TextArena& arena, std::vector<event::FieldView>* fields);

}  // namespace yagura::ingestion
