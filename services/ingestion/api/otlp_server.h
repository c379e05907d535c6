#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

#include "common/log/log.h"
#include "services/ingestion/api/api_keys.h"
#include "services/ingestion/api/tenant_charges.h"
#include "services/ingestion/workers/record_intake.h"

namespace yagura::ingestion {

struct OtlpServerOptions {
  std::string address;          // "127.0.0.1:4317"; port 0 takes a free one
  std::string tls_certificate;  // PEM; empty: no TLS
  std::string tls_key;
  int threads = 8;                            // requests that are read at once
  uint64_t request_bytes = 16ull << 20;       // the largest, as it comes and inflated
  uint64_t memory_bytes = 256ull << 20;       // of requests that came and wait, or are coming in
  std::chrono::milliseconds timeout{30'000};  // a request that comes in more slowly is cut off
  int connections_per_address = 100;          // of IPv6: per /64
  // A connection without a request for so long is closed; its sender connects again.
  std::chrono::milliseconds idle_timeout{300'000};
};

// OTLP log records over gRPC (LogsService), on a port of its own: its senders show an API key with
// each request ("authorization: Bearer KEY") and cannot exchange it for a token. Nothing of a
// request is taken before its key is known to be good and its tenant's quotas allow it, and none of
// its records is made before they are counted. It is answered once the streams have its records.
// UNAUTHENTICATED, PERMISSION_DENIED, INVALID_ARGUMENT (too many records, no such message);
// UNAVAILABLE and RESOURCE_EXHAUSTED with RetryInfo where a repeat helps, RESOURCE_EXHAUSTED
// without it for one that is too large.
class OtlpServer {
 public:
  static absl::StatusOr<std::unique_ptr<OtlpServer>> Start(const OtlpServerOptions& options,
                                                           const ListenerParts& parts,
                                                           std::shared_ptr<ApiKeys> keys,
                                                           const TenantCharges& charges);
  virtual ~OtlpServer() = default;  // stops
  virtual const std::string& address() const = 0;
  virtual void Stop() = 0;
};

}  // namespace yagura::ingestion
