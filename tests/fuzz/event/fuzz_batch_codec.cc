// Hostile batches: the first bytes give compression and sizes, the hash is made right, so that the
// fuzzer gets past the envelope. Reading must end with an answer, within bounds.
//
// Input: compression u8, stored size of section A u16, plain sizes of sections A and B (2 x u24),
// all little-endian; section A; section B.
#include <cstdint>
#include <string>

#include "common/event/batch_codec.h"
#include "common/event/batch_format.h"
#include "yagura/event/v1/event.pb.h"

namespace {

constexpr size_t kHead = 9;

size_t Little(const uint8_t* data, int bytes) {
  size_t value = 0;
  for (int i = 0; i < bytes; ++i) value |= static_cast<size_t>(data[i]) << (8 * i);
  return value;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace event = yagura::event;
  if (size < kHead) return 0;
  const std::string_view body(reinterpret_cast<const char*>(data) + kHead, size - kHead);
  const size_t stored_a = Little(data + 1, 2) % (body.size() + 1);
  std::string batch(event::kEnvelopeSize, '\0');
  event::kBatchMagic.copy(batch.data(), event::kBatchMagic.size());
  batch[4] = static_cast<char>(data[0]);
  const auto put = [&](size_t at, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) batch[at + i] = static_cast<char>(value >> (8 * i));
  };
  put(8, Little(data + 3, 3), 4);
  put(12, stored_a, 4);
  put(16, Little(data + 6, 3), 4);
  put(20, body.size() - stored_a, 4);
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
