#include "gtest/gtest.h"

#include "tests/unit/services/ingestion/vendors/core_text.h"

namespace yagura::ingestion {
namespace {

TEST(SquidTest, AMissIsAllowed) {
  EXPECT_EQ(
      CoreOf("1795220142.123    45 10.1.0.5 TCP_MISS/200 1234 GET http://www.example.com/ alice "
             "HIER_DIRECT/198.51.100.7 text/html"),
      "squid.squid category=proxy action=ALLOWED src=[10.1.0.5] dst=[198.51.100.7] app=http "
      "in=1234 duration=45ms user=alice url=http://www.example.com/ id=200 at "
      "2026-11-21T00:15:42.123Z");
}

TEST(SquidTest, ADenialIsBlocked) {
  EXPECT_EQ(CoreOf("1795220142.123     0 10.1.0.6 TCP_DENIED/403 3900 CONNECT games.example:443 - "
                   "HIER_NONE/- text/html"),
            "squid.squid category=proxy action=BLOCKED src=[10.1.0.6] app=http in=3900 "
            "duration=0ms url=games.example:443 id=403 at 2026-11-21T00:15:42.123Z");
}

TEST(SquidTest, ATunnelHasItsServer) {
  EXPECT_EQ(
      CoreOf("1795220142.123   1200 10.1.0.5 TCP_TUNNEL/200 45678 CONNECT www.example.com:443 "
             "alice HIER_DIRECT/2001:db8::7 -"),
      "squid.squid category=proxy action=ALLOWED src=[10.1.0.5] dst=[2001:db8::7] app=http "
      "in=45678 duration=1200ms user=alice url=www.example.com:443 id=200 at "
      "2026-11-21T00:15:42.123Z");
}

TEST(SquidTest, ThroughSyslogToo) {
  EXPECT_EQ(
      CoreOf("<14>Nov 21 09:15:42 proxy squid[5]: 1795220142.500     12 10.1.0.7 TCP_MEM_HIT/304 "
             "350 GET http://www.example.com/a.png - HIER_NONE/- image/png"),
      "squid.squid category=proxy severity=INFORMATIONAL action=ALLOWED src=[10.1.0.7] "
      "app=http in=350 duration=12ms url=http://www.example.com/a.png program=squid "
      "host=proxy id=304 at 2026-11-21T00:15:42.5Z");
}

TEST(SquidTest, AServerByNameIsAHost) {
  EXPECT_EQ(CoreOf("1795220142.123     80 10.1.0.8 TCP_MISS/503 4000 POST http://mail.example/ bob "
                   "HIER_DIRECT/mail.example text/html"),
            "squid.squid category=proxy action=ALLOWED src=[10.1.0.8] dst=[host mail.example] "
            "app=http in=4000 duration=80ms user=bob url=http://mail.example/ id=503 at "
            "2026-11-21T00:15:42.123Z");
}

TEST(SquidTest, WhatNeverWasARequestIsNotAllowed) {
  EXPECT_EQ(CoreOf("1795220142.123      0 10.1.0.5 NONE_NONE/000 0 - "
                   "error:transaction-end-before-headers - HIER_NONE/- -"),
            "squid.squid category=proxy src=[10.1.0.5] app=http duration=0ms "
            "url=error:transaction-end-before-headers id=000 at 2026-11-21T00:15:42.123Z");
  EXPECT_EQ(CoreOf("1795220142.123      4 10.1.0.5 TCP_DENIED/403 3900 GET "
                   "http://bad.example/ - HIER_NONE/- text/html"),
            "squid.squid category=proxy action=BLOCKED src=[10.1.0.5] app=http in=3900 "
            "duration=4ms url=http://bad.example/ id=403 at 2026-11-21T00:15:42.123Z");
}

}  // namespace
}  // namespace yagura::ingestion
