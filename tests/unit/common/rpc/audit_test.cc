#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/redis/pool.h"
#include "common/rpc/audit_log.h"
#include "common/status/status.h"
#include "common/store/change_feed.h"
#include "common/testing/redis_server.h"
#include "tests/unit/common/rpc/test_server.h"

namespace yagura::rpc {
namespace {

using audit::v1::Record;
using ::testing::ElementsAre;
using testing::v1::EchoResponse;
using testing::v1::ListEchoesRequest;
using testing::v1::UpdateEchoRequest;

Record Of(const std::string& resource) {
  Record record;
  record.set_resource(resource);
  return record;
}

TEST(AuditLog, KeepsRecordsInOrderWhileTheyCannotBeAppended) {
  MetricsRegistry metrics;
  std::mutex mutex;
  std::vector<std::string> appended;
  std::atomic<bool> away{true};
  std::atomic<int> tries{0};
  AuditLog log(
      [&](const std::vector<Record>& records) -> absl::Status {
        ++tries;
        if (away) return Unavailable("REDIS_UNREACHABLE", "away");
        const std::lock_guard lock(mutex);
        for (const Record& record : records) appended.push_back(record.resource());
        return absl::OkStatus();
      },
      metrics, Logger::Null());
  log.Add(Of("a"));
  log.Add(Of("b"));
  ASSERT_TRUE(Eventually([&] { return tries >= 1; }));
  away = false;
  log.Add(Of("c"));
  ASSERT_TRUE(Eventually([&] {
    const std::lock_guard lock(mutex);
    return appended.size() == 3;
  }));
  EXPECT_THAT(appended, ElementsAre("a", "b", "c"));
  log.Stop();
  EXPECT_EQ(metrics.GetCounter("yagura_rpc_audit_records_total", "")->Value(), 3);
  EXPECT_EQ(metrics.GetCounter("yagura_rpc_audit_records_lost_total", "")->Value(), 0);
}

TEST(AuditLog, CountsWhatItCannotKeepAndStopsInTime) {
  MetricsRegistry metrics;
  AuditLog log([](const std::vector<Record>&) { return Unavailable("X", "away"); }, metrics,
               Logger::Null());
  for (int i = 0; i < 20'100; ++i) log.Add(Of("r"));
  const auto begun = std::chrono::steady_clock::now();
  log.Stop();
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(5));
  EXPECT_EQ(metrics.GetCounter("yagura_rpc_audit_records_lost_total", "")->Value(), 20'100);
}

class ServerAudit : public ::testing::Test {
 protected:
  void SetUp() override {
    server.platform.state = redis.NewPool();
    ASSERT_TRUE(server.Start().ok());
  }
  std::vector<Record> Records(const std::string& tenant, size_t at_least) {
    std::vector<Record> records;
    EXPECT_TRUE(Eventually([&] {
      auto read = store::ReadRecords(*server.platform.state, tenant, 0, 100);
      if (read.ok()) records = *read;
      return records.size() >= at_least;
    })) << tenant
        << " has " << records.size();
    return records;
  }

  testing::RedisServer redis;
  TestServer server;
};

TEST_F(ServerAudit, ReadsAndSearchesAreOnRecordWithWhoAndWhat) {
  ASSERT_TRUE(server.Get("hello").ok());
  {
    grpc::ClientContext context;
    server.Authorize(context, server.Token("viewer", {"*"}, "tenants/provider/users/eve"));
    ListEchoesRequest request;
    request.set_parent("tenants/-");
    request.set_filter("severity = HIGH");
    EchoResponse response;
    ASSERT_TRUE(server.stub()->ListEchoes(&context, request, &response).ok());
  }
  const auto acme = Records("acme", 1);
  EXPECT_EQ(acme[0].action(), audit::v1::READ);
  EXPECT_EQ(acme[0].principal(), "tenants/acme/users/alice");
  EXPECT_EQ(acme[0].resource(), "tenants/acme/echoes/e");
  EXPECT_EQ(acme[0].kind(), "ticketing.tickets");
  EXPECT_EQ(acme[0].method(), "/yagura.testing.v1.EchoService/GetEcho");
  const auto provider = Records("provider", 1);
  EXPECT_EQ(provider[0].resource(), "tenants/-");
  EXPECT_EQ(provider[0].detail(), "severity = HIGH");
}

TEST_F(ServerAudit, DenialsAreOnRecordInTheCallersOwnTenant) {
  EXPECT_FALSE(
      server.GetAs(server.Token("engineer", {"acme"}), Request("tenants/globex/echoes/e")).ok());
  const auto acme = Records("acme", 1);
  EXPECT_EQ(acme[0].action(), audit::v1::DENIED);
  EXPECT_EQ(acme[0].resource(), "tenants/globex/echoes/e");
  EXPECT_EQ(acme[0].status_code(), 7);
  EXPECT_TRUE(Records("globex", 0).empty());
}

TEST_F(ServerAudit, WritesAreLeftToTheStoreAndFailedReadsAreNoReads) {
  grpc::ClientContext context;
  server.Authorize(context, server.Token("engineer", {"acme"}));
  UpdateEchoRequest request;
  request.mutable_echo()->set_name("tenants/acme/echoes/e");
  EchoResponse response;
  ASSERT_TRUE(server.stub()->UpdateEcho(&context, request, &response).ok());
  EXPECT_FALSE(server.Get("error").ok());
  ASSERT_TRUE(server.Get("the only read").ok());
  EXPECT_EQ(Records("acme", 1).size(), 1u);
}

TEST_F(ServerAudit, ReadsGoOnWhileRedisIsAwayAndAreRecordedAfterwards) {
  redis.KillHard();
  ASSERT_TRUE(server.Get("hello").ok());
  redis.Restart();
  EXPECT_EQ(Records("acme", 1).size(), 1u);
}

}  // namespace
}  // namespace yagura::rpc
