#include "services/ingestion/workers/fair_executor.h"

#include <latch>
#include <string>

#include "gtest/gtest.h"

#include "services/ingestion/workers/shares.h"

namespace yagura::ingestion {
namespace {

TEST(FairExecutorTest, WhoComesLateFindsRoomAndHasItsTurnAfterOneJobOfEachOther) {
  FairExecutor executor(1, 9);
  std::latch begun(1);
  std::latch go(1);
  std::string order;
  ASSERT_TRUE(executor.TrySubmit("acme", [&] {
    begun.count_down();
    go.wait();
  }));
  begun.wait();
  int taken = 0;
  while (executor.TrySubmit("acme", [&] { order += 'a'; })) ++taken;
  EXPECT_EQ(taken, 5) << "no more than is left for others, or one more";
  EXPECT_TRUE(executor.TrySubmit("beta", [&] { order += 'b'; }));
  EXPECT_TRUE(executor.TrySubmit("gamma", [&] { order += 'c'; }));
  EXPECT_TRUE(executor.TrySubmit("gamma", [&] { order += 'c'; }));
  EXPECT_FALSE(executor.TrySubmit("acme", [&] { order += 'x'; }));
  go.count_down();
  executor.Stop();
  EXPECT_EQ(order, "abcacaaa");
  EXPECT_FALSE(executor.TrySubmit("beta", [] {}));
}

TEST(SharesTest, NobodyHoldsMoreThanIsLeftForAllOthers) {
  Shares shares(100);
  EXPECT_TRUE(shares.Take("acme", 80)) << "the first amount of somebody is given where it fits";
  EXPECT_FALSE(shares.Take("acme", 1));
  EXPECT_TRUE(shares.Take("beta", 20));
  EXPECT_FALSE(shares.Take("gamma", 1));
  shares.Give("acme", 80);
  EXPECT_TRUE(shares.Take("gamma", 30));
  EXPECT_TRUE(shares.Take("gamma", 5));
  EXPECT_FALSE(shares.Take("gamma", 20)) << "45 are left, and it has 35";
  shares.Give("gamma", 35);
  shares.Give("beta", 20);
  EXPECT_EQ(shares.taken(), 0u);
}

}  // namespace
}  // namespace yagura::ingestion
