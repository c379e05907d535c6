// Any text as a list of indicators: it is refused with a line, or each of them is bounded, asked
// for by filters that parse, and looked for in events without harm.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "common/filter/filter.h"
#include "services/detection/domain/indicators.h"
#include "yagura/event/v1/event.pb.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace yagura;  // NOLINT(google-build-using-namespace)
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  auto indicators = detection::ParseIndicators(text);
  if (!indicators.ok()) {
    if (indicators.status().code() != absl::StatusCode::kInvalidArgument) std::abort();
    return 0;
  }
  if (indicators->size() > detection::kMaxIndicators) std::abort();
  const detection::IndicatorMatcher matcher(*std::move(indicators));
  static const filter::Schema kSchema = filter::EventSchema();
  for (const auto& part : matcher.parts()) {
    if (!filter::Filter::Parse(part.filter, kSchema).ok()) std::abort();
  }
  event::v1::Event event;
  event.set_raw(std::string(text));
  auto& field = *event.add_fields();
  field.set_name("url");
  field.set_value(std::string(text));
  for (const auto& named : matcher.Find(event)) {
    if (named.indicator >= matcher.indicators().size()) std::abort();
  }
  return 0;
}
