#include "common/clock/proto_time.h"

#include <limits>

#include "gtest/gtest.h"

namespace yagura {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(ProtoTime, RoundTripsBeforeAndAfterTheEpoch) {
  for (const TimePoint time : {TimePoint(milliseconds(1'700'000'000'123)),
                               TimePoint(milliseconds(-1)), TimePoint(seconds(0))}) {
    const auto proto = ToProto(time);
    EXPECT_GE(proto.nanos(), 0);
    EXPECT_EQ(FromProto(proto), time);
  }
}

TEST(ProtoTime, ClampsWhatNanosecondsCannotHold) {
  google::protobuf::Timestamp far;
  far.set_seconds(std::numeric_limits<int64_t>::max());
  EXPECT_GT(FromProto(far), TimePoint(seconds(9'000'000'000)));
  far.set_seconds(std::numeric_limits<int64_t>::min());
  EXPECT_LT(FromProto(far), TimePoint(seconds(-9'000'000'000)));
}

TEST(FormatTime, WritesUtcWithTheDigitsThatAreThere) {
  EXPECT_EQ(FormatTime(TimePoint(seconds(1'700'000'000))), "2023-11-14T22:13:20Z");
  EXPECT_EQ(FormatTime(TimePoint(milliseconds(1'700'000'000'050))), "2023-11-14T22:13:20.05Z");
}

TEST(ParseTime, ReadsAnyOffsetAndRefusesTheRest) {
  const auto time = ParseTime("2023-11-15T07:13:20.5+09:00");
  ASSERT_TRUE(time.ok());
  EXPECT_EQ(*time, TimePoint(milliseconds(1'700'000'000'500)));
  EXPECT_FALSE(ParseTime("yesterday").ok());
  EXPECT_FALSE(ParseTime("2023-11-15").ok());
}

}  // namespace
}  // namespace yagura
