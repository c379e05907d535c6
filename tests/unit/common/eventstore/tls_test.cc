// TLS to the store: a real stunnel before a real yagura-store.
#include <array>
#include <filesystem>
#include <fstream>
#include <memory>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/eventstore/client.h"
#include "common/status/status.h"
#include "common/testing/event_store.h"
#include "common/testing/eventually.h"
#include "common/testing/process.h"
#include "common/testing/status_matchers.h"
#include "tests/integration/ingestion/test_certificates.h"

namespace yagura::eventstore {
namespace {

using ingestion::TestCertificate;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using testing::IsOk;
using ::testing::Not;

constexpr std::string_view kPassword = "no-one-may-see-this";

enum Door { kGood, kOtherName, kExpired, kOtherAuthority, kAsksForCertificate, kDoors };

class TlsTest : public ::testing::Test {
 protected:
  TlsTest() {
    std::string config = "foreground = yes\npid =\ndebug = 3\n";
    const std::array<const TestCertificate*, kDoors> shown = {&good_, &other_name_, &expired_,
                                                              &foreign_, &good_};
    for (int door = 0; door < kDoors; ++door) {
      ports_[door] = testing::FreePort();
      config += fmt::format("[door{}]\naccept = 127.0.0.1:{}\nconnect = {}\ncert = {}\nkey = {}\n",
                            door, ports_[door], store_.address().substr(5),
                            shown[door]->certificate(), shown[door]->key());
    }
    config += fmt::format("CAfile = {}\nverifyChain = yes\n", authority_.certificate());
    std::ofstream(store_.folder() / "stunnel.conf") << config;
    stunnel_ = std::make_unique<testing::Process>(
        std::vector<std::string>{"stunnel4", store_.folder() / "stunnel.conf"},
        store_.folder() / "stunnel.log");
    EXPECT_TRUE(testing::Eventually(
        [this] { return Ask(Options(kGood)).ok() || stunnel_->Poll().has_value(); }));
  }

  std::string Address(Door door) const { return fmt::format("https://127.0.0.1:{}", ports_[door]); }
  ClientOptions Options(Door door) const {
    ClientOptions options;
    options.addresses = {Address(door)};
    options.password = kPassword;
    options.ca_file = authority_.certificate();
    return options;
  }
  static Status Ask(const ClientOptions& options) {
    Client client(options);
    return client.Select({.sql = "SELECT 1"}).status();
  }
  // The error, which tells no secret.
  static std::string Error(const ClientOptions& options) {
    const Status status = Ask(options);
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(ErrorReason(status), "EVENT_STORE_DOWN");
    EXPECT_THAT(status.ToString(), Not(HasSubstr(kPassword)));
    return status.ToString();
  }

  testing::EventStore store_;
  const TestCertificate authority_{store_.folder(), "authority", {"ours", "", true}};
  const TestCertificate other_authority_{store_.folder(), "other", {"theirs", "", true}};
  const TestCertificate good_{
      store_.folder(), "good", {"store", "IP:127.0.0.1", false}, &authority_};
  const TestCertificate other_name_{
      store_.folder(), "other-name", {"store", "DNS:elsewhere.example", false}, &authority_};
  const TestCertificate expired_{store_.folder(),
                                 "expired",
                                 {"store", "IP:127.0.0.1", false, std::chrono::hours(-1)},
                                 &authority_};
  const TestCertificate foreign_{
      store_.folder(), "foreign", {"store", "IP:127.0.0.1", false}, &other_authority_};
  const TestCertificate client_{store_.folder(), "client", {"archive", "", false}, &authority_};
  const TestCertificate stranger_{
      store_.folder(), "stranger", {"archive", "", false}, &other_authority_};
  std::array<int, kDoors> ports_{};
  std::unique_ptr<testing::Process> stunnel_;
};

TEST_F(TlsTest, AStoreWithAGoodCertificateIsUsed) {
  ClientOptions options = Options(kGood);
  Client client(options);
  ASSERT_THAT(client.Execute({.sql = "CREATE TABLE default.t (n UInt64) ENGINE = MergeTree "
                                     "ORDER BY n"}),
              IsOk());
  std::string rows(8'000'000, '\1');
  ASSERT_THAT(client.Insert({.sql = "INSERT INTO default.t FORMAT RowBinary"}, rows), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto count, client.Select({.sql = "SELECT count() FROM default.t"}));
  EXPECT_EQ(count.rows.at(0).at(0).AsUnsigned(), 1'000'000u);
}

TEST_F(TlsTest, AStoreWhoseCertificateIsNotGoodIsTold) {
  EXPECT_THAT(Error(Options(kOtherName)),
              HasSubstr("no alternative certificate subject name matches"));
  EXPECT_THAT(Error(Options(kExpired)), HasSubstr("certificate has expired"));
  EXPECT_THAT(Error(Options(kOtherAuthority)),
              AnyOf(HasSubstr("unable to get local issuer certificate"),
                    HasSubstr("self-signed certificate in certificate chain")));
  ClientOptions system = Options(kGood);
  system.ca_file = "";
  EXPECT_THAT(Error(system), HasSubstr("certificate"));
  ClientOptions missing = Options(kGood);
  missing.ca_file = store_.folder() / "nothing.pem";
  EXPECT_THAT(Error(missing), HasSubstr("nothing.pem"));
}

TEST_F(TlsTest, AStoreThatAsksForACertificateGetsOurs) {
  ClientOptions options = Options(kAsksForCertificate);
  EXPECT_THAT(Error(options), HasSubstr("we have none to show"));
  options.certificate_file = stranger_.certificate();
  options.key_file = stranger_.key();
  EXPECT_THAT(Error(options), HasSubstr("may not accept the certificate"));
  options.certificate_file = client_.certificate();
  EXPECT_THAT(Error(options), HasSubstr("key"));
  options.key_file = client_.key();
  EXPECT_THAT(Ask(options), IsOk());
}

TEST_F(TlsTest, AServerThatCannotProveWhoItIsIsLeftForOneThatCan) {
  ClientOptions options = Options(kGood);
  options.addresses = {Address(kExpired), Address(kOtherName), Address(kGood)};
  EXPECT_THAT(Ask(options), IsOk());
  options.addresses.pop_back();
  const std::string error = Error(options);
  EXPECT_THAT(error, HasSubstr("server 1: event store cannot be reached: SSL certificate problem: "
                               "certificate has expired"));
  EXPECT_THAT(error, HasSubstr("server 2: "));
}

}  // namespace
}  // namespace yagura::eventstore
