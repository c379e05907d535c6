#include "services/ingestion/app.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <random>

#include "fmt/format.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"

#include "common/metrics/metrics.h"
#include "common/rpc/channels.h"
#include "common/rpc/service_registry.h"
#include "common/status/status.h"
#include "common/stream/producer.h"
#include "common/stream/worker.h"
#include "services/ingestion/api/api_keys.h"
#include "services/ingestion/api/http_intake.h"
#include "services/ingestion/api/http_server.h"
#include "services/ingestion/api/http_tls.h"
#include "services/ingestion/api/otlp_server.h"
#include "services/ingestion/api/push_session.h"
#include "services/ingestion/api/quarantine_handlers.h"
#include "services/ingestion/domain/coverage_ledger.h"
#include "services/ingestion/domain/described/catalogue.h"
#include "services/ingestion/domain/quarantine.h"
#include "services/ingestion/ingestion_metrics.h"
#include "services/ingestion/storage/batch_sink.h"
#include "services/ingestion/storage/request_memory.h"
#include "services/ingestion/workers/coverage_reporter.h"
#include "services/ingestion/workers/current_sources.h"
#include "services/ingestion/workers/descriptor_budget.h"
#include "services/ingestion/workers/enrichment_refresher.h"
#include "services/ingestion/workers/file_follower.h"
#include "services/ingestion/workers/listener.h"
#include "services/ingestion/workers/source_refresher.h"
#include "services/ingestion/workers/tls.h"
#include "yagura/directory/v1/directory_service.grpc.pb.h"

namespace yagura::ingestion {
namespace {

constexpr auto kExchangeTimeout = std::chrono::seconds(5);

// Differs with every start of a process anywhere: batch ids must never come a second time.
std::string NewInstance() {
  std::random_device random;
  return fmt::format("{:08x}{:08x}{:08x}{:08x}", random(), random(), random(), random());
}

// The same after a restart, and of this process alone as far as it can be had.
std::string IngesterName(const rpc::Platform& platform) {
  std::string name = platform.HolderOf("ingestion");
  if (!name.empty()) return name;
  std::array<char, 256> host{};
  ::gethostname(host.data(), host.size() - 1);
  return std::string(host.data()) + ":" + platform.data_dir.string();
}

// Some KiB a minute: they go where batches of events must wait.
stream::Producer::Options CoverageProducerOptions() {
  stream::Producer::Options options;
  options.memory_budget_bytes = 0;
  return options;
}

// As a service, so that the directory counts each sender by its own address and not all by ours.
StatusOr<std::string> ExchangeApiKey(rpc::Channels& channels, const std::string& secret,
                                     const std::string& peer) {
  const auto stub = directory::v1::DirectoryService::NewStub(channels.Get("directory"));
  grpc::ClientContext context;
  channels.PrepareAs(context, "-", kExchangeTimeout);
  directory::v1::ExchangeApiKeyRequest request;
  request.set_secret(secret);
  request.set_client_peer(peer);
  directory::v1::TokenResponse response;
  YAGURA_RETURN_IF_ERROR(rpc::FromGrpc(stub->ExchangeApiKey(&context, request, &response)));
  return response.token();
}

// Null where no pattern is set.
StatusOr<std::shared_ptr<const MultiLineRule>> RuleOf(const MultiLineOptions& options,
                                                      const char* where) {
  if (options.start.empty() && options.continuation.empty()) return nullptr;
  auto rule = MultiLineRule::Make(options);
  if (!rule.ok()) return Annotate(rule.status(), where);
  return rule;
}

class IngestionApp final : public rpc::App {
 public:
  IngestionApp(const Settings& settings, const rpc::Platform& platform,
               std::unique_ptr<Spool> spool, std::shared_ptr<const ParserCatalogue> parsers)
      : platform_(platform),
        topic_(settings.events),
        push_patience_(settings.push_patience),
        refresher_(
            {settings.sources_refresh, platform.data_dir / "ingestion" / "sources.pb", parsers},
            platform.channels, sources_, platform.logger.Named("ingestion/sources")),
        enrichment_refresher_(
            {settings.threat_lists_folder, settings.geoip_files, settings.enrichment_refresh},
            platform.channels, enrichment_, platform.logger.Named("ingestion/enrichment")),
        coverage_topic_(settings.coverage),
        instance_(NewInstance()),
        ledger_(std::make_shared<CoverageLedger>(IngesterName(platform), instance_)),
        metrics_(std::make_shared<IngestionMetrics>(platform.metrics, ledger_)),
        reporter_({settings.coverage_interval, platform.data_dir / "ingestion" / "coverage.pb"},
                  {ledger_, sources_,
                   std::make_shared<stream::Producer>(platform.flow, coverage_topic_,
                                                      CoverageProducerOptions()),
                   platform.clock, platform.logger.Named("ingestion/coverage")}),
        keys_(std::make_shared<ApiKeys>(
            [channels = platform.channels](const std::string& secret, const std::string& peer) {
              return ExchangeApiKey(*channels, secret, peer);
            },
            platform.verifier, platform.clock)) {
    stream::Producer::Options producer;
    producer.memory_budget_bytes = settings.flow_memory_budget;
    otlp_options_ = {
        settings.otlp,         settings.otlp_certificate,   settings.otlp_key,
        settings.otlp_threads, settings.otlp_request_bytes, settings.otlp_memory_bytes};
    otlp_options_.connections_per_address = settings.otlp_connections_per_address;
    otlp_options_.idle_timeout = settings.otlp_idle_timeout;
    parts_.instance = instance_;
    parts_.intake.batch_bytes = settings.batch_bytes;
    parts_.intake.linger = settings.batch_linger;
    parts_.intake.parsers = std::move(parsers);
    parts_.intake.enrichment = enrichment_;
    parts_.sink = std::make_shared<BatchSink>(
        std::make_shared<stream::Producer>(platform.flow, topic_, producer), std::move(spool),
        metrics_, platform.logger.Named("ingestion/spool"),
        std::make_shared<RequestMemory>(platform.flow, topic_.shards, producer.dedup_window));
    parts_.sources = sources_;
    parts_.quarantine = quarantine_;
    parts_.metrics = metrics_;
    parts_.clock = platform.clock;
    parts_.descriptors = std::make_shared<DescriptorBudget>(
        DescriptorBudget::LimitOfProcess(), metrics_, platform.logger.Named("ingestion"));
    parts_.logger = platform.logger.Named("ingestion/listener");
  }
  ~IngestionApp() override { Stop(); }

