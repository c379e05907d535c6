// Syslog over TLS, with openssl's own client at the other end.
#include "services/ingestion/workers/tls.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <sstream>

#include "gmock/gmock.h"

#include "common/testing/fake_clock.h"
#include "common/testing/fortigate_lines.h"
#include "services/ingestion/workers/socket.h"
#include "tests/integration/ingestion/intake_world.h"
#include "tests/integration/ingestion/test_certificates.h"

namespace yagura::ingestion {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class TlsTest : public IntakeWorld {
 protected:
  TlsOptions Options() const {
    return {server_.certificate(), server_.key(), authority_.certificate(), false};
  }

  std::string ListenTls(const TlsOptions& tls, ListenerOptions options = {}) {
    auto server = TlsServer::Make(tls, parts_.clock, Logger::Null());
    EXPECT_TRUE(server.ok()) << server.status();
    options.tls = *server;
    return Listen(true, options);
  }

  // openssl s_client that sends the bytes; its exit code. What it says goes to Said().
  int Send(const std::string& address, const std::string& bytes,
           const TestCertificate* client = nullptr, std::vector<std::string> more = {}) {
    const auto input = files_ / "input";
    std::ofstream(input, std::ios::binary) << bytes;
    std::string command = "exec openssl s_client -quiet -no_ign_eof -verify_return_error -CAfile " +
                          server_.certificate() + " -connect " + address;
    if (client != nullptr) command += " -cert " + client->certificate() + " -key " + client->key();
    for (const std::string& option : more) command += " " + option;
    std::filesystem::remove(files_ / "said");
    testing::Process process({"sh", "-c", command + " <" + input.string()}, files_ / "said");
    return process.Wait();
  }

  std::string Said() const {
    std::stringstream text;
    text << std::ifstream(files_ / "said").rdbuf();
    return text.str();
  }

  void Map(const std::vector<std::pair<std::string, std::string>>& tenants_by_certificate) {
    std::vector<directory::v1::Source> sources;
    for (const auto& [tenant, certificate] : tenants_by_certificate) {
      auto& source = sources.emplace_back();
      source.set_name("tenants/" + tenant + "/sources/fw");
      source.set_site("hq-" + tenant);
      source.set_device("fw-" + tenant);
      source.mutable_match()->set_certificate(certificate);
    }
    parts_.sources->Set(SourceMap::Build(sources, {}, nullptr));
  }

