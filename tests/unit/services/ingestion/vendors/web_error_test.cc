#include "gtest/gtest.h"

#include "tests/unit/services/ingestion/vendors/core_text.h"

namespace yagura::ingestion {
namespace {

TEST(WebErrorTest, NginxForbids) {
  EXPECT_EQ(CoreOf("2026/11/21 09:15:42 [error] 12#12: *77 access forbidden by rule, client: "
                   "198.51.100.7, server: _, request: \"GET /.git/config HTTP/1.1\", host: "
                   "\"web\""),
            "nginx.nginx category=error severity=HIGH action=BLOCKED src=[198.51.100.7] "
            "dst=[host web] app=http url=/.git/config at 2026-11-21T00:15:42Z");
  EXPECT_EQ(CoreOf("<187>Nov 21 09:15:42 web nginx: 2026/11/21 09:15:42 [error] 12#12: *77 "
                   "access forbidden by rule, client: 198.51.100.7, server: _, request: \"GET "
                   "/.git/config HTTP/1.1\", host: \"web\""),
            "nginx.nginx category=error severity=HIGH action=BLOCKED src=[198.51.100.7] "
            "dst=[host web] app=http url=/.git/config program=nginx host=web at "
            "2026-11-21T00:15:42Z");
}

TEST(WebErrorTest, NginxsOtherErrorsHaveTheirClient) {
  EXPECT_EQ(CoreOf("2026/11/21 09:15:42 [error] 12#12: *78 open() \"/srv/x\" failed (2: No "
                   "such file or directory), client: 2001:db8::7, server: shop.example, "
                   "request: \"POST /a?b=1 HTTP/2.0\", upstream: \"http://10.0.0.9:80/a\", "
                   "host: \"shop.example\", referrer: \"https://x.example/\""),
            "nginx.nginx category=error severity=HIGH src=[2001:db8::7] dst=[host "
            "shop.example] app=http url=/a?b=1 at 2026-11-21T00:15:42Z");
  EXPECT_EQ(CoreOf("2026/11/21 09:15:42 [error] 12#12: *79 user \"bob\": password mismatch, "
                   "client: 198.51.100.7, server: _, request: \"GET /admin HTTP/1.1\", host: "
                   "\"web\""),
            "nginx.nginx category=error severity=HIGH action=LOGON_FAILED src=[198.51.100.7] "
            "dst=[host web] app=http user=bob url=/admin at 2026-11-21T00:15:42Z");
  EXPECT_EQ(CoreOf("2026/11/21 09:15:42 [notice] 1#1: signal process started"),
            "nginx.nginx category=error severity=LOW app=http at 2026-11-21T00:15:42Z");
}

TEST(WebErrorTest, ApacheDenies) {
  EXPECT_EQ(CoreOf("[Sat Nov 21 09:15:42.123456 2026] [authz_core:error] [pid 9:tid 10] "
                   "[client 198.51.100.8:5050] AH01630: client denied by server "
                   "configuration: /var/www/x"),
            "apache.httpd category=error severity=HIGH action=BLOCKED src=[198.51.100.8:5050] "
            "app=http id=AH01630 at 2026-11-21T00:15:42.123456Z");
  EXPECT_EQ(CoreOf("<187>Nov 21 09:15:42 web httpd[9]: [authz_core:error] [pid 9:tid 10] "
                   "[client 198.51.100.8:5050] AH01630: client denied by server "
                   "configuration: /var/www/x, referer: https://x.example/"),
            "apache.httpd category=error severity=HIGH action=BLOCKED src=[198.51.100.8:5050] "
            "app=http program=httpd host=web id=AH01630 at 2026-11-21T00:15:42Z");
}

TEST(WebErrorTest, ApachesOtherErrorsHaveTheirClient) {
  EXPECT_EQ(CoreOf("[Sat Nov 21 09:15:42.123456 2026] [auth_basic:error] [pid 9:tid 139] "
                   "[client 198.51.100.8:5050] AH01617: user bob: authentication failure for "
                   "\"/admin\": Password Mismatch"),
            "apache.httpd category=error severity=HIGH action=LOGON_FAILED "
            "src=[198.51.100.8:5050] app=http user=bob id=AH01617 at "
            "2026-11-21T00:15:42.123456Z");
  EXPECT_EQ(CoreOf("[Sat Nov 21 09:15:42 2026] [error] [client 198.51.100.8] File does not "
                   "exist: /var/www/favicon.ico"),
            "apache.httpd category=error severity=HIGH src=[198.51.100.8] app=http at "
            "2026-11-21T00:15:42Z");
  EXPECT_EQ(CoreOf("[Sat Nov 21 09:15:42.123456 2026] [mpm_event:notice] [pid 1:tid 1] "
                   "AH00489: Apache/2.4.62 (Debian) configured -- resuming normal operations"),
            "apache.httpd category=error severity=LOW app=http id=AH00489 at "
            "2026-11-21T00:15:42.123456Z");
}

TEST(WebErrorTest, AnAddressThatAClientWroteIsNotTaken) {
  EXPECT_EQ(CoreOf("2026/11/21 09:15:42 [error] 12#12: *80 open() \"/srv/x, client: 10.0.0.1, "
                   "server: y\" failed (2: No such file or directory), client: 198.51.100.7, "
                   "server: _, request: \"GET /a HTTP/1.1\", host: \"web\""),
            "nginx.nginx category=error severity=HIGH app=http at 2026-11-21T00:15:42Z "
            "PARTLY_PARSED");
  EXPECT_EQ(CoreOf("2026/11/21 09:15:42 [error] 12#12: *81 access forbidden by rule, client: "
                   "198.51.100.7, server: _, request: \"GET /a HTTP/1.1\", host: \"web\", "
                   "referrer: \"x, client: 10.0.0.1, server: y\""),
            "nginx.nginx category=error severity=HIGH action=BLOCKED src=[198.51.100.7] "
            "dst=[host web] app=http url=/a at 2026-11-21T00:15:42Z");
}

}  // namespace
}  // namespace yagura::ingestion