  Status Bind(const Settings& settings) {
    ListenerOptions options;
    options.sources_wait = settings.sources_wait;
    options.max_connections = static_cast<size_t>(settings.tcp_connections);
    options.idle_timeout = settings.tcp_idle_timeout;
    options.max_pending_bytes = settings.tcp_pending_bytes;
    options.receive_buffer_bytes = static_cast<int>(settings.udp_receive_buffer);
    if (!settings.syslog_udp.empty()) {
      options.name = "syslog_udp";
      options.address = settings.syslog_udp;
      options.threads = settings.udp_threads;
      YAGURA_ASSIGN_OR_RETURN(listeners_[options.name], MakeUdpListener(options, parts_));
    }
    if (!settings.syslog_tcp.empty()) {
      options.name = "syslog_tcp";
      options.address = settings.syslog_tcp;
      YAGURA_ASSIGN_OR_RETURN(options.multi_line,
                              RuleOf(settings.syslog_tcp_multi_line, "syslog_tcp_multiline"));
      options.threads = settings.tcp_threads;
      YAGURA_ASSIGN_OR_RETURN(listeners_[options.name], MakeTcpListener(options, parts_));
    }
    if (!settings.syslog_tls.empty()) {
      options.name = "syslog_tls";
      options.address = settings.syslog_tls;
      YAGURA_ASSIGN_OR_RETURN(options.multi_line,
                              RuleOf(settings.syslog_tls_multi_line, "syslog_tls_multiline"));
      options.threads = settings.tls_threads;
      options.handshake_timeout = settings.tls_handshake_timeout;
      options.max_handshakes = static_cast<size_t>(settings.tls_handshakes);
      const TlsOptions tls{settings.syslog_tls_certificate, settings.syslog_tls_key,
                           settings.syslog_tls_client_ca,
                           settings.syslog_tls_require_client_certificate};
      auto server = TlsServer::Make(tls, parts_.clock, parts_.logger);
      if (!server.ok()) return Annotate(server.status(), "syslog_tls");
      options.tls = *std::move(server);
      YAGURA_ASSIGN_OR_RETURN(listeners_[options.name], MakeTcpListener(options, parts_));
    }
    for (const FileSettings& files : settings.files)
      YAGURA_RETURN_IF_ERROR(Follow(settings, files));
    return BindHttp(settings);
  }

