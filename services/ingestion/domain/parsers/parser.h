#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "common/clock/clock.h"
#include "common/event/event_view.h"
#include "services/ingestion/domain/source_zone.h"
#include "services/ingestion/domain/syslog_header.h"
#include "services/ingestion/domain/text_arena.h"

namespace yagura::ingestion {

class SenderMemory;

// One line, with what its syslog header (if any) said.
struct LineInput {
  std::string_view line;
  const SyslogHeader& header;
  TimePoint receive_time;
  const SourceZone& zone;          // for times without an offset
  SenderMemory* memory = nullptr;  // of its sender; may be null
};

// What a line became. Texts point into the line, the arena, the parser or constants.
struct ParsedLine {
  event::EventView event;
  std::string_view device_serial;  // which box, where the line says so; for the mapping of sources
  bool zone_used = false;          // event_time would be another in another zone

  void Clear();
};

// Reads the lines of one product (or family). To add one: a file here, a Make function below, a
// line in registry.cc, expectations in tests/unit and a fuzz target. One object serves one thread.
class Parser {
 public:
  virtual ~Parser() = default;
  // As a source's setting names it: "fortigate".
  virtual std::string_view name() const = 0;
  // Must be cheap: asked for every line of a source without a fixed parser.
  virtual bool Recognises(const LineInput& input) const = 0;
  // Before the call `event` holds raw, receive_time and what the header told: event_time, severity,
  // host, program. The parser adds every field of the line, in order, and the typed core. What it
  // cannot read becomes flaw PARTLY_PARSED with parse_error; it never fails and never drops.
  virtual void Parse(const LineInput& input, TextArena& arena, ParsedLine* parsed) = 0;
};

std::unique_ptr<Parser> MakeFortigateParser();
std::unique_ptr<Parser> MakeWindowsXmlParser();
std::unique_ptr<Parser> MakeSnareParser();
std::unique_ptr<Parser> MakeZeekTableParser();
std::unique_ptr<Parser> MakeJsonLinesParser();
std::unique_ptr<Parser> MakeSyslogTextParser();

}  // namespace yagura::ingestion
