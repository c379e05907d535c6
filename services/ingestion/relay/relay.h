#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

#include "common/log/log.h"

namespace yagura::ingestion {

struct RelayOptions {
  std::filesystem::path data_dir;
  std::string tenant;
  std::string site;
  std::string endpoint;
  std::filesystem::path api_key_file;
  std::filesystem::path
      ca_file;             // empty: no TLS, which wants `insecure` or an endpoint of this host
  bool insecure = false;   // key and lines may go over the network for all to read
  std::string syslog_udp;  // empty: no listener
  std::string syslog_tcp;
  std::string syslog_tls;
  std::filesystem::path tls_certificate;
  std::filesystem::path tls_key;
  std::filesystem::path tls_client_ca;
  std::string metrics;  // empty: none
  std::chrono::seconds keep{72 * 3600};
  uint64_t spool_bytes = 10ull << 30;
};

// Ingestion at a customer's site: takes syslog there, keeps it on disk until the suite has
// acknowledged it, and needs nothing but a way out to the suite's gRPC port.
class Relay {
 public:
  // What the relay of a folder said of itself last; it says so every second.
  struct Report {
    std::string text;            // JSON
    bool runs = false;           // now
    bool is_old = false;         // the text is of a time before: a relay has ended, or cannot write
    std::chrono::seconds age{};  // of the text
  };
  virtual ~Relay() = default;  // stops
  // Reads no more, and keeps what was read.
  virtual void Stop() = 0;
  // "syslog_udp" -> "127.0.0.1:514", "metrics".
  virtual std::map<std::string, std::string> Addresses() const = 0;

  // Takes the data folder for itself, binds, starts. INVALID_ARGUMENT, UNAVAILABLE,
  // FAILED_PRECONDITION (RUNS_ALREADY; DATA_DIR_UNUSABLE where the folder is somebody else's).
  static absl::StatusOr<std::unique_ptr<Relay>> Start(const RelayOptions& options, Logger logger);
  // NOT_FOUND where there was none yet.
  static absl::StatusOr<Report> ReadStatus(const std::filesystem::path& data_dir);
};

}  // namespace yagura::ingestion
