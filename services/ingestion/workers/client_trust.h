#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

struct x509_store_st;  // OpenSSL's X509_STORE

namespace yagura::ingestion {

// Who vouches for client certificates where OpenSSL does not make the connection: the authorities,
// or single certificates, of a PEM file, by the rules of syslog over TLS (TlsOptions::client_ca).
// Thread-safe.
class ClientTrust {
 public:
  // INVALID_ARGUMENT naming the file and the reason.
  static absl::StatusOr<std::shared_ptr<const ClientTrust>> Load(const std::filesystem::path& file);

  // CertificateNames of the first certificate of `chain` (DER, as the client sent it), where it may
  // be a client's and the others lead from it to one that is trusted. UNAUTHENTICATED (why).
  absl::StatusOr<std::vector<std::string>> Names(std::span<const std::string_view> chain) const;

 private:
  struct Free {
    void operator()(x509_store_st* store) const;
  };
  explicit ClientTrust(std::unique_ptr<x509_store_st, Free> store);

  const std::unique_ptr<x509_store_st, Free> store_;
};

}  // namespace yagura::ingestion
