#include "gtest/gtest.h"

#include "tests/unit/services/ingestion/vendors/core_text.h"

namespace yagura::ingestion {
namespace {

TEST(AuditdTest, ALogOnIsOne) {
  EXPECT_EQ(
      CoreOf("type=USER_LOGIN msg=audit(1795220142.123:456): pid=1 uid=0 auid=1000 ses=3 "
             "msg='op=login acct=\"alice\" exe=\"/usr/sbin/sshd\" hostname=10.9.0.4 addr=10.9.0.4 "
             "terminal=ssh res=success'"),
      "linux.auditd category=authentication action=LOGON src=[10.9.0.4] user=alice "
      "session=456 program=/usr/sbin/sshd id=USER_LOGIN at 2026-11-21T00:15:42.123Z");
}

TEST(AuditdTest, ACallHasItsProgram) {
  EXPECT_EQ(
      CoreOf("<13>Nov 21 09:15:42 s1 audispd: node=s1 type=SYSCALL msg=audit(1795220142.123:457): "
             "arch=c000003e syscall=59 success=yes exit=0 auid=1000 uid=0 comm=\"bash\" "
             "exe=\"/usr/bin/bash\" key=\"exec\""),
      "linux.auditd category=process severity=LOW user=1000 session=457 "
      "program=/usr/bin/bash host=s1 id=SYSCALL at 2026-11-21T00:15:42.123Z");
}

TEST(AuditdTest, AFailedAuthenticationIsOne) {
  EXPECT_EQ(CoreOf("type=USER_AUTH msg=audit(1795220142.200:458): pid=1 uid=0 auid=4294967295 "
                   "ses=4294967295 msg='op=PAM:authentication acct=\"root\" exe=\"/usr/sbin/sshd\" "
                   "hostname=203.0.113.9 addr=203.0.113.9 terminal=ssh res=failed'"),
            "linux.auditd category=authentication action=LOGON_FAILED src=[203.0.113.9] user=root "
            "session=458 program=/usr/sbin/sshd id=USER_AUTH at 2026-11-21T00:15:42.2Z");
}

TEST(AuditdTest, ACommandIsAProcess) {
  EXPECT_EQ(
      CoreOf("type=EXECVE msg=audit(1795220142.300:459): argc=2 a0=\"cat\" a1=\"/etc/shadow\""),
      "linux.auditd category=process session=459 id=EXECVE at 2026-11-21T00:15:42.3Z");
}

TEST(AuditdTest, ANewUserIsAChange) {
  EXPECT_EQ(
      CoreOf("type=ADD_USER msg=audit(1795220142.400:460): pid=9 uid=0 auid=1000 msg='op=add-user "
             "id=1002 exe=\"/usr/sbin/useradd\" hostname=? addr=? terminal=pts/0 res=success'"),
      "linux.auditd category=configuration action=CHANGED user=1000 session=460 "
      "program=/usr/sbin/useradd id=ADD_USER at 2026-11-21T00:15:42.4Z");
}

}  // namespace
}  // namespace yagura::ingestion
