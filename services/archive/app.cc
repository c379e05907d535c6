#include "services/archive/app.h"

#include <stop_token>
#include <thread>
#include <utility>

#include "fmt/format.h"

#include "common/eventstore/client.h"
#include "common/filter/filter.h"
#include "common/metrics/metrics.h"
#include "common/redis/pool.h"
#include "common/status/status.h"
#include "common/store/resource_name.h"
#include "common/stream/worker.h"
#include "services/archive/api/archive_handlers.h"
#include "services/archive/api/audit_handlers.h"
#include "services/archive/api/coverage_handlers.h"
#include "services/archive/api/flow_handlers.h"
#include "services/archive/api/hold_handlers.h"
#include "services/archive/api/investigation_handlers.h"
#include "services/archive/api/measures_handlers.h"
#include "services/archive/api/proof_handlers.h"
#include "services/archive/domain/event_table.h"
#include "services/archive/storage/audit_key.h"
#include "services/archive/storage/audit_store.h"
#include "services/archive/storage/head_memory.h"
#include "services/archive/storage/hold_rounds.h"
#include "services/archive/storage/migrations.h"
#include "services/archive/storage/proof_store.h"
#include "services/archive/storage/seal_store.h"
#include "services/archive/storage/spool.h"
#include "services/archive/storage/store_servers.h"
#include "services/archive/storage/tiering.h"
#include "services/archive/storage/unstored_events.h"
#include "services/archive/storage/word_indexer.h"
#include "services/archive/workers/audit_sealer.h"
#include "services/archive/workers/coverage_writer.h"
#include "services/archive/workers/day_chore.h"
#include "services/archive/workers/event_sealer.h"
#include "services/archive/workers/event_writer.h"
#include "services/archive/workers/flow_keeper.h"
#include "services/archive/workers/hold_keeper.h"
#include "services/archive/workers/hold_watcher.h"
#include "services/archive/workers/retention.h"
#include "services/archive/workers/retention_refresher.h"
#include "services/archive/workers/tail_hub.h"
#include "services/archive/workers/write_gate.h"

