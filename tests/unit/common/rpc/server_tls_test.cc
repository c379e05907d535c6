#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/status/status.h"
#include "tests/unit/common/rpc/test_server.h"

namespace yagura::rpc {
namespace {

using testing::v1::EchoResponse;
using testing::v1::EchoService;

// A CA with one certificate for "localhost" and one for a client, made with openssl.
class TlsTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder = std::filesystem::temp_directory_path() / ("yagura-tls-" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder);
    const std::string script =
        "cd " + folder.string() +
        " && for ca in ca other; do openssl req -x509 -newkey ec -pkeyopt "
        "ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=$ca -keyout $ca.key -out $ca.pem; "
        "done && issue() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
        "-subj /CN=$1 -keyout $1.key -out $1.csr && printf 'subjectAltName=DNS:localhost' > $1.ext "
        "&& openssl x509 -req -days 2 -in $1.csr -CA $2.pem -CAkey $2.key -CAcreateserial -extfile "
        "$1.ext -out $1.pem; } && issue server ca && issue client ca && issue stranger other";
    ASSERT_EQ(system(("bash -c '" + Quoted(script) + "' >/dev/null 2>&1").c_str()), 0);
  }
  static void TearDownTestSuite() { std::filesystem::remove_all(folder); }
  static std::string Quoted(std::string script) {
    for (size_t at = 0; (at = script.find('\'', at)) != std::string::npos; at += 4) {
      script.replace(at, 1, "'\\''");
    }
    return script;
  }
  static std::string File(const std::string& name) { return (folder / name).string(); }

  grpc::StatusCode Call(TestServer& server, const ChannelTls& tls) {
    Channels channels("echo", {{"*", "dns:///localhost:" + std::to_string(server.server->port())}},
                      server.internal);
    EXPECT_TRUE(channels.UseTls(tls).ok());
    grpc::ClientContext context;
    channels.PrepareAs(context, "acme", std::chrono::seconds(10));
    EchoResponse response;
    return EchoService::NewStub(channels.Get("echo"))
        ->GetEcho(&context, Request("tenants/acme/echoes/e"), &response)
        .error_code();
  }

  static std::filesystem::path folder;
};
std::filesystem::path TlsTest::folder;

TEST_F(TlsTest, ServesOverTlsToWhoTrustsItsCa) {
  ServerOptions options;
  options.tls_certificate_file = File("server.pem");
  options.tls_key_file = File("server.key");
  TestServer server(options);
  ASSERT_TRUE(server.Start().ok());
  EXPECT_EQ(Call(server, {File("ca.pem"), "", ""}), grpc::StatusCode::OK);
  EXPECT_EQ(Call(server, {File("other.pem"), "", ""}), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(Call(server, {}), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(TlsTest, WithAClientCaOnlyItsCertificatesAreServed) {
  ServerOptions options;
  options.tls_certificate_file = File("server.pem");
  options.tls_key_file = File("server.key");
  options.tls_client_ca_file = File("ca.pem");
  TestServer server(options);
  ASSERT_TRUE(server.Start().ok());
  EXPECT_EQ(Call(server, {File("ca.pem"), File("client.pem"), File("client.key")}),
            grpc::StatusCode::OK);
  EXPECT_EQ(Call(server, {File("ca.pem"), "", ""}), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(Call(server, {File("ca.pem"), File("stranger.pem"), File("stranger.key")}),
            grpc::StatusCode::UNAVAILABLE);
}

TEST_F(TlsTest, RefusesToStartWithHalfOfIt) {
  ServerOptions options;
  options.tls_certificate_file = File("server.pem");
  TestServer half(options);
  EXPECT_EQ(ErrorReason(half.Start()), "TLS_INCOMPLETE");
  options.tls_key_file = File("no-such.key");
  TestServer missing(options);
  EXPECT_EQ(ErrorReason(missing.Start()), "TLS_FILE_INVALID");
}

}  // namespace
}  // namespace yagura::rpc
