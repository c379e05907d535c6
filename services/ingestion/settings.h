#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "common/stream/topic.h"
#include "common/stream/topics.h"
#include "services/ingestion/domain/multi_line.h"

namespace yagura::config {
class SettingsReader;
}

namespace yagura::ingestion {

// Files that are followed.
struct FileSettings {
  std::string name;  // what sources match by, as the listener
  std::vector<std::string> paths;
  MultiLineOptions multi_line;  // without a pattern: each line is an event
};

struct Settings {
  stream::Topic events{"events", 4, {"archive", "detection"}};
  stream::Topic coverage = stream::CoverageTopic();
  std::chrono::milliseconds coverage_interval{10'000};
  std::string syslog_udp = "127.0.0.1:5514";  // empty: no listener
  std::string syslog_tcp = "127.0.0.1:5514";  // empty: no listener
  MultiLineOptions syslog_tcp_multi_line;     // without a pattern: none, as with the others
  std::string syslog_tls;                     // empty: no listener
  MultiLineOptions syslog_tls_multi_line;
  std::filesystem::path syslog_tls_certificate;
  std::filesystem::path syslog_tls_key;
  std::filesystem::path syslog_tls_client_ca;
  bool syslog_tls_require_client_certificate = false;
  int tls_threads = 1;
  std::chrono::milliseconds tls_handshake_timeout{10'000};
  int tls_handshakes = 256;
  std::string http;   // empty: no listener
  std::string https;  // empty: no listener
  std::filesystem::path https_certificate;
  std::filesystem::path https_key;
  std::filesystem::path https_client_ca;
  bool https_require_client_certificate = false;
  MultiLineOptions http_multi_line;
  int http_threads = 4;
  int http_connections = 1'000;
  int http_connections_per_address = 100;
  std::chrono::milliseconds http_timeout{30'000};
  uint64_t http_body_bytes = 8ull << 20;
  uint64_t http_pending_bytes = 256ull << 20;
  std::string otlp;  // empty: no listener
  std::string otlp_certificate;
  std::string otlp_key;
  int otlp_threads = 4;
  uint64_t otlp_request_bytes = 16ull << 20;
  uint64_t otlp_memory_bytes = 256ull << 20;
  int otlp_connections_per_address = 100;
  std::chrono::milliseconds otlp_idle_timeout{300'000};
  std::vector<FileSettings> files;
  std::chrono::milliseconds files_interval{500};
  int files_limit = 1'000;
  std::chrono::milliseconds files_rotated_wait{300'000};
  std::chrono::seconds files_remember{14 * 24 * 3600};
  int files_remembered = 2'000;
  int udp_threads = 1;
  int tcp_threads = 1;
  int tcp_connections = 10'000;
  std::chrono::milliseconds tcp_idle_timeout{3'600'000};
  uint64_t tcp_pending_bytes = 256ull << 20;
  uint64_t udp_receive_buffer = 8ull << 20;
  uint64_t batch_bytes = 64ull << 10;
  std::chrono::milliseconds batch_linger{50};
  std::chrono::milliseconds push_patience{5'000};
  uint64_t spool_quota = 4ull << 30;
  uint64_t flow_memory_budget = 2ull << 30;
  std::filesystem::path parsers_folder;            // of described parsers; empty: none
  std::filesystem::path threat_lists_folder;       // empty: none
  std::vector<std::filesystem::path> geoip_files;  // empty: none
  std::chrono::milliseconds enrichment_refresh{10'000};
  std::chrono::milliseconds sources_refresh{5'000};
  std::chrono::milliseconds sources_wait{10'000};
};

// Wrong and unknown keys are told by the reader's Finish.
absl::StatusOr<Settings> ReadSettings(config::SettingsReader& reader);

}  // namespace yagura::ingestion
