#include "services/ingestion/api/http_server.h"

#include <microhttpd.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <atomic>
#include <cstring>

#include "fmt/format.h"

#include "common/clock/clock.h"
#include "common/rpc/executor.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "services/ingestion/ingestion_metrics.h"
#include "services/ingestion/workers/socket.h"

namespace yagura::ingestion {
namespace {

constexpr size_t kConnectionMemory = 32 * 1024;  // request line and headers
constexpr size_t kQueuePerThread = 32;

const char* TextOrEmpty(const char* text) { return text == nullptr ? "" : text; }

std::string PeerOf(MHD_Connection* connection) {
  const auto* info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
  if (info == nullptr || info->client_addr == nullptr) return "";
  sockaddr_storage peer{};
  std::memcpy(&peer, info->client_addr,
              info->client_addr->sa_family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6));
  const event::IpAddress address = AddressOf(peer);
  return address.bytes().size() == 4 ? fmt::format("ipv4:{}:0", address.ToString())
                                     : fmt::format("ipv6:[{}]:0", address.ToString());
}

// One request. Belongs to libmicrohttpd's thread but while it is suspended: then to a job.
struct Exchange {
  enum class Phase { kNew, kAdmitting, kReceiving, kHandling };
  Phase phase = Phase::kNew;
  HttpHead head;
  std::string body;
  size_t counted = 0;  // of the bytes of all bodies
  bool too_large = false;
  bool too_many = false;
  SteadyTime give_up{};
  std::optional<HttpAnswer> answer;
};

class MicroHttpServer final : public HttpServer {
 public:
  MicroHttpServer(const HttpServerOptions& options, HttpHandler& handler, Socket listening,
                  std::shared_ptr<IngestionMetrics> metrics, Logger logger)
      : options_(options),
        handler_(handler),
        metrics_(std::move(metrics)),
        logger_(std::move(logger)),
        listening_(std::move(listening)),
        address_(BoundAddress(listening_)),
        jobs_(options.threads, static_cast<size_t>(options.threads) * kQueuePerThread) {}
  ~MicroHttpServer() override { Stop(); }

  const std::string& address() const override { return address_; }

  Status Start() override {
    const auto connections = static_cast<unsigned int>(options_.connections);
    const auto per_address = static_cast<unsigned int>(options_.connections_per_address);
    const auto seconds =
        std::max<int64_t>(1, std::chrono::ceil<std::chrono::seconds>(options_.timeout).count());
    daemon_ = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME, 0, nullptr, nullptr, &OnRequest,
        this, MHD_OPTION_LISTEN_SOCKET, listening_.fd(), MHD_OPTION_CONNECTION_LIMIT, connections,
        MHD_OPTION_PER_IP_CONNECTION_LIMIT, per_address, MHD_OPTION_CONNECTION_TIMEOUT,
        static_cast<unsigned int>(seconds), MHD_OPTION_CONNECTION_MEMORY_LIMIT, kConnectionMemory,
        MHD_OPTION_NOTIFY_COMPLETED, &OnCompleted, this, MHD_OPTION_END);
    if (daemon_ == nullptr) {
      return Unavailable("LISTEN_FAILED", fmt::format("cannot serve HTTP on {}", address_));
    }
    listening_.Release();  // the daemon closes it
    return absl::OkStatus();
  }

  void Stop() override {
    if (daemon_ == nullptr) return;
    stopping_ = true;
    jobs_.Stop();  // each resumes its connection
    MHD_stop_daemon(daemon_);
    daemon_ = nullptr;
  }

 private:
  static MHD_Result OnRequest(void* self, MHD_Connection* connection, const char* url,
                              const char* method, const char* /*version*/, const char* data,
                              size_t* size, void** state) {
    auto& server = *static_cast<MicroHttpServer*>(self);
    auto* exchange = static_cast<Exchange*>(*state);
    if (exchange == nullptr) {
      *state = exchange = new Exchange();
      exchange->head.method = method;
      exchange->head.path = url;
    }
    return server.Go(connection, *exchange, {data == nullptr ? "" : data, *size}, size);
  }

  static void OnCompleted(void* self, MHD_Connection* /*connection*/, void** state,
                          MHD_RequestTerminationCode /*why*/) {
    auto* exchange = static_cast<Exchange*>(*state);
    if (exchange == nullptr) return;
    static_cast<MicroHttpServer*>(self)->pending_ -= exchange->counted;
    delete exchange;
    *state = nullptr;
  }

  // Asked at the head, then with each part of the body, then at its end; and again with the same
  // after each pause.
  MHD_Result Go(MHD_Connection* connection, Exchange& exchange, std::string_view data,
                size_t* size) {
    switch (exchange.phase) {
      case Exchange::Phase::kNew:
        return Begin(connection, exchange);
      case Exchange::Phase::kAdmitting:
        if (exchange.answer) return Answer(connection, *exchange.answer);
        exchange.phase = Exchange::Phase::kReceiving;
        exchange.give_up = clock_->SteadyNow() + options_.timeout;
        return MHD_YES;
      case Exchange::Phase::kReceiving:
        if (data.empty()) return End(connection, exchange);
        *size = 0;
        return Receive(exchange, data);
      case Exchange::Phase::kHandling:
        break;
    }
    return exchange.answer ? Answer(connection, *exchange.answer) : MHD_NO;
  }

