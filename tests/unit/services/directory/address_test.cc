#include "services/directory/domain/address.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace yagura::directory {
namespace {

using ::testing::Optional;

TEST(AddressTest, AddressesAndNetworksBecomeCanonical) {
  EXPECT_THAT(CanonicalAddress("10.0.0.1"), Optional(std::string("10.0.0.1")));
  EXPECT_THAT(CanonicalAddress("2001:DB8:0:0::1"), Optional(std::string("2001:db8::1")));
  EXPECT_THAT(CanonicalAddress("10.0.0.0/8"), Optional(std::string("10.0.0.0/8")));
  EXPECT_THAT(CanonicalNetwork("10.0.0.1"), Optional(std::string("10.0.0.1/32")));
  EXPECT_THAT(CanonicalNetwork("::1"), Optional(std::string("::1/128")));
  EXPECT_THAT(CanonicalNetwork("0.0.0.0/0"), Optional(std::string("0.0.0.0/0")));
}

TEST(AddressTest, WhatIsNeitherIsRefused) {
  for (const std::string bad : {"", "10.0.0", "10.0.0.256", "10.0.0.1/33", "10.0.0.1/-1",
                                "10.0.0.1/", "10.0.0.1/8", "::1/129", "2001:db8::1/64", "host",
                                "10.0.0.1 ", "010.0.0.1", "fe80::1%eth0", "10.0.0.1/8/8"}) {
    EXPECT_EQ(CanonicalAddress(bad), std::nullopt) << bad;
    EXPECT_EQ(CanonicalNetwork(bad), std::nullopt) << bad;
  }
  EXPECT_EQ(CanonicalAddress(std::string_view("10.0.0.1\0", 9)), std::nullopt);
  EXPECT_EQ(CanonicalAddress(std::string(1000, '1')), std::nullopt);
}

}  // namespace
}  // namespace yagura::directory
