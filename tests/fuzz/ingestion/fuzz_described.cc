// Any line through recognition and through one of the shipped descriptions, which the first byte
// chooses: the raw line is kept, and the event survives the batch codec.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "common/event/batch_codec.h"
#include "services/ingestion/domain/described/catalogue.h"
#include "services/ingestion/domain/line_pipeline.h"
#include "yagura/event/v1/event.pb.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace ingestion = yagura::ingestion;
  namespace event = yagura::event;
  if (size == 0) return 0;
  static const auto* const kCatalogue = new std::shared_ptr<const ingestion::ParserCatalogue>(
      ingestion::ParserCatalogue::Load(YAGURA_CONTENT "/parsers").value());
  static ingestion::LinePipeline* const kPipeline = new ingestion::LinePipeline(*kCatalogue);
  const auto& descriptions = (*kCatalogue)->descriptions();
  const std::string_view line(reinterpret_cast<const char*>(data) + 1, size - 1);
  ingestion::LineContext context;
  context.receive_time = yagura::TimePoint(std::chrono::seconds(1'790'000'000));
  event::BatchBuilder builder({"acme", "batch", context.receive_time});
  builder.Add(kPipeline->Process(line, context).event);
  context.parser = descriptions[data[0] % descriptions.size()]->name;
  builder.Add(kPipeline->Process(line, context).event);
  const std::string bytes = builder.Finish(event::BatchBuilder::Compression::kNone);
  auto reader = event::BatchReader::Open(bytes);
  if (!reader.ok() || reader->size() != 2) std::abort();
  event::v1::Event read;
  for (size_t i = 0; i < reader->size(); ++i) {
    if (!reader->Get(i, &read).ok() || read.raw() != line) std::abort();
    event::v1::Event again;
    if (!again.ParseFromString(read.SerializeAsString())) std::abort();
  }
  return 0;
}
