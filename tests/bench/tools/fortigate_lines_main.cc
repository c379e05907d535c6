// fortigate-lines N [SEED]: N deterministic FortiGate log lines on standard output, for benches
// that measure whole processes.
#include <cstdio>
#include <iostream>
#include <optional>
#include <string>

#include "common/testing/fortigate_lines.h"
#include "common/text/text.h"

int main(int argc, char** argv) {
  const auto lines = argc == 2 || argc == 3 ? yagura::ParseNumber<uint64_t>(argv[1]) : std::nullopt;
  const auto seed = argc == 3 ? yagura::ParseNumber<uint64_t>(argv[2]) : 1;
  if (!lines || !seed) {
    std::cerr << "usage: fortigate-lines N [SEED]\n";
    return 2;
  }
  yagura::testing::FortigateLines::Options options;
  options.seed = *seed;
  yagura::testing::FortigateLines source(options);
  std::string text;
  for (uint64_t i = 0; i < *lines; ++i) {
    text += source.Next();
    text += '\n';
    if (text.size() < 256 * 1024 && i + 1 < *lines) continue;
    if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) return 1;
    text.clear();
  }
  return std::fflush(stdout) == 0 ? 0 : 1;
}
