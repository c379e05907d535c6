#include "services/ingestion/relay/relay.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/metrics/metrics.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "services/ingestion/ingestion_metrics.h"
#include "services/ingestion/relay/relay_folder.h"
#include "services/ingestion/relay/relay_outlet.h"
#include "services/ingestion/relay/relay_sender.h"
#include "services/ingestion/relay/relay_spool.h"
#include "services/ingestion/workers/listener.h"
#include "services/ingestion/workers/socket.h"
#include "services/ingestion/workers/tls.h"

namespace yagura::ingestion {
namespace {

constexpr std::chrono::seconds kTick{1};

std::string TimeOrNone(TimePoint time) {
  return time == TimePoint{} ? "null" : QuoteJson(FormatTime(time));
}

bool IsId(std::string_view text) {
  return !text.empty() && text.size() <= 64 &&
         text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string_view::npos;
}

// "127.0.0.1:7070", "localhost:7070", "[::1]:7070", "unix:/path".
bool IsOnThisHost(std::string_view endpoint) {
  if (endpoint.starts_with("unix:")) return true;
  const std::string_view host = endpoint.substr(0, endpoint.rfind(':'));
  if (host == "localhost" || host == "[::1]") return true;
  in_addr address{};
  return ::inet_pton(AF_INET, std::string(host).c_str(), &address) == 1 &&
         ntohl(address.s_addr) >> 24 == IN_LOOPBACKNET;
}

class RunningRelay final : public Relay {
 public:
  RunningRelay(RelayOptions options, Socket lock, std::shared_ptr<RelaySpool> spool, Logger logger)
      : options_(std::move(options)),
        lock_(std::move(lock)),
        spool_(std::move(spool)),
        logger_(std::move(logger)),
        sender_({options_.endpoint, options_.api_key_file, options_.ca_file}, spool_, metrics_,
                clock_, logger_.Named("relay/sender")) {
    parts_.instance = "relay";
    parts_.metrics = std::make_shared<IngestionMetrics>(metrics_);
    parts_.clock = clock_;
    parts_.logger = logger_.Named("relay/listener");
    lines_ = metrics_->GetCounter("yagura_relay_lines_total", "Lines that are on the relay's disk");
    parts_.new_outlet = [this](const std::string&) {
      return MakeRelayOutlet(spool_, clock_, lines_);
    };
  }
  ~RunningRelay() override { Stop(); }

  Status Begin() {
    YAGURA_RETURN_IF_ERROR(Bind());
    if (!options_.metrics.empty()) {
      std::string error;
      metrics_server_ = MetricsServer::Start(options_.metrics, metrics_, &error);
      if (metrics_server_ == nullptr) return Unavailable("METRICS_ADDRESS", error);
    }
    for (const auto& [name, listener] : listeners_) listener->Start();
    sender_.Start();
    watch_ = std::jthread([this](const std::stop_token& stop) { Watch(stop); });
    return absl::OkStatus();
  }

  void Stop() override {
    for (const auto& [name, listener] : listeners_) listener->Stop();
    sender_.Stop();
    if (!watch_.joinable()) return;
    watch_.request_stop();
    watch_.join();
    for (const auto& [name, listener] : listeners_) NoteDrops(name);
    Tell(/*runs=*/false);
  }

  std::map<std::string, std::string> Addresses() const override {
    std::map<std::string, std::string> addresses;
    for (const auto& [name, listener] : listeners_) addresses[name] = listener->address();
    if (metrics_server_ != nullptr) {
      addresses["metrics"] = options_.metrics.substr(0, options_.metrics.rfind(':')) +
                             fmt::format(":{}", metrics_server_->port());
    }
    return addresses;
  }

 private:
  Status Bind() {
    ListenerOptions options;
    if (!options_.syslog_udp.empty()) {
      options.name = "syslog_udp";
      options.address = options_.syslog_udp;
      YAGURA_ASSIGN_OR_RETURN(listeners_[options.name], MakeUdpListener(options, parts_));
    }
    if (!options_.syslog_tcp.empty()) {
      options.name = "syslog_tcp";
      options.address = options_.syslog_tcp;
      YAGURA_ASSIGN_OR_RETURN(listeners_[options.name], MakeTcpListener(options, parts_));
    }
    if (!options_.syslog_tls.empty()) {
      options.name = "syslog_tls";
      options.address = options_.syslog_tls;
      const TlsOptions tls{options_.tls_certificate, options_.tls_key, options_.tls_client_ca,
                           /*require_client_certificate=*/false};
      auto server = TlsServer::Make(tls, clock_, parts_.logger);
      if (!server.ok()) return Annotate(server.status(), "syslog-tls");
      options.tls = *std::move(server);
      YAGURA_ASSIGN_OR_RETURN(listeners_[options.name], MakeTcpListener(options, parts_));
    }
    return listeners_.empty() ? InvalidField("syslog-udp", "no listener is asked for")
                              : absl::OkStatus();
  }

  void Watch(const std::stop_token& stop) {
    std::mutex mutex;
    std::condition_variable_any never;
    while (!stop.stop_requested()) {
      for (const auto& [name, listener] : listeners_) NoteDrops(name);
      spool_->Trim();
      Tell(/*runs=*/true);
      std::unique_lock lock(mutex);
      never.wait_for(lock, stop, kTick, [] { return false; });
    }
  }

