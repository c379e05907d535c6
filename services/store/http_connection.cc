#include "services/store/http_connection.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <optional>
#include <utility>

#include "fmt/format.h"

#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::storeserver {
namespace {

constexpr size_t kReadSize = 256 << 10;
constexpr size_t kMaxLine = kMaxHead;

Status Malformed(std::string_view what) {
  return absl::InvalidArgumentError(fmt::format("malformed request: {}", what));
}

Status Gone() { return absl::UnavailableError("the client went away"); }

std::string_view StatusText(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 413:
      return "Payload Too Large";
    case 503:
      return "Service Unavailable";
    default:
      return "Internal Server Error";
  }
}

std::string Head(int status, const HttpResponder::Headers& headers) {
  std::string head = fmt::format("HTTP/1.1 {} {}\r\n", status, StatusText(status));
  for (const auto& [name, value] : headers) head += fmt::format("{}: {}\r\n", name, value);
  return head;
}

std::optional<std::string> PercentDecode(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+') {
      out += ' ';
    } else if (text[i] == '%') {
      const auto byte = i + 2 < text.size() ? HexDecode(text.substr(i + 1, 2)) : std::nullopt;
      if (!byte || byte->size() != 1) return std::nullopt;
      out += *byte;
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

}  // namespace

StatusOr<std::vector<std::pair<std::string, std::string>>> ParseQuery(std::string_view text) {
  std::vector<std::pair<std::string, std::string>> parameters;
  if (text.empty()) return parameters;
  for (std::string_view part : Split(text, '&')) {
    if (part.empty()) continue;
    const size_t equals = part.find('=');
    auto name = PercentDecode(part.substr(0, equals));
    auto value = equals == std::string_view::npos ? std::optional<std::string>("")
                                                  : PercentDecode(part.substr(equals + 1));
    if (!name || !value) return Malformed("percent encoding");
    if (parameters.size() == kMaxParameters) return Malformed("too many parameters");
    parameters.emplace_back(*std::move(name), *std::move(value));
  }
  return parameters;
}

class HttpConnection::Request final : public HttpRequest {
 public:
  explicit Request(HttpConnection* connection) : connection_(connection) {}
  StatusOr<std::string_view> ReadBody() override { return connection_->ReadBodyPiece(); }

 private:
  HttpConnection* connection_;
};

class HttpConnection::Answer final : public HttpResponder {
 public:
  explicit Answer(HttpConnection* connection) : connection_(connection) {}

  void Send(int status, const Headers& headers, std::string_view body) override {
    std::string text = Head(status, headers);
    text += fmt::format("Content-Length: {}\r\n\r\n", body.size());
    text += body;
    connection_->answered_ = connection_->WriteAll(text);
  }

  bool Begin(int status, const Headers& headers) override {
    return connection_->WriteAll(Head(status, headers) + "Transfer-Encoding: chunked\r\n\r\n");
  }

  bool Write(std::string_view piece) override {
    if (piece.empty()) return true;
    return connection_->WriteAll(fmt::format("{:x}\r\n", piece.size())) &&
           connection_->WriteAll(piece) && connection_->WriteAll("\r\n");
  }

  void End() override { connection_->answered_ = connection_->WriteAll("0\r\n\r\n"); }

 private:
  HttpConnection* connection_;
};

bool HttpConnection::Fill() {
  if (position_ == buffer_.size()) {
    buffer_.clear();
    position_ = 0;
  }
  const size_t old = buffer_.size();
  buffer_.resize(old + kReadSize);
  ssize_t got = 0;
  do {
    got = recv(fd_, buffer_.data() + old, kReadSize, 0);
  } while (got < 0 && errno == EINTR);
  buffer_.resize(old + static_cast<size_t>(std::max<ssize_t>(got, 0)));
  return got > 0;
}

