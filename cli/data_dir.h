#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "absl/status/statusor.h"

// What `yagura up` keeps in its data folder and clients may read there.
namespace yagura::cli {

inline std::filesystem::path EndpointsFile(const std::filesystem::path& data_dir) {
  return data_dir / "endpoints.json";
}
// The secret of the administrator's API key, mode 0600.
inline std::filesystem::path AdminKeyFile(const std::filesystem::path& data_dir) {
  return data_dir / "keys" / "admin-api-key";
}
// The certificate that the suite made for syslog over TLS: what its senders trust.
inline std::filesystem::path SyslogCertificateFile(const std::filesystem::path& data_dir) {
  return data_dir / "keys" / "syslog-tls.crt";
}

// {"grpc": "127.0.0.1:7070", "syslog_udp": …}. FAILED_PRECONDITION (NOT_RUNNING) where there is no
// file.
absl::StatusOr<std::map<std::string, std::string>> ReadEndpoints(
    const std::filesystem::path& data_dir);
// Atomically; readers see the old file or the whole new one.
absl::Status WriteEndpoints(const std::filesystem::path& data_dir,
                            const std::map<std::string, std::string>& endpoints);

}  // namespace yagura::cli
