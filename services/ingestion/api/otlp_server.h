#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

#include "common/log/log.h"
#include "services/ingestion/api/api_keys.h"
#include "services/ingestion/workers/record_intake.h"

namespace yagura::ingestion {

struct OtlpServerOptions {
  std::string address;          // "127.0.0.1:4317"; port 0 takes a free one
  std::string tls_certificate;  // PEM; empty: no TLS
  std::string tls_key;
  int threads = 8;                       // requests at once
  uint64_t request_bytes = 16ull << 20;  // the largest
  uint64_t memory_bytes = 256ull << 20;  // of all requests at once, about
};

// OTLP log records over gRPC (LogsService), on a port of its own: its senders show an API key with
// each request ("authorization: Bearer KEY") and cannot exchange it for a token. A request is
// answered once the streams have its records. UNAUTHENTICATED, PERMISSION_DENIED, INVALID_ARGUMENT
// (too many records); UNAVAILABLE and RESOURCE_EXHAUSTED with RetryInfo where a repeat helps.
class OtlpServer {
 public:
  static absl::StatusOr<std::unique_ptr<OtlpServer>> Start(const OtlpServerOptions& options,
                                                           const ListenerParts& parts,
                                                           std::shared_ptr<ApiKeys> keys);
  virtual ~OtlpServer() = default;  // stops
  virtual const std::string& address() const = 0;
  virtual void Stop() = 0;
};

}  // namespace yagura::ingestion
