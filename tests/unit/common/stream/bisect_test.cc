#include "common/stream/bisect.h"

#include <algorithm>
#include <set>
#include <stdexcept>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/testing/status_matchers.h"

namespace yagura::stream {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::IsOk;
using testing::StatusIs;

// Fails where any of `bad` is among what is tried, and counts.
class Trial {
 public:
  explicit Trial(std::set<uint32_t> bad) : bad_(std::move(bad)) {}
  absl::Status operator()(std::span<const uint32_t> pieces) {
    ++attempts;
    if (!std::is_sorted(pieces.begin(), pieces.end())) throw std::logic_error("out of order");
    for (const uint32_t piece : pieces) {
      if (bad_.contains(piece)) return absl::InternalError("bad");
    }
    return absl::OkStatus();
  }
  int attempts = 0;

 private:
  std::set<uint32_t> bad_;
};

std::vector<uint32_t> Indexes(const std::vector<Fault>& faults) {
  std::vector<uint32_t> indexes;
  for (const Fault& fault : faults) indexes.push_back(fault.index);
  return indexes;
}

TEST(FindFaults, NamesThoseThatFailOnTheirOwnWithFewAttempts) {
  Trial trial({0, 4097, 8191});
  const auto faults = FindFaults(8192, std::ref(trial));
  ASSERT_THAT(faults, IsOk());
  EXPECT_THAT(Indexes(*faults), ElementsAre(0, 4097, 8191));
  EXPECT_LE(trial.attempts, 3 * 2 * 14);
  const auto good = WithoutFaults(8192, *faults);
  EXPECT_EQ(good.size(), 8189U);
  EXPECT_EQ(good.front(), 1U);
  EXPECT_EQ(good.back(), 8190U);
}

TEST(FindFaults, NamesNoneWhereAllIsWellOrOnlySeveralTogetherFail) {
  Trial trial({});
  const auto none = FindFaults(100, std::ref(trial));
  ASSERT_THAT(none, IsOk());
  EXPECT_THAT(*none, IsEmpty());
  EXPECT_EQ(trial.attempts, 1);
  const auto crowd = FindFaults(100, [](std::span<const uint32_t> pieces) {
    return pieces.size() > 60 ? absl::InternalError("too many at once") : absl::OkStatus();
  });
  ASSERT_THAT(crowd, IsOk());
  EXPECT_THAT(*crowd, IsEmpty());
  EXPECT_THAT(FindFaults(0, std::ref(trial)), IsOk());
}

TEST(FindFaults, TakesAnExceptionForAFault) {
  const auto faults = FindFaults(5, [](std::span<const uint32_t> pieces) -> absl::Status {
    if (std::count(pieces.begin(), pieces.end(), 3U) > 0) throw std::length_error("three");
    return absl::OkStatus();
  });
  ASSERT_THAT(faults, IsOk());
  ASSERT_THAT(Indexes(*faults), ElementsAre(3));
  EXPECT_THAT((*faults)[0].error, StatusIs(absl::StatusCode::kInternal));
}

TEST(FindFaults, EndsWithWhatSaysNothingOfThePieces) {
  for (const auto& error : {absl::UnavailableError("down"), absl::ResourceExhaustedError("full"),
                            absl::AbortedError("lease lost"), absl::CancelledError("stopped")}) {
    int attempts = 0;
    const auto faults = FindFaults(8, [&](std::span<const uint32_t> pieces) -> absl::Status {
      ++attempts;
      return pieces.size() > 4 ? absl::InternalError("bad") : error;
    });
    EXPECT_EQ(faults.status().code(), error.code());
    EXPECT_EQ(attempts, 2);
  }
}

TEST(FindFaults, GivesUpWhereSoManyFailThatItIsNotThePieces) {
  int attempts = 0;
  const auto faults = FindFaults(
      8192,
      [&](std::span<const uint32_t>) {
        ++attempts;
        return absl::InternalError("all of them");
      },
      16);
  EXPECT_THAT(faults, StatusIs(absl::StatusCode::kFailedPrecondition, "TOO_MANY_FAULTS"));
  EXPECT_LT(attempts, 100);
}

}  // namespace
}  // namespace yagura::stream
