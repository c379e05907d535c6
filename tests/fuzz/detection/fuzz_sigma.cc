// Any text as a Sigma rule: it is refused with a reason, or it runs over a batch of events.
#include <cstdlib>
#include <string>
#include <string_view>

#include "common/event/batch_codec.h"
#include "common/status/status.h"
#include "services/detection/domain/engine/batch_matcher.h"
#include "yagura/event/v1/event.pb.h"

namespace {

using namespace yagura;  // NOLINT(google-build-using-namespace)

std::string SampleBatch() {
  event::BatchBuilder builder({"acme", event::BatchIdOf({"fuzz"}), TimePoint()});
  for (const std::string_view value : {"1", "cmd.exe -enc", "10.0.0.1", "\xff\xfe"}) {
    event::v1::Event event;
    event.set_raw(std::string(value));
    event.set_product("acme.box");
    auto* field = event.add_fields();
    field->set_name("a");
    field->set_value(std::string(value));
    builder.Add(event);
  }
  return builder.Finish();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::string batch = SampleBatch();
  auto parsed = detection::ParseSigma(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!parsed.ok()) {
    if (ErrorReason(parsed.status()) != "RULE_REFUSED") std::abort();
    return 0;
  }
  auto rule = std::make_shared<detection::ParsedRule>(*std::move(parsed));
  for (auto& single : rule->rules) single.logsource_test = detection::Expression();
  detection::BatchMatcher matcher(detection::RuleSet::Build({{"", rule}}));
  auto reader = event::BatchReader::Open(batch);
  if (!matcher.Run(*reader).ok()) std::abort();
  return 0;
}