  MHD_Result Begin(MHD_Connection* connection, Exchange& exchange) {
    HttpHead& head = exchange.head;
    const auto header = [connection](const char* name) {
      return TextOrEmpty(MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name));
    };
    head.peer = PeerOf(connection);
    head.authorization = header("Authorization");
    head.content_encoding = header("Content-Encoding");
    head.idempotency_key = header("Idempotency-Key");
    exchange.phase = Exchange::Phase::kAdmitting;
    const auto length = ParseNumber<uint64_t>(header("Content-Length"));
    if (length && *length > options_.body_bytes) {
      return Answer(connection, handler_.Refuse(head, 413, "the body is too large"));
    }
    return Pause(connection, exchange,
                 [this, &exchange] { exchange.answer = handler_.Admit(exchange.head); });
  }

  // A body that is not wanted is read to its end, as an answer can only be given there.
  MHD_Result Receive(Exchange& exchange, std::string_view data) {
    if (clock_->SteadyNow() > exchange.give_up) {
      metrics_->CountConnectionsCut("http", "slow");
      return MHD_NO;
    }
    if (exchange.too_large || exchange.too_many) return MHD_YES;
    if (exchange.body.size() + data.size() > options_.body_bytes) {
      exchange.too_large = true;
    } else if (pending_.fetch_add(data.size()) + data.size() > options_.pending_bytes) {
      pending_ -= data.size();
      exchange.too_many = true;
    } else {
      exchange.counted += data.size();
      exchange.body += data;
      return MHD_YES;
    }
    pending_ -= std::exchange(exchange.counted, 0);
    exchange.body = std::string();
    return MHD_YES;
  }

  MHD_Result End(MHD_Connection* connection, Exchange& exchange) {
    exchange.phase = Exchange::Phase::kHandling;
    if (exchange.too_large) {
      return Answer(connection, handler_.Refuse(exchange.head, 413, "the body is too large"));
    }
    if (exchange.too_many) return Busy(connection, exchange);
    return Pause(connection, exchange, [this, &exchange] {
      exchange.answer = handler_.Handle(exchange.head, std::move(exchange.body));
    });
  }

  // Lets a thread of ours do it, while libmicrohttpd's serves others.
  template <typename Work>
  MHD_Result Pause(MHD_Connection* connection, Exchange& exchange, Work work) {
    if (stopping_) return Busy(connection, exchange);
    MHD_suspend_connection(connection);
    const bool taken = jobs_.TrySubmit([connection, work = std::move(work)] {
      work();
      MHD_resume_connection(connection);
    });
    if (taken) return MHD_YES;
    exchange.answer = handler_.Refuse(exchange.head, 503, "too many requests wait");
    MHD_resume_connection(connection);
    return MHD_YES;
  }

  MHD_Result Busy(MHD_Connection* connection, const Exchange& exchange) {
    return Answer(connection, handler_.Refuse(exchange.head, 503, "too many requests wait"));
  }

  MHD_Result Answer(MHD_Connection* connection, const HttpAnswer& answer) {
    metrics_->CountHttpAnswer(answer.status);
    MHD_Response* response = MHD_create_response_from_buffer(
        answer.body.size(), const_cast<char*>(answer.body.data()), MHD_RESPMEM_MUST_COPY);
    if (response == nullptr) return MHD_NO;
    MHD_add_response_header(response, "Content-Type", "application/json");
    for (const auto& [name, value] : answer.headers) {
      MHD_add_response_header(response, name.c_str(), value.c_str());
    }
    const MHD_Result queued =
        MHD_queue_response(connection, static_cast<unsigned int>(answer.status), response);
    MHD_destroy_response(response);
    return queued;
  }

  const HttpServerOptions options_;
  HttpHandler& handler_;
  const std::shared_ptr<IngestionMetrics> metrics_;
  const Logger logger_;
  const std::shared_ptr<const Clock> clock_ = SystemClock();
  Socket listening_;
  const std::string address_;
  rpc::Executor jobs_;
  std::atomic<uint64_t> pending_{0};
  std::atomic<bool> stopping_{false};
  MHD_Daemon* daemon_ = nullptr;
};

}  // namespace

StatusOr<std::unique_ptr<HttpServer>> HttpServer::Make(const HttpServerOptions& options,
                                                       HttpHandler& handler,
                                                       std::shared_ptr<IngestionMetrics> metrics,
                                                       Logger logger) {
  YAGURA_RETURN_IF_ERROR(CheckFree(options.address, SOCK_STREAM));
  YAGURA_ASSIGN_OR_RETURN(Socket listening, Bind(options.address, SOCK_STREAM));
  return std::make_unique<MicroHttpServer>(options, handler, std::move(listening),
                                           std::move(metrics), std::move(logger));
}

}  // namespace yagura::ingestion
