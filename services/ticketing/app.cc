#include "services/ticketing/app.h"

#include "common/redis/pool.h"
#include "common/status/status.h"
#include "common/stream/worker.h"
#include "services/ticketing/api/comments.h"
#include "services/ticketing/api/tickets.h"
#include "services/ticketing/workers/finding_handler.h"
#include "services/ticketing/workers/user_lookup.h"

namespace yagura::ticketing {
namespace {

// Batch times shards stays below what a ticket remembers.
constexpr size_t kFindingsABatch = 16;

class TicketingApp : public rpc::App {
 public:
  TicketingApp(const Settings& settings, const rpc::Platform& platform)
      : settings_(settings),
        platform_(platform),
        logger_(platform.logger.Named("ticketing")),
        stores_(OpenStores(platform.state, platform.clock)),
        handler_(stores_, platform.clock, {settings.min_severity, settings.deadlines}),
        tickets_(stores_, platform.feed, platform.clock, settings.deadlines,
                 [this](const std::string& user) { return LookUpUser(*platform_.channels, user); }),
        comments_(stores_, platform.clock),
        findings_(
            platform.flow, settings.findings, WorkerOptions(),
            [this](const auto&, const auto& entries) { return OnFindings(entries); },
            [this](const auto&, const stream::Entry& entry, const absl::Status& status) {
              logger_.Error("a finding went to the dead letters",
                            {{"key", entry.key}, {"error", Message(status)}});
            },
            logger_.Named("ticketing/findings")) {}

  std::string_view name() const override { return "ticketing"; }

  void Register(rpc::ServiceRegistry& registry) override {
    tickets_.Register(registry);
    comments_.Register(registry);
  }

  absl::Status Start() override {
    YAGURA_RETURN_IF_ERROR(stream::DeclareReaders(*platform_.flow, settings_.findings));
    findings_.Start();
    return absl::OkStatus();
  }

  void Stop() override { findings_.Stop(); }

  std::map<std::string, absl::Status> Health() const override {
    return {{"redis-state", platform_.state->Command({"PING"}).status()},
            {"redis-flow", platform_.flow->Command({"PING"}).status()}};
  }

 private:
  stream::Worker::Options WorkerOptions() const {
    stream::Worker::Options options;
    options.reader = "ticketing";
    options.holder = platform_.HolderOf(options.reader);
    options.max_entries = kFindingsABatch;
    options.threads = settings_.finding_threads;
    return options;
  }

  absl::Status OnFindings(const std::vector<stream::Entry>& entries) {
    for (const stream::Entry& entry : entries) {
      detection::v1::Finding finding;
      if (!finding.ParseFromString(entry.payload)) {
        return MakeError(absl::StatusCode::kInvalidArgument, "FINDING_UNREADABLE",
                         "an entry is not a Finding");
      }
      const bool grew = FindingHandler::TellsGrowth(entry.key, finding);
      YAGURA_RETURN_IF_ERROR(grew ? handler_.HandleGrowth(finding) : handler_.Handle(finding));
      platform_.metrics
          ->GetCounter("yagura_ticketing_findings_total", "Findings handled, repeats included.")
          ->Add();
    }
    return absl::OkStatus();
  }

  const Settings settings_;
  const rpc::Platform platform_;
  const Logger logger_;
  const Stores stores_;
  FindingHandler handler_;
  TicketsApi tickets_;
  CommentsApi comments_;
  stream::Worker findings_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<rpc::App>> NewApp(const Settings& settings,
                                                 const rpc::Platform& platform) {
  return std::make_unique<TicketingApp>(settings, platform);
}

}  // namespace yagura::ticketing
