#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "common/auth/token.h"
#include "common/config/settings_reader.h"
#include "common/rpc/app.h"
#include "common/rpc/channels.h"
#include "common/rpc/server.h"

namespace yagura::rpc {

// Names of the issuers whose tokens are accepted.
inline constexpr std::string_view kPeopleIssuer = "yagura";
inline constexpr std::string_view kInternalIssuer = "yagura-internal";

// What a process needs before it can hold Apps.
struct PlatformSettings {
  std::filesystem::path data_dir = "data";
  std::string state_address = "tcp:127.0.0.1:6379";  // as redis::Endpoint::address
  std::string state_username;
  std::string state_password;
  std::string flow_address = "tcp:127.0.0.1:6380";
  std::string flow_username;
  std::string flow_password;
  int redis_connections = 32;          // of each of the two
  std::string instance;                // as Platform::instance
  std::filesystem::path internal_key;  // the services' shared key; empty: made in data_dir/keys
  std::filesystem::path trusted_key;   // the directory's public key in hex; empty: asked for there
  std::map<std::string, std::string> services;  // name -> "dns:///host:port"; "*" for the rest
  ChannelTls channel_tls;
  std::string metrics_address;  // empty: no metrics server

  static PlatformSettings Read(config::SettingsReader& reader);
};

// The section "grpc".
ServerOptions ReadServerOptions(config::SettingsReader& reader);

class RevocationFollower;

// The shared parts of one process, from which each App gets its Platform: the same pools, feed,
// metrics and verifier, but channels that speak in its own name. Outlives the Server.
class PlatformHost {
 public:
  static absl::StatusOr<std::unique_ptr<PlatformHost>> Make(const PlatformSettings& settings,
                                                            Logger logger);
  ~PlatformHost();  // stops the feed and the metrics server

  Platform ForService(std::string_view service);
  // Where a service is ("*": any other), for the channels of all Apps, those made later too.
  void SetAddress(std::string_view service, const std::string& address);
  // Asks the directory for its public keys now and every minute, on a thread; until it has answered
  // every second. Not for the process that has the directory itself.
  void FollowSigningKeys();
  // Asks for them between two of those times, every two seconds at most, and waits for the answer,
  // one second at most. False where it did not ask or has no answer yet. Thread-safe.
  bool FetchSigningKeys();
  // 0 where there is no metrics server.
  int metrics_port() const;
  const Platform& shared() const { return shared_; }

 private:
  struct KeyFollower;
  PlatformHost() = default;

  Platform shared_;  // its channels are those of the process
  std::shared_ptr<auth::TokenIssuer> internal_issuer_;
  ChannelTls channel_tls_;
  std::unique_ptr<MetricsServer> metrics_server_;
  std::mutex mutex_;
  std::map<std::string, std::string> addresses_;
  std::vector<std::shared_ptr<Channels>> channels_;
  std::unique_ptr<KeyFollower> key_follower_;
  std::unique_ptr<RevocationFollower> revocations_;
};

}  // namespace yagura::rpc
