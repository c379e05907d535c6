#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

#include "yagura/event/v1/event.pb.h"

namespace yagura::cli {

// The event as one line of JSON (common/json/message_json.h), and where the raw line is not UTF-8
// its bytes as "raw_base64".
std::string EventToJson(const event::v1::Event& event);

// Whether a JSON object is of the first shape of ReadEvent.
bool IsEventJson(std::string_view json);

// One JSON object as an event, in either of two shapes: as `event search -o jsonl` writes it (what
// tells it is "fields", an object or a list of {"name", "value"}; the other members fill the core,
// "raw_base64" the line), or an object of original fields, where nested names are joined by dots.
// Members that the core does not have, or has in another shape, become original fields.
// INVALID_ARGUMENT where it is no object.
absl::Status ReadEvent(std::string_view json, event::v1::Event& event);

}  // namespace yagura::cli
