#include "services/notification/domain/webhook_policy.h"

#include <arpa/inet.h>

#include "gtest/gtest.h"

#include "common/testing/status_matchers.h"

namespace yagura::notification {
namespace {

using testing::StatusIs;

std::string Bytes(const std::string& text) {
  const bool six = text.find(':') != std::string::npos;
  std::string bytes(six ? 16 : 4, '\0');
  EXPECT_EQ(inet_pton(six ? AF_INET6 : AF_INET, text.c_str(), bytes.data()), 1) << text;
  return bytes;
}

TEST(WebhookPolicy, AllowsPublicAddressesAlone) {
  const WebhookPolicy policy;
  for (const char* address :
       {"1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "172.15.255.255",
        "172.32.0.0", "192.167.255.255", "223.255.255.255", "2606:4700::1111", "::ffff:1.1.1.1"}) {
    EXPECT_TRUE(policy.AllowsAddress(Bytes(address))) << address;
  }
  for (const char* address : {"0.0.0.0",
                              "127.0.0.1",
                              "127.255.255.255",
                              "10.0.0.1",
                              "172.16.0.1",
                              "172.31.255.255",
                              "192.168.1.1",
                              "169.254.169.254",
                              "100.64.0.1",
                              "100.100.100.200",
                              "192.0.0.192",
                              "198.19.0.1",
                              "224.0.0.1",
                              "239.255.255.255",
                              "240.0.0.1",
                              "255.255.255.255",
                              "::",
                              "::1",
                              "::ffff:127.0.0.1",
                              "::ffff:169.254.169.254",
                              "::127.0.0.1",
                              "64:ff9b::a00:1",
                              "fe80::1",
                              "fec0::1",
                              "fc00::1",
                              "fd00:ec2::254",
                              "ff02::1",
                              "2001:db8::1",
                              "2001::1",
                              "2002:7f00:1::1"}) {
    EXPECT_FALSE(policy.AllowsAddress(Bytes(address))) << address;
  }
  EXPECT_FALSE(policy.AllowsAddress(""));
  EXPECT_FALSE(policy.AllowsHost("localhost"));
}

TEST(WebhookPolicy, AllowsWhatTheOperatorNames) {
  ASSERT_OK_AND_ASSIGN(
      const WebhookPolicy policy,
      WebhookPolicy::Make({"10.1.0.0/20", "192.168.7.7", "fd12::/16"}, {"Chat.Example.COM."}));
  EXPECT_TRUE(policy.AllowsAddress(Bytes("10.1.15.255")));
  EXPECT_TRUE(policy.AllowsAddress(Bytes("::ffff:10.1.0.1")));
  EXPECT_FALSE(policy.AllowsAddress(Bytes("10.1.16.0")));
  EXPECT_TRUE(policy.AllowsAddress(Bytes("192.168.7.7")));
  EXPECT_FALSE(policy.AllowsAddress(Bytes("192.168.7.8")));
  EXPECT_TRUE(policy.AllowsAddress(Bytes("fd12::1")));
  EXPECT_FALSE(policy.AllowsAddress(Bytes("fd13::1")));
  EXPECT_TRUE(policy.AllowsHost("chat.example.com"));
  EXPECT_TRUE(policy.AllowsHost("CHAT.example.com."));
  EXPECT_FALSE(policy.AllowsHost("evil.chat.example.com"));
  for (const char* network :
       {"", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/", "10.0.0/8", "::/129", "chat.example.com"}) {
    EXPECT_THAT(WebhookPolicy::Make({network}, {}), StatusIs(absl::StatusCode::kInvalidArgument))
        << network;
  }
  EXPECT_THAT(WebhookPolicy::Make({}, {"a b"}), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace yagura::notification
