#include "services/notification/transport/webhook_client.h"

#include "fmt/format.h"
#include "gtest/gtest.h"

#include "common/testing/process.h"
#include "tests/unit/services/notification/http_peer.h"

namespace yagura::notification {
namespace {

Outcome Post(const std::string& url, WebhookOptions options = {}) {
  return NewWebhookClient(std::move(options))
      ->Post(
          {url, {{"Content-Type", "application/json"}, {"X-Yagura-Timestamp", "1"}}, "{\"a\":1}"},
          {});
}

TEST(WebhookClient, PostsBodyAndHeaders) {
  HttpPeer peer;
  const Outcome outcome = Post(peer.Url("/ok?token=x"));
  EXPECT_EQ(outcome.result, v1::ACCEPTED) << outcome.detail;
  EXPECT_EQ(outcome.code, 204);
  ASSERT_EQ(peer.requests().size(), 1u);
  const httplib::Request request = peer.requests()[0];
  EXPECT_EQ(request.body, "{\"a\":1}");
  EXPECT_EQ(request.get_header_value("Content-Type"), "application/json");
  EXPECT_EQ(request.get_header_value("X-Yagura-Timestamp"), "1");
}

TEST(WebhookClient, DoesNotFollowRedirections) {
  HttpPeer peer;
  EXPECT_EQ(Post(peer.Url("/answer/302")).result, v1::PERMANENT_FAILURE);
  EXPECT_TRUE(peer.requests().empty());
}

TEST(WebhookClient, TellsLaterFromNever) {
  HttpPeer peer;
  EXPECT_EQ(Post(peer.Url("/answer/503")).result, v1::TEMPORARY_FAILURE);
  EXPECT_EQ(Post(peer.Url("/answer/429")).result, v1::TEMPORARY_FAILURE);
  EXPECT_EQ(Post(peer.Url("/answer/400")).result, v1::PERMANENT_FAILURE);
}

TEST(WebhookClient, NoAnswerIsAmbiguous) {
  HttpPeer peer;
  WebhookOptions impatient;
  impatient.timeout = std::chrono::milliseconds(300);
  EXPECT_EQ(Post(peer.Url("/hang"), impatient).result, v1::AMBIGUOUS);
}

TEST(WebhookClient, NobodyThereIsATemporaryFailure) {
  EXPECT_EQ(Post(fmt::format("http://127.0.0.1:{}/", testing::FreePort())).result,
            v1::TEMPORARY_FAILURE);
}

TEST(WebhookClient, OtherSchemesAreNotSpoken) {
  EXPECT_EQ(Post("file:///etc/hostname").result, v1::TEMPORARY_FAILURE);
}

}  // namespace
}  // namespace yagura::notification
