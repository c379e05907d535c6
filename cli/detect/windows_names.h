#pragma once

#include "common/event/event_view.h"

namespace yagura::cli {

// Windows events nested as exports write them ("Event.System.EventID", "winlog.event_data.Image")
// get their fields once more by the names that rules use ("EventID", "Image"). Other events stay.
void AddWindowsNames(event::EventView& event);

}  // namespace yagura::cli
