#include "services/ingestion/domain/framing.h"

#include <algorithm>

namespace yagura::ingestion {
namespace {

// 9,999,999 bytes: a longer number is text that begins with digits.
constexpr size_t kMaxCountDigits = 7;
constexpr size_t kPieceBytes = 4096;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsLineEnd(char c) { return c == '\n' || c == '\r' || c == '\0'; }

// "<134>".
bool HasPriority(std::string_view line) {
  size_t at = 1;
  while (at < line.size() && at < 4 && IsDigit(line[at])) ++at;
  return line.starts_with('<') && at > 1 && at < line.size() && line[at] == '>';
}

std::string_view WithoutLineEnd(std::string_view line) {
  while (!line.empty() && IsLineEnd(line.back())) line.remove_suffix(1);
  return line;
}

void Emit(std::string_view line, bool truncated, const Framer::Sink& sink) {
  if (!truncated) line = WithoutLineEnd(line);
  if (!line.empty()) sink(line, truncated);
}

}  // namespace

void Framer::Feed(std::string_view bytes, const Sink& sink) {
  while (!pending_.empty()) {
    // A piece at a time, so that what is held stays about as long as one line.
    const size_t piece = std::min(bytes.size(), kPieceBytes);
    if (piece == 0) return;
    pending_ += bytes.substr(0, piece);
    std::string_view rest = pending_;
    while (Next(rest, sink)) {
    }
    if (rest.size() > piece) {
      pending_.erase(0, pending_.size() - rest.size());
      bytes.remove_prefix(piece);
    } else {
      bytes.remove_prefix(piece - rest.size());  // the line that is begun lies in `bytes`
      std::string().swap(pending_);              // gives its memory back, too
    }
  }
  while (Next(bytes, sink)) {
  }
  pending_ = bytes;
}

void Framer::Finish(const Sink& sink) {
  std::string_view rest = pending_;
  size_t digits = 0;
  while (digits < rest.size() && digits <= kMaxCountDigits && IsDigit(rest[digits])) ++digits;
  const bool counted = digits > 0 && digits < rest.size() && rest[digits] == ' ' &&
                       (seen_counted_ || rest.substr(digits + 1).starts_with('<'));
  if (counted) rest.remove_prefix(digits + 1);
  counted_ = counted;
  Emit(rest, counted, sink);
  *this = Framer();
}

bool Framer::Skip(std::string_view& bytes) {
  if (skip_bytes_ > 0) {
    const size_t skipped = std::min(skip_bytes_, bytes.size());
    skip_bytes_ -= skipped;
    bytes.remove_prefix(skipped);
  } else if (skip_to_end_) {
    const size_t end = std::min(bytes.find('\n'), skip_to_nul_ ? bytes.find('\0') : bytes.npos);
    skip_to_end_ = end == bytes.npos;
    bytes.remove_prefix(skip_to_end_ ? bytes.size() : end + 1);
  }
  return skip_bytes_ == 0 && !skip_to_end_;
}

bool Framer::Next(std::string_view& bytes, const Sink& sink) {
  if (!Skip(bytes)) return false;
  size_t start = 0;
  while (start < bytes.size() && IsLineEnd(bytes[start])) ++start;
  bytes.remove_prefix(start);
  if (bytes.empty()) return false;
  size_t digits = 0;
  while (digits < bytes.size() && digits <= kMaxCountDigits && IsDigit(bytes[digits])) ++digits;
  if (digits == 0 || digits > kMaxCountDigits || bytes[0] == '0') return NextEnded(bytes, sink);
  // A number that may be a count: what follows decides.
  if (digits == bytes.size()) return false;
  if (bytes[digits] != ' ') return NextEnded(bytes, sink);
  if (!seen_counted_) {
    if (digits + 1 == bytes.size()) return false;
    if (bytes[digits + 1] != '<') return NextEnded(bytes, sink);
  }
  return NextCounted(bytes, digits, sink);
}

bool Framer::NextCounted(std::string_view& bytes, size_t digits, const Sink& sink) {
  size_t count = 0;
  for (size_t i = 0; i < digits; ++i) count = count * 10 + static_cast<size_t>(bytes[i] - '0');
  const std::string_view body = bytes.substr(digits + 1);
  const size_t kept = std::min(count, kMaxLineBytes);
  if (body.size() < kept) return false;
  seen_counted_ = true;
  counted_ = true;
  Emit(body.substr(0, kept), kept < count, sink);
  bytes = body.substr(kept);
  skip_bytes_ = count - kept;
  return true;
}

bool Framer::NextEnded(std::string_view& bytes, const Sink& sink) {
  counted_ = false;
  // One byte more than the longest line, for a CR before the LF.
  const std::string_view longest = bytes.substr(0, kMaxLineBytes + 2);
  size_t end = longest.find('\n');
  const bool has_priority = HasPriority(bytes);
  if (has_priority) end = std::min(end, longest.substr(0, end).find('\0'));
  if (end != bytes.npos) {
    const std::string_view line = WithoutLineEnd(bytes.substr(0, end));
    Emit(line.substr(0, kMaxLineBytes), line.size() > kMaxLineBytes, sink);
    bytes.remove_prefix(end + 1);
    return true;
  }
  if (bytes.size() < kMaxLineBytes + 2) return false;
  Emit(bytes.substr(0, kMaxLineBytes), true, sink);
  bytes.remove_prefix(kMaxLineBytes);
  skip_to_end_ = true;
  skip_to_nul_ = has_priority;
  return true;
}

}  // namespace yagura::ingestion
