#include <signal.h>
#include <sodium.h>

#include <iostream>

#include "CLI/CLI.hpp"
#include "cli/commands/command.h"
#include "fmt/format.h"

#include "common/text/text.h"

namespace {

// 0 done, 1 refused or failed, 2 wrong usage, 3 the suite cannot be reached.
int ExitCode(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return 0;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return 3;
    default:
      return 1;
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (sodium_init() < 0) return 1;
  signal(SIGPIPE, SIG_IGN);
  CLI::App app{"Yagura: operate the firewalls, servers and clients of many customers."};
  app.name("yagura");
  app.require_subcommand(1);
  app.fallthrough();
  app.option_defaults()->always_capture_default(false);
  yagura::cli::Globals globals;
  auto& connection = globals.connection;
  app.add_option("--endpoint", connection.endpoint,
                 "gRPC address of the suite; else YAGURA_ENDPOINT, else from --data-dir");
  app.add_option("--api-key-file", globals.api_key_file,
                 "File with the API key; else YAGURA_API_KEY, else the admin key of --data-dir");
  app.add_option("--data-dir", connection.data_dir,
                 "Data folder of a `yagura up` on this machine; else YAGURA_DATA_DIR");
  app.add_option("--ca-file", connection.ca_file,
                 "PEM file to verify the server with; turns on TLS");
  app.add_option("-o,--output", globals.output, "table, json or jsonl")
      ->check(CLI::IsMember({"table", "json", "jsonl"}));

  yagura::cli::Program program(app, globals);
  yagura::cli::AddUpCommand(program);
  yagura::cli::AddDemoCommand(program);
  yagura::cli::AddSendCommand(program);
  yagura::cli::AddParseCommand(program);
  yagura::cli::AddEventCommands(program);
  yagura::cli::AddDetectionCommands(program);
  yagura::cli::AddNotificationCommands(program);
  yagura::cli::AddTicketCommands(program);
  yagura::cli::AddConfigCommands(program);
  yagura::cli::AddReportCommands(program);
  yagura::cli::AddDirectoryCommands(program);
  yagura::cli::AddAuditCommands(program);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  const auto& status = program.status();
  if (!status.ok()) {
    const std::string reason = yagura::ErrorReason(status);
    std::cerr << fmt::format("yagura: {}{}\n", yagura::EscapeForTerminal(yagura::Message(status)),
                             reason.empty() ? "" : " [" + reason + "]");
  }
  return ExitCode(status);
}
