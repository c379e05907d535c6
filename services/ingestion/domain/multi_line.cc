#include "services/ingestion/domain/multi_line.h"

#include <utility>

#include "fmt/format.h"

#include "common/status/status.h"
#include "re2/re2.h"

namespace yagura::ingestion {
namespace {

constexpr int64_t kPatternMemory = 1 << 20;
constexpr size_t kSmall = 1024;

}  // namespace

StatusOr<std::shared_ptr<const MultiLineRule>> MultiLineRule::Make(
    const MultiLineOptions& options) {
  if (options.start.empty() == options.continuation.empty()) {
    return InvalidField("multiline", "wants either start or continuation");
  }
  const bool by_start = !options.start.empty();
  const std::string& text = by_start ? options.start : options.continuation;
  RE2::Options re2;
  re2.set_log_errors(false);
  re2.set_max_mem(kPatternMemory);
  re2.set_encoding(RE2::Options::EncodingLatin1);  // lines may be in any character set
  auto pattern = std::make_unique<RE2>(text, re2);
  if (!pattern->ok()) {
    return InvalidField(by_start ? "multiline.start" : "multiline.continuation",
                        fmt::format("\"{}\": {}", text, pattern->error()));
  }
  return std::shared_ptr<const MultiLineRule>(new MultiLineRule(options, std::move(pattern)));
}

MultiLineRule::MultiLineRule(MultiLineOptions options, std::unique_ptr<re2::RE2> pattern)
    : options_(std::move(options)), pattern_(std::move(pattern)) {}
MultiLineRule::~MultiLineRule() = default;

bool MultiLineRule::Begins(std::string_view line) const {
  const bool found = RE2::PartialMatch(re2::StringPiece(line.data(), line.size()), *pattern_);
  return found == !options_.start.empty();
}

bool LineJoiner::Add(std::string_view line, bool truncated, const Sink& sink) {
  if (rule_ == nullptr) {
    if (!line.empty()) sink(line, truncated);
    return true;
  }
  if (lines_ == 0 && line.empty()) return false;
  const MultiLineOptions& options = rule_->options();
  bool begins = lines_ == 0;
  if (!begins && !line.empty() && rule_->Begins(line)) {
    Flush(sink);
    begins = true;
  } else if (!begins && (lines_ >= options.max_lines ||
                         pending_.size() + 1 + line.size() > options.max_bytes)) {
    truncated_ = true;
    Flush(sink);
    if (line.empty()) return false;
    begins = true;
  }
  if (!begins) pending_ += '\n';
  pending_ += line;
  truncated_ |= truncated;
  ++lines_;
  return begins;
}

void LineJoiner::Flush(const Sink& sink) {
  if (lines_ == 0) return;
  std::string_view event = pending_;
  while (event.ends_with('\n')) event.remove_suffix(1);
  sink(event, truncated_);
  lines_ = 0;
  truncated_ = false;
  if (pending_.capacity() > kSmall) {
    std::string().swap(pending_);  // there are many senders, and few with long events
  } else {
    pending_.clear();
  }
}

size_t WholeEventBytes(std::string_view part, const std::shared_ptr<const MultiLineRule>& rule) {
  const auto nowhere = [](std::string_view, bool) {};
  LineJoiner joiner(rule);
  size_t open = 0;
  size_t at = 0;
  std::string_view rest = part;
  while (!rest.empty()) {
    const size_t end = rest.find('\n');
    const size_t length = end == rest.npos ? rest.size() : end + 1;
    ForEachLineOf(rest.substr(0, length), [&](std::string_view line) {
      if (joiner.Add(line, false, nowhere)) open = at;
    });
    at += length;
    rest.remove_prefix(length);
  }
  return joiner.empty() ? part.size() : open;
}

}  // namespace yagura::ingestion
