// Any text: what the scrubber takes out comes back whole, and any text with marks is either
// restored or refused.
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <string>
#include <string_view>

#include "fmt/format.h"

#include "services/config/domain/scrubber.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace config = yagura::config;
  static const auto* const kScrubber = new config::Scrubber();
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto print = [](std::string_view secret) -> absl::StatusOr<std::string> {
    return fmt::format("{:016x}", std::hash<std::string_view>()(secret));
  };
  const auto scrubbed = kScrubber->Scrub(text, print);
  if (!scrubbed.ok()) std::abort();
  const auto restored = config::RestoreSecrets("text", scrubbed->text, scrubbed->secrets);
  if (!restored.ok() || *restored != text) std::abort();
  (void)config::RestoreSecrets("text", text, scrubbed->secrets);
  return 0;
}
