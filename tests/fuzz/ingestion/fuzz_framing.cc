// Any bytes in any cuts: no line longer than allowed, memory bounded, and the cuts must not matter.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "services/ingestion/domain/framing.h"

namespace {

using yagura::ingestion::Framer;
using yagura::ingestion::kMaxLineBytes;

std::vector<std::string> Cut(std::string_view bytes, size_t chunk) {
  std::vector<std::string> lines;
  const Framer::Sink sink = [&](std::string_view line, bool truncated) {
    if (line.size() > kMaxLineBytes || line.empty()) std::abort();
    lines.push_back(std::string(line) + (truncated ? "T" : "W"));
  };
  Framer framer;
  for (size_t at = 0; at < bytes.size(); at += chunk) {
    framer.Feed(bytes.substr(at, chunk), sink);
    if (framer.pending_bytes() > 2 * kMaxLineBytes) std::abort();
  }
  framer.Finish(sink);
  return lines;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (Cut(bytes, 1 + data[0] % 61) != Cut(bytes, size)) std::abort();
  return 0;
}
