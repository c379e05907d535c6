#include "common/rpc/platform.h"

#include <algorithm>
#include <cctype>
#include <condition_variable>
#include <fstream>
#include <thread>
#include <utility>

#include "fmt/format.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"

#include "common/redis/pool.h"
#include "common/rpc/revocations.h"
#include "common/status/status.h"
#include "common/store/change_feed.h"
#include "common/store/known_tenants.h"
#include "common/text/text.h"
#include "yagura/directory/v1/directory_service.grpc.pb.h"

namespace yagura::rpc {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Of fetches that a token of an unknown key asks for.
constexpr seconds kAskPause{2};
constexpr seconds kAskPatience{1};

std::shared_ptr<redis::Pool> MakePool(const std::string& address, const std::string& username,
                                      const std::string& password, int connections) {
  redis::Endpoint endpoint;
  endpoint.address = address;
  endpoint.username = username;
  endpoint.password = password;
  return std::make_shared<redis::Pool>(endpoint, static_cast<size_t>(connections));
}

absl::Status TrustFile(const std::filesystem::path& file, auth::TokenVerifier& verifier) {
  std::ifstream in(file, std::ios::binary);
  std::string text(256, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(in.gcount()));
  const auto key = HexDecode(Trim(text));
  if (!key || key->size() != 32) {
    return MakeError(
        absl::StatusCode::kInvalidArgument, "KEY_FILE_MALFORMED",
        fmt::format("{} is not an Ed25519 public key of 64 hex digits", file.string()));
  }
  verifier.Trust(kPeopleIssuer, *key);
  return absl::OkStatus();
}

absl::Status CheckInstance(std::string_view instance) {
  const auto plain = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '.' || c == '_';
  };
  if (instance.size() <= 100 && std::all_of(instance.begin(), instance.end(), plain)) {
    return absl::OkStatus();
  }
  return InvalidField("instance",
                      "must be at most 100 letters, digits, hyphens, dots or underscores");
}

absl::Status MakeFolder(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (!error) {
    std::filesystem::permissions(folder, std::filesystem::perms::owner_all, error);
  }
  if (!error) return absl::OkStatus();
  return MakeError(absl::StatusCode::kFailedPrecondition, "DATA_DIR_UNUSABLE",
                   fmt::format("cannot make {}: {}", folder.string(), error.message()));
}

}  // namespace

PlatformSettings PlatformSettings::Read(config::SettingsReader& reader) {
  PlatformSettings s;
  s.data_dir = reader.String("data_dir", s.data_dir.string(), "Spools, keys and blobs.");
  auto state = reader.Section("state_redis", "The small, precious Redis.");
  s.state_address =
      state.String("address", s.state_address,
                   "\"tcp:host:port\", \"unix:/path\" or \"sentinel:name@host:port,...\".");
  s.state_username = state.String("username", "", "Empty: the default user.");
  s.state_password = state.Secret("password", "Password.");
  auto flow =
      reader.Section("flow_redis", "The Redis of the streams. Never the same as the other.");
  s.flow_address =
      flow.String("address", s.flow_address,
                  "\"tcp:host:port\", \"unix:/path\" or \"sentinel:name@host:port,...\".");
  s.flow_username = flow.String("username", "", "Empty: the default user.");
  s.flow_password = flow.Secret("password", "Password.");
  s.redis_connections = static_cast<int>(
      reader.Integer("redis_connections", s.redis_connections, 1, 1000, "Of each of the two."));
  s.instance = reader.String(
      "instance", "",
      "Name of this process that no other has, and that it has again after a restart, such as the "
      "name of a StatefulSet's pod: what it held when it was killed it takes back at once. Two "
      "processes of one name would take their work from each other all the time. Empty: what was "
      "held comes free when its lease runs out, after some 8 s.");
  s.internal_key = reader.String("internal_key", "",
                                 "File with the key that calls between services are signed with, "
                                 "the same for all. Empty: made in data_dir/keys.");
  s.trusted_key = reader.String("trusted_key", "",
                                "File with the directory's public key in hex. Empty: the "
                                "directory is asked for it.");
  const auto services = reader.Strings(
      "services", {"*=dns:///127.0.0.1:7070"},
      "Where the services are, \"name=dns:///host:port\"; \"*\" is any that is not named.");
  for (const std::string& entry : services) {
    const size_t equals = entry.find('=');
    s.services[entry.substr(0, equals)] =
        equals == std::string::npos ? "" : entry.substr(equals + 1);
  }
  auto tls = reader.Section("client_tls", "How this service calls others.");
  s.channel_tls.ca_file = tls.String("ca", "", "CA of the servers, PEM. Empty: no TLS.");
  s.channel_tls.certificate_file = tls.String("certificate", "", "Own certificate, PEM.");
  s.channel_tls.key_file = tls.String("key", "", "Key of the certificate, PEM.");
  s.metrics_address =
      reader.String("metrics_address", "127.0.0.1:9464", "Of GET /metrics. Empty: none.");
  return s;
}

