// Any lines through the joiner of events of many lines: nothing is dropped, made up or put in
// another order, and no event is longer than its rule allows. The first byte chooses the rule.
#include <array>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "services/ingestion/domain/multi_line.h"

namespace {

using namespace yagura::ingestion;  // NOLINT(google-build-using-namespace)

std::shared_ptr<const MultiLineRule> RuleOf(const char* start, const char* continuation) {
  MultiLineOptions options;
  options.start = start;
  options.continuation = continuation;
  options.max_lines = 8;
  options.max_bytes = 256;
  return MultiLineRule::Make(options).value();
}

void Must(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::array<std::shared_ptr<const MultiLineRule>, 4> kRules{
      RuleOf(R"(^\d{4}-)", ""), RuleOf("", R"(^(\s|Caused by:))"), RuleOf("^<\\d+>", ""),
      RuleOf("", "^$|never")};
  if (size == 0) return 0;
  const auto& rule = kRules[data[0] % kRules.size()];
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  std::string in;
  ForEachLineOf(text, [&](std::string_view line) { in.append(line); });
  std::string out;
  LineJoiner joiner(rule);
  const auto sink = [&](std::string_view event, bool /*truncated*/) {
    Must(!event.empty());
    out.append(event);
  };
  ForEachLineOf(text, [&](std::string_view line) {
    joiner.Add(line, false, sink);
    Must(joiner.held_bytes() <= 64 * 1024);
  });
  joiner.Flush(sink);
  Must(joiner.empty());
  // Line ends between the lines of an event are ours.
  std::erase(out, '\n');
  Must(out == in);
  Must(WholeEventBytes(text, rule) <= text.size());
  return 0;
}
