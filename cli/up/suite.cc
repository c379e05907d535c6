#include "cli/up/suite.h"

#include <unistd.h>

#include <functional>
#include <vector>

#include "cli/content_dir.h"
#include "cli/data_dir.h"
#include "cli/up/redis_child.h"
#include "cli/up/server_certificate.h"
#include "fmt/format.h"

#include "common/config/settings_reader.h"
#include "common/eventstore/store_process.h"
#include "common/rpc/platform.h"
#include "common/rpc/server.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "services/archive/app.h"
#include "services/config/app.h"
#include "services/detection/app.h"
#include "services/directory/app.h"
#include "services/ingestion/app.h"
#include "services/notification/app.h"
#include "services/reporting/app.h"
#include "services/ticketing/app.h"

namespace yagura::cli {
namespace {

using config::SettingsReader;
using AppOr = absl::StatusOr<std::unique_ptr<rpc::App>>;

std::filesystem::path ProgramFolder() {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path();
}

std::string Local(int port) { return fmt::format("127.0.0.1:{}", port); }

absl::StatusOr<SettingsReader> OpenSettings(const std::filesystem::path& file) {
  if (file.empty()) return SettingsReader::Empty();
  return SettingsReader::FromFile(file);
}

// What in a section of the settings the suite sets itself.
std::string Given(std::string_view service) {
  if (service == "directory") return " Where its keys lie is the data folder's business.";
  if (service == "archive") return " Its store is the embedded one.";
  if (service == "ingestion") {
    return " Where it listens is an option of `yagura up`: syslog_udp, syslog_tcp, syslog_tls, "
           "http and "
           "otlp do not count here.";
  }
  return "";
}

SettingsReader ServiceSection(SettingsReader& reader, std::string_view service) {
  return reader.Section(service, fmt::format("The service {}.{}", service, Given(service)));
}

std::filesystem::path ReadStoreConfig(SettingsReader& reader) {
  auto section = reader.Section("store", "The embedded event store, a child process.");
  return section.String("config_file", "",
                        "A ClickHouse configuration file (XML or YAML), for disks and storage "
                        "policies; empty: none.");
}

}  // namespace

struct Suite::Impl {
  std::unique_ptr<RedisChild> redis_state;
  std::unique_ptr<RedisChild> redis_flow;
  std::unique_ptr<eventstore::StoreProcess> store;
  std::unique_ptr<rpc::PlatformHost> host;
  std::unique_ptr<rpc::Server> server;
  std::map<std::string, std::string> sockets;  // "unix:/path" of each Redis

  absl::Status StartChildren(const DataFolder& folder, SettingsReader& reader,
                             const Logger& logger);
  absl::Status StartServer(const SuiteOptions& options, const DataFolder& folder,
                           SettingsReader& reader, const Logger& logger);
};

namespace {

// Builds the Apps of all services from one settings tree. The order is that of starting: whom
// others ask comes first.
class AppFactory {
 public:
  AppFactory(const SuiteOptions& options, const DataFolder& folder, rpc::PlatformHost& host,
             SettingsReader& reader, std::string store_address)
      : options_(options),
        folder_(folder),
        host_(host),
        reader_(reader),
        store_address_(std::move(store_address)) {}

  absl::StatusOr<std::vector<std::unique_ptr<rpc::App>>> MakeAll() {
    std::vector<std::unique_ptr<rpc::App>> apps;
    for (const auto make : {&AppFactory::Directory, &AppFactory::Archive, &AppFactory::Detection,
                            &AppFactory::Notification, &AppFactory::Ticketing, &AppFactory::Config,
                            &AppFactory::Reporting, &AppFactory::Ingestion}) {
      YAGURA_ASSIGN_OR_RETURN(auto app, (this->*make)());
      apps.push_back(std::move(app));
    }
    return apps;
  }

 private:
  SettingsReader Section(const std::string& service) { return ServiceSection(reader_, service); }

