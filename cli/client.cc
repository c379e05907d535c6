#include "cli/client.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "cli/data_dir.h"
#include "fmt/format.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"

#include "common/clock/proto_time.h"
#include "common/text/text.h"
#include "yagura/directory/v1/directory_service.grpc.pb.h"

namespace yagura::cli {
namespace {

using directory::v1::DirectoryService;

constexpr char kDefaultEndpoint[] = "127.0.0.1:7070";
constexpr int kMaxMessageBytes = 64 << 20;
constexpr std::chrono::seconds kLogInTimeout{30};

std::string FromEnvironment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

absl::StatusOr<std::string> ReadFile(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "FILE_UNREADABLE",
                     fmt::format("cannot read {}", path.string()));
  }
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

absl::Status FillFromDataDir(ConnectionOptions& options) {
  YAGURA_ASSIGN_OR_RETURN(const auto endpoints, ReadEndpoints(options.data_dir));
  if (options.endpoint.empty()) {
    const auto grpc = endpoints.find("grpc");
    if (grpc == endpoints.end()) {
      return MakeError(
          absl::StatusCode::kFailedPrecondition, "NO_ENDPOINT",
          fmt::format("{} names no grpc endpoint", EndpointsFile(options.data_dir).string()));
    }
    options.endpoint = grpc->second;
  }
  if (options.api_key.empty()) {
    YAGURA_ASSIGN_OR_RETURN(const auto key, ReadFile(AdminKeyFile(options.data_dir)));
    options.api_key = Trim(key);
  }
  return absl::OkStatus();
}

absl::Status Complete(ConnectionOptions& options) {
  if (options.endpoint.empty()) options.endpoint = FromEnvironment("YAGURA_ENDPOINT");
  if (const char* key = std::getenv("YAGURA_API_KEY"); options.api_key.empty() && key != nullptr) {
    options.api_key = Trim(key);
    // Whoever sets it wants to be somebody: never the administrator of the data folder instead.
    if (options.api_key.empty()) {
      return MakeError(absl::StatusCode::kFailedPrecondition, "EMPTY_API_KEY",
                       "YAGURA_API_KEY is set but empty: set it to a key, or unset it");
    }
  }
  if (options.data_dir.empty()) options.data_dir = FromEnvironment("YAGURA_DATA_DIR");
  if (!options.data_dir.empty() && (options.endpoint.empty() || options.api_key.empty())) {
    YAGURA_RETURN_IF_ERROR(FillFromDataDir(options));
  }
  if (options.endpoint.empty()) options.endpoint = kDefaultEndpoint;
  if (options.api_key.empty()) {
    return MakeError(
        absl::StatusCode::kFailedPrecondition, "NO_API_KEY",
        "no API key: use --api-key-file, YAGURA_API_KEY, --data-dir or YAGURA_DATA_DIR");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Client> Client::Connect(ConnectionOptions options) {
  YAGURA_RETURN_IF_ERROR(Complete(options));
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  arguments.SetMaxSendMessageSize(kMaxMessageBytes);
  std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::InsecureChannelCredentials();
  if (!options.ca_file.empty()) {
    grpc::SslCredentialsOptions tls;
    YAGURA_ASSIGN_OR_RETURN(tls.pem_root_certs, ReadFile(options.ca_file));
    credentials = grpc::SslCredentials(tls);
  }
  auto channel = grpc::CreateCustomChannel(options.endpoint, credentials, arguments);
  Client client(std::move(options), std::move(channel));
  YAGURA_RETURN_IF_ERROR(client.RefreshToken());
  return client;
}

absl::Status Client::RefreshToken() {
  const auto now = std::chrono::steady_clock::now();
  if (now < token_good_until_) return absl::OkStatus();
  DirectoryService::Stub stub(channel_);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() +
                       std::min(options_.timeout, kLogInTimeout));
  directory::v1::ExchangeApiKeyRequest request;
  request.set_secret(options_.api_key);
  directory::v1::TokenResponse response;
  if (const auto status = stub.ExchangeApiKey(&context, request, &response); !status.ok()) {
    return Annotate(rpc::FromGrpc(status), options_.endpoint);
  }
  token_ = response.token();
  // By our own steady clock: the server's and ours may differ.
  const auto lifetime =
      FromProto(response.expire_time()) - TimePoint(std::chrono::system_clock::now());
  token_good_until_ = now + std::max<std::chrono::nanoseconds>(lifetime - std::chrono::minutes(1),
                                                               std::chrono::seconds(5));
  return absl::OkStatus();
}

void Client::Prepare(grpc::ClientContext& context, bool endless) const {
  if (!endless) context.set_deadline(std::chrono::system_clock::now() + options_.timeout);
  context.AddMetadata("authorization", "Bearer " + token_);
}

}  // namespace yagura::cli
