#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "cli/up/data_folder.h"

#include "common/log/log.h"

namespace yagura::cli {

// What `yagura up` was told; ports may be 0.
struct SuiteOptions {
  std::filesystem::path settings_file;  // YAML with a section a service; empty: defaults
  std::filesystem::path content_dir;    // rules; empty: found beside the program
  std::string grpc_address = "127.0.0.1:7070";
  std::string health_address = "127.0.0.1:7071";
  std::string syslog_udp_address = "127.0.0.1:5514";
  std::string syslog_tcp_address = "127.0.0.1:5514";
  // Unless the settings name a certificate, with one of its own that is made on the first start.
  std::string syslog_tls_address = "127.0.0.1:6514";
  std::string otlp_address = "127.0.0.1:4317";  // empty: none
  std::string http_address = "127.0.0.1:8088";  // empty: none
  std::string metrics_address = "127.0.0.1:9464";
  std::string smtp_address;  // HOST:PORT; empty: mails go to a maildir
};

// Every setting of a suite with its help, default and bounds, as YAML that `settings_file` may be.
// INVALID_ARGUMENT names what is wrong in the file, where one is given.
absl::StatusOr<std::string> DescribeSettings(const std::filesystem::path& settings_file);

// The whole of Yagura in this process, with two redis-servers and the event store as children.
class Suite {
 public:
  // Returns when everything serves.
  static absl::StatusOr<std::unique_ptr<Suite>> Start(const SuiteOptions& options,
                                                      const DataFolder& folder, Logger logger);
  ~Suite();  // Stop
  // Where everything listens: grpc, health, syslog_udp, syslog_tcp, syslog_tls, http, otlp,
  // metrics; the children's sockets, which `yagura backup` asks: redis_state, redis_flow, store;
  // and the process ids of the children that run now: pid_redis_state, pid_redis_flow, pid_store.
  std::map<std::string, std::string> Endpoints() const;
  // New calls are refused, calls in progress finish, workers stop, then the children.
  void Stop();

 private:
  struct Impl;
  explicit Suite(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace yagura::cli