namespace yagura::archive {
namespace {

constexpr std::chrono::seconds kTrimInterval{5};
constexpr std::chrono::seconds kTick{1};
constexpr std::chrono::minutes kFlowSweep{10};
constexpr DayChore::Pace kIndexing{.when_done = std::chrono::minutes(1)};
// Longer than from one look to the next, and than a look takes.
constexpr std::chrono::minutes kIndexingLease{5};
// A server of the cluster that nobody asks is checked so often.
constexpr std::chrono::seconds kCheckUnheard{30};
constexpr std::string_view kService = "/yagura.archive.v1.ArchiveService/";
constexpr std::string_view kAuditService = "/yagura.audit.v1.AuditService/";

WriterOptions WriterOptionsOf(const Settings& settings, const rpc::Platform& platform) {
  WriterOptions options = settings.writer;
  options.holder = platform.HolderOf(options.reader);
  return options;
}

SealOptions SealOptionsOf(const Settings& settings, const rpc::Platform& platform) {
  SealOptions options = settings.audit;
  options.holder = platform.HolderOf("audit");
  return options;
}

HoldKeeper::Options HoldOptionsOf(const rpc::Platform& platform) {
  HoldKeeper::Options options;
  options.holder = platform.HolderOf("holds");
  return options;
}

stream::Worker::Options CoverageOptions(const Settings& settings, const rpc::Platform& platform) {
  stream::Worker::Options options;
  options.reader = settings.writer.reader;
  options.holder = platform.HolderOf("coverage");
  options.lease = settings.writer.lease;
  return options;
}

// As which a process that writes to the event store is known to who pauses that.
std::string WriterNameOf(const rpc::Platform& platform) {
  const std::string holder = platform.HolderOf("archive");
  return holder.empty() ? fmt::format("archive/{}", store::NewUlid()) : holder;
}

// What makes one server fit: its schema, and where events lie on it.
absl::Status PrepareServer(eventstore::Client& server, const EventTable& table,
                           const Settings& settings, const Logger& logger) {
  YAGURA_RETURN_IF_ERROR(
      Migrate(server, table, logger, settings.cluster, PlaceOf(settings.tiering)));
  return ApplyTiering(server, settings.tiering, logger);
}

// A client for each server, where there are several.
std::vector<std::shared_ptr<eventstore::Client>> ServersOf(
    const Settings& settings, const std::shared_ptr<eventstore::Client>& client) {
  if (settings.cluster.empty()) return {client};
  std::vector<std::shared_ptr<eventstore::Client>> servers;
  for (const std::string& address : settings.store.addresses) {
    eventstore::ClientOptions options = settings.store;
    options.addresses = {address};
    servers.push_back(std::make_shared<eventstore::Client>(options));
  }
  return servers;
}

std::vector<DayChore::Step> MovesOf(const Settings& settings,
                                    const std::shared_ptr<eventstore::Client>& client) {
  std::vector<DayChore::Step> steps;
  if (settings.tiering.storage_policy.empty()) return steps;
  for (const auto& server : ServersOf(settings, client)) {
    steps.emplace_back([server, tiering = settings.tiering](TimePoint now) {
      return MoveOneDay(*server, tiering, now);
    });
  }
  return steps;
}

// Of all servers at once: what one of them is told of parts others do as well.
std::vector<DayChore::Step> IndexingOf(const Settings& settings,
                                       const std::shared_ptr<eventstore::Client>& client,
                                       const rpc::Platform& platform) {
  if (!settings.word_index) return {};
  const std::string holder = platform.HolderOf("words");
  JobLease lease(platform.state, "y:{-}:archive:words-lease",
                 holder.empty() ? fmt::format("words/{}", store::NewUlid()) : holder,
                 kIndexingLease);
  return {[indexer = std::make_shared<WordIndexer>(client, std::move(lease))](TimePoint now) {
    return indexer->Next(now);
  }};
}

eventstore::ClientOptions StoreOptions(const Settings& settings, const EventTable& table,
                                       const Logger& logger,
                                       const std::shared_ptr<StoreServers>& servers) {
  eventstore::ClientOptions options = settings.store;
  if (settings.cluster.empty()) return options;
  const size_t quorum = settings.insert_quorum > 0 ? static_cast<size_t>(settings.insert_quorum)
                                                   : options.addresses.size() / 2 + 1;
  AddReplication(quorum, &options);
  options.prepare = [&table, settings, logger](eventstore::Client& server) {
    return PrepareServer(server, table, settings, logger);
  };
  options.on_change = [servers](size_t server, const Status& status) {
    servers->Note(server, status);
  };
  return options;
}

class ArchiveApp final : public rpc::App {
 public:
  ArchiveApp(const Settings& settings, const rpc::Platform& platform, std::unique_ptr<Spool> spool,
             const auth::SigningKey& audit_key, TrustedKeys trusted_keys)
      : platform_(platform),
        settings_(settings),
        logger_(platform.logger.Named("archive")),
        servers_(std::make_shared<StoreServers>(settings_.store.addresses, logger_)),
        client_(std::make_shared<eventstore::Client>(
            StoreOptions(settings_, table_, logger_, servers_))),
        retention_(settings.default_retention_days),
        spool_(std::move(spool)),
        unit_ledger_(platform.state),
        proofs_(client_, &unit_ledger_),
        head_memory_(platform.state),
        pause_(platform.flow, WriterNameOf(platform), gate_, {}, logger_),
        writer_({platform.flow, settings.events, client_, table_, retention_, *spool_, logger_,
                 &proofs_, &gate_},
                WriterOptionsOf(settings, platform), settings.writer_threads),
        coverage_writer_(client_),
        coverage_worker_(
            platform.flow, settings.coverage, CoverageOptions(settings, platform),
            [this](const auto& /*context*/, const auto& entries) {
              return coverage_writer_.Handle(entries);
            },
            nullptr, logger_),
        trimmer_(platform.flow, {settings.events, settings.coverage}, kTrimInterval, logger_),
        tail_(platform.flow, settings.events, logger_),
        refresher_(platform.channels, retention_, settings.retention_refresh, logger_),
        runner_(client_, platform.clock, settings.query),
        unstored_(platform.flow, settings.events, settings.writer.reader, *spool_),
        handlers_(runner_, table_, &unstored_),
        coverage_(runner_),
        flows_(runner_),
        measures_(runner_, table_),
        investigations_(runner_, table_, &unstored_),
        flow_keeper_(client_, retention_),
        holds_(platform.state, LegalHoldKind(), platform.clock),
        hold_rounds_(platform.state),
        hold_watcher_({platform.state, hold_rounds_, retention_, logger_}, holds_, {}),
        hold_keeper_(
            {platform.state, client_, hold_rounds_, proofs_, retention_, platform.clock, logger_},
            holds_, HoldOptionsOf(platform)),
        hold_handlers_(holds_, platform.feed, platform.clock, [this] { HoldsChanged(); }),
        mover_(MovesOf(settings_, client_), platform.clock, {},
               {"a day of events was moved to the volume where it belongs",
                "events stay on their volume for now"},
               logger_),
        indexer_(IndexingOf(settings_, client_, platform), platform.clock, kIndexing,
                 {"a day of events gets its indexes for words",
                  "a day of events has no indexes for words yet"},
                 logger_),
        seals_(platform.state),
        audit_store_(client_),
        audit_key_(audit_key),
        sealing_{seals_, audit_store_, audit_key_, platform.clock, logger_.Named("sealer")},
        sealer_(platform.state, SealOptionsOf(settings, platform), sealing_),
        event_sealer_({proofs_, head_memory_, unit_ledger_, retention_, audit_key_, trusted_keys,
                       platform.clock, logger_.Named("event-sealer")},
                      {.gate = &gate_}),
        proof_handlers_(proofs_, head_memory_, unit_ledger_, holds_, trusted_keys, platform.clock),
        audit_(platform.state, seals_, audit_store_, std::move(trusted_keys), platform.clock) {
    sealing_.gate = &gate_;
  }