ServerOptions ReadServerOptions(config::SettingsReader& reader) {
  ServerOptions o;
  auto grpc = reader.Section("grpc", "The gRPC server.");
  o.address = grpc.String("address", o.address, "host:port (0 takes a free one) or unix:/path.");
  o.health_address = grpc.String("health_address", "",
                                 "A second port that answers health checks alone. Empty: none.");
  o.tls_certificate_file = grpc.String("tls_certificate", "", "PEM. Empty: no TLS.");
  o.tls_key_file = grpc.String("tls_key", "", "PEM.");
  o.tls_client_ca_file =
      grpc.String("tls_client_ca", "", "PEM. Set: clients must show a certificate of it (mTLS).");
  o.reflection = grpc.Boolean("reflection", o.reflection, "Answers which methods there are.");
  o.threads_per_app =
      static_cast<int>(grpc.Integer("threads", o.threads_per_app, 1, 256, "Handlers at once."));
  o.streams_per_app = static_cast<int>(
      grpc.Integer("streams", o.streams_per_app, 1, 256, "Searches and exports at once."));
  o.queue_per_app = static_cast<size_t>(
      grpc.Integer("queue", static_cast<int64_t>(o.queue_per_app), 1, 100'000,
                   "Calls that may wait; more are answered RESOURCE_EXHAUSTED."));
  o.max_receive_bytes =
      grpc.Bytes("max_receive", o.max_receive_bytes, 64 << 10, 256 << 20, "Largest request.");
  o.max_send_bytes =
      grpc.Bytes("max_send", o.max_send_bytes, 64 << 10, 256 << 20, "Largest answer.");
  o.calls_per_second_per_tenant =
      grpc.Number("tenant_calls_per_second", o.calls_per_second_per_tenant, 1, 1e6,
                  "Of the callers of one tenant together; bursts of twice as many.");
  o.bytes_per_second_per_tenant =
      grpc.Number("tenant_bytes_per_second", o.bytes_per_second_per_tenant, 1e3, 1e12,
                  "Sent by the callers of one tenant together.");
  o.bad_tokens_per_second = grpc.Number(
      "bad_tokens_per_second", o.bad_tokens_per_second, 1, 1e6,
      "Tokens that turn out bad (forged, expired, revoked) that are looked at from one address (an "
      "IPv6 /64); more are answered RESOURCE_EXHAUSTED unread, and with them those of people who "
      "have just logged in there. Behind a load balancer or a NAT that hides the callers' "
      "addresses "
      "everybody shares one: a stranger can lock all of them out, so raise it there. Who was seen "
      "good from that address in the last hour has as many of their own besides.");
  o.bad_tokens_burst =
      grpc.Number("bad_tokens_burst", o.bad_tokens_burst, 1, 1e6, "How many of them at once.");
  o.default_deadline = grpc.Duration("default_deadline", o.default_deadline, milliseconds(100),
                                     std::chrono::minutes(10), "For callers that set none.");
  o.drain = grpc.Duration("drain", o.drain, milliseconds(0), std::chrono::minutes(5),
                          "What calls in progress get at a stop.");
  o.endpoint_removal =
      grpc.Duration("endpoint_removal", o.endpoint_removal, milliseconds(0),
                    std::chrono::minutes(1), "Pause at a stop for load balancers to notice.");
  o.max_connection_age =
      grpc.Duration("max_connection_age", o.max_connection_age, milliseconds(0),
                    std::chrono::hours(24), "Spreads clients over replicas. 0ms: no limit.");
  return o;
}

