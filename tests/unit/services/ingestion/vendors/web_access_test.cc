#include "gtest/gtest.h"

#include "tests/unit/services/ingestion/vendors/core_text.h"

namespace yagura::ingestion {
namespace {

TEST(WebAccessTest, TheCombinedFormatIsRead) {
  EXPECT_EQ(CoreOf("10.1.0.5 - alice [21/Nov/2026:09:15:42 +0900] \"GET /a?b=c HTTP/1.1\" 200 1234 "
                   "\"https://www.example.com/\" \"Mozilla/5.0 (X)\""),
            "generic.web_access category=access src=[10.1.0.5] app=http in=1234 user=alice "
            "url=/a?b=c id=200 at 2026-11-21T00:15:42Z");
}

TEST(WebAccessTest, SyslogsTagTellsTheServer) {
  EXPECT_EQ(
      CoreOf("<190>Nov 21 09:15:42 web1 nginx: 203.0.113.9 - - [21/Nov/2026:00:15:42 +0000] \"POST "
             "/login HTTP/1.1\" 401 12 \"-\" \"curl/8\""),
      "nginx.nginx category=access severity=INFORMATIONAL src=[203.0.113.9] app=http in=12 "
      "url=/login program=nginx host=web1 id=401 at 2026-11-21T00:15:42Z");
}

TEST(WebAccessTest, AVirtualHostMayStandInFront) {
  EXPECT_EQ(CoreOf("www.example.com:443 203.0.113.9 - - [21/Nov/2026:09:15:42 +0900] \"GET "
                   "/../../etc/passwd HTTP/1.0\" 400 226 \"-\" \"-\""),
            "generic.web_access category=access src=[203.0.113.9] dst=[:443 host www.example.com] "
            "app=http in=226 url=/../../etc/passwd id=400 at 2026-11-21T00:15:42Z");
}

TEST(WebAccessTest, WhatIsNoRequestIsKept) {
  EXPECT_EQ(
      CoreOf("2001:db8::9 - - [21/Nov/2026:09:15:42 +0900] \"\\x16\\x03\\x01\" 400 0 \"-\" \"-\""),
      "generic.web_access category=access src=[2001:db8::9] app=http id=400 at "
      "2026-11-21T00:15:42Z");
}

TEST(WebAccessTest, TheCommonFormatIsRead) {
  EXPECT_EQ(
      CoreOf("<190>Nov 21 09:15:42 web1 httpd[7]: 10.1.0.5 - - [21/Nov/2026:09:15:42 +0900] \"HEAD "
             "/ HTTP/1.1\" 304 -"),
      "apache.httpd category=access severity=INFORMATIONAL src=[10.1.0.5] app=http url=/ "
      "program=httpd host=web1 id=304 at 2026-11-21T00:15:42Z");
}

TEST(WebAccessTest, AQuoteInARequestIsPartOfIt) {
  EXPECT_EQ(CoreOf("203.0.113.9 - - [21/Nov/2026:09:15:42 +0900] \"GET /a?q=\\\"x\\\" "
                   "HTTP/1.1\" 404 153 \"-\" \"curl/8\""),
            "generic.web_access category=access src=[203.0.113.9] app=http in=153 "
            "url=/a?q=\\\"x\\\" id=404 at 2026-11-21T00:15:42Z");
}

}  // namespace
}  // namespace yagura::ingestion