  const std::filesystem::path files_ = folder_ / "tls";
  const bool made_ = std::filesystem::create_directories(files_);
  const TestCertificate server_{files_, "server", {"here", "IP:127.0.0.1"}};
  const TestCertificate authority_{files_, "authority", {"devices of acme", "", true}};
  const TestCertificate device_{
      files_, "device", {"fw1", "DNS:FW1.example.com,URI:urn:x:fw1"}, &authority_};
  const TestCertificate other_{files_, "other", {"fw2", "DNS:fw2.example.com"}, &authority_};
};

TEST_F(TlsTest, ManyLinesOfBothFramingsReachTheStreams) {
  const std::string address = ListenTls(Options());
  testing::FortigateLines source;
  std::multiset<std::string> sent;
  std::string bytes;
  for (int i = 0; i < 3000; ++i) {
    const std::string line = source.Next();
    sent.insert(line);
    bytes += i % 2 == 0 ? line + "\n" : std::to_string(line.size()) + " " + line;
  }
  ASSERT_GT(bytes.size(), 512u * 1024);  // more than is read at once
  EXPECT_EQ(Send(address, bytes), 0) << Said();
  ASSERT_TRUE(EventuallyStored(sent.size()));
  EXPECT_EQ(RawOf(Stored()), sent);
}

TEST_F(TlsTest, ACertificateSaysWhoseTheLinesAreByNameOrDigest) {
  Map({{"one", "dns:fw1.example.com"}, {"two", other_.Digest()}});
  const std::string address = ListenTls(Options());
  EXPECT_EQ(Send(address, "<13>app: from one\n", &device_), 0) << Said();
  EXPECT_EQ(Send(address, "<13>app: from two\n", &other_, {"-tls1_2"}), 0) << Said();
  EXPECT_EQ(Send(address, "<13>app: from somebody\n"), 0) << Said();
  ASSERT_TRUE(EventuallyStored(3));
  std::map<std::string, std::string> found;
  for (const auto& event : Stored()) {
    found[event.raw()] = event.tenant() + " " + event.site() + " " + event.device();
  }
  EXPECT_EQ(found["<13>app: from one"], "one hq-one fw-one");
  EXPECT_EQ(found["<13>app: from two"], "two hq-two fw-two");
  EXPECT_EQ(found["<13>app: from somebody"], "quarantine  ");
}

TEST_F(TlsTest, ADeviceWithACertificateCannotSendForAnotherTenantByASerialNumber) {
  std::vector<directory::v1::Source> sources(2);
  sources[0].set_name("tenants/one/sources/fw");
  sources[0].mutable_match()->set_certificate("cn:fw1");
  sources[1].set_name("tenants/two/sources/fw");
  sources[1].mutable_match()->set_device_serial("FGT60FTK00000001");
  parts_.sources->Set(SourceMap::Build(sources, {}, nullptr));
  const std::string address = ListenTls(Options());
  const std::string line =
      "<189>date=2026-11-21 time=09:15:42 devid=\"FGT60FTK00000001\" logid=\"1\" vd=\"root\"\n";
  EXPECT_EQ(Send(address, line, &device_), 0) << Said();
  ASSERT_TRUE(EventuallyStored(1));
  EXPECT_EQ(Stored()[0].tenant(), "one");
}

TEST_F(TlsTest, WhatAnUnknownCertificateIsToldByIsShownInQuarantine) {
  Map({});
  const std::string address = ListenTls(Options());
  EXPECT_EQ(Send(address, "<13>app: hello\n", &device_), 0) << Said();
  ASSERT_TRUE(EventuallyStored(1));
  const auto senders = parts_.quarantine->List(*SourceMap::Empty());
  ASSERT_EQ(senders.size(), 1u);
  EXPECT_EQ(senders[0].listener(), "syslog_tls");
  EXPECT_THAT(senders[0].certificates(),
              ElementsAre(device_.Digest(), "cn:fw1", "dns:fw1.example.com", "uri:urn:x:fw1"));
}

TEST_F(TlsTest, CertificatesThatAreNotTrustedAreRefusedAndNothingOfTheirsIsTaken) {
  const TestCertificate stranger(files_, "stranger", {"fw1", "DNS:fw1.example.com"});
  const TestCertificate expired(files_, "expired",
                                {"fw1", "DNS:fw1.example.com", false, std::chrono::hours(-1)},
                                &authority_);
  const std::string address = ListenTls(Options());
  EXPECT_NE(Send(address, "<13>app: no\n", &stranger, {"-tls1_2"}), 0);
  EXPECT_THAT(Said(), HasSubstr("unknown ca"));
  EXPECT_NE(Send(address, "<13>app: no\n", &expired, {"-tls1_2"}), 0);
  EXPECT_THAT(Said(), HasSubstr("certificate expired"));
  Send(address, "<13>app: no\n", &stranger);  // TLS 1.3 tells the client later
  EXPECT_TRUE(Eventually([&] {
    return HasMetric("connections_cut_total{listener=\"syslog_tls\",reason=\"handshake\"} 3");
  }));
  EXPECT_EQ(Send(address, "<13>app: yes\n", &device_), 0) << Said();
  ASSERT_TRUE(EventuallyStored(1));
  EXPECT_EQ(RawOf(Stored()), (std::multiset<std::string>{"<13>app: yes"}));
}

TEST_F(TlsTest, ACertificateCanBeRequired) {
  TlsOptions tls = Options();
  tls.require_client_certificate = true;
  const std::string address = ListenTls(tls);
  EXPECT_NE(Send(address, "<13>app: no\n", nullptr, {"-tls1_2"}), 0);
  EXPECT_EQ(Send(address, "<13>app: yes\n", &device_), 0) << Said();
  ASSERT_TRUE(EventuallyStored(1));
  EXPECT_EQ(RawOf(Stored()), (std::multiset<std::string>{"<13>app: yes"}));
}

TEST_F(TlsTest, ASingleCertificateCanBeTrustedWithoutAnAuthority) {
  const TestCertificate own(files_, "own", {"old switch"});
  Map({{"one", own.Digest()}});
  TlsOptions tls = Options();
  tls.client_ca = own.certificate();
  tls.require_client_certificate = true;
  const std::string address = ListenTls(tls);
  EXPECT_EQ(Send(address, "<13>app: hello\n", &own), 0) << Said();
  ASSERT_TRUE(EventuallyStored(1));
  EXPECT_EQ(Stored()[0].tenant(), "one");
}

TEST_F(TlsTest, OldVersionsAreRefused) {
  const std::string address = ListenTls(Options());
  EXPECT_NE(Send(address, "<13>app: no\n", nullptr, {"-tls1_1 -cipher DEFAULT@SECLEVEL=0"}), 0);
  EXPECT_TRUE(Eventually([&] {
    return HasMetric("connections_cut_total{listener=\"syslog_tls\",reason=\"handshake\"} 1");
  })) << Said();
}

TEST_F(TlsTest, ThoseWhoNeverEndTheirHandshakeAreClosedInTime) {
  ListenerOptions options;
  options.handshake_timeout = std::chrono::milliseconds(300);
  const std::string address = ListenTls(Options(), options);
  std::vector<std::unique_ptr<Client>> slow;
  for (int i = 0; i < 3; ++i) {
    slow.push_back(std::make_unique<Client>(SOCK_STREAM, address));
    slow.back()->Send(std::string_view("\x16\x03\x01\x02\x00\x01", 6));  // begins a ClientHello
  }
  EXPECT_TRUE(Eventually([&] {
    return std::all_of(slow.begin(), slow.end(), [](const auto& c) { return c->HasEnded(); });
  }));
  EXPECT_TRUE(HasMetric("reason=\"handshake_timeout\"} 3"));
}

TEST_F(TlsTest, ThoseWhoOnlyBeginHandshakesKeepNobodyOut) {
  ListenerOptions options;
  options.max_handshakes = 4;
  const std::string address = ListenTls(Options(), options);
  std::vector<std::unique_ptr<Client>> idle;
  for (int i = 0; i < 10; ++i) idle.push_back(std::make_unique<Client>(SOCK_STREAM, address));
  EXPECT_TRUE(Eventually([&] { return HasMetric("reason=\"handshakes\"} 6"); }));
  EXPECT_EQ(Send(address, "<13>app: hello\n", &device_), 0) << Said();
  EXPECT_TRUE(EventuallyStored(1));
}

TEST_F(TlsTest, PlainSyslogOnTheTlsPortIsNoLine) {
  const std::string address = ListenTls(Options());
  const Client plain(SOCK_STREAM, address);
  plain.Send("<13>app: in the clear\n");
  EXPECT_TRUE(Eventually([&] { return plain.HasEnded(); }));
  EXPECT_TRUE(Stored().empty());
}

TEST_F(TlsTest, AConnectionThatBreaksOffKeepsWhatItHadSent) {
  const std::string address = ListenTls(Options());
  const auto input = files_ / "pipe";
  ASSERT_EQ(::mkfifo(input.c_str(), 0600), 0);
  const Socket pipe(::open(input.c_str(), O_RDWR | O_CLOEXEC));
  testing::Process client(
      {"sh", "-c", "exec openssl s_client -quiet -connect " + address + " <" + input.string()},
      files_ / "said");
  const std::string_view bytes = "<13>app: whole\n<13>app: begun";
  ASSERT_EQ(::write(pipe.fd(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  ASSERT_TRUE(EventuallyStored(1));
  client.Kill();
  ASSERT_TRUE(EventuallyStored(2));
  EXPECT_EQ(RawOf(Stored()), (std::multiset<std::string>{"<13>app: whole", "<13>app: begun"}));
}

TEST_F(TlsTest, ACertificateThatIsReplacedIsShownToThoseWhoComeAfterAMinute) {
  testing::FakeClock clock;
  const std::shared_ptr<const Clock> shared(std::shared_ptr<void>(), &clock);
  ListenerOptions options;
  options.tls = TlsServer::Make(Options(), shared, Logger::Null()).value();
  const std::string address = Listen(true, options);
  EXPECT_EQ(Send(address, "<13>app: one\n"), 0) << Said();
  const TestCertificate next(files_, "server", {"here again", "IP:127.0.0.1"});
  std::filesystem::last_write_time(next.certificate(),
                                   std::filesystem::file_time_type::clock::now() +
                                       std::chrono::seconds(5));  // whatever the disk's resolution
  EXPECT_NE(Send(address, "<13>app: no\n"), 0);  // still the old one, which the file is not
  clock.Advance(std::chrono::seconds(61));
  EXPECT_EQ(Send(address, "<13>app: two\n"), 0) << Said();
  ASSERT_TRUE(EventuallyStored(2));
  EXPECT_EQ(RawOf(Stored()), (std::multiset<std::string>{"<13>app: one", "<13>app: two"}));
}

TEST_F(TlsTest, FilesThatCannotBeUsedAreNamed) {
  TlsOptions tls = Options();
  tls.key = device_.key();
  auto made = TlsServer::Make(tls, parts_.clock, Logger::Null());
  EXPECT_THAT(std::string(made.status().message()), HasSubstr("device.key"));
  tls = Options();
  tls.certificate = files_ / "none.crt";
  made = TlsServer::Make(tls, parts_.clock, Logger::Null());
  EXPECT_THAT(std::string(made.status().message()), HasSubstr("none.crt"));
  tls = Options();
  tls.client_ca.clear();
  tls.require_client_certificate = true;
  made = TlsServer::Make(tls, parts_.clock, Logger::Null());
  EXPECT_THAT(std::string(made.status().message()), HasSubstr("client_ca"));
}

}  // namespace
}  // namespace yagura::ingestion