// Fetches the directory's keys every minute, and when somebody shows a token of a key that is not
// known. A key that the directory does not name any more is trusted no longer than a minute.
struct PlatformHost::KeyFollower {
  KeyFollower(std::shared_ptr<Channels> channels_in,
              std::shared_ptr<auth::TokenVerifier> verifier_in, Logger logger_in)
      : channels(std::move(channels_in)),
        verifier(std::move(verifier_in)),
        logger(std::move(logger_in)),
        thread([this] { Run(); }) {}
  ~KeyFollower() {
    {
      const std::lock_guard lock(mutex);
      stopping = true;
    }
    wake.notify_all();
    done.notify_all();
    thread.join();
  }

  bool Fetch() {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + seconds(5));
    directory::v1::GetSigningKeysResponse response;
    const auto status =
        FromGrpc(directory::v1::DirectoryService::NewStub(channels->Get("directory"))
                     ->GetSigningKeys(&context, directory::v1::GetSigningKeysRequest(), &response));
    if (!status.ok()) {
      logger.Debug("the directory's keys are not there yet", {{"reason", Message(status)}});
      return false;
    }
    // Its keys are for people and machines; it has no say in who is a service.
    std::vector<std::string> keys;
    for (const auto& key : response.keys()) keys.push_back(key.public_key());
    if (keys.empty()) return false;
    verifier->TrustOnly(kPeopleIssuer, keys);
    return true;
  }

  void Run() {
    std::unique_lock lock(mutex);
    while (!stopping) {
      wanted = false;
      ++begun;
      lock.unlock();
      const bool fetched = Fetch();
      lock.lock();
      ended = begun;
      done.notify_all();
      wake.wait_for(lock, fetched ? seconds(60) : seconds(1),
                    [this] { return stopping || wanted; });
    }
  }

  // Whoever asks first waits for the answer. Those who ask meanwhile, or too soon after, do not:
  // strangers can ask too, and may hold up one thread at most.
  bool FetchNow() {
    std::unique_lock lock(mutex);
    const auto now = std::chrono::steady_clock::now();
    if (stopping || now < next_asked) return false;
    next_asked = now + kAskPause;
    wanted = true;
    wake.notify_all();
    return done.wait_for(lock, kAskPatience,
                         [this, round = begun + 1] { return stopping || ended >= round; });
  }

  const std::shared_ptr<Channels> channels;
  const std::shared_ptr<auth::TokenVerifier> verifier;
  const Logger logger;
  std::mutex mutex;
  std::condition_variable wake;
  std::condition_variable done;
  bool stopping = false;
  bool wanted = false;
  uint64_t begun = 0;  // fetches; what is asked for after one has begun is for the next
  uint64_t ended = 0;
  std::chrono::steady_clock::time_point next_asked{};
  std::thread thread;
};

