#include "common/redis/rdb_dump.h"

#include <hiredis/hiredis.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "fmt/format.h"

#include "common/redis/connection.h"
#include "common/redis/sentinel.h"
#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::redis {
namespace {

using std::chrono::milliseconds;
using SteadyTime = std::chrono::steady_clock::time_point;

constexpr size_t kChunk = 1 << 20;
constexpr size_t kMostLine = 4096;
constexpr size_t kMarkBytes = 40;  // what ends a dump whose length the server did not know
constexpr milliseconds kLook{200};
constexpr std::chrono::seconds kSilence{60};  // as long as Redis itself waits
constexpr size_t kMostErrorText = 200;

timeval ToTimeval(milliseconds duration) {
  const auto count = std::max<int64_t>(duration.count(), 1);
  return {.tv_sec = count / 1000, .tv_usec = (count % 1000) * 1000};
}

redisContext* Open(const std::string& target, const timeval& timeout) {
  if (target.starts_with("unix:")) {
    return redisConnectUnixWithTimeout(target.c_str() + 5, timeout);
  }
  std::string host = target.substr(target.starts_with("tcp:") ? 4 : 0);
  const size_t colon = host.rfind(':');
  const auto port = colon == std::string::npos
                        ? std::nullopt
                        : ParseNumber<int>(std::string_view(host).substr(colon + 1));
  if (!port) return nullptr;
  host.resize(colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  return redisConnectWithTimeout(host.c_str(), *port, timeout);
}

std::string Command(std::initializer_list<std::string_view> words) {
  std::string bytes = fmt::format("*{}\r\n", words.size());
  for (const std::string_view word : words)
    bytes += fmt::format("${}\r\n{}\r\n", word.size(), word);
  return bytes;
}

Status Refused(std::string_view answer) {
  return MakeError(absl::StatusCode::kFailedPrecondition, "REDIS_NO_DUMP",
                   fmt::format("redis gives no dump of its data: {}",
                               ToValidUtf8(answer.substr(0, kMostErrorText))));
}

}  // namespace

void RdbDump::FreeContext::operator()(redisContext* context) const { redisFree(context); }

RdbDump::RdbDump(std::unique_ptr<redisContext, FreeContext> context)
    : context_(std::move(context)) {}
RdbDump::RdbDump(RdbDump&&) noexcept = default;
RdbDump& RdbDump::operator=(RdbDump&&) noexcept = default;
RdbDump::~RdbDump() = default;

StatusOr<RdbDump> RdbDump::Begin(const Endpoint& endpoint, milliseconds patience,
                                 const std::stop_token& stop) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  std::string target = endpoint.address;
  if (target.starts_with("sentinel:")) {
    YAGURA_ASSIGN_OR_RETURN(target, FindMaster(endpoint));
  }
  std::unique_ptr<redisContext, FreeContext> context(
      Open(target, ToTimeval(endpoint.connect_timeout)));
  if (context == nullptr) {
    return InvalidField("redis.address", "wants unix:/path, tcp:host:port or sentinel:name@...");
  }
  if (context->err != 0) {
    return Unavailable("REDIS_UNREACHABLE", fmt::format("redis {}: {}", target, context->errstr));
  }
  RdbDump dump(std::move(context));
  if (!endpoint.password.empty()) {
    YAGURA_RETURN_IF_ERROR(dump.Ask(endpoint.username.empty()
                                        ? Command({"AUTH", endpoint.password})
                                        : Command({"AUTH", endpoint.username, endpoint.password}),
                                    deadline, stop));
  }
  // The data alone, and no writes that follow: the server keeps none of these for us meanwhile.
  YAGURA_RETURN_IF_ERROR(dump.Ask(Command({"REPLCONF", "rdb-only", "1"}), deadline, stop));
  YAGURA_RETURN_IF_ERROR(dump.Ask(Command({"REPLCONF", "capa", "eof"}), deadline, stop));
  YAGURA_RETURN_IF_ERROR(dump.Send(Command({"PSYNC", "?", "-1"})));
  YAGURA_ASSIGN_OR_RETURN(const std::string answer, dump.Line(deadline, stop));
  const auto words = Split(answer, ' ');
  if (words.size() != 3 || words[0] != "+FULLRESYNC") return Refused(answer);
  dump.position_ = fmt::format("{}:{}", words[1], words[2]);
  return dump;
}

