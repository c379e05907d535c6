#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/support/sync_stream.h"

#include "common/rpc/channels.h"
#include "common/status/status.h"

namespace yagura::cli {

// Where the suite is and who we are there. Empty members are found out: flags first, then
// YAGURA_ENDPOINT and YAGURA_API_KEY, then the endpoints.json and admin key file of the data folder
// (flag or YAGURA_DATA_DIR), then 127.0.0.1:7070.
struct ConnectionOptions {
  std::string endpoint;
  std::string api_key;
  std::string data_dir;
  std::string ca_file;  // set: TLS
  // Of one call. Longer than archive.query_timeout is by default: who asks too much is told so by
  // the suite. Log-in, which asks nothing of stored events, has 30 s at most.
  std::chrono::seconds timeout{90};
};

// The public API with the caller's token. Not thread-safe apart from channel().
class Client {
 public:
  // Exchanges the API key for a token. UNAUTHENTICATED, UNAVAILABLE, FAILED_PRECONDITION
  // (NO_API_KEY, EMPTY_API_KEY).
  static absl::StatusOr<Client> Connect(ConnectionOptions options);

  // One unary call: client.Call(&TicketingService::Stub::GetTicket, request).
  template <typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                             Response*),
                                const Request& request) {
    YAGURA_RETURN_IF_ERROR(RefreshToken());
    Stub stub(channel_);
    grpc::ClientContext context;
    Prepare(context);
    Response response;
    if (const auto status = (stub.*method)(&context, request, &response); !status.ok()) {
      return rpc::FromGrpc(status);
    }
    return response;
  }

  // A server stream, message by message, until it ends or `visit` returns false. No deadline where
  // `endless`.
  template <typename Stub, typename Request, typename Response, typename Visit>
  absl::Status ReadStream(std::unique_ptr<grpc::ClientReader<Response>> (Stub::*method)(
                              grpc::ClientContext*, const Request&),
                          const Request& request, bool endless, const Visit& visit) {
    YAGURA_RETURN_IF_ERROR(RefreshToken());
    Stub stub(channel_);
    grpc::ClientContext context;
    Prepare(context, endless);
    auto reader = (stub.*method)(&context, request);
    Response response;
    while (reader->Read(&response)) {
      if (!visit(response)) {
        context.TryCancel();
        while (reader->Read(&response)) {
        }
        reader->Finish();
        return absl::OkStatus();
      }
    }
    return rpc::FromGrpc(reader->Finish());
  }

  // Deadline and token on a context of the caller's own.
  void Prepare(grpc::ClientContext& context, bool endless = false) const;
  // Makes a new token where the present one lives less than a minute longer.
  absl::Status RefreshToken();
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }
  const std::string& endpoint() const { return options_.endpoint; }

 private:
  Client(ConnectionOptions options, std::shared_ptr<grpc::Channel> channel)
      : options_(std::move(options)), channel_(std::move(channel)) {}

  ConnectionOptions options_;
  std::shared_ptr<grpc::Channel> channel_;
  std::string token_;
  std::chrono::steady_clock::time_point token_good_until_{};
};

}  // namespace yagura::cli
