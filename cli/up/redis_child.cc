#include "cli/up/redis_child.h"

#include "common/redis/connection.h"

namespace yagura::cli {

std::unique_ptr<Supervisor> MakeRedisChild(const std::string& name,
                                           const std::filesystem::path& folder,
                                           const std::filesystem::path& socket,
                                           const std::filesystem::path& log_file, Logger logger) {
  redis::Endpoint endpoint;
  endpoint.address = "unix:" + socket.string();
  endpoint.connect_timeout = std::chrono::milliseconds(500);
  endpoint.command_timeout = std::chrono::milliseconds(500);
  Supervisor::Options options;
  options.name = name;
  options.child.arguments = {"redis-server",  "--port",           "0",   "--unixsocket",
                             socket.string(), "--unixsocketperm", "700", "--dir",
                             folder.string(), "--appendonly",     "yes", "--appendfsync",
                             "everysec",      "--save",           "",    "--maxmemory-policy",
                             "noeviction",    "--daemonize",      "no",  "--loglevel",
                             "notice"};
  options.child.output = log_file;
  options.ready = [endpoint] {
    auto connection = redis::Connection::Connect(endpoint);
    return connection.ok() && connection->Command({"PING"}).ok();
  };
  // A long append-only file takes its time to load.
  options.start_timeout = std::chrono::minutes(5);
  return std::make_unique<Supervisor>(std::move(options), std::move(logger));
}

}  // namespace yagura::cli
