#include "gtest/gtest.h"

#include "tests/unit/services/ingestion/vendors/core_text.h"

namespace yagura::ingestion {
namespace {

TEST(LinuxAuthTest, AnAcceptedKeyIsALogOn) {
  EXPECT_EQ(
      CoreOf("<38>Nov 21 09:15:42 s1 sshd[123]: Accepted publickey for alice from 10.9.0.4 port "
             "50022 ssh2: ED25519 SHA256:abc"),
      "linux.auth category=ssh severity=INFORMATIONAL action=LOGON src=[10.9.0.4:50022] "
      "user=alice program=sshd host=s1 at 2026-11-21T00:15:42Z");
}

TEST(LinuxAuthTest, AWrongPasswordIsAFailedLogOn) {
  EXPECT_EQ(CoreOf("<38>Nov 21 09:15:42 s1 sshd[123]: Failed password for invalid user admin from "
                   "203.0.113.9 port 40000 ssh2"),
            "linux.auth category=ssh severity=INFORMATIONAL action=LOGON_FAILED "
            "src=[203.0.113.9:40000] user=admin program=sshd host=s1 at 2026-11-21T00:15:42Z");
}

TEST(LinuxAuthTest, PamNamesTheRemoteHost) {
  EXPECT_EQ(CoreOf("<38>Nov 21 09:15:42 s1 sshd[123]: pam_unix(sshd:auth): authentication failure; "
                   "logname= uid=0 euid=0 tty=ssh ruser= rhost=203.0.113.9  user=root"),
            "linux.auth category=ssh severity=INFORMATIONAL action=LOGON_FAILED src=[203.0.113.9] "
            "user=root program=sshd host=s1 at 2026-11-21T00:15:42Z");
}

TEST(LinuxAuthTest, SudoNamesWhoAsked) {
  EXPECT_EQ(
      CoreOf("<38>Nov 21 09:15:42 s1 sudo:    alice : TTY=pts/0 ; PWD=/home/alice ; USER=root ; "
             "COMMAND=/usr/bin/apt update"),
      "linux.auth category=sudo severity=INFORMATIONAL user=alice program=sudo host=s1 at "
      "2026-11-21T00:15:42Z");
}

TEST(LinuxAuthTest, SudoRefuses) {
  EXPECT_EQ(CoreOf("<38>Nov 21 09:15:42 s1 sudo:    bob : user NOT in sudoers ; TTY=pts/1 ; "
                   "PWD=/home/bob ; USER=root ; COMMAND=/bin/sh"),
            "linux.auth category=sudo severity=INFORMATIONAL action=BLOCKED user=bob program=sudo "
            "host=s1 at 2026-11-21T00:15:42Z");
}

TEST(LinuxAuthTest, SuOpensASession) {
  EXPECT_EQ(CoreOf("<38>Nov 21 09:15:42 s1 su[9]: pam_unix(su:session): session opened for user "
                   "root(uid=0) by alice(uid=1000)"),
            "linux.auth category=su severity=INFORMATIONAL action=LOGON user=root program=su "
            "host=s1 at 2026-11-21T00:15:42Z");
}

TEST(LinuxAuthTest, ANewUserIsAChange) {
  EXPECT_EQ(CoreOf("<38>Nov 21 09:15:42 s1 useradd[9]: new user: name=carol, UID=1002, GID=1002, "
                   "home=/home/carol, shell=/bin/sh"),
            "linux.auth category=account severity=INFORMATIONAL action=CHANGED user=carol "
            "program=useradd host=s1 at 2026-11-21T00:15:42Z");
}

TEST(LinuxAuthTest, ARepeatedMessageIsReadLikeOne) {
  EXPECT_EQ(CoreOf("<38>Nov 21 09:15:42 s1 sshd[123]: message repeated 5 times: [ Failed "
                   "password for root from 198.51.100.5 port 60222 ssh2]"),
            "linux.auth category=ssh severity=INFORMATIONAL action=LOGON_FAILED "
            "src=[198.51.100.5:60222] user=root program=sshd host=s1 at 2026-11-21T00:15:42Z");
  EXPECT_EQ(CoreOf("<38>Nov 21 09:15:42 s1 su[9]: message repeated 2 times: [ FAILED SU (to "
                   "root) mallory on pts/1]"),
            "linux.auth category=su severity=INFORMATIONAL action=LOGON_FAILED user=mallory "
            "program=su host=s1 at 2026-11-21T00:15:42Z");
}

TEST(LinuxAuthTest, AFailedLoginAtAConsoleIsOfLogin) {
  EXPECT_EQ(CoreOf("<36>Nov 21 09:15:42 s1 login[77]: FAILED LOGIN (1) on '/dev/tty1' FOR "
                   "'root', Authentication failure"),
            "linux.auth category=login severity=MEDIUM action=LOGON_FAILED user=root "
            "program=login host=s1 at 2026-11-21T00:15:42Z");
  EXPECT_EQ(CoreOf("<36>Nov 21 09:15:42 s1 login[77]: FAILED LOGIN 2 FROM 203.0.113.9 FOR "
                   "bob, Authentication failure"),
            "linux.auth category=login severity=MEDIUM action=LOGON_FAILED src=[203.0.113.9] "
            "user=bob program=login host=s1 at 2026-11-21T00:15:42Z");
}

TEST(LinuxAuthTest, HowOftenAMessageCameIsAField) {
  const auto event = ParseLine(
      "<38>Nov 21 09:15:42 s1 sshd[123]: message repeated 5 times: [ Failed password for root "
      "from 198.51.100.5 port 60222 ssh2]");
  EXPECT_EQ(FieldOf(event, "repeated"), "5");
  EXPECT_EQ(FieldOf(event, "ssh_version"), "ssh2");
}

TEST(LinuxAuthTest, WhoASessionIsOfIsNoNameOfAField) {
  const auto event = ParseLine(
      "<38>Nov 21 09:15:42 s1 su[9]: pam_unix(su:session): session opened for user root(uid=0) by "
      "alice(uid=1000)");
  EXPECT_EQ(FieldsOf(event), (Pairs{{"pam_service", "su"},
                                    {"pam_type", "session"},
                                    {"target_user", "root"},
                                    {"uid", "0"},
                                    {"by_user", "alice"},
                                    {"by_uid", "1000"}}));
}

}  // namespace
}  // namespace yagura::ingestion
