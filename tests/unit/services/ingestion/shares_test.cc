#include "services/ingestion/domain/shares.h"

#include <numeric>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace yagura::ingestion {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(SharesTest, FollowTheWeightsAndComeToTheWhole) {
  EXPECT_THAT(SharesOf(10, {1, 1}), ElementsAre(5, 5));
  EXPECT_THAT(SharesOf(10, {1, 3, 0, 4}), ElementsAre(1, 3, 0, 6));
  EXPECT_THAT(SharesOf(1, {5, 5, 5}), ElementsAre(0, 0, 1));
  EXPECT_THAT(SharesOf(7, {0, 2, 0}), ElementsAre(0, 7, 0));
}

TEST(SharesTest, NobodyGetsNothing) {
  EXPECT_THAT(SharesOf(7, {}), IsEmpty());
  EXPECT_THAT(SharesOf(7, {0, 0}), ElementsAre(0, 0));
  EXPECT_THAT(SharesOf(0, {3, 4}), ElementsAre(0, 0));
}

TEST(SharesTest, ComeToTheWholeForLargeNumbersToo) {
  const std::vector<uint64_t> weights = {1, UINT64_MAX / 4, 17, UINT64_MAX / 8, 1'000'000'007};
  const auto shares = SharesOf(UINT64_MAX / 3, weights);
  EXPECT_EQ(std::accumulate(shares.begin(), shares.end(), uint64_t{0}), UINT64_MAX / 3);
}

}  // namespace
}  // namespace yagura::ingestion
