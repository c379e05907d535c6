#include "common/redis/connection.h"

#include <hiredis/hiredis.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "fmt/format.h"

#include "common/redis/sentinel.h"
#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::redis {
namespace {

using std::chrono::milliseconds;
using SteadyTime = std::chrono::steady_clock::time_point;

constexpr size_t kReadChunk = 64 << 10;
constexpr size_t kMaxErrorText = 200;

struct FreeReply {
  void operator()(redisReply* reply) const { freeReplyObject(reply); }
};

timeval ToTimeval(milliseconds duration) {
  const auto count = std::max<int64_t>(duration.count(), 1);
  return {.tv_sec = count / 1000, .tv_usec = (count % 1000) * 1000};
}

// "host:port" or "[v6]:port".
std::optional<std::pair<std::string, int>> ParseHostPort(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return std::nullopt;
  const auto port = ParseNumber<int>(text.substr(colon + 1));
  if (!port || *port < 1 || *port > 65535) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  return std::pair(std::string(host), *port);
}

void AppendLength(std::string& out, char kind, size_t length) {
  out += kind;
  out += fmt::format_int(length).str();
  out += "\r\n";
}

void AppendCommand(std::string& out, const Args& args) {
  AppendLength(out, '*', args.size());
  for (const std::string_view arg : args) {
    AppendLength(out, '$', arg.size());
    out += arg;
    out += "\r\n";
  }
}

size_t EncodedSize(const Args& args) {
  size_t size = 32;
  for (const std::string_view arg : args) size += arg.size() + 32;
  return size;
}

Status FromErrorReply(std::string_view text) {
  const std::string_view code = text.substr(0, text.find(' '));
  const std::string message = "redis: " + ToValidUtf8(text.substr(0, kMaxErrorText));
  if (code.starts_with("YAGURA_")) {
    return MakeError(absl::StatusCode::kAborted, code, message);
  }
  if (code == "OOM") {
    return MakeError(absl::StatusCode::kResourceExhausted, "REDIS_OUT_OF_MEMORY", message);
  }
  static constexpr std::array kPassing = {
      std::string_view("LOADING"),  std::string_view("READONLY"),   std::string_view("BUSY"),
      std::string_view("MISCONF"),  std::string_view("MASTERDOWN"), std::string_view("NOREPLICAS"),
      std::string_view("TRYAGAIN"), std::string_view("CLUSTERDOWN")};
  const bool passing = std::find(kPassing.begin(), kPassing.end(), code) != kPassing.end();
  return MakeError(passing ? absl::StatusCode::kUnavailable : absl::StatusCode::kInternal,
                   fmt::format("REDIS_{}", code.substr(0, 40)), message);
}

StatusOr<Reply> ToReply(const redisReply& from) {
  Reply reply;
  switch (from.type) {
    case REDIS_REPLY_ERROR:
      return FromErrorReply({from.str, from.len});
    case REDIS_REPLY_INTEGER:
      reply.type = Reply::Type::kInteger;
      reply.integer = from.integer;
      break;
    case REDIS_REPLY_STRING:
      reply.type = Reply::Type::kString;
      reply.text.assign(from.str, from.len);
      break;
    case REDIS_REPLY_STATUS:
      reply.type = Reply::Type::kStatus;
      reply.text.assign(from.str, from.len);
      break;
    case REDIS_REPLY_ARRAY:
      reply.type = Reply::Type::kArray;
      reply.items.reserve(from.elements);
      for (size_t i = 0; i < from.elements; ++i) {
        YAGURA_ASSIGN_OR_RETURN(Reply item, ToReply(*from.element[i]));
        reply.items.push_back(std::move(item));
      }
      break;
    default:
      break;
  }
  return reply;
}

// CLIENT SETNAME takes printable characters without spaces.
std::string CleanClientName(std::string_view name) {
  std::string clean(name);
  std::replace_if(
      clean.begin(), clean.end(), [](char c) { return c <= ' ' || c > '~'; }, '-');
  return clean;
}

// Waits until the socket is ready; false at the deadline.
bool WaitFor(int fd, short events, SteadyTime deadline) {
  while (true) {
    const auto left = std::chrono::ceil<milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd wait{.fd = fd, .events = events, .revents = 0};
    const int ready = poll(&wait, 1, static_cast<int>(std::max<int64_t>(left.count(), 0)));
    if (ready > 0) return true;
    if (ready == 0) return false;
    if (errno != EINTR) return true;  // the read or write that follows tells what is wrong
  }
}

}  // namespace

