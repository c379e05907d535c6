#include "common/redis/sentinel.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <thread>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/redis/pool.h"
#include "common/testing/redis_server.h"
#include "common/testing/status_matchers.h"

namespace yagura::redis {
namespace {

using testing::IsOk;
using testing::RedisServer;
using testing::StatusIs;

int FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  bind(fd, reinterpret_cast<sockaddr*>(&address), size);
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  close(fd);
  return ntohs(address.sin_port);
}

Endpoint Tcp(int port) {
  Endpoint endpoint;
  endpoint.address = fmt::format("tcp:127.0.0.1:{}", port);
  return endpoint;
}

// Two servers on ports of their own and a real Sentinel that watches the first.
class SentinelTest : public ::testing::Test {
 protected:
  void SetUp() override {
    OpenPort(first_, first_port_);
    OpenPort(second_, second_port_);
    auto second = Connection::Connect(second_.endpoint());
    ASSERT_THAT(second, IsOk());
    ASSERT_THAT(second->Command({"REPLICAOF", "127.0.0.1", fmt::format("{}", first_port_)}), IsOk());
  }

  static void OpenPort(const RedisServer& server, int port) {
    auto connection = Connection::Connect(server.endpoint());
    ASSERT_THAT(connection, IsOk());
    ASSERT_THAT(connection->Command({"CONFIG", "SET", "port", fmt::format("{}", port)}), IsOk());
  }

  RedisServer first_;
  RedisServer second_;
  const int first_port_ = FreePort();
  const int second_port_ = FreePort();
};

TEST_F(SentinelTest, AsksAtEveryConnectAndFollowsAFailover) {
  const testing::RedisSentinel sentinel("mymaster", first_port_);
  Endpoint endpoint;
  endpoint.address = fmt::format("sentinel:mymaster@127.0.0.1:1,127.0.0.1:{}", sentinel.port());
  Pool pool(endpoint, 2);
  ASSERT_THAT(pool.Command({"SET", "where", "first"}), IsOk());
  ASSERT_OK_AND_ASSIGN(const std::string before, FindMaster(endpoint));
  EXPECT_EQ(before, Tcp(first_port_).address);

  // The Sentinel finds the replica through the master's INFO; then a fail-over is asked for.
  ASSERT_OK_AND_ASSIGN(Connection observer, Connection::ConnectAny(Tcp(sentinel.port())));
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  std::string now = before;
  while (now == before && std::chrono::steady_clock::now() < deadline) {
    (void)observer.Command({"SENTINEL", "FAILOVER", "mymaster"});
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    const auto found = FindMaster(endpoint);
    if (found.ok()) now = *found;
  }
  ASSERT_EQ(now, Tcp(second_port_).address);
  // The old master is a replica by now or soon; whatever the pool hands out then takes writes.
  while (!pool.Command({"SET", "where", "second"}).ok() &&
         std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  EXPECT_THAT(pool.Command({"SET", "where", "second"}), IsOk());
}

TEST_F(SentinelTest, NoSentinelThatKnowsTheNameMeansUnavailable) {
  Endpoint endpoint;
  endpoint.address = "sentinel:mymaster@127.0.0.1:1,127.0.0.1:2";
  EXPECT_THAT(Connection::Connect(endpoint),
              StatusIs(absl::StatusCode::kUnavailable, "REDIS_NO_MASTER"));
}

}  // namespace
}  // namespace yagura::redis
