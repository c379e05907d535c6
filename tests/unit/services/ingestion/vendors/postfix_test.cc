#include "gtest/gtest.h"

#include "tests/unit/services/ingestion/vendors/core_text.h"

namespace yagura::ingestion {
namespace {

TEST(PostfixTest, ARejectedRecipientIsBlocked) {
  EXPECT_EQ(CoreOf("<22>Nov 21 09:15:42 mx postfix/smtpd[12]: NOQUEUE: reject: RCPT from "
                   "unknown[203.0.113.9]: 554 5.7.1 <a@example.com>: Relay access denied; "
                   "from=<x@y.example> to=<a@example.com> proto=ESMTP helo=<y.example>"),
            "postfix.postfix category=mail severity=INFORMATIONAL action=BLOCKED "
            "src=[203.0.113.9] app=smtp program=postfix/smtpd host=mx at 2026-11-21T00:15:42Z");
}

TEST(PostfixTest, ASentMailHasItsRelay) {
  EXPECT_EQ(
      CoreOf("<22>Nov 21 09:15:42 mx postfix/smtp[13]: 4F1A2B3C4D: to=<bob@example.org>, "
             "relay=mx.example.org[198.51.100.25]:25, delay=1.2, delays=0.1/0/0.5/0.6, dsn=2.0.0, "
             "status=sent (250 OK)"),
      "postfix.postfix category=mail severity=INFORMATIONAL action=ALLOWED "
      "dst=[198.51.100.25:25 host mx.example.org] app=smtp session=4F1A2B3C4D "
      "program=postfix/smtp host=mx at 2026-11-21T00:15:42Z");
}

TEST(PostfixTest, AConnectionIsStarted) {
  EXPECT_EQ(
      CoreOf("<22>Nov 21 09:15:42 mx postfix/smtpd[12]: connect from mail.example[203.0.113.25]"),
      "postfix.postfix category=mail severity=INFORMATIONAL action=STARTED "
      "src=[203.0.113.25 host mail.example] app=smtp program=postfix/smtpd host=mx at "
      "2026-11-21T00:15:42Z");
}

TEST(PostfixTest, AFailedSaslIsAFailedLogOn) {
  EXPECT_EQ(
      CoreOf("<20>Nov 21 09:15:42 mx postfix/smtpd[12]: warning: unknown[203.0.113.9]: SASL LOGIN "
             "authentication failed: authentication failure"),
      "postfix.postfix category=mail severity=MEDIUM action=LOGON_FAILED src=[203.0.113.9] "
      "app=smtp program=postfix/smtpd host=mx at 2026-11-21T00:15:42Z");
}

TEST(PostfixTest, AQueuedMailHasItsId) {
  EXPECT_EQ(CoreOf("<22>Nov 21 09:15:42 mx postfix/qmgr[3]: 4F1A2B3C4D: from=<alice@example.com>, "
                   "size=1234, nrcpt=1 (queue active)"),
            "postfix.postfix category=mail severity=INFORMATIONAL app=smtp session=4F1A2B3C4D "
            "program=postfix/qmgr host=mx at 2026-11-21T00:15:42Z");
}

}  // namespace
}  // namespace yagura::ingestion
