#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace yagura::ingestion {

// The longest line that is kept whole; of a longer one, so many bytes are kept.
inline constexpr size_t kMaxLineBytes = 64 * 1024;

// Cuts the bytes of one TCP connection into lines (RFC 6587): ended by LF, or counted in octets
// ("83 <134>1 ..."), told apart line by line, since some senders mix them. NUL ends a line, too,
// where that begins with a priority: text of 16 bits is full of them. Line ends (LF, CR LF, NUL)
// are not part of a line; empty lines are skipped. Memory is bounded by kMaxLineBytes. Not
// thread-safe.
class Framer {
 public:
  // The line is valid during the call only. `truncated`: it was longer than kMaxLineBytes, or the
  // connection ended before its stated length.
  using Sink = std::function<void(std::string_view line, bool truncated)>;

  void Feed(std::string_view bytes, const Sink& sink);
  // The connection has ended: what is left is a line.
  void Finish(const Sink& sink);
  // Of the line that the sink is given: its length was stated, so that it is whole whatever it
  // holds.
  bool counted() const { return counted_; }
  // Bytes held until their line is complete.
  size_t pending_bytes() const { return pending_.size(); }
  // Memory that they take: at most about twice the longest line, nothing while no line has begun.
  size_t held_bytes() const { return pending_.capacity() > kInPlace ? pending_.capacity() : 0; }

 private:
  static constexpr size_t kInPlace = 15;  // what a std::string holds without asking for memory
  // Consumes at least one byte of `bytes` at a line's start and returns true, or returns false
  // where more are needed.
  bool Next(std::string_view& bytes, const Sink& sink);
  bool NextCounted(std::string_view& bytes, size_t digits, const Sink& sink);
  bool NextEnded(std::string_view& bytes, const Sink& sink);
  bool Skip(std::string_view& bytes);

  std::string pending_;
  size_t skip_bytes_ = 0;     // rest of an oversized counted line
  bool skip_to_end_ = false;  // rest of an oversized line that LF ends
  bool skip_to_nul_ = false;  // or NUL
  bool counted_ = false;
  bool seen_counted_ = false;  // then a count needs no "<" after it
};

}  // namespace yagura::ingestion
