#include "services/notification/domain/webhook.h"

#include "gtest/gtest.h"

namespace yagura::notification {
namespace {

constexpr TimePoint kTime = TimePoint(std::chrono::seconds(1'700'000'000));

TEST(WebhookSignature, IsHmacSha256OverTimestampDotBody) {
  // printf '1700000000.{"type":"test"}' | openssl dgst -sha256 -hmac 'a secret of the receiver'
  EXPECT_EQ(WebhookSignature("a secret of the receiver", kTime, R"({"type":"test"})"),
            "v1=2d60192cf9175d9067f9651b1fa940ee52a7910b26bc6695917ce51926ec2f7f");
  EXPECT_EQ(WebhookTimestamp(kTime), "1700000000");
}

TEST(WebhookSignature, DependsOnSecretTimeAndBody) {
  const std::string signature = WebhookSignature("secret", kTime, "body");
  EXPECT_NE(signature, WebhookSignature("secreu", kTime, "body"));
  EXPECT_NE(signature, WebhookSignature("secret", kTime + std::chrono::seconds(1), "body"));
  EXPECT_NE(signature, WebhookSignature("secret", kTime, "bodz"));
}

TEST(IsWebhookUrl, TakesHttpAndHttpsWithAHostAlone) {
  EXPECT_TRUE(IsWebhookUrl("https://hooks.example.com/a?token=b"));
  EXPECT_TRUE(IsWebhookUrl("http://127.0.0.1:8080"));
  for (const char* bad :
       {"", "ftp://example.com/", "file:///etc/passwd", "https://", "https:///path",
        "https://user:password@example.com/", "https://example.com/\r\nX: y", "javascript:alert(1)",
        "https://exa mple.com/", "http://:80/"}) {
    EXPECT_FALSE(IsWebhookUrl(bad)) << bad;
  }
  EXPECT_FALSE(IsWebhookUrl("https://example.com/" + std::string(2000, 'x')));
}

TEST(Classify, SaysWhetherToTryAgain) {
  EXPECT_EQ(ClassifyHttp(204), v1::ACCEPTED);
  EXPECT_EQ(ClassifyHttp(301), v1::PERMANENT_FAILURE);
  EXPECT_EQ(ClassifyHttp(404), v1::PERMANENT_FAILURE);
  EXPECT_EQ(ClassifyHttp(429), v1::TEMPORARY_FAILURE);
  EXPECT_EQ(ClassifyHttp(503), v1::TEMPORARY_FAILURE);
  EXPECT_EQ(ClassifyHttp(504), v1::AMBIGUOUS);
  EXPECT_EQ(ClassifySmtp(250), v1::ACCEPTED);
  EXPECT_EQ(ClassifySmtp(451), v1::TEMPORARY_FAILURE);
  EXPECT_EQ(ClassifySmtp(535), v1::TEMPORARY_FAILURE);
  EXPECT_EQ(ClassifySmtp(550), v1::PERMANENT_FAILURE);
}

}  // namespace
}  // namespace yagura::notification
