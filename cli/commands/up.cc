#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <thread>

#include "cli/commands/command.h"
#include "cli/data_dir.h"
#include "cli/up/data_folder.h"
#include "cli/up/suite.h"
#include "fmt/format.h"

namespace yagura::cli {
namespace {

struct UpOptions {
  SuiteOptions suite;
  bool detach = false;
  bool debug = false;
  bool print_settings = false;
};

std::filesystem::path DataDir(const Program& program) {
  const auto& told = program.globals().connection.data_dir;
  if (!told.empty()) return told;
  const char* environment = std::getenv("YAGURA_DATA_DIR");
  return environment != nullptr ? environment : "data";
}

using Endpoints = std::map<std::string, std::string>;

std::string Describe(const Endpoints& endpoints, const std::filesystem::path& data_dir) {
  std::string text;
  for (const auto& [name, address] : endpoints) {
    const bool own = name.starts_with("pid") || address.starts_with("unix:");
    if (!own) text += fmt::format("  {:<12} {}\n", name, address);
  }
  text += fmt::format("  {:<12} {}\n  {:<12} {}\n", "data folder", data_dir.string(), "admin key",
                      AdminKeyFile(data_dir).string());
  text += fmt::format("\nLook around:  yagura --data-dir {} whoami\n", data_dir.string());
  return text;
}

// The signals that end the suite, blocked in this thread and in all that it starts, so that sigwait
// alone sees them. A SIGHUP that is ignored already (nohup, --detach) stays so.
sigset_t BlockSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  struct sigaction hang_up {};
  if (sigaction(SIGHUP, nullptr, &hang_up) == 0 && hang_up.sa_handler != SIG_IGN) {
    sigaddset(&signals, SIGHUP);
  }
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

// Returns the signal. Until then keeps endpoints.json true: a child that was started again has
// another process id.
int AwaitSignal(const sigset_t& signals, const Suite& suite, Endpoints written,
                const DataFolder& folder, const Logger& logger) {
  constexpr timespec kLook{.tv_sec = 0, .tv_nsec = 250'000'000};
  for (;;) {
    if (const int signal = sigtimedwait(&signals, nullptr, &kLook); signal > 0) return signal;
    auto now = suite.Endpoints();
    if (now == written) continue;
    if (const auto status = WriteEndpoints(folder.root(), now); !status.ok()) {
      logger.Warning("endpoints.json is not written", {{"error", Message(status)}});
      continue;
    }
    written = std::move(now);
  }
}

// Serves until SIGTERM, SIGINT or SIGHUP. `report` gets one text when everything is up.
absl::Status Serve(const UpOptions& options, const std::filesystem::path& root,
                   const std::function<void(const std::string&)>& report) {
  const sigset_t signals = BlockSignals();  // before any thread exists
  YAGURA_ASSIGN_OR_RETURN(const auto folder, DataFolder::Take(root));
  const Logger logger = Logger::ToFile(folder.Log("yagura").string(),
                                       options.debug ? LogLevel::kDebug : LogLevel::kInfo);
  YAGURA_ASSIGN_OR_RETURN(const auto suite, Suite::Start(options.suite, folder, logger));
  const Endpoints endpoints = suite->Endpoints();
  YAGURA_RETURN_IF_ERROR(WriteEndpoints(folder.root(), endpoints));
  report("Yagura is up.\n" + Describe(endpoints, folder.root()));
  const int signal_number = AwaitSignal(signals, *suite, endpoints, folder, logger);
  logger.Info("stopping", {{"signal", signal_number}});
  std::error_code ignored;  // from now on nobody is to go there, nor to say that it is up
  std::filesystem::remove(EndpointsFile(folder.root()), ignored);
  suite->Stop();
  return absl::OkStatus();
}

// Tells of the suite that runs in the folder already, as soon as it is up; NOT_RUNNING where it
// ends before that.
absl::Status UseRunning(const std::filesystem::path& root, int pid) {
  constexpr std::chrono::seconds kPatience{60};
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  for (;;) {
    const auto endpoints = ReadEndpoints(root);
    YAGURA_RETURN_IF_ERROR(RunningProcess(root).status());
    if (endpoints.ok()) {
      Write(fmt::format("Yagura is up already (process {}), as it was started: options given now "
                        "have no effect.\n",
                        pid) +
            Describe(*endpoints, root));
      return absl::OkStatus();
    }
    if (std::chrono::steady_clock::now() > deadline) {
      return MakeError(absl::StatusCode::kDeadlineExceeded, "NOT_STARTED",
                       fmt::format("process {} has {} but is not up yet", pid, root.string()));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

// Serves in a child process of its own session; returns when that one is up, or with why it is not.
// A suite that runs already is as good.
absl::Status ServeDetached(const UpOptions& options, const std::filesystem::path& root) {
  auto running = RunningProcess(root);
  if (running.ok()) {
    const absl::Status used = UseRunning(root, *running);
    if (used.ok()) return used;
    running = used;
  }
  // Also of one that ended while it was looked at: Serve waits until its children are gone.
  if (ErrorReason(running.status()) != "NOT_RUNNING") return running.status();
  int pipe_ends[2];
  if (pipe2(pipe_ends, O_CLOEXEC) != 0) return Internal("cannot make a pipe");
  const pid_t pid = fork();
  if (pid < 0) return Internal("cannot fork");
  if (pid == 0) {
    close(pipe_ends[0]);
    setsid();
    signal(SIGHUP, SIG_IGN);
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) dup2(null, fd);
    const auto tell = [&pipe_ends](const std::string& text) {
      [[maybe_unused]] const auto written = write(pipe_ends[1], text.data(), text.size());
      close(pipe_ends[1]);
    };
    const absl::Status status =
        Serve(options, root, [&tell](const std::string& text) { tell("+" + text); });
    if (!status.ok()) tell("-" + std::string(Message(status)));
    std::_Exit(status.ok() ? 0 : 1);
  }
  close(pipe_ends[1]);
  std::string told;
  char buffer[4096];
  for (ssize_t n = 0; (n = read(pipe_ends[0], buffer, sizeof buffer)) > 0;) {
    told.append(buffer, static_cast<size_t>(n));
  }
  close(pipe_ends[0]);
  if (told.starts_with("+")) {
    Write(told.substr(1));
    return absl::OkStatus();
  }
  return MakeError(
      absl::StatusCode::kFailedPrecondition, "NOT_STARTED",
      told.empty() ? "it ended before it was up: see the logs in its data folder" : told.substr(1));
}

absl::Status Down(const std::filesystem::path& root) {
  constexpr std::chrono::seconds kPatience{60};
  const auto running = RunningProcess(root);
  if (!running.ok()) {
    if (ErrorReason(running.status()) != "NOT_RUNNING") return running.status();
    Write(fmt::format("No suite runs in {}.\n", root.string()));
    return absl::OkStatus();
  }
  const int pid = *running;
  if (kill(pid, SIGTERM) != 0 && errno != ESRCH) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "CANNOT_STOP",
                     fmt::format("cannot stop process {}: {}", pid, strerror(errno)));
  }
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (RunningProcess(root).ok()) {
    if (std::chrono::steady_clock::now() > deadline) {
      return MakeError(absl::StatusCode::kDeadlineExceeded, "STILL_RUNNING",
                       fmt::format("process {} has not stopped yet", pid));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  Write("Yagura is down.\n");
  return absl::OkStatus();
}

}  // namespace

void AddUpCommand(Program& program) {
  auto options = std::make_shared<UpOptions>();
  auto& suite = options->suite;
  CLI::App& up = *program.app().add_subcommand(
      "up", "Run the whole suite in one process, with its own Redis and event store");
  up.add_option(
      "--settings", suite.settings_file,
      "YAML file with the sections grpc (the API, its quotas), store, directory, archive, "
      "detection, notification, ticketing, config, reporting, ingestion; see "
      "--print-settings");
  up.add_flag("--print-settings", options->print_settings,
              "Print every setting with help, default and bounds as YAML, look whether the file of "
              "--settings is right, and start nothing");
  up.add_option("--content-dir", suite.content_dir, "Folder with sigma/; else found by itself");
  up.add_option("--grpc", suite.grpc_address, "Address of the API; port 0 takes a free one")
      ->capture_default_str();
  up.add_option("--health", suite.health_address, "Address with gRPC health alone; empty: none")
      ->capture_default_str();
  up.add_option("--syslog-udp", suite.syslog_udp_address, "Address for syslog over UDP")
      ->capture_default_str();
  up.add_option("--syslog-tcp", suite.syslog_tcp_address, "Address for syslog over TCP")
      ->capture_default_str();
  up.add_option("--syslog-tls", suite.syslog_tls_address,
                "Address for syslog over TLS; empty: none")
      ->capture_default_str();
  up.add_option("--http", suite.http_address, "Address for NDJSON and HEC over HTTP; empty: none")
      ->capture_default_str();
  up.add_option("--otlp", suite.otlp_address, "Address for OTLP logs over gRPC; empty: none")
      ->capture_default_str();
  up.add_option("--metrics", suite.metrics_address, "Address of Prometheus metrics; empty: none")
      ->capture_default_str();
  up.add_option("--smtp", suite.smtp_address,
                "HOST:PORT of the mail server; without it mails go to a maildir");
  up.add_flag("--detach", options->detach,
              "Return when everything is up, and go on behind; a suite that runs already is used");
  up.add_flag("--debug", options->debug, "Log more");
  program.Do(up, [&program, options]() -> absl::Status {
    if (options->print_settings) {
      YAGURA_ASSIGN_OR_RETURN(const std::string text,
                              DescribeSettings(options->suite.settings_file));
      Write(text);
      return absl::OkStatus();
    }
    const auto root = DataDir(program);
    return options->detach ? ServeDetached(*options, root) : Serve(*options, root, Write);
  });

  CLI::App& down =
      *program.app().add_subcommand("down", "Stop the suite of a data folder, if one runs there");
  program.Do(down, [&program] { return Down(DataDir(program)); });
}

}  // namespace yagura::cli
