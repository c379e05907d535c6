#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"
#include "services/ingestion/domain/framing.h"

namespace re2 {
class RE2;
}

namespace yagura::ingestion {

// Which lines of an input belong together, as a stack trace does.
struct MultiLineOptions {
  std::string start;         // RE2; a line in which it is found begins an event; or else
  std::string continuation;  // RE2; a line in which it is found belongs to the event before it
  size_t max_lines = 500;
  size_t max_bytes = kMaxLineBytes;
  // An event to which nothing was added for so long is whole.
  std::chrono::milliseconds timeout{2'000};
};

// The same, compiled. Immutable, thread-safe.
class MultiLineRule {
 public:
  // INVALID_ARGUMENT where there is not exactly one pattern, or it cannot be compiled.
  static absl::StatusOr<std::shared_ptr<const MultiLineRule>> Make(const MultiLineOptions& options);
  ~MultiLineRule();

  bool Begins(std::string_view line) const;
  const MultiLineOptions& options() const { return options_; }

 private:
  MultiLineRule(MultiLineOptions options, std::unique_ptr<re2::RE2> pattern);
  const MultiLineOptions options_;
  const std::unique_ptr<re2::RE2> pattern_;
};

// Joins the lines of one sender to events, with LF between them. An event that would become longer
// than the rule allows is cut: what there is of it goes with the mark, the rest begins another.
// Nothing is dropped. Not thread-safe.
class LineJoiner {
 public:
  // Valid during the call only.
  using Sink = std::function<void(std::string_view event, bool truncated)>;
  // Null: each line is an event.
  explicit LineJoiner(std::shared_ptr<const MultiLineRule> rule) : rule_(std::move(rule)) {}

  // True: the line begins an event. Empty lines count only inside one.
  bool Add(std::string_view line, bool truncated, const Sink& sink);
  // What there is, is whole.
  void Flush(const Sink& sink);

  bool empty() const { return lines_ == 0; }
  // Memory that it holds.
  size_t held_bytes() const { return rule_ == nullptr ? 0 : pending_.capacity(); }

 private:
  const std::shared_ptr<const MultiLineRule> rule_;
  std::string pending_;
  size_t lines_ = 0;
  bool truncated_ = false;
};

// How many bytes of `part`, which begins with an event and holds whole lines, are events that have
// ended: the last one may go on.
size_t WholeEventBytes(std::string_view part, const std::shared_ptr<const MultiLineRule>& rule);

// Calls `take` for each line, without line ends.
template <typename Take>
void ForEachLineOf(std::string_view part, const Take& take) {
  while (!part.empty()) {
    const size_t end = part.find('\n');
    std::string_view line = part.substr(0, end);
    part.remove_prefix(end == part.npos ? part.size() : end + 1);
    while (line.ends_with('\r')) line.remove_suffix(1);
    take(line);
  }
}

}  // namespace yagura::ingestion
