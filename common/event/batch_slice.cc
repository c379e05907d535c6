#include "common/event/batch_slice.h"

#include "common/status/status.h"
#include "yagura/event/v1/event.pb.h"

namespace yagura::event {
namespace {

constexpr size_t kMaxRaw = 32 << 10;
constexpr size_t kMaxRest = 64 << 10;

}  // namespace

StatusOr<std::string> CopyEvents(BatchReader& batch, std::span<const uint32_t> rows) {
  BatchBuilder builder(batch.header());
  v1::Event event;
  for (const uint32_t row : rows) {
    YAGURA_RETURN_IF_ERROR(batch.Get(row, &event));
    builder.Add(event);
  }
  return builder.Finish();
}

std::string CopyEventBounded(BatchReader& batch, uint32_t row) {
  v1::Event event;
  if (!batch.Get(row, &event).ok()) event.Clear();
  if (event.raw().size() > kMaxRaw) event.mutable_raw()->resize(kMaxRaw);
  if (event.ByteSizeLong() - event.raw().size() > kMaxRest) event.clear_fields();
  if (event.ByteSizeLong() - event.raw().size() > kMaxRest) {
    v1::Event rest;
    rest.mutable_raw()->swap(*event.mutable_raw());
    rest.mutable_receive_time()->Swap(event.mutable_receive_time());
    event.Swap(&rest);
  }
  BatchBuilder builder(batch.header());
  builder.Add(event);
  return builder.Finish();
}

}  // namespace yagura::event
