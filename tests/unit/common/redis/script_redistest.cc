#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/redis/script.h"
#include "common/testing/redis_server.h"
#include "common/testing/status_matchers.h"

namespace yagura::redis {
namespace {

using testing::IsOk;
using testing::RedisServer;
using testing::StatusIs;

TEST(ScriptTest, RunsWithKeysAndArgumentsAlsoAfterTheServerForgotIt) {
  const RedisServer server;
  ASSERT_OK_AND_ASSIGN(Connection connection, Connection::Connect(server.endpoint()));
  const Script script("return {KEYS[1], ARGV[1], #ARGV[2]}");
  for (int i = 0; i < 2; ++i) {
    ASSERT_OK_AND_ASSIGN(const Reply reply,
                         script.Run(connection, {"key"}, {"a b", std::string_view("\0\n", 2)}));
    ASSERT_EQ(reply.items.size(), 3U);
    EXPECT_EQ(reply.items[0].text, "key");
    EXPECT_EQ(reply.items[1].text, "a b");
    EXPECT_EQ(reply.items[2].integer, 2);
    ASSERT_THAT(connection.Command({"SCRIPT", "FLUSH"}), IsOk());
  }
}

TEST(ScriptTest, IsSentWholeOnlyOnce) {
  const RedisServer server;
  ASSERT_OK_AND_ASSIGN(Connection connection, Connection::Connect(server.endpoint()));
  const Script script("return 1");
  for (int i = 0; i < 3; ++i) ASSERT_THAT(script.Run(connection, {}, {}), IsOk());
  ASSERT_OK_AND_ASSIGN(const Reply info, connection.Command({"INFO", "commandstats"}));
  EXPECT_NE(info.text.find("cmdstat_eval:calls=1,"), std::string::npos) << info.text;
  EXPECT_NE(info.text.find("cmdstat_evalsha:calls=3,"), std::string::npos) << info.text;
}

TEST(ScriptTest, RefusalsOfOurOwnAreAborted) {
  const RedisServer server;
  ASSERT_OK_AND_ASSIGN(Connection connection, Connection::Connect(server.endpoint()));
  const Script script("return redis.error_reply('YAGURA_NO no, thanks')");
  EXPECT_THAT(script.Run(connection, {}, {}), StatusIs(absl::StatusCode::kAborted, "YAGURA_NO"));
  EXPECT_THAT(Script("redis.call('LPUSH', 'a')").Run(connection, {}, {}),
              StatusIs(absl::StatusCode::kInternal, "REDIS_ERR"));
}

}  // namespace
}  // namespace yagura::redis