bool HttpConnection::WriteAll(std::string_view bytes) const {
  while (!bytes.empty()) {
    const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

// The view is good until the next read.
StatusOr<std::string_view> HttpConnection::ReadLine() {
  size_t searched = position_;
  for (;;) {
    const size_t end = buffer_.find('\n', searched);
    if (end != std::string::npos) {
      std::string_view line(buffer_.data() + position_, end - position_);
      position_ = end + 1;
      if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
      return line;
    }
    const size_t waiting = buffer_.size() - position_;
    if (waiting > kMaxLine) return Malformed("a line is too long");
    if (!Fill()) return Gone();
    searched = position_ + waiting;
  }
}

StatusOr<std::unique_ptr<HttpRequest>> HttpConnection::ReadRequest() {
  if (position_ == buffer_.size() && !Fill()) return std::unique_ptr<HttpRequest>();
  auto request = std::make_unique<Request>(this);
  {
    YAGURA_ASSIGN_OR_RETURN(const std::string_view line, ReadLine());
    const auto parts = Split(line, ' ');
    if (parts.size() != 3 || !parts[2].starts_with("HTTP/1.")) return Malformed("request line");
    request->method = parts[0];
    const size_t mark = parts[1].find('?');
    auto path = PercentDecode(parts[1].substr(0, mark));
    if (!path) return Malformed("path");
    request->path = *std::move(path);
    if (mark != std::string_view::npos) {
      YAGURA_ASSIGN_OR_RETURN(request->parameters, ParseQuery(parts[1].substr(mark + 1)));
    }
    keep_alive_ = parts[2] == "HTTP/1.1";
  }
  size_t head = 0;
  for (;;) {
    YAGURA_ASSIGN_OR_RETURN(const std::string_view line, ReadLine());
    if (line.empty()) break;
    head += line.size();
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos || head > kMaxHead) return Malformed("headers");
    request->headers[ToLower(line.substr(0, colon))] = Trim(line.substr(colon + 1));
  }
  if (EqualsIgnoreCase(request->headers["connection"], "close")) keep_alive_ = false;
  chunked_ = EqualsIgnoreCase(request->headers["transfer-encoding"], "chunked");
  first_chunk_ = true;
  left_ = 0;
  if (const auto length = request->headers.find("content-length");
      length != request->headers.end() && !chunked_) {
    const auto size = ParseNumber<size_t>(length->second);
    if (!size) return Malformed("Content-Length");
    left_ = *size;
  }
  body_done_ = !chunked_ && left_ == 0;
  answered_ = false;
  return request;
}

std::unique_ptr<HttpResponder> HttpConnection::Responder() {
  return std::make_unique<Answer>(this);
}

// Reads the size line of the next chunk; after the last one, the trailer too.
Status HttpConnection::BeginChunk() {
  if (!first_chunk_) {
    YAGURA_ASSIGN_OR_RETURN(const std::string_view end, ReadLine());
    if (!end.empty()) return Malformed("end of a chunk");
  }
  first_chunk_ = false;
  YAGURA_ASSIGN_OR_RETURN(std::string_view line, ReadLine());
  line = Trim(line.substr(0, line.find(';')));
  size_t size = 0;
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), size, 16);
  if (error != std::errc{} || end != line.data() + line.size()) return Malformed("chunk size");
  left_ = size;
  if (size > 0) return absl::OkStatus();
  for (;;) {
    YAGURA_ASSIGN_OR_RETURN(const std::string_view trailer, ReadLine());
    if (trailer.empty()) break;
  }
  body_done_ = true;
  return absl::OkStatus();
}

StatusOr<std::string_view> HttpConnection::ReadBodyPiece() {
  if (body_done_) return std::string_view();
  if (chunked_ && left_ == 0) {
    YAGURA_RETURN_IF_ERROR(BeginChunk());
    if (body_done_) return std::string_view();
  }
  if (position_ == buffer_.size() && !Fill()) return Gone();
  const size_t size = std::min(left_, buffer_.size() - position_);
  const std::string_view piece(buffer_.data() + position_, size);
  position_ += size;
  left_ -= size;
  if (!chunked_ && left_ == 0) body_done_ = true;
  return piece;
}

StatusOr<std::string> HttpRequest::ReadWholeBody(size_t limit) {
  std::string body;
  for (;;) {
    YAGURA_ASSIGN_OR_RETURN(const std::string_view piece, ReadBody());
    if (piece.empty()) return body;
    if (body.size() + piece.size() > limit) {
      return absl::ResourceExhaustedError("the body is too long");
    }
    body += piece;
  }
}

}  // namespace yagura::storeserver