  ~ArchiveApp() override { Stop(); }

  std::string_view name() const override { return "archive"; }

  void Register(rpc::ServiceRegistry& registry) override {
    const std::string service(kService);
    registry.ServerStream<v1::SearchEventsRequest, v1::SearchEventsResponse>(
        service + "SearchEvents", [this](const auto& call, const auto& request, const auto& out) {
          return handlers_.SearchEvents(call, request, out);
        });
    registry.Unary<v1::CountEventsRequest, v1::CountEventsResponse>(
        service + "CountEvents", [this](const auto& call, const auto& request) {
          return handlers_.CountEvents(call, request);
        });
    registry.Unary<v1::AggregateEventsRequest, v1::AggregateEventsResponse>(
        service + "AggregateEvents", [this](const auto& call, const auto& request) {
          return handlers_.AggregateEvents(call, request);
        });
    registry.Unary<v1::GetHistogramRequest, v1::GetHistogramResponse>(
        service + "GetHistogram", [this](const auto& call, const auto& request) {
          return handlers_.GetHistogram(call, request);
        });
    registry.Unary<v1::GetCoverageRequest, v1::GetCoverageResponse>(
        service + "GetCoverage", [this](const auto& call, const auto& request) {
          return handlers_.GetCoverage(call, request);
        });
    registry.Unary<coverage::v1::ListCoverageRequest, coverage::v1::ListCoverageResponse>(
        "/yagura.coverage.v1.CoverageService/ListCoverage",
        [this](const auto& call, const auto& request) {
          return coverage_.ListCoverage(call, request);
        });
    registry.Unary<v1::ListFlowsRequest, v1::ListFlowsResponse>(
        service + "ListFlows",
        [this](const auto& call, const auto& request) { return flows_.ListFlows(call, request); });
    registry.Unary<v1::ListHourlyMeasuresRequest, v1::ListHourlyMeasuresResponse>(
        service + "ListHourlyMeasures", [this](const auto& call, const auto& request) {
          return measures_.ListHourlyMeasures(call, request);
        });
    registry.Unary<v1::ListPeriodicFlowsRequest, v1::ListPeriodicFlowsResponse>(
        service + "ListPeriodicFlows", [this](const auto& call, const auto& request) {
          return measures_.ListPeriodicFlows(call, request);
        });
    registry.Unary<v1::InvestigateEntityRequest, v1::InvestigateEntityResponse>(
        service + "InvestigateEntity", [this](const auto& call, const auto& request) {
          return investigations_.InvestigateEntity(call, request);
        });
    registry.Unary<v1::TraceEndpointRequest, v1::TraceEndpointResponse>(
        service + "TraceEndpoint", [this](const auto& call, const auto& request) {
          return investigations_.TraceEndpoint(call, request);
        });
    registry.ServerStream<v1::ExportEventsRequest, v1::SearchEventsResponse>(
        service + "ExportEvents", [this](const auto& call, const auto& request, const auto& out) {
          return handlers_.ExportEvents(call, request, out);
        });
    RegisterHolds(registry);
    RegisterProofs(registry);
    RegisterAudit(registry);
    registry.Watch<v1::TailEventsRequest, v1::TailEventsResponse>(
        service + "TailEvents", [this](const auto& call, const auto& request, auto out) {
          return Tail(call, request, out);
        });
  }

