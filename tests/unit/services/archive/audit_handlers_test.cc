// Audit records out of the event store and out of real change feeds, as one list.
#include "services/archive/api/audit_handlers.h"

#include <thread>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "archive_fixture.h"
#include "audit_world.h"
#include "common/redis/pool.h"
#include "common/store/change_feed.h"
#include "common/testing/status_matchers.h"

namespace yagura::archive {
namespace {

using testing::IsOk;
using testing::StatusIs;

// "599", "598", ... "0", those for which `fits`.
template <typename Fits>
std::vector<std::string> Down(int count, const Fits& fits) {
  std::vector<std::string> numbers;
  for (int i = count; i-- > 0;) {
    if (fits(i)) numbers.push_back(std::to_string(i));
  }
  return numbers;
}
bool All(int /*number*/) { return true; }
bool Betas(int number) { return number % 3 == 0; }

class AuditList : public ::testing::Test {
 protected:
  // 400 sealed records, no longer in the feeds; 100 sealed ones that still are; 100 unsealed.
  void SetUp() override {
    SealOptions options = SmallSeals();
    options.records_per_seal = 100;
    world_.Append(0, 400);
    options.keep_age = std::chrono::milliseconds(0);
    ASSERT_THAT(world_.Seal(options), IsOk());
    ASSERT_THAT(world_.Seal(options), IsOk());  // trims what the first turn has sealed
    world_.Append(400, 100);
    ASSERT_THAT(world_.Seal(), IsOk());
    world_.Append(500, 100);
  }
  AuditWorld world_;
};

TEST_F(AuditList, GivesEveryRecordOnceTheNewestFirst) {
  ASSERT_OK_AND_ASSIGN(const auto feeds, world_.world.seals.Look({"acme", "beta"}));
  ASSERT_GT(feeds.at("acme").oldest, 200u) << "what is sealed and old is not in the feed";
  ASSERT_GT(feeds.at("acme").newest, feeds.at("acme").sealed) << "and not all is sealed";
  for (const int page_size : {7, 70, 1000}) {
    EXPECT_EQ(world_.Details("-", {"-"}, "", page_size), Down(600, All)) << page_size;
  }
}

TEST_F(AuditList, ATenantSeesItsOwn) {
  EXPECT_EQ(world_.Details("beta", {"beta"}), Down(600, Betas));
  EXPECT_EQ(world_.Details("-", {"beta"}), Down(600, Betas));
}

TEST_F(AuditList, SealedRecordsHaveTheirPlaceInTheChain) {
  const auto records = world_.List("acme", {"acme"});
  ASSERT_EQ(records.size(), 400u);
  EXPECT_EQ(records.front().sequence(), 400u);
  EXPECT_EQ(records.front().chain_hash(), "");
  EXPECT_EQ(records.back().sequence(), 1u);
  EXPECT_EQ(records.back().chain_hash().size(), 32u);
  EXPECT_EQ(records.back().tenant(), "acme");
}

TEST_F(AuditList, FiltersAlikeOnBothSidesOfTheBorder) {
  EXPECT_EQ(world_.Details("-", {"-"}, "principal = \"*alice\" AND action = SEARCHED"),
            Down(600, [](int i) { return i % 10 == 0; }));
  EXPECT_EQ(world_.Details("-", {"-"}, "status_code = 7 OR resource:\"things/3\"", 13),
            Down(600, [](int i) { return i % 11 == 0 || i % 7 == 3; }));
  EXPECT_EQ(world_.Details("acme", {"acme"}, "detail = 10", 13), std::vector<std::string>{"10"});
  EXPECT_EQ(world_.Details("-", {"-"}, "sequence <= 2 AND tenant = beta"),
            (std::vector<std::string>{"3", "0"}));
  audit::v1::ListRecordsRequest request;
  request.set_filter("nonsense = 1");
  EXPECT_THAT(world_.handlers.ListRecords(MakeCall("acme", {"acme"}), request),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(AuditList, NothingIsMissedOrDoubledWhileItIsSealedAndTrimmed) {
  SealOptions options = SmallSeals();
  options.keep_age = std::chrono::milliseconds(0);
  std::vector<std::string> details;
  audit::v1::ListRecordsRequest request;
  request.set_parent("tenants/-");
  request.set_page_size(20);
  do {
    ASSERT_OK_AND_ASSIGN(const auto page,
                         world_.handlers.ListRecords(MakeCall("-", {"-"}), request));
    for (const auto& record : page.records()) details.push_back(record.detail());
    request.set_page_token(page.next_page_token());
    if (details.size() <= 60) {
      EXPECT_THAT(world_.Seal(options), IsOk());
    }
  } while (!request.page_token().empty());
  EXPECT_EQ(details, Down(600, All));
}

TEST_F(AuditList, ListsWhileASealerIsAtWork) {
  std::jthread sealing([this](const std::stop_token& stop) {
    SealOptions options = SmallSeals();
    options.keep_age = std::chrono::milliseconds(0);
    for (int i = 600; i < 900 && !stop.stop_requested(); i += 10) {
      world_.Append(i, 10);
      EXPECT_THAT(world_.Seal(options), IsOk());
    }
  });
  for (int round = 0; round < 10; ++round) {
    const auto details = world_.Details("acme", {"acme"}, "sequence <= 400", 90);
    EXPECT_EQ(details, Down(600, [](int i) { return !Betas(i); }));
  }
}

TEST_F(AuditList, RecordsThatWereTrimmedUnsealedAreNotWaitedFor) {
  ASSERT_THAT(store::TrimRecords(*world_.state, "beta", 190), IsOk());
  EXPECT_EQ(world_.Details("beta", {"beta"}).size(), 200u - (190u - 167u));
}

TEST_F(AuditList, WithoutTheStoreTheFeedsAnswerAsFarAsTheyGo) {
  world_.event_store.Stop();
  std::vector<std::string> details;
  audit::v1::ListRecordsRequest request;
  request.set_parent("tenants/acme");
  request.set_page_size(50);
  Status status;
  do {
    const auto page = world_.handlers.ListRecords(MakeCall("acme", {"acme"}), request);
    status = page.status();
    if (!page.ok()) break;
    for (const auto& record : page->records()) details.push_back(record.detail());
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnavailable, "EVENT_STORE_DOWN"));
  EXPECT_GE(details.size(), 130u);
  EXPECT_EQ(details[0], "599");
  world_.event_store.Start();
  for (;;) {  // the same page again, now that the store is back
    ASSERT_OK_AND_ASSIGN(const auto page,
                         world_.handlers.ListRecords(MakeCall("acme", {"acme"}), request));
    for (const auto& record : page.records()) details.push_back(record.detail());
    request.set_page_token(page.next_page_token());
    if (request.page_token().empty()) break;
  }
  EXPECT_EQ(details, Down(600, [](int i) { return !Betas(i); }));
}

TEST_F(AuditList, NamesTheKeys) {
  ASSERT_OK_AND_ASSIGN(const auto keys,
                       world_.handlers.ListSealingKeys(MakeCall("-", {"acme"}), {}));
  ASSERT_EQ(keys.keys_size(), 1);
  EXPECT_EQ(keys.keys(0).id(), world_.world.key.key_id());
  EXPECT_EQ(keys.keys(0).public_key(), world_.world.key.public_key());
}

}  // namespace
}  // namespace yagura::archive
