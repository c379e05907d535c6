#include "services/ingestion/workers/channel.h"

#include <sys/socket.h>

#include <cerrno>

namespace yagura::ingestion {

Channel::State PlainChannel::Receive(char* buffer, size_t size, size_t* got) {
  const ssize_t received = ::recv(fd_, buffer, size, 0);
  *got = received > 0 ? static_cast<size_t>(received) : 0;
  if (received > 0) return State::kReady;
  const bool later = errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
  return received < 0 && later ? State::kWaitsToRead : State::kEnded;
}

}  // namespace yagura::ingestion
