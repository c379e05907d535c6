#include "services/config/drivers/nft_text.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace yagura::config {
namespace {

using ::testing::Eq;
using ::testing::Ne;
using ::testing::Optional;

// As `nft -s list ruleset` prints it, but that elements have a line each.
constexpr std::string_view kListed = R"(table inet filter {
	set admins {
		type ipv4_addr
		flags interval
		elements = {
			10.0.0.0/24,
			192.0.2.7,
		}
	}

	chain input {
		type filter hook input priority filter; policy drop;
		iif "lo" accept
		ct state established,related accept
		tcp dport { 22, 80, 443 } accept comment "password: swordfish"
		ip saddr @admins tcp dport 8080 counter accept
	}

	chain output {
		type filter hook output priority filter; policy accept;
	}
}
)";

TEST(NftText, WhatNftListsStaysAsItIs) {
  EXPECT_THAT(NormalNftText(kListed), Optional(Eq(kListed)));
}

TEST(NftText, TheSameWrittenOtherwiseIsTheSame) {
  EXPECT_THAT(NormalNftText(R"(#!/usr/sbin/nft -f
flush ruleset

# Who may come in.
table inet filter {
  chain input {
    type filter hook input priority 0; policy drop;

    iif lo accept;   # ourselves
    ct state established, related accept
    tcp dport {443,22,
               80} accept comment "password: swordfish"; ip saddr @admins \
      tcp dport 8080 counter packets 12 bytes 900 accept
  }
  set admins {
    flags interval; type ipv4_addr;
    elements={ 192.0.2.7, 10.0.0.0/24, }
  }
  chain output { type filter hook output priority filter + 0; }
}
)"),
              Optional(Eq(kListed)));
}

TEST(NftText, RealDifferencesStay) {
  const auto with = [](std::string_view old, std::string_view now) {
    std::string text(kListed);
    const size_t at = text.find(old);
    EXPECT_NE(at, std::string::npos) << old;
    return NormalNftText(text.replace(at, old.size(), now));
  };
  const auto same = NormalNftText(kListed);
  EXPECT_THAT(with("policy drop", "policy accept"), Ne(same));
  EXPECT_THAT(with("priority filter", "priority filter + 1"), Ne(same));
  EXPECT_THAT(with("priority filter", "priority mangle"), Ne(same));
  EXPECT_THAT(with("10.0.0.0/24", "10.0.0.0/23"), Ne(same));
  EXPECT_THAT(with("22, 80, 443", "22, 80, 443, 8443"), Ne(same));
  EXPECT_THAT(with("{ 22, 80, 443 }", "!= { 22, 80, 443 }"), Ne(same));
  EXPECT_THAT(with("table inet", "table"), Ne(same));
  EXPECT_THAT(with("\"password: swordfish\"", "\"password:  swordfish\""), Ne(same));
  EXPECT_THAT(with("counter accept", "accept"), Ne(same));
  EXPECT_THAT(with("iif \"lo\"", "oif \"lo\""), Ne(same));
  EXPECT_THAT(with("flags interval", "flags interval; auto-merge"), Ne(same));
  // The order of rules and of chains counts.
  EXPECT_THAT(with("\t\tiif \"lo\" accept\n\t\tct state established,related accept\n",
                   "\t\tct state established,related accept\n\t\tiif \"lo\" accept\n"),
              Ne(same));
  EXPECT_THAT(with("chain input", "chain output2"), Ne(same));
  // What is in quotes is neither comment nor brace.
  EXPECT_THAT(with("\"password: swordfish\"", "\"# } accept\" drop"), Ne(same));
  EXPECT_THAT(with("iif \"lo\" accept", "iif \"lo\" accept\n\t\ttcp dport 23 accept # no"),
              Ne(same));
}

TEST(NftText, KeepsTheOrderOfWhatIsBelowAJump) {
  const auto text = [](std::string_view inner) {
    return NormalNftText("table ip t {\nchain c {\ntcp dport 22 jump {" + std::string(inner) +
                         "} comment \"x\"\n}\n}\n");
  };
  const auto first = text("ip saddr 10.0.0.1 accept; drop");
  ASSERT_TRUE(first);
  EXPECT_EQ(*first,
            "table ip t {\n\tchain c {\n\t\ttcp dport 22 jump {\n\t\t\tip saddr 10.0.0.1 accept\n"
            "\t\t\tdrop\n\t\t} comment \"x\"\n\t}\n}\n");
  EXPECT_NE(first, text("drop; ip saddr 10.0.0.1 accept"));
  EXPECT_EQ(first, text("\n  ip saddr 10.0.0.1 accept\n  drop\n"));
  EXPECT_FALSE(
      NormalNftText("table ip t {\nchain c {\ntcp dport vmap { 22 : jump { drop, accept "
                    "} }\n}\n}\n"))
      << "is compared as it is";
}

TEST(NftText, MapsAndMarksOfSecretsSurvive) {
  constexpr std::string_view kText = R"(table bridge t {
	map m {
		type inet_service : verdict
		elements = {
			22 : accept,
			443 : jump web,
		}
	}

	chain c {
		type filter hook input priority -200; policy accept;
		tcp dport vmap { 22 : accept, 443 : drop } comment "<secret:0123456789abcdef>"
		iifname { "eth0", "eth10" } ip saddr . iif @x meta priority 0
		fib saddr . iif oif missing drop
		log prefix <secret:0123456789abcdef> flags tcp sequence,options
		@th,16,16 0x1 accept
	}
}
)";
  std::string expected(kText);
  expected.replace(expected.find("-200"), 4, "filter");
  EXPECT_THAT(NormalNftText(kText), Optional(expected));
}

TEST(NftText, WhatIsNotUnderstoodIsLeftAlone) {
  for (const std::string_view text :
       {"table ip t {", "table ip t { } }", "}", "{ }", "table ip t {\nchain c {\nlog \"x\n}\n}\n",
        "add table ip t { chain c { accept; } }"}) {
    EXPECT_FALSE(NormalNftText(text)) << text;
  }
  const std::string deep(1'000'000, '{');
  EXPECT_FALSE(NormalNftText("table ip t " + deep));
  EXPECT_THAT(NormalNftText(""), Optional(Eq("")));
  EXPECT_THAT(NormalNftText("delete  table ip x;flush ruleset"),
              Optional(Eq("delete table ip x\nflush ruleset\n")));
}

}  // namespace
}  // namespace yagura::config
