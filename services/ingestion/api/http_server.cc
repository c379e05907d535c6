#include "services/ingestion/api/http_server.h"

#include <microhttpd.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <atomic>
#include <condition_variable>
#include <cstring>
#include <list>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "fmt/format.h"

#include "common/clock/clock.h"
#include "common/rpc/peer.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "services/ingestion/api/http_tls.h"
#include "services/ingestion/ingestion_metrics.h"
#include "services/ingestion/workers/descriptor_budget.h"
#include "services/ingestion/workers/fair_executor.h"
#include "services/ingestion/workers/shares.h"
#include "services/ingestion/workers/socket.h"

namespace yagura::ingestion {
namespace {

constexpr size_t kConnectionMemory = 32 * 1024;  // request line and headers
constexpr size_t kQueuePerThread = 32;
// Threads that ask the directory for keys which are not known, so that nobody with a known one
// waits for them.
constexpr int kKeyThreads = 2;
constexpr size_t kKeyQueue = 256;
constexpr auto kTellInterval = std::chrono::seconds(1);
constexpr auto kOwnTimeoutFirst = std::chrono::seconds(5);

const char* TextOrEmpty(const char* text) { return text == nullptr ? "" : text; }

event::IpAddress IpOf(const sockaddr* address) {
  if (address == nullptr) return {};
  sockaddr_storage peer{};
  std::memcpy(&peer, address,
              address->sa_family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6));
  return AddressOf(peer);
}

event::IpAddress IpOf(MHD_Connection* connection) {
  const auto* info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
  return info == nullptr ? event::IpAddress() : IpOf(info->client_addr);
}

std::string PeerOf(const event::IpAddress& ip) {
  if (ip.empty()) return "";
  return ip.bytes().size() == 4 ? fmt::format("ipv4:{}:0", ip.ToString())
                                : fmt::format("ipv6:[{}]:0", ip.ToString());
}

gnutls_session_int* TlsOf(MHD_Connection* connection) {
  const auto* info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
  return info == nullptr ? nullptr : static_cast<gnutls_session_int*>(info->tls_session);
}

// One connection, from its accept to its end.
struct Connection {
  int fd = -1;
  DescriptorBudget::Lease descriptor;
  std::string network;
  // Until then it must have done what it is to do next; none while that is our turn.
  std::optional<SteadyTime> deadline;
  bool cut = false;
  std::unique_ptr<HttpTls::Session> tls;   // null: none is spoken
  bool opening = false;                    // in its handshake
  std::list<Connection*>::iterator place;  // among those, while it is
};

// One request. Belongs to libmicrohttpd's thread but while it is suspended: then to a job.
struct Exchange {
  enum class Phase { kNew, kAdmitting, kReceiving, kHandling };
  Phase phase = Phase::kNew;
  HttpHead head;
  std::optional<uint64_t> length;  // of the body, as it says
  std::string body;
  uint64_t reserved = 0;  // of the bytes of all bodies
  bool too_large = false;
  bool too_many = false;
  std::optional<HttpAnswer> answer;
};

class MicroHttpServer final : public HttpServer {
 public:
  MicroHttpServer(const HttpServerOptions& options, HttpHandler& handler, Socket listening,
                  std::shared_ptr<IngestionMetrics> metrics, Logger logger,
                  std::shared_ptr<DescriptorBudget> descriptors)
      : options_(options),
        handler_(handler),
        metrics_(std::move(metrics)),
        logger_(std::move(logger)),
        descriptors_(std::move(descriptors)),
        listening_(std::move(listening)),
        address_(BoundAddress(listening_)),
        bodies_(options.pending_bytes),
        doors_(kKeyThreads, kKeyQueue),
        jobs_(options.threads, static_cast<size_t>(options.threads) * kQueuePerThread) {}
  ~MicroHttpServer() override { Stop(); }

  const std::string& address() const override { return address_; }