  AppOr Directory() {
    auto section = Section("directory");
    YAGURA_ASSIGN_OR_RETURN(auto settings, directory::ReadSettings(section));
    settings.admin_key_file = AdminKeyFile("");
    settings.signing_key_file = "keys/signing.key";
    return directory::NewApp(settings, host_.ForService("directory"));
  }
  AppOr Archive() {
    auto section = Section("archive");
    YAGURA_ASSIGN_OR_RETURN(auto settings, archive::ReadSettings(section));
    if (!settings.cluster.empty()) {
      return InvalidField("archive.store.cluster", "the suite has an event store of its own");
    }
    settings.store.addresses = {store_address_};
    return archive::NewApp(settings, host_.ForService("archive"));
  }
  AppOr Detection() {
    auto section = Section("detection");
    YAGURA_ASSIGN_OR_RETURN(auto settings, detection::ReadSettings(section));
    if (settings.content_folder.empty()) {
      settings.content_folder = FindContent(options_.content_dir) / "sigma";
    }
    if (settings.advice_folder.empty()) {
      settings.advice_folder = FindContent(options_.content_dir) / "advice";
    }
    return detection::NewApp(settings, host_.ForService("detection"));
  }
  AppOr Notification() {
    auto section = Section("notification");
    YAGURA_ASSIGN_OR_RETURN(auto settings, notification::ReadSettings(section));
    YAGURA_RETURN_IF_ERROR(SetSmtp(settings.smtp));
    return notification::NewApp(settings, host_.ForService("notification"));
  }
  AppOr Ticketing() {
    auto section = Section("ticketing");
    YAGURA_ASSIGN_OR_RETURN(auto settings, ticketing::ReadSettings(section));
    return ticketing::NewApp(settings, host_.ForService("ticketing"));
  }
  AppOr Config() {
    auto section = Section("config");
    YAGURA_ASSIGN_OR_RETURN(auto settings, config::ReadSettings(section));
    return config::NewApp(settings, host_.ForService("config"));
  }
  AppOr Reporting() {
    auto section = Section("reporting");
    YAGURA_ASSIGN_OR_RETURN(auto settings, reporting::ReadSettings(section));
    return reporting::NewApp(settings, host_.ForService("reporting"));
  }
  AppOr Ingestion() {
    auto section = Section("ingestion");
    YAGURA_ASSIGN_OR_RETURN(auto settings, ingestion::ReadSettings(section));
    if (settings.parsers_folder.empty()) {
      settings.parsers_folder = FindContent(options_.content_dir) / "parsers";
    }
    settings.syslog_udp = options_.syslog_udp_address;
    settings.syslog_tcp = options_.syslog_tcp_address;
    settings.http = options_.http_address;
    settings.otlp = options_.otlp_address;
    settings.syslog_tls = options_.syslog_tls_address;
    if (!settings.syslog_tls.empty() && settings.syslog_tls_certificate.empty()) {
      settings.syslog_tls_certificate = SyslogCertificateFile(folder_.root());
      settings.syslog_tls_key = folder_.Folder("keys") / "syslog-tls.key";
      YAGURA_RETURN_IF_ERROR(
          EnsureServerCertificate(settings.syslog_tls_certificate, settings.syslog_tls_key));
    }
    return ingestion::NewApp(settings, host_.ForService("ingestion"));
  }

  template <typename SmtpOptions>
  absl::Status SetSmtp(SmtpOptions& smtp) {
    if (options_.smtp_address.empty()) return absl::OkStatus();
    const size_t colon = options_.smtp_address.rfind(':');
    const auto port = colon == std::string::npos
                          ? std::nullopt
                          : ParseNumber<uint16_t>(options_.smtp_address.substr(colon + 1));
    if (!port) return InvalidField("smtp", "is not HOST:PORT");
    smtp.host = options_.smtp_address.substr(0, colon);
    smtp.port = *port;
    return absl::OkStatus();
  }