  void NoteDrops(const std::string& listener) {
    const uint64_t drops = parts_.metrics->KernelDrops(listener);
    spool_->NoteDropped(listener, drops - std::exchange(drops_[listener], drops));
  }

  void Tell(bool runs) {
    const RelaySpool::Stats spool = spool_->stats();
    const RelaySender::Stats sender = sender_.stats();
    const TimePoint now = clock_->Now();
    const bool waits = spool.oldest != TimePoint{};
    const auto lag =
        waits ? std::max<int64_t>(
                    std::chrono::floor<std::chrono::seconds>(now - spool.oldest).count(), 0)
              : 0;
    const auto set = [&](const char* name, const char* help, double value) {
      metrics_->GetGauge(name, help)->Set(value);
    };
    set("yagura_relay_connected", "1 while the suite takes batches", sender.connected);
    set("yagura_relay_waiting_bytes", "Bytes on disk that the suite has not acknowledged",
        static_cast<double>(spool.bytes));
    set("yagura_relay_lag_seconds", "Age of the oldest of them, about", static_cast<double>(lag));
    set("yagura_relay_lost_lines", "Lines given up since the start",
        static_cast<double>(spool.lost_lines));
    set("yagura_relay_doubtful_lines",
        "Lines since the start that went again to the suite and may be there twice",
        static_cast<double>(spool.doubtful_lines));
    set("yagura_relay_disk_refuses", "1 while lines cannot be written to the relay's disk",
        !spool.disk_error.empty());
    set("yagura_relay_damaged_bytes",
        "Bytes of the spool that were no sound record since the start",
        static_cast<double>(spool.damaged_bytes));
    const std::string text = fmt::format(
        R"({{"time":{},"tenant":{},"site":{},"endpoint":{},"connected":{},)"
        R"("last_error":{},"received_lines":{:.0f},"acknowledged_lines":{},"acknowledged_at":{},)"
        R"("waiting_bytes":{},"oldest":{},"lag_seconds":{},"lost_lines":{},"doubtful_lines":{},)"
        R"("disk_error":{}}})"
        "\n",
        QuoteJson(FormatTime(now)), QuoteJson(options_.tenant), QuoteJson(options_.site),
        QuoteJson(options_.endpoint), runs && sender.connected, QuoteJson(sender.last_error),
        lines_->Value(), sender.acknowledged_lines, TimeOrNone(sender.acknowledged_at), spool.bytes,
        TimeOrNone(spool.oldest), lag, spool.lost_lines, spool.doubtful_lines,
        QuoteJson(spool.disk_error));
    const Status written = WriteRelayStatus(options_.data_dir, text);
    if (!std::exchange(status_fails_, !written.ok()) && !written.ok()) {
      logger_.Error("the status cannot be written: what it says is old",
                    {{"error", Message(written)}});
    }
  }

  const RelayOptions options_;
  const Socket lock_;
  const std::shared_ptr<RelaySpool> spool_;
  const Logger logger_;
  const std::shared_ptr<const Clock> clock_ = SystemClock();
  const std::shared_ptr<MetricsRegistry> metrics_ = std::make_shared<MetricsRegistry>();
  Counter* lines_ = nullptr;
  bool status_fails_ = false;
  std::map<std::string, uint64_t> drops_;  // of the kernel, by listener, noted
  RelaySender sender_;
  ListenerParts parts_{{}, {}, {}, {}, {}, {}, {}, Logger::Null()};
  std::map<std::string, std::unique_ptr<Listener>> listeners_;
  std::unique_ptr<MetricsServer> metrics_server_;
  std::jthread watch_;
};

}  // namespace

StatusOr<std::unique_ptr<Relay>> Relay::Start(const RelayOptions& options, Logger logger) {
  if (!IsId(options.tenant)) return InvalidField("tenant", "must be the id of a tenant");
  if (!IsId(options.site)) return InvalidField("site", "must be the id of a site of the tenant");
  if (options.ca_file.empty() && !options.insecure && !IsOnThisHost(options.endpoint)) {
    return InvalidField("ca-file",
                        fmt::format("is needed, as key and lines go to {} in the clear without "
                                    "TLS; --insecure says that they may",
                                    options.endpoint));
  }
  YAGURA_ASSIGN_OR_RETURN(Socket lock, TakeRelayFolder(options.data_dir));
  RelaySpool::Options spool_options;
  spool_options.folder = options.data_dir / "spool";
  spool_options.max_bytes = options.spool_bytes;
  spool_options.max_age = options.keep;
  spool_options.site = options.site;
  spool_options.parent = "tenants/" + options.tenant;
  YAGURA_ASSIGN_OR_RETURN(
      std::shared_ptr<RelaySpool> spool,
      RelaySpool::Open(spool_options, SystemClock(), logger.Named("relay/spool")));
  auto relay =
      std::make_unique<RunningRelay>(options, std::move(lock), std::move(spool), std::move(logger));
  YAGURA_RETURN_IF_ERROR(relay->Begin());
  return relay;
}

StatusOr<Relay::Report> Relay::ReadStatus(const std::filesystem::path& data_dir) {
  return ReadRelayStatus(data_dir, SystemClock()->Now());
}

}  // namespace yagura::ingestion
