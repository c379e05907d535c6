#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "common/clock/clock.h"
#include "common/event/event_view.h"
#include "services/ingestion/domain/source_zone.h"
#include "services/ingestion/domain/text_arena.h"

namespace yagura::ingestion {

// What stands before the message of a syslog line, RFC 5424 or the many dialects of RFC 3164. Each
// part may be missing. Texts point into the line or the arena.
struct SyslogHeader {
  int priority = -1;  // 0..191: facility * 8 + severity; -1 where the line has none
  bool rfc5424 = false;
  std::optional<TimePoint> time;
  bool zone_used = false;  // `time` depends on the source's zone
  // `time` names a zone whose letters have several meanings, and not the source's own.
  bool unknown_zone = false;
  std::string_view time_text;  // as written
  std::string_view host;
  std::string_view program;
  std::string_view process_id;
  std::string_view message_id;
  std::vector<event::FieldView> structured_data;  // "id.name"; an element without parameters: "id"
  bool broken_structured_data = false;
  std::string_view body;  // the rest; without the BOM

  // Whether anything of a header was there.
  bool empty() const { return priority < 0 && !time; }
  void Clear();
  void ClearTime();
};

// Never fails: what is no header is the body.
void ReadSyslogHeader(std::string_view line, TimePoint receive_time, const SourceZone& zone,
                      TextArena& arena, SyslogHeader* header);

}  // namespace yagura::ingestion