  void RegisterProofs(rpc::ServiceRegistry& registry) {
    const std::string service = "/yagura.archive.v1.ProofService/";
    registry.ServerStream<v1::VerifyEventsRequest, v1::VerifyEventsResponse>(
        service + "VerifyEvents", [this](const auto& call, const auto& request, const auto& out) {
          return proof_handlers_.VerifyEvents(call, request, out);
        });
    registry.Unary<v1::ListEventHeadsRequest, v1::ListEventHeadsResponse>(
        service + "ListEventHeads", [this](const auto& call, const auto& request) {
          return proof_handlers_.ListEventHeads(call, request);
        });
  }

  void RegisterHolds(rpc::ServiceRegistry& registry) {
    const std::string service = "/yagura.archive.v1.LegalHoldService/";
    registry.Unary<v1::CreateLegalHoldRequest, v1::LegalHold>(
        service + "CreateLegalHold", [this](const auto& call, const auto& request) {
          return hold_handlers_.Create(call, request);
        });
    registry.Unary<v1::GetLegalHoldRequest, v1::LegalHold>(
        service + "GetLegalHold", [this](const auto& call, const auto& request) {
          return hold_handlers_.Get(call, request);
        });
    registry.Unary<v1::ListLegalHoldsRequest, v1::ListLegalHoldsResponse>(
        service + "ListLegalHolds", [this](const auto& call, const auto& request) {
          return hold_handlers_.List(call, request);
        });
    registry.Unary<v1::ReleaseLegalHoldRequest, v1::LegalHold>(
        service + "ReleaseLegalHold", [this](const auto& call, const auto& request) {
          return hold_handlers_.Release(call, request);
        });
  }

  // The store may be down: events then wait in the streams, and searches say so. Where no server is
  // what is needed, or could become so by itself, this is an error.
  absl::Status Start() override {
    YAGURA_RETURN_IF_ERROR(stream::DeclareReaders(*platform_.flow, settings_.events));
    YAGURA_RETURN_IF_ERROR(stream::DeclareReaders(*platform_.flow, settings_.coverage));
    pause_.Start();
    const Status migrated = PrepareSchema();
    if (migrated.code() == absl::StatusCode::kFailedPrecondition) return migrated;
    schema_ready_ = migrated.ok();
    if (schema_ready_) StartWriting();
    retention_.OnUnknown([this] { refresher_.Wake(); });
    refresher_.Start();
    trimmer_.Start();
    tail_.Start();
    ticker_ = std::jthread([this](const std::stop_token& stop) { Tick(stop); });
    return absl::OkStatus();
  }

  void Stop() override {
    ticker_.request_stop();
    if (ticker_.joinable()) ticker_.join();
    tail_.Stop();
    trimmer_.Stop();
    retention_.OnUnknown(nullptr);
    refresher_.Stop();
    mover_.Stop();
    indexer_.Stop();
    hold_keeper_.Stop();
    event_sealer_.Stop();
    sealer_.Stop();
    coverage_worker_.Stop();
    writer_.Stop();
    pause_.Stop();  // a pause is kept as long as anything writes
    hold_watcher_.Stop();
  }

  std::map<std::string, absl::Status> Health() const override {
    const std::lock_guard lock(mutex_);
    return {{"store", store_health_}, {"writer", writer_.Health()}, {"sealer", sealer_.Health()}};
  }

 private:
  void RegisterAudit(rpc::ServiceRegistry& registry) {
    const std::string service(kAuditService);
    registry.Unary<audit::v1::ListRecordsRequest, audit::v1::ListRecordsResponse>(
        service + "ListRecords", [this](const auto& call, const auto& request) {
          return audit_.ListRecords(call, request);
        });
    registry.ServerStream<audit::v1::VerifyRecordsRequest, audit::v1::VerifyRecordsResponse>(
        service + "VerifyRecords", [this](const auto& call, const auto& request, const auto& out) {
          return audit_.VerifyRecords(call, request, out);
        });
    registry.Unary<audit::v1::ListSealingKeysRequest, audit::v1::ListSealingKeysResponse>(
        service + "ListSealingKeys", [this](const auto& call, const auto& request) {
          return audit_.ListSealingKeys(call, request);
        });
  }

