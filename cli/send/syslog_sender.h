#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace yagura::cli {

// Sends lines as a device would: over TCP with a line feed behind each, or one UDP datagram each.
class SyslogSender {
 public:
  // `address`: "127.0.0.1:5514", "[::1]:5514".
  static absl::StatusOr<SyslogSender> Connect(const std::string& address, bool tcp);
  SyslogSender(SyslogSender&& other) noexcept;
  SyslogSender& operator=(SyslogSender&&) = delete;
  ~SyslogSender();

  // TCP gathers 64 KiB and blocks while the receiver does not read. OUT_OF_RANGE (LINE_TOO_LONG)
  // for a line that no datagram holds; the next ones can be sent.
  absl::Status Send(std::string_view line);
  // Sends the rest and, over TCP, waits until the receiver has closed: it has then read everything.
  absl::Status Finish();

 private:
  SyslogSender(int socket, bool tcp) : socket_(socket), tcp_(tcp) {}
  absl::Status Flush();

  int socket_;
  bool tcp_;
  std::string buffer_;
};

}  // namespace yagura::cli
