#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/metrics/metrics.h"
#include "common/stream/producer.h"
#include "services/ticketing/app.h"
#include "tests/unit/services/ticketing/world.h"

namespace yagura::ticketing {
namespace {

using testing::IsOk;

class AppRedisTest : public WorldTest {
 protected:
  std::vector<v1::Ticket> Tickets(const std::string& tenant) const {
    store::ListQuery query;
    query.parent = "tenants/" + tenant;
    query.page_size = 1000;
    auto page = stores_.tickets.List(query);
    return page.ok() ? page->items : std::vector<v1::Ticket>();
  }
};

TEST_F(AppRedisTest, TheServiceReadsTheStreamOfFindings) {
  testing::RedisServer flow_server;
  rpc::Platform platform{.state = state_,
                         .flow = flow_server.NewPool(),
                         .feed = feed_,
                         .clock = SystemClock(),
                         .metrics = std::make_shared<MetricsRegistry>(),
                         .channels = nullptr,
                         .verifier = nullptr,
                         .data_dir = {},
                         .logger = Logger::Null()};
  const Settings settings;
  ASSERT_OK_AND_ASSIGN(const auto app, NewApp(settings, platform));
  ASSERT_THAT(app->Start(), IsOk());
  stream::Producer producer(platform.flow, settings.findings, {});
  for (int i = 0; i < 20; ++i) {
    const auto finding = FindingOf("acme", fmt::format("f{}", i), fmt::format("k{}", i % 5));
    ASSERT_THAT(producer.Append(i % 4, finding.name(), finding.SerializeAsString()), IsOk());
  }
  for (int repeat = 0; repeat < 2; ++repeat) {
    auto grown = FindingOf("acme", "f0", "k0");
    grown.set_event_count(100);
    ASSERT_THAT(producer.Append(0, fmt::format("f0/{}", 100), grown.SerializeAsString()), IsOk());
  }
  EXPECT_TRUE(Eventually([&] {
    uint64_t events = 0;
    for (const v1::Ticket& ticket : Tickets("acme")) events += ticket.event_count();
    return events == 19 + 100;
  }));
  EXPECT_TRUE(Eventually([&] {
    uint64_t findings = 0;
    for (const v1::Ticket& ticket : Tickets("acme")) findings += ticket.finding_count();
    return findings == 20;
  }));
  EXPECT_EQ(Tickets("acme").size(), 5u);
  app->Stop();
}

}  // namespace
}  // namespace yagura::ticketing