  const SuiteOptions& options_;
  const DataFolder& folder_;
  rpc::PlatformHost& host_;
  SettingsReader& reader_;
  const std::string store_address_;
};

}  // namespace

absl::Status Suite::Impl::StartChildren(const DataFolder& folder, SettingsReader& reader,
                                        const Logger& logger) {
  std::filesystem::path config_file = ReadStoreConfig(reader);
  if (!config_file.empty()) {
    std::error_code error;
    config_file = std::filesystem::absolute(config_file, error);
    if (!std::filesystem::is_regular_file(config_file, error)) {
      return InvalidField("store.config_file",
                          fmt::format("there is no file {}", config_file.string()));
    }
  }
  redis_state = std::make_unique<RedisChild>("redis-state", folder.Folder("redis-state"),
                                             folder.Socket("state"), folder.Log("redis-state"),
                                             logger.Named("up"));
  redis_flow =
      std::make_unique<RedisChild>("redis-flow", folder.Folder("redis-flow"), folder.Socket("flow"),
                                   folder.Log("redis-flow"), logger.Named("up"));
  YAGURA_RETURN_IF_ERROR(redis_state->Start());
  YAGURA_RETURN_IF_ERROR(redis_flow->Start());
  YAGURA_ASSIGN_OR_RETURN(
      store, eventstore::StoreProcess::Start({.program = ProgramFolder() / "yagura-store",
                                              .data_dir = folder.Folder("store"),
                                              .socket = folder.Socket("store"),
                                              .config_file = config_file,
                                              .log_file = folder.Log("store")},
                                             logger.Named("up")));
  return absl::OkStatus();
}

absl::Status Suite::Impl::StartServer(const SuiteOptions& options, const DataFolder& folder,
                                      SettingsReader& reader, const Logger& logger) {
  auto server_options = rpc::ReadServerOptions(reader);
  server_options.address = options.grpc_address;
  server_options.health_address = options.health_address;

  rpc::PlatformSettings settings;
  settings.data_dir = folder.root();
  // The folder and its Redis are one process's: who holds them is the suite that was killed, again.
  settings.instance = "suite";
  for (const char* name : {"state", "flow"}) {
    sockets[name] = "unix:" + folder.Socket(name).string();
  }
  settings.state_address = sockets["state"];
  settings.flow_address = sockets["flow"];
  settings.internal_key = folder.Folder("keys") / "internal.key";
  settings.metrics_address = options.metrics_address;
  YAGURA_ASSIGN_OR_RETURN(host, rpc::PlatformHost::Make(settings, logger));

  YAGURA_ASSIGN_OR_RETURN(auto apps,
                          AppFactory(options, folder, *host, reader, store->address()).MakeAll());
  YAGURA_RETURN_IF_ERROR(reader.Finish());
  YAGURA_ASSIGN_OR_RETURN(server,
                          rpc::Server::Start(server_options, host->shared(), std::move(apps)));
  host->SetAddress("*", Local(server->port()));
  return absl::OkStatus();
}

absl::StatusOr<std::string> DescribeSettings(const std::filesystem::path& settings_file) {
  YAGURA_ASSIGN_OR_RETURN(auto reader, OpenSettings(settings_file));
  rpc::ReadServerOptions(reader);
  ReadStoreConfig(reader);
  absl::Status wrong;
  const auto read = [&](std::string_view service, const auto& read_settings) {
    auto section = ServiceSection(reader, service);
    wrong.Update(read_settings(section).status());
  };
  read("directory", directory::ReadSettings);
  read("archive", archive::ReadSettings);
  read("detection", detection::ReadSettings);
  read("notification", notification::ReadSettings);
  read("ticketing", ticketing::ReadSettings);
  read("config", config::ReadSettings);
  read("reporting", reporting::ReadSettings);
  read("ingestion", ingestion::ReadSettings);
  YAGURA_RETURN_IF_ERROR(reader.Finish());
  YAGURA_RETURN_IF_ERROR(wrong);
  return reader.Document();
}

absl::StatusOr<std::unique_ptr<Suite>> Suite::Start(const SuiteOptions& options,
                                                    const DataFolder& folder, Logger logger) {
  YAGURA_ASSIGN_OR_RETURN(auto reader, OpenSettings(options.settings_file));
  auto impl = std::make_unique<Impl>();
  YAGURA_RETURN_IF_ERROR(impl->StartChildren(folder, reader, logger));
  YAGURA_RETURN_IF_ERROR(impl->StartServer(options, folder, reader, logger));
  return std::unique_ptr<Suite>(new Suite(std::move(impl)));
}

Suite::Suite(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Suite::~Suite() { Stop(); }

std::map<std::string, std::string> Suite::Endpoints() const {
  std::map<std::string, std::string> endpoints = {
      {"grpc", Local(impl_->server->port())},      {"pid", fmt::to_string(getpid())},
      {"redis_state", impl_->sockets.at("state")}, {"redis_flow", impl_->sockets.at("flow")},
      {"store", impl_->store->address()},
  };
  for (const auto& [name, pid] : {std::pair{"pid_redis_state", impl_->redis_state->pid()},
                                  {"pid_redis_flow", impl_->redis_flow->pid()},
                                  {"pid_store", impl_->store->pid()}}) {
    if (pid > 0) endpoints[name] = fmt::to_string(pid);
  }
  if (impl_->server->health_port() > 0) endpoints["health"] = Local(impl_->server->health_port());
  if (impl_->host->metrics_port() > 0) endpoints["metrics"] = Local(impl_->host->metrics_port());
  for (const auto& app : impl_->server->apps()) {
    for (const auto& [name, address] : app->Listeners()) endpoints[name] = address;
  }
  return endpoints;
}

void Suite::Stop() {
  if (impl_ == nullptr) return;
  if (impl_->server != nullptr) impl_->server->Stop();
  impl_->server.reset();
  impl_->host.reset();
  impl_->store.reset();
  impl_->redis_flow.reset();
  impl_->redis_state.reset();
  impl_.reset();
}

}  // namespace yagura::cli