  std::string_view name() const override { return "ingestion"; }

  void Register(rpc::ServiceRegistry& registry) override {
    charges_ = TenantCharges(registry.quotas());
    registry.Stream<v1::PushRequest, v1::PushResponse>(
        "/yagura.ingestion.v1.IngestionService/Push",
        [this](const rpc::Call& call, rpc::Outbox<v1::PushResponse> outbox) {
          return MakePushSession(parts_, push_patience_, call, std::move(outbox));
        });
    registry.Unary<v1::ListQuarantinedSourcesRequest, v1::ListQuarantinedSourcesResponse>(
        "/yagura.ingestion.v1.IngestionService/ListQuarantinedSources",
        [this](const rpc::Call& call, const v1::ListQuarantinedSourcesRequest& request) {
          const auto sources = sources_->Get();
          return ListQuarantinedSources(*quarantine_,
                                        sources == nullptr ? *SourceMap::Empty() : *sources, call,
                                        request, parts_.clock->Now());
        });
  }

  Status Start() override {
    const Status declared = stream::DeclareReaders(*platform_.flow, topic_);
    if (!declared.ok()) return Annotate(declared, "declaring the readers of the event streams");
    YAGURA_RETURN_IF_ERROR(stream::DeclareReaders(*platform_.flow, coverage_topic_));
    refresher_.Start();
    enrichment_refresher_.Start();
    parts_.sink->Start();
    for (const auto& [name, listener] : listeners_) listener->Start();
    reporter_.Start();
    for (const auto& [name, files] : files_) files->Start();
    if (http_intake_ != nullptr) http_intake_->Charge(charges_);
    for (const auto& [name, server] : http_) YAGURA_RETURN_IF_ERROR(server->Start());
    if (otlp_options_.address.empty()) return absl::OkStatus();
    auto otlp = OtlpServer::Start(otlp_options_, parts_, keys_, charges_);
    if (!otlp.ok()) return Annotate(otlp.status(), "otlp");
    otlp_ = *std::move(otlp);
    return absl::OkStatus();
  }

  void Stop() override {
    for (const auto& [name, server] : http_) server->Stop();
    if (otlp_ != nullptr) otlp_->Stop();
    for (const auto& [name, files] : files_) files->Stop();
    for (const auto& [name, listener] : listeners_) listener->Stop();
    reporter_.Stop();
    parts_.sink->Stop();
    refresher_.Stop();
    enrichment_refresher_.Stop();
  }

  std::map<std::string, Status> Health() const override {
    return {{"redis-flow", parts_.sink->health()}, {"sources", refresher_.health()}};
  }

  std::map<std::string, std::string> Listeners() const override {
    std::map<std::string, std::string> addresses;
    for (const auto& [name, listener] : listeners_) addresses[name] = listener->address();
    for (const auto& [name, server] : http_) addresses[name] = server->address();
    if (otlp_ != nullptr) addresses["otlp"] = otlp_->address();
    return addresses;
  }

 private:
  Status Follow(const Settings& settings, const FileSettings& files) {
    const std::string& name = files.name;
    const bool usable =
        !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), [](char c) {
          return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
        });
    const bool taken = name == "push" || name == "http" || name == "https" || name == "otlp" ||
                       name == "relay" || name.starts_with("syslog_") || files_.contains(name);
    if (!usable || taken) {
      return InvalidField("files.name",
                          fmt::format("\"{}\" is not 1 to 64 of a-z, 0-9 and _, or is another "
                                      "input's name",
                                      name));
    }
    if (files.paths.empty()) return InvalidField("files.paths", "has no pattern");
    FileFollowerOptions options;
    options.name = name;
    options.patterns = files.paths;
    options.positions = platform_.data_dir / "ingestion" / fmt::format("files-{}.pb", name);
    options.interval = settings.files_interval;
    options.sources_wait = settings.sources_wait;
    options.max_files = static_cast<size_t>(settings.files_limit);
    options.rotated_wait = settings.files_rotated_wait;
    options.remember = settings.files_remember;
    options.max_remembered = static_cast<size_t>(settings.files_remembered);
    YAGURA_ASSIGN_OR_RETURN(options.multi_line, RuleOf(files.multi_line, "files"));
    YAGURA_ASSIGN_OR_RETURN(files_[name], FileFollower::Make(options, parts_));
    return absl::OkStatus();
  }

