// Any bytes as the requests of one connection: each is read and answered, or refused.
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>

#include "services/store/http_connection.h"

namespace {

constexpr size_t kMaxBody = 4096;

void Serve(int fd) {
  yagura::storeserver::HttpConnection connection(fd);
  do {
    const auto request = connection.ReadRequest();
    if (!request.ok() || *request == nullptr) return;
    if ((*request)->parameters.size() > yagura::storeserver::kMaxParameters) std::abort();
    const auto body = (*request)->ReadWholeBody(kMaxBody);
    if (body.ok() && body->size() > kMaxBody) std::abort();
    connection.Responder()->Send(200, {}, "");
  } while (connection.reusable());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 16384) return 0;  // what a socket takes without a reader
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0) std::abort();
  if (size > 0 && write(fds[1], data, size) != static_cast<ssize_t>(size)) std::abort();
  shutdown(fds[1], SHUT_WR);
  Serve(fds[0]);
  close(fds[0]);
  close(fds[1]);
  return 0;
}