  Status Start() override {
    const auto connections = static_cast<unsigned int>(options_.connections);
    // Ours, which knows what it waits for and counts, comes first.
    const auto longest = std::max(options_.timeout, options_.handshake_timeout) + kOwnTimeoutFirst;
    const auto seconds = std::chrono::ceil<std::chrono::seconds>(longest).count();
    std::vector<MHD_OptionItem> tls;
    unsigned int flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME;
    if (options_.tls != nullptr) {
      flags |= MHD_USE_TLS;
      const auto add = [&tls](MHD_OPTION option, const char* text) {
        tls.push_back({option, 0, const_cast<char*>(text)});
      };
      add(MHD_OPTION_HTTPS_MEM_CERT, options_.tls->certificate().c_str());
      add(MHD_OPTION_HTTPS_MEM_KEY, options_.tls->key().c_str());
      add(MHD_OPTION_HTTPS_PRIORITIES, options_.tls->priorities());
    }
    tls.push_back({MHD_OPTION_END, 0, nullptr});
    daemon_ = MHD_start_daemon(
        flags, 0, &OnAccept, this, &OnRequest, this, MHD_OPTION_ARRAY, tls.data(),
        MHD_OPTION_LISTEN_SOCKET, listening_.fd(), MHD_OPTION_CONNECTION_LIMIT, connections,
        MHD_OPTION_CONNECTION_TIMEOUT, static_cast<unsigned int>(seconds),
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, kConnectionMemory, MHD_OPTION_NOTIFY_COMPLETED,
        &OnCompleted, this, MHD_OPTION_NOTIFY_CONNECTION, &OnConnection, this, MHD_OPTION_END);
    if (daemon_ == nullptr) {
      return Unavailable("LISTEN_FAILED",
                         fmt::format("cannot serve {} on {}", options_.name, address_));
    }
    listening_.Release();  // the daemon's
    watch_ = std::jthread([this](const std::stop_token& stop) { Watch(stop); });
    return absl::OkStatus();
  }

  void Stop() override {
    if (daemon_ == nullptr) return;
    stopping_ = true;
    const Socket closed(MHD_quiesce_daemon(daemon_));
    {
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, options_.drain, [this] { return exchanges_ == 0; });
    }
    doors_.Stop();  // each job resumes its connection
    jobs_.Stop();
    MHD_stop_daemon(daemon_);
    daemon_ = nullptr;
    watch_.request_stop();
    watch_.join();
  }

 private:
  static MHD_Result OnAccept(void* self, const sockaddr* address, socklen_t /*size*/) {
    auto& server = *static_cast<MicroHttpServer*>(self);
    const std::string network = rpc::PeerNetwork(PeerOf(IpOf(address)));
    const std::lock_guard lock(server.mutex_);
    const auto found = server.by_network_.find(network);
    const int held = found == server.by_network_.end() ? 0 : found->second;
    if (held >= server.options_.connections_per_address) {
      server.metrics_->CountConnectionsCut(server.options_.name, "limit");
      return MHD_NO;
    }
    if (server.descriptors_ == nullptr) return MHD_YES;
    // Open has it next: libmicrohttpd makes one connection after the other.
    if (!server.accepted_) server.accepted_ = server.descriptors_->Take(server.options_.name);
    if (server.accepted_) return MHD_YES;
    server.metrics_->CountConnectionsCut(server.options_.name, "descriptors");
    return MHD_NO;
  }

