#include <signal.h>
#include <sodium.h>

#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string>

#include "CLI/CLI.hpp"
#include "cli/commands/command.h"
#include "cli/offline_lines.h"
#include "cli/usage.h"
#include "fmt/format.h"
#include "google/protobuf/stubs/logging.h"

#include "common/status/retry_delay.h"
#include "common/status/status.h"
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

// What libraries write to standard error says nothing that the status of a call does not.
void Quiet() {
  setenv("GRPC_VERBOSITY", "NONE", /*replace=*/0);
  google::protobuf::SetLogHandler(nullptr);
}

int WrongUsage(const std::string& what) {
  std::cerr << fmt::format("yagura: {}\nRun with --help for more information.\n", what);
  return 2;
}

// 0 where all arguments are UTF-8 or name a file; otherwise which is not, from 1.
int NotText(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    std::error_code ignored;
    if (!yagura::IsValidUtf8(argv[i]) && !std::filesystem::exists(argv[i], ignored)) return i;
  }
  return 0;
}

// A deadline that passes says nothing by itself.
absl::Status Explained(const absl::Status& status) {
  if (status.code() != absl::StatusCode::kDeadlineExceeded ||
      !yagura::ErrorReason(status).empty()) {
    return status;
  }
  return yagura::MakeError(
      status.code(), "NO_ANSWER_IN_TIME",
      "the suite takes the connection but gave no answer in time (--timeout); its "
      "log and health port say whether the event store or a Redis hangs");
}

}  // namespace

int main(int argc, char** argv) {
  Quiet();
  if (sodium_init() < 0) return 1;
  signal(SIGPIPE, SIG_IGN);
  CLI::App app{"Yagura: operate the firewalls, servers and clients of many customers."};
  app.name("yagura");
  app.require_subcommand(1);
  app.fallthrough();
  app.option_defaults()->always_capture_default(false);
  yagura::cli::Globals globals;
  yagura::cli::AddGlobalOptions(app, globals);

  yagura::cli::Program program(app, globals);
  yagura::cli::AddUpCommand(program);
  yagura::cli::AddBackupCommands(program);
  yagura::cli::AddDemoCommand(program);
  yagura::cli::AddRelayCommand(program);
  yagura::cli::AddSendCommand(program);
  yagura::cli::AddParseCommand(program);
  yagura::cli::AddDetectCommand(program);
  yagura::cli::AddEventCommands(program);
  yagura::cli::AddFlowCommands(program);
  yagura::cli::AddArchiveCommands(program);
  yagura::cli::AddInvestigateCommands(program);
  yagura::cli::AddDetectionCommands(program);
  yagura::cli::AddRuleImport(program);
  yagura::cli::AddRuleTest(program);
  yagura::cli::AddTuningCommands(program);
  yagura::cli::AddHuntCommands(program);
  yagura::cli::AddObserveCommands(program);
  yagura::cli::AddNotificationCommands(program);
  yagura::cli::AddTicketCommands(program);
  yagura::cli::AddConfigCommands(program);
  yagura::cli::AddReportCommands(program);
  yagura::cli::AddDirectoryCommands(program, yagura::cli::KnownParsers);
  yagura::cli::AddAuditCommands(program);
  yagura::cli::AddCoverageCommands(program);
  if (const int bad = NotText(argc, argv); bad != 0) {
    return WrongUsage(fmt::format("argument {} is not UTF-8", bad));
  }
  try {
    app.parse(yagura::cli::WordsOf({argv + 1, argv + argc}));
  } catch (const CLI::ParseError& error) {
    if (const auto unknown = yagura::cli::UnknownWord(app, error)) return WrongUsage(*unknown);
    return app.exit(error) == 0 ? 0 : 2;
  }
  const absl::Status status = Explained(program.status());
  if (!status.ok()) {
    const std::string reason = yagura::ErrorReason(status);
    const auto wait = yagura::RetryDelayOf(status);
    std::cerr << fmt::format("yagura: {}{}{}\n", yagura::EscapeForTerminal(yagura::Message(status)),
                             reason.empty() ? "" : " [" + reason + "]",
                             wait ? fmt::format(" (try again in {} s)", wait->count()) : "");
  }
  return ExitCode(status);
}
