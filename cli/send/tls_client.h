#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace yagura::cli {

// What a sender trusts and shows over TLS; files are PEM.
struct TlsClientOptions {
  std::string ca;           // empty: what the system trusts
  std::string certificate;  // empty: none is shown
  std::string key;
};

// The client's end of TLS over a blocking socket that it does not own. The server must prove to be
// `host` (a name or an address).
class TlsClient {
 public:
  static absl::StatusOr<std::unique_ptr<TlsClient>> Connect(int socket, const std::string& host,
                                                            const TlsClientOptions& options);
  virtual ~TlsClient() = default;
  // Waits until all is sent.
  virtual absl::Status Write(std::string_view bytes) = 0;
  // Says that nothing more comes.
  virtual absl::Status EndWriting() = 0;
  // Waits until the server says the same; an error where it broke off instead.
  virtual absl::Status AwaitEnd() = 0;
};

}  // namespace yagura::cli
