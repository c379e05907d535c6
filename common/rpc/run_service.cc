#include "common/rpc/run_service.h"

#include <signal.h>

#include <iostream>
#include <optional>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "fmt/format.h"

#include "common/rpc/platform.h"
#include "common/rpc/server.h"
#include "common/status/status.h"

namespace yagura::rpc {
namespace {

constexpr int kBadUsage = 2;
constexpr int kCannotStart = 3;

struct CommandLine {
  std::string settings_file;
  std::string data_dir;
  std::string log_level = "info";
  bool print_settings = false;
};

// Everything that the settings say.
struct Settings {
  PlatformSettings platform;
  ServerOptions server;
  MakeApp make_app;
};

// Nothing: go on. Otherwise the exit code.
std::optional<int> Parse(int argc, char** argv, std::string_view name, CommandLine& line) {
  CLI::App parser{fmt::format("yagura-{}: one service of Yagura.", name)};
  parser.add_option("--settings", line.settings_file, "YAML file; see --print-settings.")
      ->check(CLI::ExistingFile);
  parser.add_option("--data-dir", line.data_dir, "In place of data_dir of the settings.");
  parser.add_option("--log-level", line.log_level, "What is logged.")
      ->check(CLI::IsMember({"debug", "info", "warning", "error"}))
      ->capture_default_str();
  parser.add_flag("--print-settings", line.print_settings,
                  "Prints every setting with its default and ends.");
  try {
    parser.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return parser.exit(error) == 0 ? 0 : kBadUsage;
  }
  return std::nullopt;
}

LogLevel LevelOf(const std::string& name) {
  if (name == "debug") return LogLevel::kDebug;
  if (name == "warning") return LogLevel::kWarning;
  if (name == "error") return LogLevel::kError;
  return LogLevel::kInfo;
}

absl::StatusOr<config::SettingsReader> Open(const CommandLine& line) {
  if (line.settings_file.empty()) return config::SettingsReader::Empty();
  return config::SettingsReader::FromFile(line.settings_file);
}

absl::StatusOr<Settings> ReadAll(config::SettingsReader& reader, std::string_view name,
                                 const ReadSettings& read) {
  Settings settings;
  settings.platform = PlatformSettings::Read(reader);
  settings.server = ReadServerOptions(reader);
  auto own = reader.Section(name, "The service's own settings.");
  auto make_app = read(own);
  // First: after it the reader has not been asked for all keys, and would call them unknown.
  if (!make_app.ok()) return Annotate(make_app.status(), name);
  YAGURA_RETURN_IF_ERROR(reader.Finish());
  settings.make_app = *std::move(make_app);
  return settings;
}

// Blocked before the first thread is made, so that every thread inherits it and sigwait is the only
// one to see them.
sigset_t BlockSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  return signals;
}

absl::Status Serve(Settings settings, std::string_view name, const Logger& logger) {
  const sigset_t signals = BlockSignals();
  YAGURA_ASSIGN_OR_RETURN(auto host, PlatformHost::Make(settings.platform, logger));
  if (name != "directory" && settings.platform.trusted_key.empty()) host->FollowSigningKeys();
  settings.server.find_new_keys = [host = host.get()] { return host->FetchSigningKeys(); };
  const Platform platform = host->ForService(name);
  YAGURA_ASSIGN_OR_RETURN(auto app, settings.make_app(platform));
  std::vector<std::unique_ptr<App>> apps;
  apps.push_back(std::move(app));
  YAGURA_ASSIGN_OR_RETURN(const auto server,
                          Server::Start(settings.server, platform, std::move(apps)));
  int received = 0;
  sigwait(&signals, &received);
  logger.Info("stopping", {{"signal", received}});
  server->Stop();
  return absl::OkStatus();
}

}  // namespace

int RunService(int argc, char** argv, std::string_view name, const ReadSettings& read) {
  CommandLine line;
  if (const auto code = Parse(argc, argv, name, line)) return *code;
  const Logger logger = Logger::ToStderr(LevelOf(line.log_level));
  auto reader = Open(line);
  if (!reader.ok()) {
    logger.Error(Message(reader.status()));
    return kBadUsage;
  }
  auto settings = ReadAll(*reader, name, read);
  if (line.print_settings) {
    std::cout << reader->Document();
    return 0;
  }
  if (!settings.ok()) {
    logger.Error(Message(settings.status()));
    return kBadUsage;
  }
  if (!line.data_dir.empty()) settings->platform.data_dir = line.data_dir;
  if (const absl::Status status = Serve(*settings, name, logger); !status.ok()) {
    logger.Error(Message(status));
    return kCannotStart;
  }
  return 0;
}

}  // namespace yagura::rpc
