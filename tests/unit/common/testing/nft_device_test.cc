#include "common/testing/nft_device.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace yagura::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(NftDevice, HasARuleSetOfItsOwn) {
  if (const std::string why = NftDevice::WhyUnavailable(); !why.empty()) GTEST_SKIP() << why;
  NftDevice device;
  NftDevice other;
  EXPECT_EQ(device.Ruleset(), "");
  device.Load("table inet filter {\n chain input {\n tcp dport 22 accept\n }\n}\n");
  EXPECT_THAT(device.Ruleset(), HasSubstr("tcp dport 22 accept"));
  EXPECT_EQ(other.Ruleset(), "");
  EXPECT_NE(device.address(), other.address());
  EXPECT_THAT(device.host_key_fingerprint(), StartsWith("SHA256:"));
  EXPECT_THAT(device.private_key(), StartsWith("-----BEGIN OPENSSH PRIVATE KEY-----"));
}

TEST(NftDevice, ForgetsItsRuleSetAndRunOnReboot) {
  if (const std::string why = NftDevice::WhyUnavailable(); !why.empty()) GTEST_SKIP() << why;
  NftDevice device;
  device.Load("table inet filter {\n}\n");
  device.Console({"touch", "/run/mark"});
  device.Reboot();
  EXPECT_EQ(device.Ruleset(), "");
  EXPECT_EQ(device.Console({"find", "/run", "-name", "mark"}), "");
}

}  // namespace
}  // namespace yagura::testing