Status RdbDump::Send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = send(context_->fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n > 0) {
      bytes.remove_prefix(static_cast<size_t>(n));
    } else if (errno != EINTR && errno != EAGAIN) {
      return Unavailable("REDIS_UNREACHABLE", fmt::format("redis: {}", std::strerror(errno)));
    }
  }
  return absl::OkStatus();
}

Status RdbDump::Fill(SteadyTime deadline, const std::stop_token& stop) {
  const size_t had = buffer_.size();
  for (;;) {
    if (stop.stop_requested()) return absl::CancelledError("stopped");
    if (std::chrono::steady_clock::now() >= deadline) {
      return MakeError(absl::StatusCode::kDeadlineExceeded, "REDIS_TIMEOUT",
                       "redis: nothing came in time");
    }
    pollfd wait{.fd = context_->fd, .events = POLLIN, .revents = 0};
    if (poll(&wait, 1, static_cast<int>(kLook.count())) <= 0) continue;
    buffer_.resize(had + kChunk);
    const ssize_t n = recv(context_->fd, buffer_.data() + had, kChunk, MSG_DONTWAIT);
    const int error = errno;
    buffer_.resize(had + static_cast<size_t>(std::max<ssize_t>(n, 0)));
    if (n > 0) return absl::OkStatus();
    if (n < 0 && (error == EINTR || error == EAGAIN)) continue;
    return Unavailable("REDIS_UNREACHABLE",
                       n == 0 ? std::string("redis: ended the dump before it was whole")
                              : fmt::format("redis: {}", std::strerror(error)));
  }
}

StatusOr<std::string> RdbDump::Line(SteadyTime deadline, const std::stop_token& stop) {
  for (;;) {
    const size_t end = buffer_.find('\n');
    if (end == std::string::npos) {
      if (buffer_.size() > kMostLine) return Refused("an answer without an end");
      YAGURA_RETURN_IF_ERROR(Fill(deadline, stop));
      continue;
    }
    std::string line(Trim(std::string_view(buffer_).substr(0, end)));
    buffer_.erase(0, end + 1);
    if (!line.empty()) return line;
  }
}

Status RdbDump::Ask(std::string_view command, SteadyTime deadline, const std::stop_token& stop) {
  YAGURA_RETURN_IF_ERROR(Send(command));
  YAGURA_ASSIGN_OR_RETURN(const std::string answer, Line(deadline, stop));
  return answer == "+OK" ? absl::OkStatus() : Refused(answer);
}

Status RdbDump::Read(const Sink& sink, const std::stop_token& stop) {
  YAGURA_ASSIGN_OR_RETURN(const std::string head,
                          Line(std::chrono::steady_clock::now() + kSilence, stop));
  constexpr std::string_view kEof = "$EOF:";
  if (head.starts_with(kEof) && head.size() == kEof.size() + kMarkBytes) {
    return ReadToMark(std::string_view(head).substr(kEof.size()), sink, stop);
  }
  const auto length = head.starts_with('$')
                          ? ParseNumber<uint64_t>(std::string_view(head).substr(1))
                          : std::nullopt;
  if (!length) return Refused(head);
  return ReadLength(*length, sink, stop);
}

Status RdbDump::ReadLength(uint64_t length, const Sink& sink, const std::stop_token& stop) {
  while (length > 0) {
    if (buffer_.empty()) {
      YAGURA_RETURN_IF_ERROR(Fill(std::chrono::steady_clock::now() + kSilence, stop));
    }
    const size_t piece = static_cast<size_t>(std::min<uint64_t>(length, buffer_.size()));
    YAGURA_RETURN_IF_ERROR(sink(std::string_view(buffer_).substr(0, piece)));
    buffer_.erase(0, piece);
    length -= piece;
  }
  return absl::OkStatus();
}

Status RdbDump::ReadToMark(std::string_view mark, const Sink& sink, const std::stop_token& stop) {
  for (;;) {
    // Nothing follows the mark, as nothing but the data was asked for.
    if (buffer_.ends_with(mark)) {
      return sink(std::string_view(buffer_).substr(0, buffer_.size() - kMarkBytes));
    }
    if (buffer_.size() > kMarkBytes) {
      const size_t piece = buffer_.size() - kMarkBytes;
      YAGURA_RETURN_IF_ERROR(sink(std::string_view(buffer_).substr(0, piece)));
      buffer_.erase(0, piece);
    }
    YAGURA_RETURN_IF_ERROR(Fill(std::chrono::steady_clock::now() + kSilence, stop));
  }
}

}  // namespace yagura::redis
