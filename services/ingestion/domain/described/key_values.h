#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/event/event_view.h"
#include "services/ingestion/domain/text_arena.h"

namespace yagura::ingestion {

// How a device writes its names and values.
struct KeyValueFormat {
  std::string separator = " ";  // between pairs
  std::string assign = "=";     // between name and value
  // A bare value goes on, separators and all, until the separator before the next "name=": for
  // devices that do not quote their texts (CEF, WatchGuard).
  bool greedy = false;
  // "\=", "\|", "\\", "\n" and "\r" are escapes (CEF, Check Point), an escaped assign sign assigns
  // nothing, and quotes are characters like any other.
  bool escaped = false;
};

// Appends every pair of `text` in its order, at most kMaxFields in all; false where there were
// more. A value in double or single quotes ends at its closing quote, which a separator or the end
// must follow, and \" and \\ and a doubled quote in it are unescaped into the arena. Takes linear
// time. What stands before a name and is no pair is skipped.
bool ReadKeyValues(std::string_view text, const KeyValueFormat& format, TextArena& arena,
                   std::vector<event::FieldView>* fields);

}  // namespace yagura::ingestion
