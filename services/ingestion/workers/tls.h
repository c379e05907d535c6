#pragma once

#include <filesystem>
#include <memory>
#include <string_view>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"
#include "common/log/log.h"
#include "services/ingestion/workers/channel.h"

namespace yagura::ingestion {

struct TlsOptions {
  std::filesystem::path certificate;  // PEM: the server's own, then those that vouch for it
  std::filesystem::path key;          // PEM, without a passphrase
  // PEM: authorities, or single client certificates, that are trusted. Empty: clients are not asked
  // for a certificate.
  std::filesystem::path client_ca;
  bool require_client_certificate = false;
};

// The server's end of TLS (1.2 and later): makes a channel of each accepted socket. Files that
// change are read again, a minute later at most, for connections that come then; what cannot be
// read leaves the last ones in force. Thread-safe.
class TlsServer {
 public:
  // INVALID_ARGUMENT naming the file and the reason.
  static absl::StatusOr<std::shared_ptr<TlsServer>> Make(const TlsOptions& options,
                                                         std::shared_ptr<const Clock> clock,
                                                         Logger logger);
  virtual ~TlsServer() = default;
  // Null where there is no memory for it. A peer that has gone raises SIGPIPE: block or ignore it.
  virtual std::unique_ptr<Channel> NewChannel(int fd) = 0;
};

// Logs that an input's certificates were read again, or why they could not be.
void TellOfReload(const Logger& logger, std::string_view input, const absl::Status& status);

}  // namespace yagura::ingestion
