// Bodies of requests over HTTP: the first byte says how they are read.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "services/ingestion/domain/http_bodies.h"

namespace {

constexpr size_t kLimit = 1 << 20;

void Must(bool holds) {
  if (!holds) std::abort();
}

void CheckRecords(const absl::StatusOr<std::vector<yagura::ingestion::Record>>& records) {
  if (!records.ok()) return;
  Must(!records->empty() && records->size() <= yagura::ingestion::kMaxRecords);
  for (const auto& record : *records) Must(!record.line.empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace yagura::ingestion;  // NOLINT(google-build-using-namespace)
  if (size == 0) return 0;
  std::string_view body(reinterpret_cast<const char*>(data), size);
  const char how = body.front();
  body.remove_prefix(1);
  if (how == 'n') {
    CheckRecords(ReadNdjson(body));
  } else if (how == 'r') {
    CheckRecords(ReadLines(body));
  } else if (how == 'z') {
    const auto inflated = Inflate(body, kLimit);
    if (!inflated.ok()) return 0;
    Must(inflated->size() <= kLimit);
    CheckRecords(ReadHecEvents(*inflated));
  } else {
    CheckRecords(ReadHecEvents(body));
  }
  return 0;
}
