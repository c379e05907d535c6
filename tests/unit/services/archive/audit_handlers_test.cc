// Audit records out of real change feeds.
#include "services/archive/api/audit_handlers.h"

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "archive_fixture.h"
#include "common/clock/proto_time.h"
#include "common/redis/pool.h"
#include "common/store/change_feed.h"
#include "common/store/store.h"
#include "common/testing/redis_server.h"
#include "common/testing/status_matchers.h"

namespace yagura::archive {
namespace {

using testing::IsOk;
using testing::StatusIs;

class AuditTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const std::string tenant : {"acme", "beta"}) {
      ASSERT_THAT(store::RegisterTenant(*state_, tenant), IsOk());
    }
    std::vector<audit::v1::Record> records;
    for (int i = 0; i < 600; ++i) {
      audit::v1::Record record;
      record.set_tenant(i % 3 == 0 ? "beta" : "acme");
      record.set_principal(i % 2 == 0 ? "tenants/provider/users/alice" : "services/detection");
      record.set_detail(std::to_string(i));
      record.set_action(i % 5 == 0 ? audit::v1::SEARCHED : audit::v1::UPDATED);
      *record.mutable_time() = ToProto(BaseTime() + std::chrono::seconds(i));
      records.push_back(record);
    }
    ASSERT_THAT(store::AppendRecords(*state_, records), IsOk());
  }

  // All pages; the details of the records.
  std::vector<std::string> List(const std::string& filter, const std::string& tenant,
                                const std::set<std::string>& tenants) {
    std::vector<std::string> details;
    audit::v1::ListRecordsRequest request;
    request.set_parent("tenants/" + tenant);
    request.set_filter(filter);
    request.set_page_size(70);
    do {
      const auto page = handlers_.ListRecords(MakeCall(tenant, tenants), request);
      EXPECT_THAT(page, IsOk());
      if (!page.ok()) break;
      for (const auto& record : page->records()) details.push_back(record.detail());
      request.set_page_token(page->next_page_token());
    } while (!request.page_token().empty() && details.size() < 2000);
    return details;
  }

  testing::RedisServer redis_;
  std::shared_ptr<redis::Pool> state_ = redis_.NewPool();
  AuditHandlers handlers_{state_};
};

TEST_F(AuditTest, GivesEveryRecordOnceTheNewestFirst) {
  const auto details = List("", "-", {"-"});
  ASSERT_EQ(details.size(), 600u);
  for (int i = 0; i < 600; ++i) EXPECT_EQ(details[static_cast<size_t>(i)], std::to_string(599 - i));
}

TEST_F(AuditTest, ATenantSeesItsOwn) {
  EXPECT_EQ(List("", "beta", {"beta"}).size(), 200u);
  EXPECT_EQ(List("", "-", {"beta"}).size(), 200u);
}

TEST_F(AuditTest, Filters) {
  EXPECT_EQ(List("principal = \"*alice\" AND action = SEARCHED", "-", {"-"}).size(), 60u);
  audit::v1::ListRecordsRequest request;
  request.set_filter("nonsense = 1");
  EXPECT_THAT(handlers_.ListRecords(MakeCall("acme", {"acme"}), request),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(AuditTest, TrimmedRecordsAreNotMissed) {
  ASSERT_THAT(store::TrimRecords(*state_, "beta", 150), IsOk());
  EXPECT_EQ(List("", "beta", {"beta"}).size(), 50u);
}

}  // namespace
}  // namespace yagura::archive
