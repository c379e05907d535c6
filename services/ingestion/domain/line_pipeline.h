#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "common/clock/clock.h"
#include "services/ingestion/domain/charset.h"
#include "services/ingestion/domain/parsers/parser.h"
#include "services/ingestion/domain/parsers/registry.h"
#include "services/ingestion/domain/source_zone.h"

namespace yagura::ingestion {

// What a transport tells of a line beside it.
struct LineEnvelope {
  std::optional<TimePoint> event_time;  // counts before what the line says
  std::string_view host;                // where the line does not surely name one
  std::string_view program;             // likewise
  int severity = 0;                     // v1::Severity, where the line has none
  // The line is an application's own text: where no parser recognises it, it is all understood.
  bool is_text = false;
  std::vector<event::FieldView> fields;  // come after those of the line
};

// What is known of a line before it is read.
struct LineContext {
  TimePoint receive_time;
  SourceZone zone;                         // of its source
  Charset charset = Charset::kUtf8;        // of its source
  std::string_view origin;                 // who sent it: "192.0.2.1", "key:..."
  std::string_view parser;                 // fixed by the source; empty or "auto": recognised
  bool truncated = false;                  // the framing cut it
  Parser** likely = nullptr;               // remembers the format of this sender; may be null
  const LineEnvelope* envelope = nullptr;  // may be null
  SenderMemory* memory = nullptr;          // what parsers remember of it; may be null
};

// From one line to one event: header, parser, typed core, flaws. Nothing is ever dropped: a line
// that no parser knows becomes an event with its raw text. The raw line keeps its bytes as they
// came; all else of the event is read from the line as UTF-8. One object serves one thread.
class LinePipeline {
 public:
  // `catalogue` has the described parsers; null: none.
  explicit LinePipeline(std::shared_ptr<const ParserCatalogue> catalogue = nullptr)
      : catalogue_(std::move(catalogue)), parsers_(catalogue_.get()) {}

  // The event points into the line, the context and this object; it is valid until the next call,
  // and the caller may add what it knows (site, device).
  ParsedLine& Process(std::string_view line, const LineContext& context);

 private:
  void Add(const LineEnvelope& envelope);
  // Of a line that no parser recognises.
  void KeepUnread(const LineEnvelope* envelope);
  void Check(const LineContext& context);

  const std::shared_ptr<const ParserCatalogue> catalogue_;
  ParserRegistry parsers_;
  TextArena arena_;
  CharsetDecoder decoder_;
  SyslogHeader header_;
  ParsedLine parsed_;
};

}  // namespace yagura::ingestion
