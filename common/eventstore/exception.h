#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace yagura::eventstore {

// The status for an exception of the store: `code` as in X-ClickHouse-Exception-Code, `text` as in
// the body ("Code: 60. DB::Exception: Unknown table ..."), of which the start is kept.
absl::Status FromException(int code, std::string_view text);

// What an error says of the server that gave it, to whom other servers might answer otherwise.
enum class Blame {
  kQuery,     // none of them would
  kServer,    // others may do better, and it is to be left alone for a while
  kSomebody,  // others may do better
};
Blame BlameOf(const absl::Status& status);

// Whether nothing of the request was done: it may be repeated, whatever it is.
bool WasRefused(const absl::Status& status);

// The number in "Code: 60. DB::Exception"; 0 where the text has none.
int ExceptionCode(std::string_view text);

// Finds the exception that a server appends to a result which it had begun to send:
//   CR LF __exception__ CR LF tag CR LF text LF size SP tag CR LF __exception__ CR LF
// The tag comes in the header X-ClickHouse-Exception-Tag, so that a row cannot imitate it. Feed the
// body in pieces: what surely belongs to the result comes out.
class ExceptionFinder {
 public:
  explicit ExceptionFinder(std::string_view tag);

  // Appends to `result` what of the body so far belongs to the result.
  void Feed(std::string_view bytes, std::string* result);
  // After the last piece: what was held back belongs to the result too.
  void Finish(std::string* result);

  bool found() const { return found_; }
  // The exception's text; meaningful after the end of the body.
  std::string text() const;

 private:
  std::string marker_;
  std::string held_;  // a possible beginning of the marker; after it was found, the exception
  bool found_ = false;
};

// What a server appends; the other half of ExceptionFinder.
std::string FramedException(std::string_view tag, std::string_view text);

}  // namespace yagura::eventstore
