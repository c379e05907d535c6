#include "services/ingestion/relay/relay.h"

#include <signal.h>

#include <memory>

#include "cli/commands/command.h"
#include "fmt/format.h"

#include "common/log/log.h"

namespace yagura::cli {
namespace {

struct RelayFlags {
  ingestion::RelayOptions relay;
  int keep_hours = 72;
  uint64_t spool_mebibytes = 10 * 1024;
  bool debug = false;
};

absl::Status Complete(const Program& program, ingestion::RelayOptions& options) {
  const Globals& globals = program.globals();
  options.endpoint = globals.connection.endpoint;
  options.ca_file = globals.connection.ca_file;
  options.data_dir = globals.connection.data_dir;
  options.api_key_file = globals.api_key_file.value_or("");
  for (const auto& [name, value] : {std::pair{"--endpoint", options.endpoint},
                                    {"--data-dir", options.data_dir.string()},
                                    {"--api-key-file", options.api_key_file.string()}}) {
    if (!value.empty()) continue;
    return MakeError(absl::StatusCode::kInvalidArgument, "OPTION_MISSING",
                     fmt::format("a relay needs {}", name));
  }
  return absl::OkStatus();
}

absl::Status Run(const Program& program, RelayFlags& flags) {
  YAGURA_RETURN_IF_ERROR(Complete(program, flags.relay));
  flags.relay.keep = std::chrono::hours(flags.keep_hours);
  flags.relay.spool_bytes = flags.spool_mebibytes << 20;
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);  // before any thread exists
  const Logger logger = Logger::ToStderr(flags.debug ? LogLevel::kDebug : LogLevel::kInfo);
  YAGURA_ASSIGN_OR_RETURN(const auto relay, ingestion::Relay::Start(flags.relay, logger));
  std::string text =
      fmt::format("The relay of {} at {} is up.\n", flags.relay.tenant, flags.relay.site);
  for (const auto& [name, address] : relay->Addresses()) {
    text += fmt::format("  {:<12} {}\n", name, address);
  }
  Write(text + fmt::format("  {:<12} {}\n  {:<12} {}\n", "suite", flags.relay.endpoint,
                           "data folder", flags.relay.data_dir.string()));
  int signal_number = 0;
  sigwait(&signals, &signal_number);
  relay->Stop();
  return absl::OkStatus();
}

}  // namespace

void AddRelayCommand(Program& program) {
  auto flags = std::make_shared<RelayFlags>();
  CLI::App& relay = *program.app().add_subcommand(
      "relay", "Take syslog at a customer's site, keep it on disk, send it to the suite");
  relay.footer(
      "--endpoint, --api-key-file and --data-dir (a folder of its own) must be given, and "
      "--ca-file "
      "(TLS), unless the suite is on this host or --insecure says that there is no need for it.");
  auto& options = flags->relay;
  relay.add_option("--tenant", options.tenant, "Whose lines these are");
  relay.add_option(
      "--site", options.site,
      "Site of the tenant at which it stands: only sources of that site get its lines");
  relay.add_option("--syslog-udp", options.syslog_udp, "HOST:PORT of syslog over UDP");
  relay.add_option("--syslog-tcp", options.syslog_tcp, "HOST:PORT of syslog over TCP");
  relay.add_option("--syslog-tls", options.syslog_tls, "HOST:PORT of syslog over TLS");
  relay.add_option("--tls-certificate", options.tls_certificate, "syslog-tls: PEM file");
  relay.add_option("--tls-key", options.tls_key, "syslog-tls: PEM file of its key");
  relay.add_option("--tls-client-ca", options.tls_client_ca,
                   "syslog-tls: PEM file of who may vouch for clients");
  relay.add_option("--metrics", options.metrics, "HOST:PORT of Prometheus metrics");
  relay.add_option("--keep-hours", flags->keep_hours, "Lines that wait for longer are given up")
      ->capture_default_str()
      ->check(CLI::Range(1, 24 * 7));
  relay.add_option("--spool-mib", flags->spool_mebibytes, "More lines that wait are given up")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 24));
  relay.add_flag("--insecure", options.insecure,
                 "Without --ca-file: let key and lines go to another host in the clear");
  relay.add_flag("--debug", flags->debug, "Log more");
  relay.require_subcommand(0, 1);
  CLI::App& status = *relay.add_subcommand("status", "What the relay of --data-dir does");
  program.Do(relay, [&program, &relay, flags]() -> absl::Status {
    if (!relay.get_subcommands().empty()) return program.status();
    return Run(program, *flags);
  });
  program.Do(status, [&program]() -> absl::Status {
    const std::filesystem::path& data_dir = program.globals().connection.data_dir;
    YAGURA_ASSIGN_OR_RETURN(const auto report, ingestion::Relay::ReadStatus(data_dir));
    Write(report.text);
    if (!report.runs) {
      return MakeError(absl::StatusCode::kFailedPrecondition, "NOT_RUNNING",
                       fmt::format("no relay runs in {}; what it said last is {} seconds old",
                                   data_dir.string(), report.age.count()));
    }
    if (report.is_old) {
      return MakeError(absl::StatusCode::kUnavailable, "STATUS_OLD",
                       fmt::format("the relay in {} runs, but what it said last is {} seconds old: "
                                   "its disk may be full",
                                   data_dir.string(), report.age.count()));
    }
    return absl::OkStatus();
  });
}

}  // namespace yagura::cli
