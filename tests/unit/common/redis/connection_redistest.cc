#include <chrono>
#include <string>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/redis/connection.h"
#include "common/testing/redis_server.h"
#include "common/testing/status_matchers.h"

namespace yagura::redis {
namespace {

using ::testing::HasSubstr;
using testing::IsOk;
using ::testing::Not;
using testing::RedisServer;
using testing::StatusIs;

constexpr auto kUnavailable = absl::StatusCode::kUnavailable;

TEST(ConnectionTest, CarriesAnyBytes) {
  const RedisServer server;
  ASSERT_OK_AND_ASSIGN(Connection connection, Connection::Connect(server.endpoint()));
  using namespace std::string_literals;
  std::string value = "\0\r\n%s $-1 \xff"s;
  value += std::string(300'000, '\0');
  ASSERT_THAT(connection.Command({"SET", "key", value}), IsOk());
  ASSERT_OK_AND_ASSIGN(const Reply reply, connection.Command({"GET", "key"}));
  EXPECT_EQ(reply.type, Reply::Type::kString);
  EXPECT_EQ(reply.text, value);
}

TEST(ConnectionTest, KnowsEveryKindOfAnswer) {
  const RedisServer server;
  ASSERT_OK_AND_ASSIGN(Connection connection, Connection::Connect(server.endpoint()));
  ASSERT_OK_AND_ASSIGN(const Reply nil, connection.Command({"GET", "none"}));
  EXPECT_TRUE(nil.is_nil());
  ASSERT_OK_AND_ASSIGN(const Reply integer, connection.Command({"INCRBY", "n", "41"}));
  EXPECT_EQ(integer.integer, 41);
  ASSERT_OK_AND_ASSIGN(
      const Reply nested,
      connection.Command(
          {"EVAL", "return {1, 'two', {3, false}, redis.status_reply('FINE')}", "0"}));
  ASSERT_EQ(nested.items.size(), 4U);
  EXPECT_EQ(nested.items[1].text, "two");
  EXPECT_TRUE(nested.items[2].items[1].is_nil());
  EXPECT_EQ(nested.items[3].type, Reply::Type::kStatus);
}

TEST(ConnectionTest, MapsErrorReplies) {
  const RedisServer server;
  ASSERT_OK_AND_ASSIGN(Connection connection, Connection::Connect(server.endpoint()));
  ASSERT_THAT(connection.Command({"SET", "text", "x"}), IsOk());
  EXPECT_THAT(connection.Command({"LPUSH", "text", "x"}),
              StatusIs(absl::StatusCode::kInternal, "REDIS_WRONGTYPE"));
  EXPECT_THAT(connection.Command(
                  {"EVAL", "return redis.error_reply('YAGURA_STALE_ETAG it is 7 now')", "0"}),
              StatusIs(absl::StatusCode::kAborted, "YAGURA_STALE_ETAG"));
  EXPECT_THAT(connection.Command({"EVAL", "return {1, redis.pcall('LPUSH', 'text', 'x')}", "0"}),
              StatusIs(absl::StatusCode::kInternal, "REDIS_WRONGTYPE"));
  ASSERT_THAT(connection.Command({"CONFIG", "SET", "maxmemory", "1"}), IsOk());
  EXPECT_THAT(connection.Command({"SET", "more", "x"}),
              StatusIs(absl::StatusCode::kResourceExhausted, "REDIS_OUT_OF_MEMORY"));
  ASSERT_THAT(connection.Command({"CONFIG", "SET", "maxmemory", "0"}), IsOk());
  EXPECT_TRUE(connection.healthy());
}

TEST(ConnectionTest, RefusesAReplicaAndLeavesAMasterThatBecameOne) {
  const RedisServer server;
  ASSERT_OK_AND_ASSIGN(Connection connection, Connection::Connect(server.endpoint()));
  ASSERT_THAT(connection.Command({"REPLICAOF", "127.0.0.1", "1"}), IsOk());
  EXPECT_THAT(connection.Command({"SET", "key", "x"}), StatusIs(kUnavailable, "REDIS_READONLY"));
  EXPECT_FALSE(connection.healthy());
  EXPECT_THAT(Connection::Connect(server.endpoint()), StatusIs(kUnavailable, "REDIS_READONLY"));
}

TEST(ConnectionTest, IsBrokenForGoodAfterATimeout) {
  RedisServer server;
  Endpoint endpoint = server.endpoint();
  endpoint.command_timeout = std::chrono::milliseconds(50);
  ASSERT_OK_AND_ASSIGN(Connection connection, Connection::Connect(endpoint));
  ASSERT_THAT(connection.Command({"SET", "a", "late"}), IsOk());
  server.Pause();
  EXPECT_THAT(connection.Command({"GET", "a"}), StatusIs(kUnavailable, "REDIS_TIMEOUT"));
  server.Resume();
  // The late answer "late" must never be taken for the one to another question.
  EXPECT_FALSE(connection.healthy());
  EXPECT_THAT(connection.Command({"PING"}), StatusIs(kUnavailable, "REDIS_UNREACHABLE"));
}

TEST(ConnectionTest, TimesOutAtItsDeadlineAndNotLater) {
  const RedisServer server;
  Endpoint endpoint = server.endpoint();
  endpoint.command_timeout = std::chrono::milliseconds(100);
  ASSERT_OK_AND_ASSIGN(Connection connection, Connection::Connect(endpoint));
  const auto start = std::chrono::steady_clock::now();
  EXPECT_THAT(connection.Command({"DEBUG", "SLEEP", "3"}), StatusIs(kUnavailable, "REDIS_TIMEOUT"));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(2500));
}

TEST(ConnectionTest, BlockingCommandsMayTakeTheirBlockLonger) {
  const RedisServer server;
  Endpoint endpoint = server.endpoint();
  endpoint.command_timeout = std::chrono::seconds(1);
  ASSERT_OK_AND_ASSIGN(Connection connection, Connection::Connect(endpoint));
  ASSERT_OK_AND_ASSIGN(
      const Reply reply,
      connection.BlockingCommand({"BLPOP", "empty", "1.2"}, std::chrono::milliseconds(1200)));
  EXPECT_TRUE(reply.is_nil());
}

TEST(ConnectionTest, PipelineAnswersInOrderEachOnItsOwn) {
  const RedisServer server;
  ASSERT_OK_AND_ASSIGN(Connection connection, Connection::Connect(server.endpoint()));
  const std::vector<Args> commands = {{"SET", "a", "1"}, {"LPUSH", "a", "x"}, {"INCR", "a"}};
  const auto replies = connection.Pipeline(commands);
  ASSERT_EQ(replies.size(), 3U);
  EXPECT_THAT(replies[0], IsOk());
  EXPECT_THAT(replies[1], StatusIs(absl::StatusCode::kInternal));
  ASSERT_THAT(replies[2], IsOk());
  EXPECT_EQ(replies[2]->integer, 2);
}

TEST(ConnectionTest, SaysWhoItIsAndLogsInWithoutTellingThePassword) {
  const RedisServer server;
  {
    ASSERT_OK_AND_ASSIGN(Connection admin, Connection::Connect(server.endpoint()));
    ASSERT_THAT(admin.Command({"CONFIG", "SET", "requirepass", "s3cret-word"}), IsOk());
  }
  Endpoint endpoint = server.endpoint();
  endpoint.client_name = "archive writer\n1";
  EXPECT_THAT(Connection::Connect(endpoint), StatusIs(absl::StatusCode::kInternal, "REDIS_NOAUTH"));
  endpoint.password = "wr0ng-word";
  const auto wrong = Connection::Connect(endpoint);
  ASSERT_THAT(wrong, StatusIs(absl::StatusCode::kInternal, "REDIS_WRONGPASS"));
  EXPECT_THAT(wrong.status().ToString(), Not(HasSubstr("wr0ng-word")));
  endpoint.password = "s3cret-word";
  ASSERT_OK_AND_ASSIGN(Connection connection, Connection::Connect(endpoint));
  ASSERT_OK_AND_ASSIGN(const Reply name, connection.Command({"CLIENT", "GETNAME"}));
  EXPECT_EQ(name.text, "archive-writer-1");
}

TEST(ConnectionTest, AnAddressThatIsNoneIsInvalid) {
  Endpoint endpoint;
  for (const char* address : {"", "127.0.0.1:6379", "tcp:host", "tcp::6379", "tcp:host:0",
                              "tcp:host:99999", "sentinel:mymaster", "sentinel:@host:1"}) {
    endpoint.address = address;
    EXPECT_THAT(Connection::Connect(endpoint), StatusIs(absl::StatusCode::kInvalidArgument))
        << address;
  }
  endpoint.address = "unix:/nonexistent/redis.sock";
  EXPECT_THAT(Connection::Connect(endpoint), StatusIs(kUnavailable, "REDIS_UNREACHABLE"));
}

TEST(ConnectionTest, AKilledServerIsAnErrorNotASignal) {
  RedisServer server;
  ASSERT_OK_AND_ASSIGN(Connection connection, Connection::Connect(server.endpoint()));
  EXPECT_TRUE(connection.StillOpen());
  server.KillHard();
  EXPECT_FALSE(connection.StillOpen());
  EXPECT_THAT(connection.Command({"SET", "a", std::string(1 << 20, 'x')}),
              StatusIs(kUnavailable, "REDIS_UNREACHABLE"));
}

}  // namespace
}  // namespace yagura::redis