  // Once the event store has its tables, and it is known which events are held.
  void StartWriting() {
    hold_watcher_.Start();
    hold_keeper_.Start();
    event_sealer_.Start();
    writer_.Start();
    coverage_worker_.Start();
    sealer_.Start();
    mover_.Start();
    indexer_.Start();
  }

  StatusOr<std::shared_ptr<void>> Tail(const rpc::Call& call, const v1::TailEventsRequest& request,
                                       rpc::Outbox<v1::TailEventsResponse> out) {
    YAGURA_ASSIGN_OR_RETURN(
        filter::Filter filter,
        filter::Filter::Parse(request.filter(), filter::EventSchema(), platform_.clock->Now()));
    return tail_.Subscribe(call.scope(), std::move(filter),
                           [out = std::move(out)](v1::TailEventsResponse response) {
                             return out.Push(std::move(response));
                           });
  }

  // Those that insert here know at once, all others within a second.
  void HoldsChanged() {
    if (const auto begun = hold_rounds_.Begin(); !begun.ok()) {
      logger_.Warning("a change of legal holds is told later", {{"why", Message(begun.status())}});
    }
    hold_watcher_.Wake();
    hold_keeper_.Wake();
  }

  absl::Status PrepareSchema() {
    YAGURA_RETURN_IF_ERROR(settings_.cluster.empty()
                               ? PrepareServer(*client_, table_, settings_, logger_)
                               : client_->PrepareServers());
    return hold_watcher_.Turn();
  }

  // Every second: health, metrics, and the schema where the store was down at the start.
  void Tick(const std::stop_token& stop) {
    std::mutex mutex;
    std::condition_variable_any wake;
    while (!stop.stop_requested()) {
      client_->CheckUnheard(kCheckUnheard);
      Status health = client_->Ping();
      if (health.ok() && !schema_ready_) {
        health = PrepareSchema();
        schema_ready_ = health.ok();
        if (schema_ready_) StartWriting();
      }
      {
        const std::lock_guard lock(mutex_);
        store_health_ = health;
      }
      if (health.ok() && platform_.clock->Now() >= next_flow_sweep_) SweepFlows();
      UpdateMetrics(health);
      std::unique_lock lock(mutex);
      wake.wait_for(lock, stop, kTick, [] { return false; });
    }
  }

  // Not before the directory has told of retention, nor without knowing what is held.
  void SweepFlows() {
    const TimePoint now = platform_.clock->Now();
    next_flow_sweep_ = now + kFlowSweep;
    if (!refresher_.told() || !retention_.HoldsGood()) return;
    const Status swept = flow_keeper_.Sweep(now);
    if (!swept.ok()) {
      logger_.Warning("flows whose time is over stay for now", {{"why", Message(swept)}});
    }
  }

  void UpdateMetrics(const Status& health) {
    MetricsRegistry& metrics = *platform_.metrics;
    metrics.GetGauge("yagura_archive_store_up", "1 while the event store answers.")
        ->Set(health.ok() ? 1 : 0);
    if (!settings_.cluster.empty()) {
      for (const auto& [state, count] : servers_->Counts()) {
        metrics
            .GetGauge("yagura_archive_store_servers",
                      "Servers of the event store's cluster: usable, away, unfit, or unknown yet.",
                      {{"state", std::string(state)}})
            ->Set(static_cast<double>(count));
      }
    }
    metrics.GetGauge("yagura_archive_spool_bytes", "Bytes in the spool.")
        ->Set(static_cast<double>(spool_->bytes()));
    AddUp("yagura_archive_events_total", "Events stored.", writer_.events());
    AddUp("yagura_archive_inserts_total", "Inserts into the event store.", writer_.inserts());
    AddUp("yagura_archive_broken_batches_total", "Batches that went to the dead letters.",
          writer_.broken());
    metrics
        .GetGauge("yagura_archive_audit_unsealed_records", "Audit records that wait to be sealed.")
        ->Set(static_cast<double>(sealer_.unsealed()));
    metrics
        .GetGauge("yagura_archive_audit_stalled_tenants",
                  "Tenants whose audit records cannot be sealed.")
        ->Set(static_cast<double>(sealer_.stalled()));
    metrics
        .GetGauge("yagura_archive_event_days_broken",
                  "Days of tenants whose sealed heads the event store does not have as they were; "
                  "nothing more of them is sealed.")
        ->Set(static_cast<double>(event_sealer_.broken()));
    metrics
        .GetGauge("yagura_archive_event_units_strange",
                  "Units of events in the event store that this suite did not put there; they are "
                  "not sealed.")
        ->Set(static_cast<double>(event_sealer_.strange()));
    metrics
        .GetGauge("yagura_archive_event_units_missing",
                  "Units of events that were stored and are gone from the event store, unsealed.")
        ->Set(static_cast<double>(event_sealer_.missing()));
    AddUp("yagura_archive_audit_sealed_records_total", "Audit records sealed.", sealing_.sealed);
    AddUp("yagura_archive_audit_seals_total", "Stretches of audit records sealed.",
          sealing_.seals_made);
    AddUp("yagura_archive_audit_lost_records_total",
          "Audit records that were gone from a feed before they could be sealed.", sealing_.lost);
    AddUp("yagura_archive_audit_trimmed_records_total",
          "Sealed audit records dropped from the change feeds.", sealing_.trimmed);
  }