  Status BindHttp(const Settings& settings) {
    if (settings.http.empty() && settings.https.empty()) return absl::OkStatus();
    YAGURA_ASSIGN_OR_RETURN(auto multi_line, RuleOf(settings.http_multi_line, "http_multiline"));
    http_intake_ = std::make_unique<HttpIntake>(
        HttpIntake::Options{settings.http_body_bytes, std::move(multi_line)}, parts_, keys_);
    HttpServerOptions options;
    options.threads = settings.http_threads;
    options.connections = settings.http_connections;
    options.connections_per_address = settings.http_connections_per_address;
    options.timeout = settings.http_timeout;
    options.body_bytes = settings.http_body_bytes;
    options.pending_bytes = settings.http_pending_bytes;
    if (!settings.http.empty()) {
      options.address = settings.http;
      YAGURA_RETURN_IF_ERROR(BindHttpServer(options));
    }
    if (settings.https.empty()) return absl::OkStatus();
    options.name = "https";
    options.address = settings.https;
    options.handshake_timeout = settings.tls_handshake_timeout;
    options.max_handshakes = static_cast<size_t>(settings.tls_handshakes);
    auto tls = HttpTls::Make({settings.https_certificate, settings.https_key,
                              settings.https_client_ca, settings.https_require_client_certificate},
                             parts_.clock, platform_.logger.Named("ingestion/https"));
    if (!tls.ok()) return Annotate(tls.status(), "https");
    options.tls = *std::move(tls);
    return BindHttpServer(options);
  }

  Status BindHttpServer(const HttpServerOptions& options) {
    auto server =
        HttpServer::Make(options, *http_intake_, metrics_,
                         platform_.logger.Named("ingestion/" + options.name), parts_.descriptors);
    if (!server.ok()) return Annotate(server.status(), options.name);
    http_[options.name] = *std::move(server);
    return absl::OkStatus();
  }

  const rpc::Platform platform_;
  const stream::Topic topic_;
  const std::chrono::milliseconds push_patience_;
  const std::shared_ptr<CurrentSources> sources_ = std::make_shared<CurrentSources>();
  const std::shared_ptr<Quarantine> quarantine_ = std::make_shared<Quarantine>();
  SourceRefresher refresher_;
  const std::shared_ptr<CurrentEnrichment> enrichment_ = std::make_shared<CurrentEnrichment>();
  EnrichmentRefresher enrichment_refresher_;
  const stream::Topic coverage_topic_;
  const std::string instance_;
  const std::shared_ptr<CoverageLedger> ledger_;
  const std::shared_ptr<IngestionMetrics> metrics_;
  CoverageReporter reporter_;
  const std::shared_ptr<ApiKeys> keys_;
  TenantCharges charges_{nullptr};
  ListenerParts parts_{{}, {}, {}, {}, {}, {}, {}, Logger::Null()};
  std::map<std::string, std::unique_ptr<Listener>> listeners_;
  std::map<std::string, std::unique_ptr<FileFollower>> files_;
  std::unique_ptr<HttpIntake> http_intake_;
  std::map<std::string, std::unique_ptr<HttpServer>> http_;  // "http", "https"
  OtlpServerOptions otlp_options_;
  std::unique_ptr<OtlpServer> otlp_;
};

}  // namespace

StatusOr<std::unique_ptr<rpc::App>> NewApp(const Settings& settings,
                                           const rpc::Platform& platform) {
  YAGURA_ASSIGN_OR_RETURN(
      auto spool, Spool::Open(platform.data_dir / "ingestion" / "spool", settings.spool_quota));
  std::shared_ptr<const ParserCatalogue> parsers;
  if (!settings.parsers_folder.empty()) {
    auto loaded = ParserCatalogue::Load(settings.parsers_folder);
    if (!loaded.ok()) return Annotate(loaded.status(), "parsers_folder");
    parsers = *std::move(loaded);
  }
  auto app =
      std::make_unique<IngestionApp>(settings, platform, std::move(spool), std::move(parsers));
  YAGURA_RETURN_IF_ERROR(app->Bind(settings));
  return app;
}

}  // namespace yagura::ingestion
