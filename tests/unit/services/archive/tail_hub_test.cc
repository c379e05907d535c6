#include "services/archive/workers/tail_hub.h"

#include <atomic>

#include "fmt/format.h"
#include "gtest/gtest.h"

#include "archive_fixture.h"
#include "common/redis/pool.h"
#include "common/testing/eventually.h"
#include "common/testing/status_matchers.h"

namespace yagura::archive {
namespace {

struct Listener {
  std::atomic<int> events{0};
  std::atomic<bool> stop{false};
  TailHub::Push push() {
    return [this](const v1::TailEventsResponse& response) {
      events += response.events_size();
      return !stop;
    };
  }
};

TEST(TailHub, ShowsWhatComesToWhoMaySeeIt) {
  testing::RedisServer redis;
  const auto flow = redis.NewPool();
  const stream::Topic topic{"events", 2, {"archive"}};
  stream::Producer producer(flow, topic, {});
  const auto produce = [&producer](const std::string& tenant, const std::string& id, int count) {
    ASSERT_TRUE(
        producer.Append(id.size() % 2 == 0 ? 0 : 1, id, MakeBatch(tenant, id, 0, count)).ok());
  };
  produce("acme", "old", 100);
  TailHub hub(flow, topic, Logger::Null());
  hub.Start();
  Listener all;
  Listener blocked;
  Listener other;
  const auto filter = filter::Filter::Parse("action = BLOCKED", filter::EventSchema());
  ASSERT_TRUE(filter.ok());
  auto first = hub.Subscribe({true, {}}, filter::Filter(), all.push());
  const auto second = hub.Subscribe({false, {"acme"}}, *filter, blocked.push());
  const auto third = hub.Subscribe({false, {"beta"}}, filter::Filter(), other.push());
  // The hub begins at the end of the streams once it has noticed us: go on until it shows one.
  int produced = 0;
  ASSERT_TRUE(testing::Eventually([&] {
    produce("acme", fmt::format("probe{}", produced++), 1);
    return all.events > 0;
  }));
  const int before = all.events;
  const int blocked_before = blocked.events;
  produce("acme", "x", 100);
  produce("beta", "yy", 100);
  EXPECT_TRUE(testing::Eventually([&] { return other.events == 100; }));
  EXPECT_TRUE(testing::Eventually([&] { return all.events >= before + 200; }));
  EXPECT_TRUE(testing::Eventually([&] { return blocked.events >= blocked_before + 25; }));
  first.reset();
  const int ended = all.events;
  produce("beta", "zz", 100);
  EXPECT_TRUE(testing::Eventually([&] { return other.events == 200; }));
  EXPECT_LE(all.events, ended + 100);
}

}  // namespace
}  // namespace yagura::archive