absl::StatusOr<std::unique_ptr<PlatformHost>> PlatformHost::Make(const PlatformSettings& settings,
                                                                 Logger logger) {
  YAGURA_RETURN_IF_ERROR(CheckInstance(settings.instance));
  YAGURA_RETURN_IF_ERROR(MakeFolder(settings.data_dir));
  YAGURA_RETURN_IF_ERROR(MakeFolder(settings.data_dir / "keys"));
  std::unique_ptr<PlatformHost> host(new PlatformHost());
  Platform& p = host->shared_;
  p.clock = SystemClock();
  p.logger = std::move(logger);
  p.data_dir = settings.data_dir;
  p.instance = settings.instance;
  p.metrics = std::make_shared<MetricsRegistry>();
  p.verifier = std::make_shared<auth::TokenVerifier>(p.clock);
  const auto key_file = settings.internal_key.empty() ? settings.data_dir / "keys" / "internal.key"
                                                      : settings.internal_key;
  YAGURA_ASSIGN_OR_RETURN(auth::SigningKey key, auth::SigningKey::LoadOrCreate(key_file));
  p.verifier->Trust(kInternalIssuer, key.public_key());
  host->internal_issuer_ =
      std::make_shared<auth::TokenIssuer>(std::move(key), std::string(kInternalIssuer), p.clock);
  if (!settings.trusted_key.empty()) {
    YAGURA_RETURN_IF_ERROR(TrustFile(settings.trusted_key, *p.verifier));
  }
  host->addresses_ = settings.services;
  host->channel_tls_ = settings.channel_tls;
  p.channels = std::make_shared<Channels>("yagura", host->addresses_, host->internal_issuer_);
  YAGURA_RETURN_IF_ERROR(p.channels->UseTls(settings.channel_tls));
  host->channels_.push_back(p.channels);
  p.state = MakePool(settings.state_address, settings.state_username, settings.state_password,
                     settings.redis_connections);
  p.flow = MakePool(settings.flow_address, settings.flow_username, settings.flow_password,
                    settings.redis_connections);
  if (!settings.metrics_address.empty()) {
    std::string error;
    host->metrics_server_ = MetricsServer::Start(settings.metrics_address, p.metrics, &error);
    if (!host->metrics_server_) {
      return MakeError(absl::StatusCode::kFailedPrecondition, "CANNOT_LISTEN", error);
    }
  }
  p.tenants = std::make_shared<store::KnownTenants>(p.state);
  p.feed = std::make_shared<store::FeedFollower>(p.state, p.logger);
  p.feed->Start();
  host->revocations_ =
      std::make_unique<RevocationFollower>(p.state, p.verifier, p.logger.Named("auth/revocations"));
  return host;
}

PlatformHost::~PlatformHost() {
  key_follower_.reset();
  revocations_.reset();
  if (shared_.feed) shared_.feed->Stop();
}

Platform PlatformHost::ForService(std::string_view service) {
  const std::lock_guard lock(mutex_);
  Platform platform = shared_;
  platform.channels =
      std::make_shared<Channels>(std::string(service), addresses_, internal_issuer_);
  // The files were read once already; a change since then shows at the first call.
  if (const auto status = platform.channels->UseTls(channel_tls_); !status.ok()) {
    shared_.logger.Error("no TLS for calls to others", {{"reason", Message(status)}});
  }
  platform.logger = shared_.logger.Named(service);
  channels_.push_back(platform.channels);
  return platform;
}

void PlatformHost::SetAddress(std::string_view service, const std::string& address) {
  const std::lock_guard lock(mutex_);
  addresses_[std::string(service)] = address;
  for (const auto& channels : channels_) channels->SetAddress(service, address);
}

void PlatformHost::FollowSigningKeys() {
  key_follower_ = std::make_unique<KeyFollower>(shared_.channels, shared_.verifier,
                                                shared_.logger.Named("auth/keys"));
}

bool PlatformHost::FetchSigningKeys() {
  return key_follower_ != nullptr && key_follower_->FetchNow();
}

int PlatformHost::metrics_port() const { return metrics_server_ ? metrics_server_->port() : 0; }

}  // namespace yagura::rpc