  void AddUp(const std::string& metric, const std::string& help, uint64_t now) {
    Counter* counter = platform_.metrics->GetCounter(metric, help);
    counter->Add(static_cast<double>(now) - static_cast<double>(reported_[metric]));
    reported_[metric] = now;
  }

  const rpc::Platform platform_;
  const Settings settings_;
  const Logger logger_;
  const EventTable table_;
  const std::shared_ptr<StoreServers> servers_;  // of a cluster
  const std::shared_ptr<eventstore::Client> client_;
  Retention retention_;
  const std::unique_ptr<Spool> spool_;
  const UnitLedger unit_ledger_;
  const ProofStore proofs_;
  const HeadMemory head_memory_;
  WriteGate gate_;
  PauseFollower pause_;
  EventWriter writer_;
  const CoverageWriter coverage_writer_;
  stream::Worker coverage_worker_;
  stream::Trimmer trimmer_;
  TailHub tail_;
  RetentionRefresher refresher_;
  const QueryRunner runner_;
  const UnstoredEvents unstored_;
  const ArchiveHandlers handlers_;
  const CoverageHandlers coverage_;
  const FlowHandlers flows_;
  const MeasuresHandlers measures_;
  const InvestigationHandlers investigations_;
  const FlowKeeper flow_keeper_;
  const store::Store<v1::LegalHold> holds_;
  const HoldRounds hold_rounds_;
  HoldWatcher hold_watcher_;
  HoldKeeper hold_keeper_;
  HoldHandlers hold_handlers_;
  DayChore mover_;
  DayChore indexer_;
  const SealStore seals_;
  const AuditStore audit_store_;
  const auth::SigningKey audit_key_;
  SealerParts sealing_;
  AuditSealer sealer_;
  EventSealer event_sealer_;
  const ProofHandlers proof_handlers_;
  const AuditHandlers audit_;
  bool schema_ready_ = false;                 // Start, then the ticker
  TimePoint next_flow_sweep_{};               // the ticker alone
  std::map<std::string, uint64_t> reported_;  // of counters; the ticker alone
  mutable std::mutex mutex_;
  absl::Status store_health_;  // guarded by mutex_
  std::jthread ticker_;
};

}  // namespace

StatusOr<std::unique_ptr<rpc::App>> NewApp(const Settings& settings,
                                           const rpc::Platform& platform) {
  const std::filesystem::path folder = settings.spool_folder.empty()
                                           ? platform.data_dir / "archive" / "spool"
                                           : std::filesystem::path(settings.spool_folder);
  YAGURA_ASSIGN_OR_RETURN(auto spool, Spool::Open(folder, settings.spool_quota_bytes));
  YAGURA_ASSIGN_OR_RETURN(const auth::SigningKey audit_key,
                          LoadOrCreateAuditKey(platform.data_dir / "archive"));
  YAGURA_ASSIGN_OR_RETURN(TrustedKeys trusted,
                          TrustedKeysOf(audit_key, settings.trusted_audit_keys));
  return std::unique_ptr<rpc::App>(std::make_unique<ArchiveApp>(
      settings, platform, std::move(spool), audit_key, std::move(trusted)));
}

}  // namespace yagura::archive
