#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>

#include "common/store/change_feed.h"
#include "common/store/keys.h"
#include "tests/unit/common/store/fixture.h"

namespace yagura::store {
namespace {

using absl::StatusCode;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::IsOk;
using ::testing::IsSupersetOf;
using ::testing::SizeIs;
using testing::StatusIs;

audit::v1::Record Read(std::string_view tenant, std::string_view who) {
  audit::v1::Record record;
  record.set_tenant(std::string(tenant));
  record.set_principal(std::string(who));
  record.set_action(audit::v1::READ);
  return record;
}

// Remembers what it hears: "acme 3", and "acme reset".
class Listener : public FeedFollower::Subscriber {
 public:
  void OnRecord(const audit::v1::Record& record) override {
    Add(fmt::format("{} {}", record.tenant(), record.sequence()));
  }
  void OnReset(std::string_view tenant) override { Add(fmt::format("{} reset", tenant)); }

  std::vector<std::string> heard() {
    const std::lock_guard lock(mutex_);
    return heard_;
  }
  bool WaitFor(const std::string& what, std::chrono::milliseconds timeout) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, timeout, [&] {
      return std::find(heard_.begin(), heard_.end(), what) != heard_.end();
    });
  }

 private:
  void Add(std::string what) {
    const std::lock_guard lock(mutex_);
    heard_.push_back(std::move(what));
    changed_.notify_all();
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> heard_;
};

TEST_F(StoreTest, RecordsOfReadsStandBetweenThoseOfWrites) {
  ASSERT_THAT(assets_.Create(By("alice"), MakeAsset("acme", "a")), IsOk());
  ASSERT_THAT(
      AppendRecords(*pool_, {Read("acme", "bob"), Read("other", "bob"), Read("acme", "eve")}),
      IsOk());
  ASSERT_THAT(assets_.Delete(By("alice"), "tenants/acme/assets/a"), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto records, ReadRecords(*pool_, "acme", 0, 100));
  std::vector<std::string> who;
  for (const auto& record : records) {
    EXPECT_EQ(record.sequence(), who.size() + 1);
    EXPECT_TRUE(record.has_time());
    who.push_back(record.principal());
  }
  EXPECT_THAT(who, ElementsAre("alice", "bob", "eve", "alice"));
  ASSERT_OK_AND_ASSIGN(const auto other, ReadRecords(*pool_, "other", 0, 100));
  EXPECT_THAT(other, SizeIs(1));
}

TEST_F(StoreTest, RecordsAreReadInPiecesAndTrimmedBehindTheSealer) {
  for (int i = 0; i < 10; ++i) ASSERT_THAT(AppendRecords(*pool_, {Read("acme", "x")}), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto piece, ReadRecords(*pool_, "acme", 3, 2));
  ASSERT_THAT(piece, SizeIs(2));
  EXPECT_EQ(piece[0].sequence(), 4u);
  ASSERT_THAT(TrimRecords(*pool_, "acme", 8), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto rest, ReadRecords(*pool_, "acme", 0, 100));
  ASSERT_THAT(rest, SizeIs(2));
  EXPECT_EQ(rest[0].sequence(), 9u);
}

TEST_F(StoreTest, ARecordNeedsATenant) {
  for (const char* bad : {"", "-", "a}b", "a/b"}) {
    EXPECT_THAT(AppendRecords(*pool_, {Read(bad, "x")}), StatusIs(StatusCode::kInvalidArgument));
  }
}

class FeedFollowerTest : public StoreTest {
 protected:
  void SetUp() override {
    listener_ = std::make_shared<Listener>();
    follower_->Subscribe(listener_);
  }
  std::shared_ptr<FeedFollower> follower_ = std::make_shared<FeedFollower>(pool_, Logger::Null());
  std::shared_ptr<Listener> listener_;
};

TEST_F(FeedFollowerTest, ATenantIsResetAtTheStartAndFollowedInOrder) {
  ASSERT_THAT(AppendRecords(*pool_, {Read("acme", "x"), Read("acme", "x")}), IsOk());
  ASSERT_THAT(RegisterTenant(*pool_, "acme"), IsOk());
  follower_->Start();
  ASSERT_THAT(follower_->CatchUp(), IsOk());
  ASSERT_THAT(AppendRecords(*pool_, {Read("acme", "x"), Read("acme", "x")}), IsOk());
  ASSERT_THAT(follower_->CatchUp(), IsOk());
  EXPECT_THAT(listener_->heard(), ElementsAre("acme reset", "acme 3", "acme 4"));
}

TEST_F(FeedFollowerTest, ANewTenantIsPickedUpAtOnce) {
  follower_->Start();
  ASSERT_THAT(follower_->CatchUp(), IsOk());
  ASSERT_THAT(RegisterTenant(*pool_, "new"), IsOk());
  EXPECT_TRUE(listener_->WaitFor("new reset", std::chrono::milliseconds(900)));
  ASSERT_THAT(AppendRecords(*pool_, {Read("new", "x")}), IsOk());
  EXPECT_TRUE(listener_->WaitFor("new 1", std::chrono::milliseconds(500)));
}

TEST_F(FeedFollowerTest, WhoJoinsLaterIsToldOfEveryTenantFirst) {
  ASSERT_THAT(RegisterTenant(*pool_, "acme"), IsOk());
  follower_->Start();
  ASSERT_THAT(AppendRecords(*pool_, {Read("acme", "x")}), IsOk());
  ASSERT_THAT(follower_->CatchUp(), IsOk());
  auto late = std::make_shared<Listener>();
  follower_->Subscribe(late);
  EXPECT_THAT(late->heard(), ElementsAre("acme reset"));
  ASSERT_THAT(AppendRecords(*pool_, {Read("acme", "x")}), IsOk());
  ASSERT_THAT(follower_->CatchUp(), IsOk());
  EXPECT_THAT(late->heard(), ElementsAre("acme reset", "acme 2"));
}

TEST_F(FeedFollowerTest, ASubscriberThatIsGoneIsForgotten) {
  ASSERT_THAT(RegisterTenant(*pool_, "acme"), IsOk());
  follower_->Start();
  ASSERT_THAT(follower_->CatchUp(), IsOk());
  listener_.reset();
  ASSERT_THAT(AppendRecords(*pool_, {Read("acme", "x")}), IsOk());
  EXPECT_THAT(follower_->CatchUp(), IsOk());
}

TEST_F(FeedFollowerTest, AfterARestartOfRedisNothingIsMissed) {
  ASSERT_THAT(RegisterTenant(*pool_, "acme"), IsOk());
  follower_->Start();
  ASSERT_THAT(follower_->CatchUp(), IsOk());
  for (int round = 0; round < 3; ++round) {
    ASSERT_THAT(AppendRecords(*pool_, {Read("acme", "x"), Read("acme", "x")}), IsOk());
    server_.KillHard();
    server_.Restart();
  }
  ASSERT_THAT(AppendRecords(*pool_, {Read("acme", "x")}), IsOk());
  ASSERT_THAT(follower_->CatchUp(std::chrono::seconds(10)), IsOk());
  EXPECT_THAT(listener_->heard(), ElementsAre("acme reset", "acme 1", "acme 2", "acme 3", "acme 4",
                                              "acme 5", "acme 6", "acme 7"));
}

TEST_F(FeedFollowerTest, WhereRecordsWereTrimmedMeanwhileTheTenantIsReset) {
  ASSERT_THAT(RegisterTenant(*pool_, "acme"), IsOk());
  follower_->Start();
  ASSERT_THAT(follower_->CatchUp(), IsOk());
  ASSERT_THAT(AppendRecords(*pool_, {Read("acme", "x")}), IsOk());
  ASSERT_THAT(follower_->CatchUp(), IsOk());
  follower_->Stop();
  for (int i = 0; i < 5; ++i) ASSERT_THAT(AppendRecords(*pool_, {Read("acme", "x")}), IsOk());
  ASSERT_THAT(TrimRecords(*pool_, "acme", 5), IsOk());
  follower_->Start();
  ASSERT_THAT(follower_->CatchUp(), IsOk());
  EXPECT_THAT(listener_->heard(), ElementsAre("acme reset", "acme 1", "acme reset", "acme 6"));
  follower_->Stop();
  // All of it trimmed: nothing is left that would tell.
  ASSERT_THAT(AppendRecords(*pool_, {Read("acme", "x")}), IsOk());
  ASSERT_THAT(TrimRecords(*pool_, "acme", 7), IsOk());
  follower_->Start();
  ASSERT_THAT(follower_->CatchUp(), IsOk());
  EXPECT_EQ(listener_->heard().back(), "acme reset");
}

// A connection that breaks in the midst of a refresh (here: one feed cannot be read) must not make
// the follower forget that another tenant was reset.
TEST_F(FeedFollowerTest, AResetIsToldThoughTheRefreshThatFoundItFails) {
  for (const char* tenant : {"acme", "zeta"}) ASSERT_THAT(RegisterTenant(*pool_, tenant), IsOk());
  follower_->Start();
  for (const char* tenant : {"acme", "zeta"}) {
    ASSERT_THAT(AppendRecords(*pool_, {Read(tenant, "x"), Read(tenant, "x")}), IsOk());
  }
  ASSERT_THAT(follower_->CatchUp(), IsOk());
  follower_->Stop();
  ASSERT_THAT(pool_->Command({"SET", SequenceKey("acme"), "1"}), IsOk()) << "older data came back";
  ASSERT_THAT(pool_->Command({"SET", SequenceKey("zeta"), "3"}), IsOk());
  ASSERT_THAT(pool_->Command({"SET", FeedKey("zeta"), "no stream"}), IsOk());
  const size_t before = listener_->heard().size();
  follower_->Start();
  EXPECT_THAT(follower_->CatchUp(std::chrono::milliseconds(400)),
              StatusIs(StatusCode::kUnavailable));
  ASSERT_THAT(pool_->Command({"DEL", FeedKey("zeta")}), IsOk());
  ASSERT_THAT(follower_->CatchUp(std::chrono::seconds(5)), IsOk());
  auto heard = listener_->heard();
  heard.erase(heard.begin(), heard.begin() + static_cast<std::ptrdiff_t>(before));
  // acme's feed still holds a record beyond its sequence, which may or may not have been read by
  // now.
  EXPECT_THAT(heard, IsSupersetOf({"acme reset", "zeta reset"}));
}

TEST_F(FeedFollowerTest, CatchUpSaysSoWhenItCannot) {
  ASSERT_THAT(RegisterTenant(*pool_, "acme"), IsOk());
  EXPECT_THAT(follower_->CatchUp(std::chrono::milliseconds(20)),
              StatusIs(StatusCode::kUnavailable, "CHANGE_FEED_BEHIND"));
}

}  // namespace
}  // namespace yagura::store
