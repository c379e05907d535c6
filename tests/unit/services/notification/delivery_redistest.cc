#include <unistd.h>

#include <cstdlib>
#include <map>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/testing/redis_server.h"
#include "common/testing/smtp_server.h"
#include "services/notification/domain/webhook.h"
#include "tests/unit/services/notification/http_peer.h"
#include "tests/unit/services/notification/world.h"

// From findings to mails in a real SMTP server and requests in a real HTTP server, over a real
// Redis.
namespace yagura::notification {
namespace {

using testing::IsOk;
using testing::RedisServer;
using testing::SmtpServer;

SmtpOptions SmtpAt(int port) {
  SmtpOptions options;
  options.host = "127.0.0.1";
  options.port = port;
  options.from = "yagura@example.com";
  options.timeout = std::chrono::seconds(20);
  return options;
}

class DeliveryRedisTest : public ::testing::Test {
 protected:
  SmtpOptions Smtp() const { return SmtpAt(smtp_.port()); }

  RedisServer redis_;
  SmtpServer smtp_;
};

TEST_F(DeliveryRedisTest, AFindingBecomesAnAlertAndAMail) {
  Node node(redis_.endpoint(), Smtp());
  node.AddContact("acme", "alice", "alice@example.com");
  node.dispatcher->Start();
  ASSERT_THAT(node.handler.Handle(FindingOf("acme", "f1", "k")), IsOk());
  ASSERT_TRUE(Eventually([&] { return node.AllIn("acme", v1::DELIVERED); }));
  const auto mails = smtp_.Mails();
  ASSERT_EQ(mails.size(), 1u);
  const auto alerts = node.Alerts("acme");
  ASSERT_EQ(alerts.size(), 1u);
  const v1::Delivery delivery = node.Deliveries("acme")[0];
  EXPECT_EQ(mails[0].Header("Subject"), "[HIGH] acme: Many denied connections");
  EXPECT_EQ(mails[0].Header("To"), "alice@example.com");
  EXPECT_EQ(mails[0].Header("Message-ID"), "<" + delivery.message_id() + ">");
  EXPECT_EQ(mails[0].Header("X-Yagura-Alert"), alerts[0].name());
  EXPECT_EQ(mails[0].Header("X-Yagura-Possible-Repeat"), "");
  ASSERT_EQ(delivery.attempts_size(), 1);
  EXPECT_EQ(delivery.attempts(0).result(), v1::ACCEPTED);
  EXPECT_EQ(delivery.attempts(0).code(), 250);
  EXPECT_FALSE(alerts[0].unrouted());
}

TEST_F(DeliveryRedisTest, AFindingThatComesAgainMakesNoSecondAlertAndNoSecondMail) {
  Node node(redis_.endpoint(), Smtp());
  node.AddContact("acme", "alice", "alice@example.com");
  node.dispatcher->Start();
  for (int i = 0; i < 3; ++i) {
    ASSERT_THAT(node.handler.Handle(FindingOf("acme", "f1", "k")), IsOk());
  }
  // A finding of the same matter and severity joins without a word.
  ASSERT_THAT(node.handler.Handle(FindingOf("acme", "f2", "k")), IsOk());
  ASSERT_THAT(node.handler.Handle(FindingOf("acme", "f1", "k")), IsOk());
  ASSERT_TRUE(Eventually([&] { return node.AllIn("acme", v1::DELIVERED); }));
  ASSERT_EQ(node.Alerts("acme").size(), 1u);
  EXPECT_EQ(node.Alerts("acme")[0].finding_count(), 2u);
  EXPECT_EQ(node.Deliveries("acme").size(), 1u);
  EXPECT_EQ(smtp_.Mails().size(), 1u);
}

TEST_F(DeliveryRedisTest, AGraverFindingIsToldAgainAndAResolvedMatterOpensAnew) {
  Node node(redis_.endpoint(), Smtp());
  node.AddContact("acme", "alice", "alice@example.com");
  node.dispatcher->Start();
  ASSERT_THAT(node.handler.Handle(FindingOf("acme", "f1", "k", event::v1::LOW)), IsOk());
  ASSERT_THAT(node.handler.Handle(FindingOf("acme", "f2", "k", event::v1::CRITICAL)), IsOk());
  ASSERT_THAT(node.handler.Handle(FindingOf("acme", "f3", "k", event::v1::LOW)), IsOk());
  ASSERT_TRUE(Eventually([&] { return smtp_.Mails().size() == 2; }));
  EXPECT_EQ(node.Alerts("acme").size(), 1u);
  const std::string name = node.Alerts("acme")[0].name();
  ASSERT_THAT(node.stores.alerts.Mutate({}, name,
                                        [](v1::Alert& alert) {
                                          alert.set_state(v1::RESOLVED);
                                          return absl::OkStatus();
                                        }),
              IsOk());
  ASSERT_THAT(node.handler.Handle(FindingOf("acme", "f3", "k", event::v1::LOW)), IsOk());
  EXPECT_EQ(node.Alerts("acme").size(), 1u);  // f3 was there before
  ASSERT_THAT(node.handler.Handle(FindingOf("acme", "f4", "k", event::v1::LOW)), IsOk());
  EXPECT_EQ(node.Alerts("acme").size(), 2u);
  EXPECT_TRUE(Eventually([&] { return smtp_.Mails().size() == 3; }));
}

TEST_F(DeliveryRedisTest, RoutesOfTheProviderCountForEveryTenant) {
  Node node(redis_.endpoint(), Smtp());
  node.AddContact("provider", "desk", "desk@example.com");
  node.dispatcher->Start();
  ASSERT_THAT(node.handler.Handle(FindingOf("acme", "f1", "k")), IsOk());
  ASSERT_THAT(node.handler.Handle(FindingOf("globex", "f1", "k")), IsOk());
  EXPECT_TRUE(Eventually([&] { return smtp_.Mails().size() == 2; }));
  EXPECT_TRUE(Eventually(
      [&] { return node.AllIn("acme", v1::DELIVERED) && node.AllIn("globex", v1::DELIVERED); }));
}

TEST_F(DeliveryRedisTest, AnAlertThatNobodyIsRoutedForSaysSo) {
  Node node(redis_.endpoint(), Smtp());
  ASSERT_THAT(node.handler.Handle(FindingOf("acme", "f1", "k")), IsOk());
  ASSERT_EQ(node.Alerts("acme").size(), 1u);
  EXPECT_TRUE(node.Alerts("acme")[0].unrouted());
}

TEST_F(DeliveryRedisTest, ATemporaryRefusalIsTriedAgainWithoutAMark) {
  smtp_.Script({"reject 451 later", "reject 451 later", "accept"});
  Node node(redis_.endpoint(), Smtp());
  node.AddContact("acme", "alice", "alice@example.com");
  node.dispatcher->Start();
  ASSERT_THAT(node.handler.Handle(FindingOf("acme", "f1", "k")), IsOk());
  ASSERT_TRUE(Eventually([&] { return node.AllIn("acme", v1::DELIVERED); }));
  const v1::Delivery delivery = node.Deliveries("acme")[0];
  ASSERT_EQ(delivery.attempts_size(), 3);
  EXPECT_EQ(delivery.attempts(0).result(), v1::TEMPORARY_FAILURE);
  EXPECT_EQ(delivery.attempts(0).code(), 451);
  EXPECT_EQ(delivery.attempts(2).result(), v1::ACCEPTED);
  ASSERT_EQ(smtp_.Mails().size(), 1u);
  EXPECT_EQ(smtp_.Mails()[0].Header("X-Yagura-Possible-Repeat"), "");
}

TEST_F(DeliveryRedisTest, ARefusalForGoodIsNotTriedAgain) {
  smtp_.RefuseRecipients({"alice@example.com"});
  Node node(redis_.endpoint(), Smtp());
  node.AddContact("acme", "alice", "alice@example.com");
  node.dispatcher->Start();
  ASSERT_THAT(node.handler.Handle(FindingOf("acme", "f1", "k")), IsOk());
  ASSERT_TRUE(Eventually([&] { return node.AllIn("acme", v1::FAILED); }));
  EXPECT_EQ(node.Deliveries("acme")[0].attempts_size(), 1);
}

TEST_F(DeliveryRedisTest, AMailWithoutAnAnswerIsRepeatedWithTheSameMessageIdAndMarked) {
  smtp_.Script({"keep-drop"});
  Node node(redis_.endpoint(), Smtp());
  node.AddContact("acme", "alice", "alice@example.com");
  node.dispatcher->Start();
  ASSERT_THAT(node.handler.Handle(FindingOf("acme", "f1", "k")), IsOk());
  ASSERT_TRUE(Eventually([&] { return node.AllIn("acme", v1::DELIVERED); }));
  const auto mails = smtp_.Mails();
  ASSERT_EQ(mails.size(), 2u);
  EXPECT_EQ(mails[0].Header("Message-ID"), mails[1].Header("Message-ID"));
  EXPECT_EQ(mails[0].Header("X-Yagura-Possible-Repeat"), "");
  EXPECT_EQ(mails[1].Header("X-Yagura-Possible-Repeat"), "yes");
  EXPECT_EQ(node.Deliveries("acme")[0].attempts(0).result(), v1::AMBIGUOUS);
}

// Not a test: a process of its own that only makes deliveries, for the test below to kill.
TEST(DeliveryChild, DISABLED_Run) {
  const char* redis = std::getenv("YAGURA_TEST_REDIS");
  const char* port = std::getenv("YAGURA_TEST_SMTP_PORT");
  if (redis == nullptr || port == nullptr) GTEST_SKIP() << "runs within other tests";
  redis::Endpoint endpoint;
  endpoint.address = redis;
  Node node(endpoint, SmtpAt(std::atoi(port)));
  node.dispatcher->Start();
  // Its parent kills it; where that has died itself, it does not stay for ever.
  const pid_t parent = ::getppid();
  EXPECT_TRUE(Eventually([parent] { return ::getppid() != parent; }, std::chrono::minutes(5)))
      << "nobody kills it";
}

std::unique_ptr<testing::Process> StartChild(const RedisServer& redis, const SmtpServer& smtp,
                                             const std::filesystem::path& log) {
  return std::make_unique<testing::Process>(
      std::vector<std::string>{"env", "YAGURA_TEST_REDIS=" + redis.endpoint().address,
                               "YAGURA_TEST_SMTP_PORT=" + std::to_string(smtp.port()),
                               std::filesystem::read_symlink("/proc/self/exe").string(),
                               "--gtest_filter=DeliveryChild.DISABLED_Run",
                               "--gtest_also_run_disabled_tests"},
      log);
}

TEST_F(DeliveryRedisTest, AKillBetweenDataAndTheLedgerGivesOneMarkedRepeatWithTheSameMessageId) {
  const std::filesystem::path log = testing::MakeTemporaryFolder();
  Node node(redis_.endpoint(), Smtp());
  node.AddContact("acme", "alice", "alice@example.com");
  auto child = StartChild(redis_, smtp_, log / "log");
  // The server keeps the mail, then kills the process that sent it before it hears the answer.
  smtp_.Script({fmt::format("keep-kill {}", child->pid())});
  ASSERT_THAT(node.handler.Handle(FindingOf("acme", "f1", "k")), IsOk());
  ASSERT_TRUE(Eventually([&] { return child->Poll().has_value(); }));
  EXPECT_EQ(child->Wait(), 128 + 9);
  ASSERT_EQ(smtp_.Mails().size(), 1u);
  v1::Delivery delivery = node.Deliveries("acme")[0];
  EXPECT_EQ(delivery.state(), v1::SENDING);
  ASSERT_EQ(delivery.attempts_size(), 1);
  EXPECT_EQ(delivery.attempts(0).result(), v1::STARTED);

  const auto restart = std::chrono::steady_clock::now();
  node.dispatcher->Start();
  ASSERT_TRUE(Eventually([&] { return node.AllIn("acme", v1::DELIVERED); }));
  EXPECT_LT(std::chrono::steady_clock::now() - restart, std::chrono::seconds(10));
  const auto mails = smtp_.Mails();
  ASSERT_EQ(mails.size(), 2u);
  EXPECT_EQ(mails[0].Header("Message-ID"), mails[1].Header("Message-ID"));
  EXPECT_EQ(mails[0].Header("X-Yagura-Possible-Repeat"), "");
  EXPECT_EQ(mails[1].Header("X-Yagura-Possible-Repeat"), "yes");
  delivery = node.Deliveries("acme")[0];
  EXPECT_TRUE(delivery.possible_repeat());
  ASSERT_EQ(delivery.attempts_size(), 2);
  EXPECT_EQ(delivery.attempts(0).result(), v1::INTERRUPTED);
  EXPECT_FALSE(delivery.attempts(0).possible_repeat());
  EXPECT_TRUE(delivery.attempts(1).possible_repeat());
  std::filesystem::remove_all(log);
}

TEST_F(DeliveryRedisTest, ASuccessorOfTheSameInstanceTakesOverAtOnce) {
  const auto state = redis_.NewPool();
  Holders before(state, "before", "suite/notification");
  ASSERT_THAT(before.Renew(), IsOk());
  ASSERT_THAT(before.Renew(), IsOk());
  Holders after(state, "after", "suite/notification");
  EXPECT_TRUE(*after.IsAlive("before"));
  ASSERT_THAT(after.Renew(), IsOk());
  EXPECT_FALSE(*after.IsAlive("before"));
  // Alive after all, it may begin nothing any more, and does not come back.
  EXPECT_THAT(before.Renew(), testing::StatusIs(absl::StatusCode::kAborted, "SUPERSEDED"));
  EXPECT_FALSE(*after.IsAlive("before"));
  ASSERT_THAT(after.Renew(), IsOk());
  EXPECT_TRUE(*before.IsAlive("after"));
}

// Redis forgets what it was told last: a failover, a lost second of the log, a backup put back.
TEST_F(DeliveryRedisTest, WhoIsInOfficeStaysThereWhenRedisForgets) {
  const auto state = redis_.NewPool();
  const std::string key = "y:{provider}:notification:holder-of:suite/notification";
  Holders before(state, "before", "suite/notification");
  ASSERT_THAT(before.Renew(), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto older, state->Command({"GET", key}));
  Holders after(state, "after", "suite/notification");
  ASSERT_THAT(after.Renew(), IsOk());
  EXPECT_THAT(before.Renew(), testing::StatusIs(absl::StatusCode::kAborted, "SUPERSEDED"));

  ASSERT_THAT(state->Command({"DEL", key}).status(), IsOk());
  EXPECT_THAT(before.Renew(), testing::StatusIs(absl::StatusCode::kAborted, "SUPERSEDED"));
  EXPECT_THAT(after.Renew(), IsOk());
  for (const std::string_view value : {std::string_view(older.text), std::string_view("before")}) {
    ASSERT_THAT(state->Command({"SET", key, value}).status(), IsOk());
    EXPECT_THAT(after.Renew(), IsOk()) << value;
    EXPECT_THAT(before.Renew(), testing::StatusIs(absl::StatusCode::kAborted, "SUPERSEDED"));
  }
  EXPECT_TRUE(*before.IsAlive("after"));
  EXPECT_FALSE(*after.IsAlive("before"));
  // And still yields to a later one.
  Holders last(state, "last", "suite/notification");
  ASSERT_THAT(last.Renew(), IsOk());
  EXPECT_THAT(after.Renew(), testing::StatusIs(absl::StatusCode::kAborted, "SUPERSEDED"));
}

TEST_F(DeliveryRedisTest, TwoProcessesMakeEachDeliveryOnce) {
  Node first(redis_.endpoint(), Smtp());
  Node second(redis_.endpoint(), Smtp());
  first.AddContact("acme", "alice", "alice@example.com");
  first.dispatcher->Start();
  second.dispatcher->Start();
  constexpr size_t kMails = 60;
  for (size_t i = 0; i < kMails; ++i) {
    const std::string id = std::to_string(i);
    ASSERT_THAT(first.handler.Handle(FindingOf("acme", "f" + id, "k" + id)), IsOk());
  }
  ASSERT_TRUE(Eventually([&] { return first.AllIn("acme", v1::DELIVERED); }));
  EXPECT_EQ(first.Deliveries("acme").size(), kMails);
  EXPECT_EQ(smtp_.Mails().size(), kMails);
}

TEST_F(DeliveryRedisTest, AResultIsPutOnRecordAfterRedisWasAway) {
  Node node(redis_.endpoint(), Smtp());
  node.AddContact("acme", "alice", "alice@example.com");
  ASSERT_THAT(node.handler.Handle(FindingOf("acme", "f1", "k")), IsOk());
  node.dispatcher->Start();
  ASSERT_TRUE(Eventually([&] {
    const auto deliveries = node.Deliveries("acme");
    return !deliveries.empty() && deliveries[0].attempts_size() > 0;
  }));
  redis_.KillHard();
  redis_.Restart();
  ASSERT_TRUE(Eventually([&] { return node.AllIn("acme", v1::DELIVERED); }));
  EXPECT_EQ(smtp_.Mails().size(), 1u);
}

TEST_F(DeliveryRedisTest, KillsOfRedisLoseNoMailAndRepeatNoneWithoutAMark) {
  Node node(redis_.endpoint(), Smtp());
  node.AddContact("acme", "alice", "alice@example.com");
  constexpr size_t kMails = 40;
  for (size_t i = 0; i < kMails; ++i) {
    const std::string id = std::to_string(i);
    ASSERT_THAT(node.handler.Handle(FindingOf("acme", "f" + id, "k" + id)), IsOk());
  }
  node.dispatcher->Start();
  for (size_t kept = 5; kept <= 20; kept += 5) {
    ASSERT_TRUE(Eventually([&] { return smtp_.Mails().size() >= kept; }));
    redis_.KillHard();
    redis_.Restart();
  }
  ASSERT_TRUE(Eventually([&] { return node.AllIn("acme", v1::DELIVERED); }));
  std::map<std::string, int> unmarked;
  for (const auto& mail : smtp_.Mails()) {
    unmarked[mail.Header("Message-ID")] += mail.Header("X-Yagura-Possible-Repeat").empty() ? 1 : 0;
  }
  EXPECT_EQ(unmarked.size(), kMails);
  for (const auto& [id, count] : unmarked) EXPECT_LE(count, 1) << id;
}

TEST_F(DeliveryRedisTest, AnAlertThatIsResolvedIsNotToldAnyMore) {
  smtp_.Stop();
  Node node(redis_.endpoint(), Smtp());
  node.AddContact("acme", "alice", "alice@example.com");
  node.dispatcher->Start();
  ASSERT_THAT(node.handler.Handle(FindingOf("acme", "f1", "k")), IsOk());
  ASSERT_TRUE(Eventually([&] { return node.Deliveries("acme")[0].attempt_count() >= 2; }));
  ASSERT_THAT(node.stores.alerts.Mutate({}, node.Alerts("acme")[0].name(),
                                        [](v1::Alert& alert) {
                                          alert.set_state(v1::RESOLVED);
                                          return absl::OkStatus();
                                        }),
              IsOk());
  EXPECT_TRUE(Eventually([&] { return node.AllIn("acme", v1::CANCELLED); }));
}

TEST_F(DeliveryRedisTest, AWebhookIsSignedWithTheContactsSecret) {
  HttpPeer peer;
  Node node(redis_.endpoint(), Smtp());
  node.AddContact("acme", "soar", "", peer.Url("/ok?token=t"), "0123456789abcdef");
  node.dispatcher->Start();
  ASSERT_THAT(node.handler.Handle(FindingOf("acme", "f1", "k")), IsOk());
  ASSERT_TRUE(Eventually([&] { return node.AllIn("acme", v1::DELIVERED); }));
  ASSERT_EQ(peer.requests().size(), 1u);
  const httplib::Request request = peer.requests()[0];
  const TimePoint time{
      std::chrono::seconds(std::stoll(request.get_header_value("X-Yagura-Timestamp")))};
  EXPECT_EQ(request.get_header_value("X-Yagura-Signature"),
            WebhookSignature("0123456789abcdef", time, request.body));
  EXPECT_EQ(request.get_header_value("X-Yagura-Delivery"), node.Deliveries("acme")[0].message_id());
  EXPECT_EQ(node.Deliveries("acme")[0].target(), peer.Url("/ok"));
}

TEST_F(DeliveryRedisTest, AMailServerThatHangsHoldsUpNoWebhook) {
  smtp_.Script(std::vector<std::string>(20, "hang"));
  HttpPeer peer;
  Node node(redis_.endpoint(), Smtp());
  node.AddContact("acme", "alice", "alice@example.com", peer.Url("/ok"));
  node.dispatcher->Start();
  for (int i = 0; i < 10; ++i) {
    const std::string id = std::to_string(i);
    ASSERT_THAT(node.handler.Handle(FindingOf("acme", "f" + id, "k" + id)), IsOk());
  }
  EXPECT_TRUE(Eventually([&] { return peer.requests().size() == 10; }, std::chrono::seconds(10)));
  EXPECT_TRUE(smtp_.Mails().empty());
}

TEST_F(DeliveryRedisTest, AWebhookThatHangsLeavesAThreadToTheOthers) {
  HttpPeer slow;
  HttpPeer peer;
  Node node(redis_.endpoint(), Smtp());
  node.AddContact("acme", "slow", "", slow.Url("/hang"));
  node.AddContact("globex", "fast", "", peer.Url("/ok"));
  node.dispatcher->Start();
  for (int i = 0; i < 5; ++i) {
    const std::string id = std::to_string(i);
    ASSERT_THAT(node.handler.Handle(FindingOf("acme", "f" + id, "k" + id)), IsOk());
    ASSERT_THAT(node.handler.Handle(FindingOf("globex", "f" + id, "k" + id)), IsOk());
  }
  EXPECT_TRUE(Eventually([&] { return peer.requests().size() == 5; }, std::chrono::seconds(10)));
}

}  // namespace
}  // namespace yagura::notification
