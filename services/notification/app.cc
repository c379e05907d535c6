#include "services/notification/app.h"

#include <unistd.h>

#include <mutex>
#include <random>

#include "fmt/format.h"

#include "common/redis/pool.h"
#include "common/seal/keyring.h"
#include "common/status/status.h"
#include "common/store/resource_name.h"
#include "common/stream/worker.h"
#include "services/notification/api/alerts.h"
#include "services/notification/api/contacts.h"
#include "services/notification/api/deliveries.h"
#include "services/notification/api/routes.h"
#include "services/notification/transport/maildir.h"
#include "services/notification/workers/dispatcher.h"
#include "services/notification/workers/finding_handler.h"

namespace yagura::notification {
namespace {

// Batch times shards stays below what an alert remembers.
constexpr size_t kFindingsABatch = 16;

std::function<double()> NewRandom() {
  struct State {
    std::mutex mutex;
    std::minstd_rand engine{std::random_device{}()};
  };
  return [state = std::make_shared<State>()] {
    const std::lock_guard lock(state->mutex);
    return std::uniform_real_distribution<double>(0, 1)(state->engine);
  };
}

std::string NewHolderName() {
  char host[64] = "host";
  ::gethostname(host, sizeof(host) - 1);
  return fmt::format("{}-{}-{}", host, ::getpid(), store::NewUlid());
}

FindingHandler::Options HandlerOptions(const Settings& settings) {
  FindingHandler::Options options;
  options.group_window = settings.group_window;
  options.fallback_email = settings.fallback_email;
  options.portal_url = settings.portal_url;
  options.id_domain = settings.id_domain;
  options.retry = settings.retry;
  return options;
}

class NotificationApp : public rpc::App {
 public:
  NotificationApp(const Settings& settings, const rpc::Platform& platform,
                  const std::shared_ptr<seal::Keyring>& keyring,
                  std::shared_ptr<MailTransport> mail)
      : settings_(settings),
        platform_(platform),
        logger_(platform.logger.Named("notification")),
        stores_(OpenStores(platform.state, platform.clock)),
        secrets_(std::make_shared<ContactSecrets>(stores_, keyring)),
        handler_(stores_, platform.clock, HandlerOptions(settings)),
        alerts_(stores_, platform.feed, platform.clock),
        contacts_(stores_, secrets_, platform.feed, platform.clock,
                  {settings.id_domain, settings.retry,
                   [client = std::shared_ptr<WebhookClient>(NewWebhookClient(settings.webhook))](
                       const std::string& url) { return client->Check(url); }}),
        routes_(stores_, platform.feed),
        deliveries_(stores_, platform.feed),
        holders_(std::make_shared<Holders>(platform.state, NewHolderName(),
                                           platform.HolderOf("notification"))),
        dispatcher_(NewSender(std::move(mail)), holders_, stores_, platform.feed, platform.clock,
                    logger_.Named("notification/dispatcher"),
                    {settings.mail_threads, settings.webhook_threads}),
        findings_(
            platform.flow, settings.findings, WorkerOptions(),
            [this](const auto&, const auto& entries) { return OnFindings(entries); },
            [this](const auto&, const stream::Entry& entry, const absl::Status& status) {
              logger_.Error("a finding went to the dead letters",
                            {{"key", entry.key}, {"error", Message(status)}});
            },
            logger_.Named("notification/findings")) {}

  std::string_view name() const override { return "notification"; }

  void Register(rpc::ServiceRegistry& registry) override {
    alerts_.Register(registry);
    contacts_.Register(registry);
    routes_.Register(registry);
    deliveries_.Register(registry);
  }

  absl::Status Start() override {
    YAGURA_RETURN_IF_ERROR(stream::DeclareReaders(*platform_.flow, settings_.findings));
    dispatcher_.Start();
    findings_.Start();
    return absl::OkStatus();
  }

  void Stop() override {
    findings_.Stop();
    dispatcher_.Stop();
  }

  std::map<std::string, absl::Status> Health() const override {
    platform_.metrics
        ->GetGauge("yagura_notification_deliveries_open", "Deliveries that have not ended.")
        ->Set(static_cast<double>(dispatcher_.pending()));
    return {{"redis-state", platform_.state->Command({"PING"}).status()},
            {"redis-flow", platform_.flow->Command({"PING"}).status()}};
  }

 private:
  stream::Worker::Options WorkerOptions() const {
    stream::Worker::Options options;
    options.reader = "notification";
    options.holder = platform_.HolderOf(options.reader);
    options.max_entries = kFindingsABatch;
    options.threads = settings_.finding_threads;
    return options;
  }

  std::shared_ptr<Sender> NewSender(std::shared_ptr<MailTransport> mail) const {
    Sender::Parts parts{
        stores_,    secrets_,        std::move(mail),   NewWebhookClient(settings_.webhook),
        holders_,   platform_.clock, platform_.metrics, logger_.Named("notification/sender"),
        NewRandom()};
    return std::make_shared<Sender>(
        std::move(parts),
        Sender::Options{settings_.smtp.from, settings_.from_name, settings_.retry});
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
          ->GetCounter("yagura_notification_findings_total", "Findings handled, repeats included.")
          ->Add();
    }
    return absl::OkStatus();
  }

  const Settings settings_;
  const rpc::Platform platform_;
  const Logger logger_;
  const Stores stores_;
  const std::shared_ptr<ContactSecrets> secrets_;
  FindingHandler handler_;
  AlertsApi alerts_;
  ContactsApi contacts_;
  RoutesApi routes_;
  DeliveriesApi deliveries_;
  const std::shared_ptr<Holders> holders_;
  Dispatcher dispatcher_;
  stream::Worker findings_;
};

absl::StatusOr<std::shared_ptr<MailTransport>> NewMailTransport(const Settings& settings,
                                                                const rpc::Platform& platform) {
  if (!settings.smtp.host.empty()) {
    return std::shared_ptr<MailTransport>(NewSmtpTransport(settings.smtp));
  }
  YAGURA_ASSIGN_OR_RETURN(auto maildir, NewMaildirTransport(platform.data_dir / "maildir"));
  return std::shared_ptr<MailTransport>(std::move(maildir));
}

absl::StatusOr<std::shared_ptr<seal::Keyring>> OpenKeyring(const std::filesystem::path& data_dir) {
  const std::filesystem::path folder = data_dir / "notification";
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "DATA_FOLDER_UNUSABLE",
                     fmt::format("{}: {}", folder.string(), error.message()));
  }
  YAGURA_ASSIGN_OR_RETURN(auto data_keys, seal::OpenFolderDataKeys(folder / "data-keys"));
  YAGURA_ASSIGN_OR_RETURN(auto keyring, seal::Keyring::Open(folder / "kek", std::move(data_keys)));
  return std::shared_ptr<seal::Keyring>(std::move(keyring));
}

}  // namespace

absl::StatusOr<std::unique_ptr<rpc::App>> NewApp(const Settings& settings,
                                                 const rpc::Platform& platform) {
  YAGURA_ASSIGN_OR_RETURN(auto mail, NewMailTransport(settings, platform));
  YAGURA_ASSIGN_OR_RETURN(auto keyring, OpenKeyring(platform.data_dir));
  return std::make_unique<NotificationApp>(settings, platform, keyring, std::move(mail));
}

}  // namespace yagura::notification
