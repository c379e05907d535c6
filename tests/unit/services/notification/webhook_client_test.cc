#include "services/notification/transport/webhook_client.h"

#include <httplib.h>

#include <future>
#include <thread>

#include "fmt/format.h"
#include "gtest/gtest.h"

#include "common/testing/process.h"

namespace yagura::notification {
namespace {

// A real HTTP server on a free loopback port.
class Peer {
 public:
  Peer() {
    server_.Post("/ok", [this](const httplib::Request& request, httplib::Response& response) {
      last_ = request;
      response.status = 204;
    });
    server_.Post("/answer/(\\d+)",
                 [](const httplib::Request& request, httplib::Response& response) {
                   response.status = std::stoi(request.matches[1]);
                   response.set_header("Location", "/ok");
                 });
    server_.Post("/hang", [this](const httplib::Request&, httplib::Response&) {
      release_.get_future().wait();
    });
    port_ = server_.bind_to_any_port("127.0.0.1");
    thread_ = std::thread([this] { server_.listen_after_bind(); });
    while (!server_.is_running()) std::this_thread::yield();
  }
  ~Peer() {
    release_.set_value();
    server_.stop();
    thread_.join();
  }
  std::string Url(const std::string& path) const {
    return fmt::format("http://127.0.0.1:{}{}", port_, path);
  }
  const httplib::Request& last() const { return last_; }

 private:
  httplib::Server server_;
  httplib::Request last_;
  std::promise<void> release_;
  int port_ = 0;
  std::thread thread_;
};

Outcome Post(const std::string& url, WebhookOptions options = {}) {
  return NewWebhookClient(std::move(options))
      ->Post(
          {url, {{"Content-Type", "application/json"}, {"X-Yagura-Timestamp", "1"}}, "{\"a\":1}"},
          {});
}

TEST(WebhookClient, PostsBodyAndHeaders) {
  const Peer peer;
  const Outcome outcome = Post(peer.Url("/ok?token=x"));
  EXPECT_EQ(outcome.result, v1::ACCEPTED) << outcome.detail;
  EXPECT_EQ(outcome.code, 204);
  EXPECT_EQ(peer.last().body, "{\"a\":1}");
  EXPECT_EQ(peer.last().get_header_value("Content-Type"), "application/json");
  EXPECT_EQ(peer.last().get_header_value("X-Yagura-Timestamp"), "1");
}

TEST(WebhookClient, DoesNotFollowRedirections) {
  const Peer peer;
  EXPECT_EQ(Post(peer.Url("/answer/302")).result, v1::PERMANENT_FAILURE);
  EXPECT_TRUE(peer.last().body.empty());
}

TEST(WebhookClient, TellsLaterFromNever) {
  const Peer peer;
  EXPECT_EQ(Post(peer.Url("/answer/503")).result, v1::TEMPORARY_FAILURE);
  EXPECT_EQ(Post(peer.Url("/answer/429")).result, v1::TEMPORARY_FAILURE);
  EXPECT_EQ(Post(peer.Url("/answer/400")).result, v1::PERMANENT_FAILURE);
}

TEST(WebhookClient, NoAnswerIsAmbiguous) {
  const Peer peer;
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