void Connection::FreeContext::operator()(redisContext* context) const { redisFree(context); }

Connection::Connection(Context context, Endpoint endpoint)
    : context_(std::move(context)), endpoint_(std::move(endpoint)) {}
Connection::Connection(Connection&&) noexcept = default;
Connection& Connection::operator=(Connection&&) noexcept = default;
Connection::~Connection() = default;

StatusOr<Connection> Connection::Connect(const Endpoint& endpoint) {
  std::string target = endpoint.address;
  if (endpoint.address.starts_with("sentinel:")) {
    YAGURA_ASSIGN_OR_RETURN(target, FindMaster(endpoint));
  }
  YAGURA_ASSIGN_OR_RETURN(Connection connection, Open(endpoint, target));
  YAGURA_RETURN_IF_ERROR(connection.Introduce());
  return connection;
}

StatusOr<Connection> Connection::ConnectToSentinel(const Endpoint& endpoint,
                                                   std::string_view host_port) {
  Endpoint sentinel = endpoint;
  sentinel.address = fmt::format("tcp:{}", host_port);
  sentinel.username.clear();
  sentinel.password = endpoint.sentinel_password;
  sentinel.command_timeout = endpoint.connect_timeout;
  YAGURA_ASSIGN_OR_RETURN(Connection connection, Open(sentinel, sentinel.address));
  YAGURA_RETURN_IF_ERROR(connection.Authenticate());
  return connection;
}

StatusOr<Connection> Connection::Open(const Endpoint& endpoint, const std::string& target) {
  const timeval timeout = ToTimeval(endpoint.connect_timeout);
  Context context;
  if (target.starts_with("unix:")) {
    context.reset(redisConnectUnixWithTimeout(target.c_str() + 5, timeout));
  } else if (target.starts_with("tcp:")) {
    const auto host_port = ParseHostPort(std::string_view(target).substr(4));
    if (!host_port) return InvalidField("redis.address", "wants tcp:host:port");
    context.reset(redisConnectWithTimeout(host_port->first.c_str(), host_port->second, timeout));
    if (context != nullptr && context->err == 0) redisEnableKeepAlive(context.get());
  } else {
    return InvalidField("redis.address",
                        "wants unix:/path, tcp:host:port or sentinel:name@host:port,...");
  }
  if (context == nullptr) return Unavailable("REDIS_UNREACHABLE", "redis: out of memory");
  if (context->err != 0) {
    return Unavailable("REDIS_UNREACHABLE", fmt::format("redis {}: {}", target, context->errstr));
  }
  return Connection(std::move(context), endpoint);
}

Status Connection::Authenticate() {
  if (endpoint_.password.empty()) return absl::OkStatus();
  Args auth = {"AUTH"};
  if (!endpoint_.username.empty()) auth.push_back(endpoint_.username);
  auth.push_back(endpoint_.password);
  return Annotate(Command(auth).status(), "AUTH");
}

Status Connection::Introduce() {
  YAGURA_RETURN_IF_ERROR(Authenticate());
  const std::string name = CleanClientName(endpoint_.client_name);
  YAGURA_RETURN_IF_ERROR(Command({"CLIENT", "SETNAME", name}).status());
  YAGURA_ASSIGN_OR_RETURN(const Reply role, Command({"ROLE"}));
  if (role.items.empty() || role.items[0].text != "master") {
    return Unavailable("REDIS_READONLY",
                       fmt::format("redis {}: is a {}, not the master", endpoint_.address,
                                   role.items.empty() ? "?" : role.items[0].text));
  }
  return absl::OkStatus();
}

