#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "services/store/http_server.h"

namespace yagura::storeserver {

inline constexpr size_t kMaxHead = 2 << 20;  // request line and headers: parameters travel there
inline constexpr size_t kMaxParameters = 4096;

// What a client sends on one connection, request after request.
class HttpConnection {
 public:
  explicit HttpConnection(int fd) : fd_(fd) {}

  // Null where the client closed the connection between requests. INVALID_ARGUMENT where it sent
  // something else than HTTP. The request must be gone before the next call.
  absl::StatusOr<std::unique_ptr<HttpRequest>> ReadRequest();
  std::unique_ptr<HttpResponder> Responder();

  // The last request has been read to its end and answered, and another may follow.
  bool reusable() const { return body_done_ && answered_ && keep_alive_; }

 private:
  class Request;
  class Answer;

  // At least one more byte into the buffer; false at the end of the stream or on an error.
  bool Fill();
  absl::StatusOr<std::string_view> ReadLine();
  absl::StatusOr<std::string_view> ReadBodyPiece();
  absl::Status BeginChunk();
  bool WriteAll(std::string_view bytes) const;

  const int fd_;
  std::string buffer_;
  size_t position_ = 0;  // what of the buffer has been used
  bool chunked_ = false;
  size_t left_ = 0;  // of the body, or of the present chunk
  bool first_chunk_ = true;
  bool body_done_ = true;
  bool answered_ = true;
  bool keep_alive_ = true;
};

// "a=1&b=%20" decoded; nothing where it is malformed or has too many.
absl::StatusOr<std::vector<std::pair<std::string, std::string>>> ParseQuery(std::string_view text);

}  // namespace yagura::storeserver
