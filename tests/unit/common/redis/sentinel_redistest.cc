#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/redis/pool.h"
#include "common/redis/sentinel.h"
#include "common/testing/process.h"
#include "common/testing/redis_server.h"
#include "common/testing/status_matchers.h"

namespace yagura::redis {
namespace {

using testing::FreePort;
using testing::IsOk;
using testing::Process;
using testing::RedisServer;
using testing::StatusIs;

// Two servers on ports of their own and a real Sentinel that watches the first.
class SentinelTest : public ::testing::Test {
 protected:
  void SetUp() override {
    OpenPort(first_, first_port_);
    OpenPort(second_, second_port_);
    auto second = Connection::Connect(second_.endpoint());
    ASSERT_THAT(second, IsOk());
    ASSERT_THAT(second->Command({"REPLICAOF", "127.0.0.1", fmt::format("{}", first_port_)}),
                IsOk());
  }

  void TearDown() override { std::filesystem::remove_all(folder_); }

  static void OpenPort(const RedisServer& server, int port) {
    auto connection = Connection::Connect(server.endpoint());
    ASSERT_THAT(connection, IsOk());
    ASSERT_THAT(connection->Command({"CONFIG", "SET", "port", fmt::format("{}", port)}), IsOk());
  }

  const std::filesystem::path folder_ = testing::MakeTemporaryFolder();
  RedisServer first_;
  RedisServer second_;
  const int first_port_ = FreePort();
  const int second_port_ = FreePort();
};

TEST_F(SentinelTest, AsksAtEveryConnectAndFollowsAFailover) {
  const int port = FreePort();
  {
    std::ofstream config(folder_ / "sentinel.conf");
    config << "port " << port << "\nbind 127.0.0.1\nsentinel monitor mymaster 127.0.0.1 "
           << first_port_ << " 1\n";
  }
  const Process sentinel({"redis-server", folder_ / "sentinel.conf", "--sentinel"},
                         folder_ / "log");
  Endpoint endpoint;
  endpoint.address = fmt::format("sentinel:mymaster@127.0.0.1:1,127.0.0.1:{}", port);
  Pool pool(endpoint, 2);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  const auto until = [deadline](const auto& condition) {
    while (!condition() && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  };
  until([&] { return FindMaster(endpoint).ok(); });
  ASSERT_OK_AND_ASSIGN(const std::string before, FindMaster(endpoint));
  ASSERT_EQ(before, fmt::format("tcp:127.0.0.1:{}", first_port_));
  ASSERT_THAT(pool.Command({"SET", "where", "first"}), IsOk());

  // Refused until the Sentinel has found the replica in its master's INFO.
  std::string now = before;
  until([&] {
    Process({"redis-cli", "-p", fmt::format("{}", port), "SENTINEL", "FAILOVER", "mymaster"},
            folder_ / "log")
        .Wait();
    const auto found = FindMaster(endpoint);
    if (found.ok()) now = *found;
    return now != before;
  });
  ASSERT_EQ(now, fmt::format("tcp:127.0.0.1:{}", second_port_));
  // The old master is a replica by now or soon; whatever the pool hands out then takes writes.
  until([&] { return pool.Command({"SET", "where", "second"}).ok(); });
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
