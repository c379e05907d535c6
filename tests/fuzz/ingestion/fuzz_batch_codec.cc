// Hostile batches: the first bytes choose the sizes, the hash is made right, so that the fuzzer
// gets past the envelope. Reading must end with an answer, within bounds.
#include <cstdint>
#include <string>

#include "common/event/batch_codec.h"
#include "common/event/batch_format.h"
#include "yagura/event/v1/event.pb.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace event = yagura::event;
  if (size < 3) return 0;
  const std::string_view body(reinterpret_cast<const char*>(data) + 3, size - 3);
  const size_t section_a = (data[1] | static_cast<size_t>(data[2]) << 8) % (body.size() + 1);
  std::string batch(event::kEnvelopeSize, '\0');
  event::kBatchMagic.copy(batch.data(), event::kBatchMagic.size());
  batch[4] = static_cast<char>(data[0] % 4);
  const auto put = [&](size_t at, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) batch[at + i] = static_cast<char>(value >> (8 * i));
  };
  const size_t factor = data[0] % 4 == 0 ? 1 : 4;  // compressed sections grow
  put(8, section_a * factor, 4);
  put(12, section_a, 4);
  put(16, (body.size() - section_a) * factor, 4);
  put(20, body.size() - section_a, 4);
  batch += body;
  put(event::kHashOffset, event::HashOfBatch(batch), 8);
  auto reader = event::BatchReader::Open(batch);
  if (!reader.ok()) return 0;
  event::v1::Event read;
  for (size_t i = 0; i < reader->size() && i < 100; ++i) {
    if (!reader->Get(i, &read).ok()) break;
  }
  for (const std::string_view name : reader->field_names()) {
    if (!reader->ReadFieldAll(name).ok()) break;
  }
  return 0;
}
