#pragma once

#include <string_view>

#include "absl/status/status.h"

#include "yagura/event/v1/event.pb.h"

namespace yagura::cli {

// One JSON object as an event, in either of two shapes: as `event search -o jsonl` writes it (what
// tells it is "fields", an object or a list of {"name", "value"}; the other members fill the core),
// or an object of original fields, where nested names are joined by dots. Members that the core
// does not have, or has in another shape, become original fields. INVALID_ARGUMENT where it is no
// object.
absl::Status ReadEvent(std::string_view json, event::v1::Event& event);

}  // namespace yagura::cli
