#include "services/notification/transport/webhook_client.h"

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/testing/process.h"
#include "common/testing/status_matchers.h"
#include "tests/unit/services/notification/http_peer.h"

namespace yagura::notification {
namespace {

// The peers are on this machine.
WebhookOptions Local() {
  WebhookOptions options;
  options.policy = *WebhookPolicy::Make({"127.0.0.0/8"}, {});
  return options;
}

Outcome Post(const std::string& url, WebhookOptions options = Local()) {
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
  WebhookOptions impatient = Local();
  impatient.timeout = std::chrono::milliseconds(300);
  EXPECT_EQ(Post(peer.Url("/hang"), impatient).result, v1::AMBIGUOUS);
}

TEST(WebhookClient, NobodyThereIsATemporaryFailure) {
  EXPECT_EQ(Post(fmt::format("http://127.0.0.1:{}/", testing::FreePort())).result,
            v1::TEMPORARY_FAILURE);
}

TEST(WebhookClient, InnerAddressesAreNeitherConnectedToNorAccepted) {
  HttpPeer peer;
  const std::string port = peer.Url("/ok").substr(std::string("http://127.0.0.1:").size());
  // Whatever way it is written, or resolves: what counts is what would be connected to.
  for (const std::string host :
       {"127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "0.0.0.0"}) {
    const std::string url = fmt::format("http://{}:{}", host, port);
    const Outcome outcome = Post(url, {});
    EXPECT_EQ(outcome.result, v1::PERMANENT_FAILURE) << url << ": " << outcome.detail;
    EXPECT_THAT(outcome.detail, ::testing::HasSubstr("webhook.allowed_networks")) << url;
    if (host == "localhost") continue;
    EXPECT_THAT(NewWebhookClient({})->Check(url),
                testing::StatusIs(absl::StatusCode::kFailedPrecondition, "WEBHOOK_REFUSED"))
        << url;
  }
  EXPECT_TRUE(peer.requests().empty());
  EXPECT_THAT(NewWebhookClient(Local())->Check(peer.Url("/ok")), testing::IsOk());
  EXPECT_TRUE(peer.requests().empty()) << "a check connects to nobody";
}

// Whoever writes a contact has no business with the provider's DNS.
TEST(WebhookClient, WhatANameMeansHereIsToldTheLogAlone) {
  const std::string url = fmt::format("http://localhost:{}/", testing::FreePort());
  WebhookOptions proxied;
  proxied.proxy = fmt::format("http://127.0.0.1:{}", testing::FreePort());
  for (const WebhookOptions& options : {WebhookOptions(), proxied}) {
    const Outcome outcome = Post(url, options);
    EXPECT_EQ(outcome.result, v1::PERMANENT_FAILURE);
    EXPECT_EQ(outcome.detail,
              "the host has no public address, nor one among webhook.allowed_networks");
    EXPECT_THAT(outcome.inner_detail,
                ::testing::AnyOf("localhost is 127.0.0.1 here", "localhost is ::1 here"));
  }
}

// A check is made on the threads that serve everybody's calls.
TEST(WebhookClient, ACheckResolvesNoName) {
  EXPECT_THAT(NewWebhookClient({})->Check("http://localhost/"), testing::IsOk());
}

TEST(WebhookClient, AHostThatIsAllowedMayBeAnywhere) {
  HttpPeer peer;
  const std::string url =
      "http://localhost:" + peer.Url("/ok").substr(std::string("http://127.0.0.1:").size());
  WebhookOptions options;
  options.policy = *WebhookPolicy::Make({}, {"LOCALHOST"});
  EXPECT_EQ(Post(url, options).result, v1::ACCEPTED);
  EXPECT_THAT(NewWebhookClient(options)->Check(url), testing::IsOk());
  EXPECT_EQ(Post(peer.Url("/ok"), options).result, v1::PERMANENT_FAILURE);
}

TEST(WebhookClient, AProxyIsNoWayAround) {
  HttpPeer peer;
  WebhookOptions options;
  options.proxy = peer.Url("").substr(0, peer.Url("/").size() - 1);
  const Outcome inner = Post("http://169.254.169.254/ok", options);
  EXPECT_EQ(inner.result, v1::PERMANENT_FAILURE);
  EXPECT_EQ(inner.code, 0) << inner.detail;
  // The proxy itself may be inside: it is the one that answers here, not knowing the path.
  EXPECT_EQ(Post("http://1.1.1.1/ok", options).code, 404);
}

TEST(WebhookClient, ANameThatDoesNotResolveNowMayDoSoLater) {
  EXPECT_EQ(Post("http://no-such-host.invalid/", {}).result, v1::TEMPORARY_FAILURE);
}

TEST(WebhookClient, OtherSchemesAreNotSpoken) {
  EXPECT_EQ(Post("file:///etc/hostname").result, v1::TEMPORARY_FAILURE);
}

}  // namespace
}  // namespace yagura::notification
