#include "cli/up/redis_child.h"

#include <utility>

#include "common/redis/connection.h"

namespace yagura::cli {
namespace {

Supervisor::Options OptionsOf(const std::string& name, const std::filesystem::path& folder,
                              const std::filesystem::path& socket,
                              const std::filesystem::path& log_file) {
  redis::Endpoint endpoint;
  endpoint.address = "unix:" + socket.string();
  endpoint.connect_timeout = std::chrono::milliseconds(500);
  endpoint.command_timeout = std::chrono::milliseconds(500);
  Supervisor::Options options;
  options.name = name;
  options.child.arguments = {"redis-server"};
  for (const auto& [key, value] : {std::pair<std::string, std::string>{"port", "0"},
                                   {"unixsocket", socket.string()},
                                   {"unixsocketperm", "700"},
                                   {"dir", folder.string()},
                                   {"appendonly", "yes"},
                                   {"appendfsync", "no"},
                                   {"save", ""},
                                   // A rewrite of the log of the streams would spend its time on
                                   // LZF over batches that zstd has compressed.
                                   {"rdbcompression", name == "redis-flow" ? "no" : "yes"},
                                   {"maxmemory-policy", "noeviction"},
                                   // A backup asks for a dump and waits for its moment.
                                   {"repl-diskless-sync-delay", "0"},
                                   {"daemonize", "no"}}) {
    options.child.arguments.push_back("--" + key);
    options.child.arguments.push_back(value);
  }
  options.child.output = log_file;
  options.ready = [endpoint] {
    auto connection = redis::Connection::Connect(endpoint);
    return connection.ok() && connection->Command({"PING"}).ok();
  };
  options.start_timeout = std::chrono::minutes(5);
  return options;
}

}  // namespace

RedisChild::RedisChild(const std::string& name, const std::filesystem::path& folder,
                       const std::filesystem::path& socket, const std::filesystem::path& log_file,
                       Logger logger)
    : sync_(folder), supervisor_(OptionsOf(name, folder, socket, log_file), std::move(logger)) {}

}  // namespace yagura::cli
