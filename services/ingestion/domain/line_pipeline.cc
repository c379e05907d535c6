#include "services/ingestion/domain/line_pipeline.h"

#include "services/ingestion/domain/framing.h"
#include "services/ingestion/domain/parsers/fields.h"
#include "yagura/event/v1/event.pb.h"

namespace yagura::ingestion {
namespace {

using event::v1::Flaw;

constexpr auto kOldest = std::chrono::days(7);
constexpr auto kNewest = std::chrono::hours(1);

void AddFlaw(Flaw flaw, event::EventView* event) { event->flaws |= uint64_t{1} << flaw; }

}  // namespace

ParsedLine& LinePipeline::Process(std::string_view line, const LineContext& context) {
  arena_.Clear();
  parsed_.Clear();
  event::EventView& event = parsed_.event;
  if (line.size() > kMaxLineBytes) {
    line = line.substr(0, kMaxLineBytes);
    AddFlaw(event::v1::TRUNCATED, &event);
  }
  if (context.truncated) AddFlaw(event::v1::TRUNCATED, &event);
  event.raw = line;
  event.receive_time = context.receive_time;
  event.origin = context.origin;

  bool broken = false;
  const std::string_view text = decoder_.ToUtf8(line, context.charset, arena_, &broken);
  ReadSyslogHeader(text, context.receive_time, context.zone, arena_, &header_);
  event.event_time = header_.time;
  parsed_.zone_used = header_.zone_used;
  event.host = header_.host;
  event.program = header_.program;
  if (header_.priority >= 0) event.severity = SeverityOfPriority(header_.priority);

  const LineInput input{text, header_, context.receive_time, context.zone, context.memory};
  Parser* parser = nullptr;
  if (context.parser.empty() || context.parser == "auto") {
    parser = parsers_.Recognise(input, context.likely != nullptr ? *context.likely : nullptr);
    if (context.likely != nullptr && parser != nullptr) *context.likely = parser;
  } else {
    parser = parsers_.Find(context.parser);
  }
  if (parser != nullptr) {
    parser->Parse(input, arena_, &parsed_);
  } else {
    event.product = "unknown";
    event.message = header_.body;
    event.parse_error = "no parser recognises the line";
    AddFlaw(event::v1::UNPARSED, &event);
  }
  if (broken) {
    MarkPartlyParsed("bytes that are no characters of the source's character set", &event);
  }
  if (context.envelope != nullptr) Add(*context.envelope);
  Check(context);
  return parsed_;
}

void LinePipeline::Add(const LineEnvelope& envelope) {
  event::EventView& event = parsed_.event;
  if (envelope.event_time) {
    event.event_time = envelope.event_time;
    parsed_.zone_used = false;
  }
  if (event.host.empty()) event.host = envelope.host;
  if (event.program.empty()) event.program = envelope.program;
  if (event.severity == 0) event.severity = envelope.severity;
  event.fields.insert(event.fields.end(), envelope.fields.begin(), envelope.fields.end());
}

void LinePipeline::Check(const LineContext& context) {
  event::EventView& event = parsed_.event;
  if (!event.event_time) {
    event.event_time = context.receive_time;
    AddFlaw(event::v1::NO_EVENT_TIME, &event);
  } else if (*event.event_time < context.receive_time - kOldest ||
             *event.event_time > context.receive_time + kNewest) {
    AddFlaw(event::v1::CLOCK_ERROR, &event);
  }
}

}  // namespace yagura::ingestion
