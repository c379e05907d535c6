// Any line through recognition and through one parser: the raw line is kept, and the event survives
// the batch codec. Lines of one input come from one sender, of which parsers may remember things.
#include <array>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "common/event/batch_codec.h"
#include "common/text/text.h"
#include "services/ingestion/domain/line_pipeline.h"
#include "services/ingestion/domain/sender_memory.h"
#include "yagura/event/v1/event.pb.h"

namespace {

namespace ingestion = yagura::ingestion;
namespace event = yagura::event;

void Check(std::string_view line, ingestion::SenderMemory& memory) {
  static ingestion::LinePipeline* const kPipeline = new ingestion::LinePipeline();
  ingestion::LineContext context;
  context.receive_time = yagura::TimePoint(std::chrono::seconds(1'790'000'000));
  context.memory = &memory;
  static event::BatchBuilder* const kBuilder =
      new event::BatchBuilder({"acme", "batch", context.receive_time});
  constexpr std::array<std::string_view, 2> kParsers{"auto", YAGURA_FUZZ_PARSER};
  for (const std::string_view parser : kParsers) {
    context.parser = parser;
    kBuilder->Add(kPipeline->Process(line, context).event);
  }
  const std::string bytes = kBuilder->Finish(event::BatchBuilder::Compression::kNone);
  auto reader = event::BatchReader::Open(bytes);
  if (!reader.ok() || reader->size() != kParsers.size()) std::abort();
  event::v1::Event read;
  for (size_t i = 0; i < kParsers.size(); ++i) {
    if (!reader->Get(i, &read).ok() || read.raw() != line) std::abort();
    // What is `string` must be UTF-8, or protobuf refuses the message somewhere later.
    event::v1::Event again;
    if (!again.ParseFromString(read.SerializeAsString())) std::abort();
  }
}

}  // namespace

// The whole as one line (a counted frame may hold line ends), then line by line.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  ingestion::SenderMemory memory;
  Check(input, memory);
  if (input.find('\n') == input.npos) return 0;
  constexpr size_t kMostLines = 32;
  const auto lines = yagura::Split(input, '\n');
  for (size_t i = 0; i < lines.size() && i < kMostLines; ++i) Check(lines[i], memory);
  return 0;
}