  static void OnConnection(void* self, MHD_Connection* connection, void** context,
                           MHD_ConnectionNotificationCode code) {
    auto& server = *static_cast<MicroHttpServer*>(self);
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
      *context = server.Open(connection);
    } else {
      server.Close(static_cast<Connection*>(*context));
    }
  }

  Connection* Open(MHD_Connection* connection) {
    auto opened = std::make_unique<Connection>();
    opened->fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    opened->network = rpc::PeerNetwork(PeerOf(IpOf(connection)));
    opened->deadline = clock_->SteadyNow() + options_.timeout;
    metrics_->CountConnections(options_.name, +1);
    Connection* const key = opened.get();
    gnutls_session_int* const session = TlsOf(connection);
    if (options_.tls != nullptr && session != nullptr) {
      opened->tls = options_.tls->NewSession(session, [this, key] { EndHandshake(*key); });
    }
    const std::lock_guard lock(mutex_);
    opened->descriptor = std::move(accepted_);
    ++by_network_[opened->network];
    connections_.emplace(key, std::move(opened));
    if (key->tls != nullptr) BeginHandshake(*key);
    return key;
  }

  // Under the mutex.
  void BeginHandshake(Connection& connection) {
    // Somebody who only begins them must not keep others from theirs: the oldest gives way.
    if (opening_.size() >= options_.max_handshakes) Cut(*opening_.front(), "handshakes");
    connection.deadline = clock_->SteadyNow() + options_.handshake_timeout;
    connection.opening = true;
    connection.place = opening_.insert(opening_.end(), &connection);
  }

  void EndHandshake(Connection& connection) {
    const std::lock_guard lock(mutex_);
    if (!std::exchange(connection.opening, false)) return;
    opening_.erase(connection.place);
    connection.deadline = clock_->SteadyNow() + options_.timeout;
  }

  // Under the mutex. libmicrohttpd's thread finds it ended.
  void Cut(Connection& connection, const char* reason) {
    if (std::exchange(connection.opening, false)) opening_.erase(connection.place);
    connection.cut = true;
    ::shutdown(connection.fd, SHUT_RDWR);
    metrics_->CountConnectionsCut(options_.name, reason);
  }

  // Before libmicrohttpd closes the socket.
  void Close(Connection* connection) {
    metrics_->CountConnections(options_.name, -1);
    const std::lock_guard lock(mutex_);
    if (connection->opening) {  // a handshake that failed, or that somebody left
      opening_.erase(connection->place);
      metrics_->CountConnectionsCut(options_.name, "handshake");
      Tell(*connection);
    }
    const auto network = by_network_.find(connection->network);
    if (--network->second == 0) by_network_.erase(network);
    connections_.erase(connection);
  }

  // Under the mutex. Whoever reaches the port can bring it about: once a second at most, the metric
  // has all.
  void Tell(const Connection& connection) {
    const SteadyTime now = clock_->SteadyNow();
    if (now < next_telling_) return;
    next_telling_ = now + kTellInterval;
    logger_.Info("a TLS handshake failed", {{"listener", options_.name},
                                            {"peer", connection.network},
                                            {"detail", connection.tls->refusal()}});
  }

  static Connection* Of(MHD_Connection* connection) {
    return static_cast<Connection*>(
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context);
  }

  // The sender has so long for its next step; without, it is our turn.
  void Give(MHD_Connection* connection, bool sender) {
    const std::lock_guard lock(mutex_);
    auto& deadline = Of(connection)->deadline;
    deadline.reset();
    if (sender) deadline = clock_->SteadyNow() + options_.timeout;
  }

  // libmicrohttpd's own timeout begins anew with every byte.
  void Watch(const std::stop_token& stop) {
    const auto interval = std::clamp<std::chrono::milliseconds>(
        options_.timeout / 10, std::chrono::milliseconds(20), std::chrono::seconds(1));
    std::unique_lock lock(mutex_);
    while (!stop.stop_requested()) {
      stopped_.wait_for(lock, stop, interval, [] { return false; });
      const SteadyTime now = clock_->SteadyNow();
      for (const auto& [key, connection] : connections_) {
        if (connection->cut || !connection->deadline || now < *connection->deadline) continue;
        Cut(*connection, connection->opening ? "handshake_timeout" : "slow");
      }
    }
  }

  static MHD_Result OnRequest(void* self, MHD_Connection* connection, const char* url,
                              const char* method, const char* /*version*/, const char* data,
                              size_t* size, void** state) {
    auto& server = *static_cast<MicroHttpServer*>(self);
    auto* exchange = static_cast<Exchange*>(*state);
    if (exchange == nullptr) {
      *state = exchange = new Exchange();
      exchange->head.method = method;
      exchange->head.path = url;
      const std::lock_guard lock(server.mutex_);
      ++server.exchanges_;
    }
    return server.Go(connection, *exchange, {data == nullptr ? "" : data, *size}, size);
  }

  static MHD_Result OnArgument(void* arguments, MHD_ValueKind /*kind*/, const char* name,
                               const char* value) {
    static_cast<decltype(HttpHead::arguments)*>(arguments)->emplace_back(TextOrEmpty(name),
                                                                         TextOrEmpty(value));
    return MHD_YES;
  }

  static void OnCompleted(void* self, MHD_Connection* connection, void** state,
                          MHD_RequestTerminationCode /*why*/) {
    auto* exchange = static_cast<Exchange*>(*state);
    if (exchange == nullptr) return;
    auto& server = *static_cast<MicroHttpServer*>(self);
    server.bodies_.Give(exchange->head.share, exchange->reserved);
    server.Give(connection, true);  // the next head
    delete exchange;
    *state = nullptr;
    const std::lock_guard lock(server.mutex_);
    if (--server.exchanges_ == 0) server.changed_.notify_all();
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
        return Expect(connection, exchange);
      case Exchange::Phase::kReceiving:
        if (data.empty()) return End(connection, exchange);
        *size = 0;
        Receive(exchange, data);
        return MHD_YES;
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
    Give(connection, false);
    head.listener = options_.name;
    head.address = IpOf(connection);
    head.peer = PeerOf(head.address);
    if (const auto& tls = Of(connection)->tls; tls != nullptr) {
      head.certificates = tls->certificates();
    }
    MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, &MicroHttpServer::OnArgument,
                              &head.arguments);
    head.authorization = header("Authorization");
    head.content_encoding = header("Content-Encoding");
    head.idempotency_key = header("Idempotency-Key");
    exchange.phase = Exchange::Phase::kAdmitting;
    exchange.length = ParseNumber<uint64_t>(header("Content-Length"));
    if (exchange.length && *exchange.length > options_.body_bytes) {
      return Answer(connection, handler_.Refuse(head, 413, "the body is too large"));
    }
    if (stopping_) return Busy(connection, exchange);
    HttpAnswer refusal;
    switch (handler_.Admit(head, false, &refusal)) {
      case HttpHandler::Admission::kIn:
        return Expect(connection, exchange);
      case HttpHandler::Admission::kRefused:
        return Answer(connection, refusal);
      case HttpHandler::Admission::kAskAgain:
        break;
    }
    return Pause(connection, exchange, doors_, rpc::PeerNetwork(head.peer), [this, &exchange] {
      HttpAnswer answer;
      const auto admission = handler_.Admit(exchange.head, true, &answer);
      if (admission != HttpHandler::Admission::kIn) exchange.answer = std::move(answer);
    });
  }

  // The body may come: there is room for what it says it has.
  MHD_Result Expect(MHD_Connection* connection, Exchange& exchange) {
    exchange.phase = Exchange::Phase::kReceiving;
    const uint64_t length = exchange.length.value_or(0);
    if (!bodies_.Take(exchange.head.share, length)) return Busy(connection, exchange);
    exchange.reserved = length;
    Give(connection, true);
    return MHD_YES;
  }

  // A body that is not wanted is read to its end, as an answer can only be given there.
  void Receive(Exchange& exchange, std::string_view data) {
    if (exchange.too_large || exchange.too_many) return;
    const uint64_t needed = exchange.body.size() + data.size();
    if (needed > options_.body_bytes) {
      exchange.too_large = true;
    } else if (needed > exchange.reserved &&
               !bodies_.Take(exchange.head.share, needed - exchange.reserved)) {
      exchange.too_many = true;
    } else {
      exchange.reserved = std::max(exchange.reserved, needed);
      exchange.body += data;
      return;
    }
    bodies_.Give(exchange.head.share, std::exchange(exchange.reserved, 0));
    exchange.body = std::string();
  }

  MHD_Result End(MHD_Connection* connection, Exchange& exchange) {
    exchange.phase = Exchange::Phase::kHandling;
    Give(connection, false);
    if (exchange.too_large) {
      return Answer(connection, handler_.Refuse(exchange.head, 413, "the body is too large"));
    }
    if (exchange.too_many) return Busy(connection, exchange);
    return Pause(connection, exchange, jobs_, exchange.head.share, [this, &exchange] {
      exchange.answer = handler_.Handle(exchange.head, std::move(exchange.body));
    });
  }

  // Lets a thread of ours do it, while libmicrohttpd's serves others.
  template <typename Work>
  MHD_Result Pause(MHD_Connection* connection, Exchange& exchange, FairExecutor& threads,
                   const std::string& share, Work work) {
    MHD_suspend_connection(connection);
    const bool taken = threads.TrySubmit(share, [connection, work = std::move(work)] {
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
    Give(connection, true);  // the answer is to be taken
    MHD_Response* response = MHD_create_response_from_buffer(
        answer.body.size(), const_cast<char*>(answer.body.data()), MHD_RESPMEM_MUST_COPY);
    if (response == nullptr) return MHD_NO;
    MHD_add_response_header(response, "Content-Type", "application/json");
    for (const auto& [name, value] : answer.headers) {
      MHD_add_response_header(response, name.c_str(), value.c_str());
    }
    if (stopping_) MHD_add_response_header(response, "Connection", "close");
    const MHD_Result queued =
        MHD_queue_response(connection, static_cast<unsigned int>(answer.status), response);
    MHD_destroy_response(response);
    return queued;
  }

  const HttpServerOptions options_;
  HttpHandler& handler_;
  const std::shared_ptr<IngestionMetrics> metrics_;
  const Logger logger_;
  const std::shared_ptr<DescriptorBudget> descriptors_;
  const std::shared_ptr<const Clock> clock_ = SystemClock();
  Socket listening_;
  const std::string address_;
  Shares bodies_;
  FairExecutor doors_;  // those whose key is not known
  FairExecutor jobs_;
  std::atomic<bool> stopping_{false};
  std::mutex mutex_;  // of all below
  std::condition_variable changed_;
  std::condition_variable_any stopped_;
  std::unordered_map<Connection*, std::unique_ptr<Connection>> connections_;
  std::list<Connection*> opening_;  // in their handshake, the oldest first
  SteadyTime next_telling_{};
  StringMap<int> by_network_;
  DescriptorBudget::Lease accepted_;  // of the connection that is being made
  size_t exchanges_ = 0;
  std::jthread watch_;
  MHD_Daemon* daemon_ = nullptr;
};

}  // namespace

StatusOr<std::unique_ptr<HttpServer>> HttpServer::Make(
    const HttpServerOptions& options, HttpHandler& handler,
    std::shared_ptr<IngestionMetrics> metrics, Logger logger,
    std::shared_ptr<DescriptorBudget> descriptors) {
  if (options.tls != nullptr && MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES) {
    return Unavailable("TLS_MISSING", "this libmicrohttpd was built without TLS");
  }
  YAGURA_RETURN_IF_ERROR(CheckFree(options.address, SOCK_STREAM));
  YAGURA_ASSIGN_OR_RETURN(Socket listening, Bind(options.address, SOCK_STREAM));
  return std::make_unique<MicroHttpServer>(options, handler, std::move(listening),
                                           std::move(metrics), std::move(logger),
                                           std::move(descriptors));
}

}  // namespace yagura::ingestion
