#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"
#include "common/log/log.h"
#include "services/ingestion/workers/tls.h"

struct gnutls_session_int;  // GnuTLS's

namespace yagura::ingestion {

// TLS (1.2 and later, forward secrecy only) for libmicrohttpd, which speaks it with GnuTLS. Files
// that change are read again as by TlsServer, for connections that come then. Thread-safe.
class HttpTls {
 public:
  // INVALID_ARGUMENT naming the file and the reason.
  static absl::StatusOr<std::shared_ptr<HttpTls>> Make(const TlsOptions& options,
                                                       std::shared_ptr<const Clock> clock,
                                                       Logger logger);
  virtual ~HttpTls() = default;

  // One connection. Outlives GnuTLS's session.
  class Session {
   public:
    virtual ~Session() = default;
    // What the client's certificate is told by, as CertificateNames; empty where it showed none.
    // Once the handshake is over.
    virtual const std::shared_ptr<const std::vector<std::string>>& certificates() const = 0;
    // Why a client's certificate was refused; empty: it was not.
    virtual const std::string& refusal() const = 0;
  };
  // Readies a session before its handshake, at whose end `on_open` is called by the thread that
  // drives it.
  virtual std::unique_ptr<Session> NewSession(gnutls_session_int* session,
                                              std::function<void()> on_open) = 0;

  // What libmicrohttpd wants to have before the first connection: PEM, and what is spoken.
  virtual const std::string& certificate() const = 0;
  virtual const std::string& key() const = 0;
  virtual const char* priorities() const = 0;
};

}  // namespace yagura::ingestion
