#pragma once

#include <string_view>

#include "services/ingestion/domain/parsers/parser.h"
#include "services/ingestion/domain/text_arena.h"
#include "yagura/event/v1/event.pb.h"

// The typed core by name, for parsers that are described and not written.
namespace yagura::ingestion {

// Puts a text into its place of the core; what it cannot read leaves the place alone. The text (or
// its copy in the arena) must outlive the event.
using CoreSetter = void (*)(std::string_view text, TextArena& arena, ParsedLine* parsed);

// By the names of Event: "src.ip", "dst.translated_port", "action", "rule" ...; also "src.address"
// (an address, else a host name) and "device_serial". nullptr where there is none. "event_time"
// and "duration" need a format or a unit and are not here.
CoreSetter FindCoreSetter(std::string_view name);

// What words like "accept", "Denied" or "reset-both" say that a device did; unspecified where the
// word is none of the usual ones. Any case.
event::v1::Action ActionOfWord(std::string_view word);

}  // namespace yagura::ingestion
