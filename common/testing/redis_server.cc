#include "common/testing/redis_server.h"

#include <signal.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "common/redis/pool.h"
#include "common/testing/patience.h"
#include "common/testing/process.h"

namespace yagura::testing {
namespace {

[[noreturn]] void Die(const std::string& why) {
  std::fprintf(stderr, "RedisServer: %s\n", why.c_str());
  std::abort();
}

}  // namespace

RedisServer::RedisServer() : folder_(MakeTemporaryFolder()) { Launch(); }

RedisServer::~RedisServer() {
  process_.reset();
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

redis::Endpoint RedisServer::endpoint() const {
  redis::Endpoint endpoint;
  endpoint.address = "unix:" + (folder_ / "redis.sock").string();
  endpoint.client_name = "test";
  return endpoint;
}

std::shared_ptr<redis::Pool> RedisServer::NewPool(size_t max_connections) const {
  return std::make_shared<redis::Pool>(endpoint(), max_connections);
}

void RedisServer::KillHard() { process_.reset(); }

void RedisServer::Pause() { process_->Pause(); }

void RedisServer::Resume() { process_->Signal(SIGCONT); }

void RedisServer::Restart() {
  KillHard();
  Launch();
}

void RedisServer::Launch() {
  std::filesystem::remove(folder_ / "redis.sock");
  // Not "everysec": while a background fsync runs, Redis then answers up to two seconds before it
  // has even written to the AOF, so that a killed server loses what it acknowledged.
  process_ = std::make_unique<Process>(
      std::vector<std::string>{"redis-server", "--port", "0", "--unixsocket",
                               (folder_ / "redis.sock").string(), "--dir", folder_.string(),
                               "--appendonly", "yes", "--appendfsync", "no", "--save", "",
                               "--enable-debug-command", "local"},
      folder_ / "log");
  const auto deadline = std::chrono::steady_clock::now() + Patient(std::chrono::seconds(30));
  while (std::chrono::steady_clock::now() < deadline) {
    auto connection = redis::Connection::Connect(endpoint());
    if (connection.ok() && connection->Command({"DBSIZE"}).ok()) return;
    if (process_->Poll()) {
      Die("redis-server is not installed or ended at once; see " + (folder_ / "log").string());
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  Die("redis-server does not answer; see " + (folder_ / "log").string());
}

}  // namespace yagura::testing
