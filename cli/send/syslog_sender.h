#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "cli/send/tls_client.h"

namespace yagura::cli {

// Sends lines as a device would: over TCP or TLS with a line feed behind each, or one UDP datagram
// each.
class SyslogSender {
 public:
  enum class Transport { kUdp, kTcp, kTls };
  // `address`: "127.0.0.1:5514", "[::1]:5514". The host must be one that the server's certificate
  // is for.
  static absl::StatusOr<SyslogSender> Connect(const std::string& address, Transport transport,
                                              const TlsClientOptions& tls = {});
  SyslogSender(SyslogSender&& other) noexcept;
  SyslogSender& operator=(SyslogSender&&) = delete;
  ~SyslogSender();

  // TCP and TLS gather 64 KiB and block while the receiver does not read. OUT_OF_RANGE
  // (LINE_TOO_LONG) for a line that no datagram holds; the next ones can be sent.
  absl::Status Send(std::string_view line);
  // Sends the rest and, over TCP or TLS, waits until the receiver has closed: it has then read
  // everything.
  absl::Status Finish();

 private:
  SyslogSender(int socket, Transport transport) : socket_(socket), transport_(transport) {}
  absl::Status Flush();

  int socket_;
  Transport transport_;
  std::unique_ptr<TlsClient> tls_;
  std::string buffer_;
};

}  // namespace yagura::cli
