#include "gtest/gtest.h"

#include "common/event/event_view.h"

namespace yagura::event {
namespace {

TEST(IpAddressTest, ReadsBothFamilies) {
  EXPECT_EQ(IpAddress::Parse("192.0.2.1")->bytes(), std::string_view("\xc0\x00\x02\x01", 4));
  EXPECT_EQ(IpAddress::Parse("2001:db8::1")->bytes().size(), 16u);
  EXPECT_EQ(IpAddress::Parse("[2001:db8::1]")->ToString(), "2001:db8::1");
  EXPECT_EQ(IpAddress::Parse("255.255.255.255")->ToString(), "255.255.255.255");
}

TEST(IpAddressTest, RefusesWhatOnlyLooksLikeOne) {
  for (const char* text : {"", "1", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "1.2.3.4 ", "a",
                           "::g", "1.2.3.", ".1.2.3", "1.2.3.1234", "[1.2.3.4]x"}) {
    EXPECT_FALSE(IpAddress::Parse(text)) << text;
  }
}

TEST(IpAddressTest, BytesOfAnyOtherSizeAreNoAddress) {
  EXPECT_TRUE(IpAddress::FromBytes("abc").empty());
  EXPECT_EQ(IpAddress::FromBytes(std::string_view("\x7f\0\0\1", 4)).ToString(), "127.0.0.1");
}

}  // namespace
}  // namespace yagura::event
