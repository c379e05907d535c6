#include "services/directory/app.h"

#include <thread>

#include "fmt/format.h"

#include "common/redis/pool.h"
#include "common/rpc/revocations.h"
#include "common/status/status.h"
#include "services/directory/api/directory_api.h"
#include "services/directory/storage/bootstrap.h"

namespace yagura::directory {
namespace {

constexpr std::chrono::seconds kWaitForRedis{60};
constexpr std::chrono::milliseconds kRetry{250};

// The key that signed before, where its file lies beside the present one's.
absl::StatusOr<std::vector<std::string>> RetiredKeys(const std::filesystem::path& signing_key) {
  const std::filesystem::path file = signing_key.string() + ".previous";
  std::vector<std::string> keys;
  std::error_code error;
  if (!std::filesystem::exists(file, error)) return keys;
  YAGURA_ASSIGN_OR_RETURN(const auto key, auth::SigningKey::LoadOrCreate(file));
  keys.push_back(key.public_key());
  return keys;
}

class App final : public rpc::App {
 public:
  App(Parts parts, std::filesystem::path admin_key_file)
      : parts_(std::move(parts)), admin_key_file_(std::move(admin_key_file)) {}

  std::string_view name() const override { return "directory"; }

  void Register(rpc::ServiceRegistry& registry) override {
    RegisterTenants(registry, parts_);
    RegisterSites(registry, parts_);
    RegisterUsers(registry, parts_);
    RegisterApiKeys(registry, parts_);
    RegisterAssets(registry, parts_);
    RegisterSources(registry, parts_);
    RegisterLogin(registry, parts_);
  }

  absl::Status Start() override {
    const auto deadline = std::chrono::steady_clock::now() + kWaitForRedis;
    auto first = Bootstrap(*parts_.store, admin_key_file_);
    while (first.status().code() == absl::StatusCode::kUnavailable &&
           std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(kRetry);
      first = Bootstrap(*parts_.store, admin_key_file_);
    }
    YAGURA_RETURN_IF_ERROR(first.status());
    if (*first) {
      parts_.logger.Info("first start: the administrator's API key is in a file",
                         {{"file", admin_key_file_.string()}});
    }
    return parts_.store->Reindex();
  }

  void Stop() override {}

  std::map<std::string, absl::Status> Health() const override {
    return {{"redis-state", parts_.state->Command({"PING"}).status()}};
  }

 private:
  Parts parts_;
  const std::filesystem::path admin_key_file_;
};

}  // namespace

absl::Status EndTokens(Parts& parts, std::string_view principal) {
  const TimePoint now = parts.clock->Now();
  YAGURA_RETURN_IF_ERROR(rpc::RecordRevocation(*parts.state, principal, now));
  parts.verifier->Revoke(principal, now);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<rpc::App>> NewApp(const Settings& settings,
                                                 const rpc::Platform& platform) {
  YAGURA_ASSIGN_OR_RETURN(
      auto key, auth::SigningKey::LoadOrCreate(platform.data_dir / settings.signing_key_file));
  platform.verifier->Trust(kTokenIssuer, key.public_key());
  YAGURA_ASSIGN_OR_RETURN(const auto retired,
                          RetiredKeys(platform.data_dir / settings.signing_key_file));
  for (const auto& public_key : retired) platform.verifier->Trust(kTokenIssuer, public_key);
  Parts parts{
      .settings = settings,
      .state = platform.state,
      .clock = platform.clock,
      .logger = platform.logger.Named("directory"),
      .store = std::make_unique<DirectoryStore>(platform.state, platform.feed, platform.clock),
      .hasher = std::make_unique<PasswordHasher>(settings.password_operations,
                                                 settings.password_memory_bytes),
      .throttle = std::make_unique<LoginThrottle>(platform.state, settings.throttle),
      .key_gate = std::make_unique<KeyGate>(settings.unknown_keys_per_second, platform.clock),
      .issuer = std::make_unique<auth::TokenIssuer>(std::move(key), std::string(kTokenIssuer),
                                                    platform.clock),
      .verifier = platform.verifier,
      .retired_keys = retired,
      .logins = platform.metrics->GetCounter("yagura_directory_logins_total",
                                             "Tokens given for passwords and API keys"),
      .failed_logins = platform.metrics->GetCounter("yagura_directory_failed_logins_total",
                                                    "Refused passwords and API keys"),
  };
  return std::make_unique<App>(std::move(parts), platform.data_dir / settings.admin_key_file);
}

}  // namespace yagura::directory
