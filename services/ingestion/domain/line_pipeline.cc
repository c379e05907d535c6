#include "services/ingestion/domain/line_pipeline.h"

#include "common/text/ascii.h"
#include "common/text/text.h"
#include "services/ingestion/domain/framing.h"
#include "services/ingestion/domain/parsers/fields.h"
#include "yagura/event/v1/event.pb.h"

namespace yagura::ingestion {
namespace {

using event::v1::Flaw;

constexpr auto kOldest = std::chrono::days(7);
// Of a line that came whole (a record of a request) so much is read, though less of it is kept.
constexpr size_t kMaxReadBytes = 1 << 20;
constexpr auto kNewest = std::chrono::hours(1);

// Without the character at the end that a cut tore.
std::string_view WithoutTornEnd(std::string_view text) {
  size_t size = text.size();
  constexpr size_t kLongest = 4;
  for (size_t i = 1; i <= kLongest && i <= text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[text.size() - i]);
    if ((byte & 0xc0) == 0x80) continue;
    if (byte >= 0xc0) size = text.size() - i;
    break;
  }
  return text.substr(0, size);
}

// A source that is not said to have another character set, and has one.
bool IsOfAnotherSet(std::string_view text, bool cut) {
  return !IsAscii(text) && !IsValidUtf8(cut ? WithoutTornEnd(text) : text);
}

void AddFlaw(Flaw flaw, event::EventView* event) { event->flaws |= uint64_t{1} << flaw; }

}  // namespace

ParsedLine& LinePipeline::Process(std::string_view line, const LineContext& context) {
  arena_.Clear();
  parsed_.Clear();
  event::EventView& event = parsed_.event;
  const bool cut = context.truncated || line.size() > kMaxReadBytes;
  line = line.substr(0, kMaxReadBytes);
  event.raw = line.substr(0, kMaxLineBytes);
  if (cut || event.raw.size() < line.size()) AddFlaw(event::v1::TRUNCATED, &event);
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
    KeepUnread(context.envelope);
  }
  if (header_.unknown_zone && event.event_time == header_.time) {
    MarkPartlyParsed("the time's zone has letters of several meanings; the source's was taken",
                     &event);
  }
  broken |= context.charset == Charset::kUtf8 && IsOfAnotherSet(line, cut);
  event.message = event.message.substr(0, kMaxLineBytes);
  if (broken) {
    MarkPartlyParsed("bytes that are no characters of the source's character set", &event);
  }
  if (context.envelope != nullptr) Add(*context.envelope);
  Check(context);
  return parsed_;
}

void LinePipeline::KeepUnread(const LineEnvelope* envelope) {
  event::EventView& event = parsed_.event;
  event.message = header_.body;
  if (envelope != nullptr && envelope->is_text) {
    event.product = "generic.text";
    return;
  }
  event.product = "unknown";
  event.parse_error = "no parser recognises the line";
  AddFlaw(event::v1::UNPARSED, &event);
}

void LinePipeline::Add(const LineEnvelope& envelope) {
  event::EventView& event = parsed_.event;
  if (envelope.event_time) {
    event.event_time = envelope.event_time;
    parsed_.zone_used = false;
  }
  // Without priority and program, and where no product is known, what stands where a header has the
  // host may be any word.
  const bool is_guess = header_.priority < 0 && header_.program.empty() &&
                        event.product.starts_with("generic.") &&
                        event.host.data() == header_.host.data();
  if (event.host.empty() || (is_guess && !envelope.host.empty())) event.host = envelope.host;
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
