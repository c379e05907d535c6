#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace yagura::ingestion {

// How the bytes of one connection are got out of its socket: as they are, or decrypted. The socket
// is not blocking and not owned. Not thread-safe.
class Channel {
 public:
  enum class State {
    kReady,         // opened; or the buffer is full
    kWaitsToRead,   // nothing more now: go on when the socket can be read
    kWaitsToWrite,  // go on when the socket can be written
    kEnded,         // the peer has ended, or failure() says why it cannot go on
  };
  virtual ~Channel() = default;
  // What comes before the first byte, until it is kReady. kEnded: it never will be.
  virtual State Open() { return State::kReady; }
  // Puts what there is into the buffer, of kLeastBuffer bytes at least; `got` bytes are there in
  // every state.
  virtual State Receive(char* buffer, size_t size, size_t* got) = 0;
  // What the peer has proved to be, as Source.match.certificate names it; empty: nothing.
  virtual std::vector<std::string> Certificates() const { return {}; }
  virtual std::string failure() const { return {}; }

  static constexpr size_t kLeastBuffer = 64 * 1024;
};

// Reads the socket as it is.
class PlainChannel final : public Channel {
 public:
  explicit PlainChannel(int fd) : fd_(fd) {}
  State Receive(char* buffer, size_t size, size_t* got) override;

 private:
  const int fd_;
};

}  // namespace yagura::ingestion
