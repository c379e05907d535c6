#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "common/log/log.h"
#include "common/status/status.h"
#include "services/store/chdb.h"
#include "services/store/engine.h"
#include "services/store/http_server.h"
#include "services/store/query_handler.h"
#include "services/store/settings.h"

using namespace yagura;               // NOLINT(google-build-using-namespace)
using namespace yagura::storeserver;  // NOLINT(google-build-using-namespace)

namespace {

constexpr std::chrono::seconds kGrace{5};     // what requests in progress get at a stop
constexpr std::chrono::seconds kLongest{12};  // then the process ends, whatever still runs

int Fail(const Logger& logger, const absl::Status& status) {
  logger.Error(Message(status));
  return 3;
}

}  // namespace

int main(int argc, char** argv) {
  int exit_code = 0;
  const auto settings = ParseSettings(argc, argv, &exit_code);
  if (!settings) return exit_code;
  const Logger logger = Logger::ToStderr().Named("store");

  sigset_t stop_signals;
  sigemptyset(&stop_signals);
  sigaddset(&stop_signals, SIGTERM);
  sigaddset(&stop_signals, SIGINT);
  sigprocmask(SIG_BLOCK, &stop_signals, nullptr);  // inherited by every thread, libchdb's too

  const auto chdb = LoadChdb(LibraryPlaces(settings->libchdb));
  if (!chdb.ok()) return Fail(logger, chdb.status());
  auto engine = Engine::Open(*chdb, {settings->data_dir, settings->memory_limit_bytes,
                                     settings->mark_cache_bytes, settings->config_file});
  if (!engine.ok()) return Fail(logger, engine.status());
  const QueryHandler handler(**engine, logger);
  auto server = HttpServer::Listen(
      {settings->socket, static_cast<size_t>(settings->max_connections)},
      [&handler](HttpRequest& request, HttpResponder& answer) { handler.Handle(request, answer); },
      logger);
  if (!server.ok()) return Fail(logger, server.status());
  logger.Info("ready", {{"socket", settings->socket.string()}, {"libchdb", chdb->version()}});

  int signal_number = 0;
  sigwait(&stop_signals, &signal_number);
  std::thread([] {
    std::this_thread::sleep_for(kLongest);
    _exit(4);
  }).detach();
  (*server)->Stop(kGrace);
  engine->reset();
  logger.Info("stopped");
  return 0;
}
