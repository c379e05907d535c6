#include "services/store/http_connection.h"

#include <sys/socket.h>
#include <unistd.h>

#include <random>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/testing/status_matchers.h"

namespace yagura::storeserver {
namespace {

using testing::IsOk;
using testing::StatusIs;

// What a client sent, then the end of the stream.
class Sent {
 public:
  explicit Sent(std::string_view bytes) {
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds_), 0);
    writer_ = std::thread([this, text = std::string(bytes)] {
      for (size_t at = 0; at < text.size(); at += 7) {
        const std::string piece = text.substr(at, 7);
        if (send(fds_[1], piece.data(), piece.size(), MSG_NOSIGNAL) < 0) break;
      }
      shutdown(fds_[1], SHUT_WR);
    });
  }
  ~Sent() {
    close(fds_[0]);
    writer_.join();
    close(fds_[1]);
  }
  int fd() const { return fds_[0]; }

 private:
  int fds_[2] = {-1, -1};
  std::thread writer_;
};

TEST(HttpConnection, ReadsRequestAfterRequest) {
  const Sent sent(
      "POST /?query=INSERT%20INTO+t&param_x=%27%00 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5\r\nhello\r\n1;ext=1\r\n!\r\n0\r\nTrailer: x\r\n\r\n"
      "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"
      "GET /ping HTTP/1.1\r\nConnection: close\r\n\r\n");
  HttpConnection connection(sent.fd());
  {
    ASSERT_OK_AND_ASSIGN(const auto request, connection.ReadRequest());
    ASSERT_NE(request, nullptr);
    ASSERT_EQ(request->parameters.size(), 2u);
    EXPECT_EQ(request->parameters[0].second, "INSERT INTO t");
    EXPECT_EQ(request->parameters[1].second, std::string("'\0", 2));
    ASSERT_OK_AND_ASSIGN(const std::string body, request->ReadWholeBody(100));
    EXPECT_EQ(body, "hello!");
  }
  {
    ASSERT_OK_AND_ASSIGN(const auto request, connection.ReadRequest());
    EXPECT_THAT(request->ReadWholeBody(2), StatusIs(absl::StatusCode::kResourceExhausted));
  }
  ASSERT_OK_AND_ASSIGN(const auto request, connection.ReadRequest());
  EXPECT_EQ(request->path, "/ping");
  connection.Responder()->Send(200, {}, "Ok.\n");
  EXPECT_FALSE(connection.reusable());
  ASSERT_OK_AND_ASSIGN(const auto nothing, connection.ReadRequest());
  EXPECT_EQ(nothing, nullptr);
}

TEST(HttpConnection, RefusesWhatIsNotHttp) {
  for (const std::string_view bytes :
       {"hello\r\n\r\n", "GET / HTTP/2\r\n\r\n", "GET /%zz HTTP/1.1\r\n\r\n",
        "GET /?a=%1 HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nno colon\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n"}) {
    const Sent sent(bytes);
    HttpConnection connection(sent.fd());
    EXPECT_THAT(connection.ReadRequest(), StatusIs(absl::StatusCode::kInvalidArgument)) << bytes;
  }
}

TEST(HttpConnection, ABodyThatIsCutOffIsNoEnd) {
  for (const std::string_view bytes :
       {"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"}) {
    const Sent sent(bytes);
    HttpConnection connection(sent.fd());
    ASSERT_OK_AND_ASSIGN(const auto request, connection.ReadRequest());
    EXPECT_THAT(request->ReadWholeBody(100), StatusIs(absl::StatusCode::kUnavailable)) << bytes;
  }
}

TEST(HttpConnection, NoiseNeverDoesHarm) {
  std::mt19937 random(7);
  const std::string_view alphabet = "GET POST/?=&%20HTTP/1.1\r\n\r\n:chunkedabc0123456789";
  for (int round = 0; round < 300; ++round) {
    std::string bytes =
        round % 2 == 0 ? "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" : "";
    const size_t size = random() % 300;
    for (size_t i = 0; i < size; ++i) bytes += alphabet[random() % alphabet.size()];
    const Sent sent(bytes);
    HttpConnection connection(sent.fd());
    const auto request = connection.ReadRequest();
    if (request.ok() && *request != nullptr) (void)(*request)->ReadWholeBody(1000);
  }
}

}  // namespace
}  // namespace yagura::storeserver
