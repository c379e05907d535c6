#include "common/rpc/peer.h"

#include "gtest/gtest.h"

namespace yagura::rpc {
namespace {

TEST(PeerAddress, IsThePeerWithoutItsPort) {
  EXPECT_EQ(PeerAddress("ipv4:192.0.2.1:50000"), "ipv4:192.0.2.1");
  EXPECT_EQ(PeerAddress("ipv6:[2001:db8::1]:50000"), "ipv6:[2001:db8::1]");
  EXPECT_EQ(PeerAddress("ipv6:%5B2001:db8::1%5D:50000"), "ipv6:[2001:db8::1]");
  EXPECT_EQ(PeerAddress("unix:"), "unix:");
  EXPECT_EQ(PeerAddress("unix:/run/a:b"), "unix:/run/a:b");
  EXPECT_EQ(PeerAddress(""), "");
}

TEST(PeerAddress, AMappedAddressIsTheIpv4Address) {
  EXPECT_EQ(PeerAddress("ipv6:%5B::ffff:192.0.2.1%5D:50000"), "ipv4:192.0.2.1");
  EXPECT_EQ(PeerNetwork("ipv6:[::ffff:c000:201]:50000"), "ipv4:192.0.2.1");
}

TEST(PeerNetwork, IsTheAddressInIpv4AndTheSlash64InIpv6) {
  EXPECT_EQ(PeerNetwork("ipv4:192.0.2.1:50000"), "ipv4:192.0.2.1");
  EXPECT_NE(PeerNetwork("ipv4:192.0.2.1:50000"), PeerNetwork("ipv4:192.0.2.2:50000"));
  EXPECT_EQ(PeerNetwork("ipv6:%5B2001:db8:1:2:3:4:5:6%5D:1"), "ipv6:2001:db8:1:2::/64");
  EXPECT_EQ(PeerNetwork("ipv6:[2001:db8:1:2:ffff::]:2"), "ipv6:2001:db8:1:2::/64");
  EXPECT_EQ(PeerNetwork("ipv6:[2001:db8:1:3::1]:2"), "ipv6:2001:db8:1:3::/64");
  EXPECT_EQ(PeerNetwork("ipv6:%5Bfe80::1%25eth0%5D:9"), "ipv6:fe80::/64");
}

TEST(PeerNetwork, TakesWhateverElseAsItIs) {
  EXPECT_EQ(PeerNetwork("ipv6:"), "ipv6:");
  EXPECT_EQ(PeerNetwork("ipv6:%"), "ipv6:");
  EXPECT_EQ(PeerNetwork("ipv6:%5Bnonsense%5D:1"), "ipv6:[nonsense]");
  EXPECT_EQ(PeerNetwork(std::string(5000, 'x')).size(), 64u);
}

}  // namespace
}  // namespace yagura::rpc