StatusOr<Reply> Connection::Command(const Args& args) {
  return BlockingCommand(args, milliseconds(0));
}

StatusOr<Reply> Connection::BlockingCommand(const Args& args, milliseconds block) {
  const auto deadline = std::chrono::steady_clock::now() + endpoint_.command_timeout + block;
  std::string bytes;
  bytes.reserve(EncodedSize(args));
  AppendCommand(bytes, args);
  YAGURA_RETURN_IF_ERROR(Send(bytes, deadline));
  return Receive(deadline);
}

std::vector<StatusOr<Reply>> Connection::Pipeline(std::span<const Args> commands) {
  const auto deadline = std::chrono::steady_clock::now() + endpoint_.command_timeout;
  std::string bytes;
  size_t size = 0;
  for (const Args& args : commands) size += EncodedSize(args);
  bytes.reserve(size);
  for (const Args& args : commands) AppendCommand(bytes, args);
  const Status sent = Send(bytes, deadline);
  std::vector<StatusOr<Reply>> replies;
  replies.reserve(commands.size());
  for (size_t i = 0; i < commands.size(); ++i) {
    replies.push_back(sent.ok() ? Receive(deadline) : sent);
  }
  return replies;
}

bool Connection::StillOpen() const {
  if (context_ == nullptr) return false;
  pollfd now{.fd = context_->fd, .events = POLLIN, .revents = 0};
  // Nobody asked anything: whatever there is to read is the end of the connection.
  return poll(&now, 1, 0) == 0;
}

// Our own send and receive loops rather than hiredis's: they keep the deadline of the whole command
// and cannot raise SIGPIPE.
Status Connection::Send(std::string_view bytes, SteadyTime deadline) {
  if (context_ == nullptr) return Broken("REDIS_UNREACHABLE", "connection is broken");
  while (!bytes.empty()) {
    const ssize_t n = send(context_->fd, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0) {
      bytes.remove_prefix(static_cast<size_t>(n));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      if (!WaitFor(context_->fd, POLLOUT, deadline))
        return Broken("REDIS_TIMEOUT", "send timed out");
    } else if (errno != EINTR) {
      return Broken("REDIS_UNREACHABLE", std::strerror(errno));
    }
  }
  return absl::OkStatus();
}

StatusOr<Reply> Connection::Receive(SteadyTime deadline) {
  if (context_ == nullptr) return Broken("REDIS_UNREACHABLE", "connection is broken");
  redisReader* reader = context_->reader;
  std::array<char, kReadChunk> chunk;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  while (true) {
    void* parsed = nullptr;
    if (redisReaderGetReply(reader, &parsed) != REDIS_OK) {
      return Broken("REDIS_UNREACHABLE", reader->errstr);
    }
    if (parsed != nullptr) {
      const std::unique_ptr<redisReply, FreeReply> owner(static_cast<redisReply*>(parsed));
      StatusOr<Reply> reply = ToReply(*owner);
      if (!reply.ok() && ErrorReason(reply.status()) == "REDIS_READONLY") context_.reset();
      return reply;
    }
    const ssize_t n = recv(context_->fd, chunk.data(), chunk.size(), MSG_DONTWAIT);
    if (n > 0) {
      if (redisReaderFeed(reader, chunk.data(), static_cast<size_t>(n)) != REDIS_OK) {
        return Broken("REDIS_UNREACHABLE", reader->errstr);
      }
    } else if (n == 0) {
      return Broken("REDIS_UNREACHABLE", "server closed the connection");
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      if (!WaitFor(context_->fd, POLLIN, deadline))
        return Broken("REDIS_TIMEOUT", "no answer in time");
    } else if (errno != EINTR) {
      return Broken("REDIS_UNREACHABLE", std::strerror(errno));
    }
  }
}

Status Connection::Broken(std::string_view reason, std::string_view what) {
  Status status = Unavailable(reason, fmt::format("redis {}: {}", endpoint_.address, what));
  context_.reset();
  return status;
}

}  // namespace yagura::redis
