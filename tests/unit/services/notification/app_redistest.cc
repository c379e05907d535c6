#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/config/settings_reader.h"
#include "common/stream/producer.h"
#include "common/testing/redis_server.h"
#include "services/notification/app.h"
#include "tests/unit/services/notification/world.h"

namespace yagura::notification {
namespace {

namespace fs = std::filesystem;
using testing::IsOk;
using testing::StatusIs;

class AppRedisTest : public ::testing::Test {
 protected:
  AppRedisTest() { feed_->Start(); }
  ~AppRedisTest() override {
    feed_->Stop();
    fs::remove_all(folder_);
  }
  rpc::Platform PlatformOfTest() const {
    return {.state = state_,
            .flow = flow_,
            .feed = feed_,
            .clock = SystemClock(),
            .metrics = std::make_shared<MetricsRegistry>(),
            .channels = nullptr,
            .verifier = nullptr,
            .data_dir = folder_,
            .logger = Logger::Null()};
  }
  size_t MailsInMaildir() const {
    const fs::directory_iterator files(folder_ / "maildir" / "new");
    return static_cast<size_t>(std::distance(begin(files), end(files)));
  }

  testing::RedisServer state_server_;
  testing::RedisServer flow_server_;
  std::shared_ptr<redis::Pool> state_ = state_server_.NewPool();
  std::shared_ptr<redis::Pool> flow_ = flow_server_.NewPool();
  std::shared_ptr<store::FeedFollower> feed_ =
      std::make_shared<store::FeedFollower>(state_, Logger::Null());
  const fs::path folder_ = testing::MakeTemporaryFolder();
};

TEST_F(AppRedisTest, FindingsOfTheStreamBecomeMailsInTheMaildirWithoutAnSmtpServer) {
  Node node(state_server_.endpoint());
  node.AddContact("acme", "alice", "alice@example.com");
  const Settings settings;
  ASSERT_OK_AND_ASSIGN(const auto app, NewApp(settings, PlatformOfTest()));
  ASSERT_THAT(app->Start(), IsOk());
  stream::Producer producer(flow_, settings.findings, {});
  for (int i = 0; i < 40; ++i) {  // 10 matters, four findings each
    const auto finding = FindingOf("acme", fmt::format("f{}", i), fmt::format("k{}", i % 10));
    ASSERT_THAT(producer.Append(i % 4, finding.name(), finding.SerializeAsString()), IsOk());
  }
  auto grown = FindingOf("acme", "f0", "k0");
  grown.set_event_count(100);
  ASSERT_THAT(producer.Append(0, "f0/100", grown.SerializeAsString()), IsOk());
  EXPECT_TRUE(Eventually([&] {
    uint64_t events = 0;
    for (const v1::Alert& alert : node.Alerts("acme")) events += alert.event_count();
    return events == 39 * 3 + 100;
  }));
  EXPECT_TRUE(Eventually([&] { return MailsInMaildir() == 10; }));
  EXPECT_TRUE(Eventually([&] { return node.AllIn("acme", v1::DELIVERED); }));
  uint64_t findings = 0;
  EXPECT_TRUE(Eventually([&] {
    findings = 0;
    for (const v1::Alert& alert : node.Alerts("acme")) findings += alert.finding_count();
    return findings == 40;
  })) << findings;
  EXPECT_EQ(node.Alerts("acme").size(), 10u);
  EXPECT_EQ(node.Deliveries("acme").size(), 10u);
  app->Stop();
  EXPECT_EQ(MailsInMaildir(), 10u);
}

TEST(NotificationSettings, HaveDefaultsAndRefuseWhatCannotWork) {
  auto empty = config::SettingsReader::Empty();
  ASSERT_OK_AND_ASSIGN(const Settings settings, ReadSettings(empty));
  EXPECT_EQ(settings.smtp.host, "");
  EXPECT_THAT(empty.Finish(), IsOk());
  for (const char* yaml : {"smtp: {tls: perhaps}", "smtp: {from: nobody}", "fallback_email: nobody",
                           "id_domain: 'two words'", "smtp: {tls: none, username: yagura}"}) {
    ASSERT_OK_AND_ASSIGN(auto reader, config::SettingsReader::FromYaml(yaml));
    EXPECT_THAT(ReadSettings(reader), StatusIs(absl::StatusCode::kInvalidArgument)) << yaml;
  }
}

}  // namespace
}  // namespace yagura::notification
