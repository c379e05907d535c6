// NDJSON and HEC over HTTPS, with libcurl and openssl's own client at the other end.
#include <curl/curl.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <sstream>

#include "gmock/gmock.h"

#include "common/rpc/channels.h"
#include "common/testing/fake_clock.h"
#include "services/ingestion/api/http_intake.h"
#include "services/ingestion/api/http_tls.h"
#include "services/ingestion/app.h"
#include "services/ingestion/settings.h"
#include "services/ingestion/workers/socket.h"
#include "tests/integration/ingestion/intake_world.h"
#include "tests/integration/ingestion/test_certificates.h"

namespace yagura::ingestion {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kHec[] = "/services/collector/event";
constexpr char kRaw[] = "/services/collector/raw";
// As libcurl says "this one and no later".
constexpr long kTls12 = static_cast<long>(CURL_SSLVERSION_TLSv1_2) | CURL_SSLVERSION_MAX_TLSv1_2;
constexpr long kTls13 = CURL_SSLVERSION_TLSv1_3;

struct Reply {
  CURLcode result = CURLE_OK;
  long status = 0;
  std::string body;
};

size_t Append(char* data, size_t size, size_t count, void* text) {
  static_cast<std::string*>(text)->append(data, size * count);
  return size * count;
}

struct Options {
  std::string key = "";
  const TestCertificate* client = nullptr;
  std::vector<std::string> headers = {};
  long version = CURL_SSLVERSION_DEFAULT;
};

class HttpsTest : public IntakeWorld {
 protected:
  HttpsTest() {
    verifier_->Trust("yagura", issuer_.key().public_key());
    options_.name = "https";
    options_.address = "127.0.0.1:0";
    Serve(Tls());
  }
  ~HttpsTest() override {
    for (const auto& [address, curl] : kept_) curl_easy_cleanup(curl);
    server_.reset();
  }

  TlsOptions Tls() const {
    return {own_.certificate(), own_.key(), authority_.certificate(), false};
  }
  void Serve(const TlsOptions& tls, const std::shared_ptr<const Clock>& clock = SystemClock()) {
    server_.reset();
    options_.tls = HttpTls::Make(tls, clock, Logger::Null()).value();
    auto keys = std::make_shared<ApiKeys>(
        [this](const std::string& secret, const std::string&) -> StatusOr<std::string> {
          auth::Principal principal;
          principal.name = "tenants/acme/apiKeys/sender";
          principal.grants = {{"collector", false, {"acme"}}};
          if (secret == "ygr_acme_sender_good") {
            return issuer_.Issue(principal, std::chrono::minutes(15));
          }
          return MakeError(absl::StatusCode::kUnauthenticated, "LOGIN_FAILED", "log-in failed");
        },
        verifier_, SystemClock());
    intake_ = std::make_unique<HttpIntake>(HttpIntake::Options{options_.body_bytes, nullptr},
                                           parts_, keys);
    server_ = HttpServer::Make(options_, *intake_, parts_.metrics, Logger::Null()).value();
    ASSERT_THAT(server_->Start(), IsOk());
  }

  static curl_slist* Headers(const Options& options) {
    curl_slist* headers = curl_slist_append(nullptr, "Expect:");
    if (!options.key.empty()) {
      headers = curl_slist_append(headers, ("Authorization: Bearer " + options.key).c_str());
    }
    for (const auto& header : options.headers) headers = curl_slist_append(headers, header.c_str());
    return headers;
  }

  // With a connection of its own, or (`kept`) the one of that name.
  Reply Send(const std::string& path, const std::string& body, const Options& options = {},
             const std::string& kept = "") {
    Reply reply;
    CURL* curl = nullptr;
    if (!kept.empty()) curl = kept_[kept];
    if (curl == nullptr) curl = curl_easy_init();
    if (!kept.empty()) kept_[kept] = curl;
    curl_slist* headers = Headers(options);
    curl_easy_setopt(curl, CURLOPT_URL, ("https://" + server_->address() + path).c_str());
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.data());
    curl_easy_setopt(curl, CURLOPT_CAINFO, own_.certificate().c_str());
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, options.version);
    if (options.client != nullptr) {
      curl_easy_setopt(curl, CURLOPT_SSLCERT, options.client->certificate().c_str());
      curl_easy_setopt(curl, CURLOPT_SSLKEY, options.client->key().c_str());
    }
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &Append);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &reply.body);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, 60L);
    reply.result = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &reply.status);
    curl_slist_free_all(headers);
    if (kept.empty()) curl_easy_cleanup(curl);
    return reply;
  }

  // openssl s_client with nothing to say; what it was told.
  std::string Connect(const std::string& more, const std::string& address = "") {
    std::filesystem::remove(files_ / "said");
    const std::string to = address.empty() ? server_->address() : address;
    testing::Process process(
        {"sh", "-c", "exec openssl s_client -connect " + to + " " + more + " </dev/null"},
        files_ / "said");
    process.Wait();
    std::stringstream text;
    text << std::ifstream(files_ / "said").rdbuf();
    return text.str();
  }

  static directory::v1::Source SourceOf(const std::string& tenant, const std::string& certificate) {
    directory::v1::Source source;
    source.set_name("tenants/" + tenant + "/sources/fw");
    source.set_site("hq-" + tenant);
    source.set_device("fw-" + tenant);
    source.mutable_match()->set_certificate(certificate);
    return source;
  }
  void Map(const std::vector<directory::v1::Source>& sources) {
    parts_.sources->Set(SourceMap::Build(sources, {}, nullptr));
  }
  // What became of each line.
  std::map<std::string, std::string> Found() {
    std::map<std::string, std::string> found;
    for (const auto& event : Stored()) {
      found[event.raw()] = event.tenant() + " " + event.site() + " " + event.device();
    }
    return found;
  }
  bool EventuallyCut(const std::string& reason, int count) {
    return Eventually([&] {
      return HasMetric("connections_cut_total{listener=\"https\",reason=\"" + reason + "\"} " +
                       std::to_string(count));
    });
  }

  const Options with_key_{.key = "ygr_acme_sender_good"};
  const std::filesystem::path files_ = folder_ / "tls";
  const bool made_ = std::filesystem::create_directories(files_);
  const TestCertificate own_{files_, "server", {"here", "IP:127.0.0.1"}};
  const TestCertificate authority_{files_, "authority", {"devices of acme", "", true}};
  const TestCertificate device_{
      files_, "device", {"fw1", "DNS:FW1.example.com,URI:urn:x:fw1"}, &authority_};
  const TestCertificate other_{files_, "other", {"fw2", "DNS:fw2.example.com"}, &authority_};
  auth::TokenIssuer issuer_{auth::SigningKey::Generate(), "yagura", SystemClock()};
  const std::shared_ptr<auth::TokenVerifier> verifier_ =
      std::make_shared<auth::TokenVerifier>(SystemClock());
  HttpServerOptions options_;
  std::unique_ptr<HttpIntake> intake_;
  std::unique_ptr<HttpServer> server_;
  std::map<std::string, CURL*> kept_;
};

TEST_F(HttpsTest, KeysWorkAsWithoutTlsInBothVersions) {
  std::multiset<std::string> sent;
  for (const long version : {kTls12, kTls13}) {
    std::string body;
    for (int i = 0; i < 20'000; ++i) {
      const std::string line = R"({"version":)" + std::to_string(version) + R"(,"EventID":)" +
                               std::to_string(i) + R"(,"Message":")" + std::string(100, 'x') +
                               R"("})";
      sent.insert(line);
      body += line + "\n";
    }
    ASSERT_GT(body.size(), 2u << 20);  // many records of TLS
    const Reply reply =
        Send("/v1/tenants/acme/logs:bulk", body, {.key = with_key_.key, .version = version});
    EXPECT_EQ(reply.result, CURLE_OK) << curl_easy_strerror(reply.result);
    EXPECT_EQ(reply.status, 200) << reply.body;
    EXPECT_EQ(reply.body, R"({"event_count":20000})");
  }
  EXPECT_EQ(RawOf(Stored()), sent);
  EXPECT_EQ(Stored()[0].origin(), "tenants/acme/apiKeys/sender");
}

TEST_F(HttpsTest, ManyRequestsOfOneConnectionAreAnsweredOneByOne) {
  for (int i = 0; i < 50; ++i) {
    const Reply reply =
        Send(kHec, R"({"event":")" + std::string(i * 700 + 1, 'x') + "\"}", with_key_, "the same");
    ASSERT_EQ(reply.status, 200) << i << reply.body;
  }
  EXPECT_EQ(Stored().size(), 50u);
  EXPECT_TRUE(HasMetric("connections_opened_total{listener=\"https\"} 1\n"));
}

TEST_F(HttpsTest, WhoShowsNeitherKeyNorCertificateIsToldWhatIsMissing) {
  EXPECT_EQ(Send(kHec, R"({"event":"x"})").status, 401);
  EXPECT_EQ(Send(kHec, R"({"event":"x"})", {.key = "ygr_acme_sender_bad"}).status, 401);
  EXPECT_TRUE(Stored().empty());
}

TEST_F(HttpsTest, ACertificateSaysWhoseTheRecordsAreByNameOrDigest) {
  Map({SourceOf("one", "dns:fw1.example.com"), SourceOf("two", other_.Digest())});
  EXPECT_EQ(Send(kRaw, "<13>app: from one", {.client = &device_}).status, 200);
  EXPECT_EQ(
      Send(kHec, R"({"event":"<13>app: from two"})", {.client = &other_, .version = kTls12}).status,
      200);
  EXPECT_EQ(Send("/v1/tenants/one/logs:bulk", "{\"a\":1}", {.client = &device_}).status, 200);
  EXPECT_EQ(Send("/v1/tenants/-/logs:bulk", "{\"a\":2}", {.client = &device_}).status, 200);
  EXPECT_EQ(Send("/v1/tenants/two/logs:bulk", "{\"a\":3}", {.client = &device_}).status, 403)
      << "another tenant's";
  const auto found = Found();
  EXPECT_EQ(found.size(), 4u);
  EXPECT_THAT(found, Contains(std::pair("<13>app: from one", "one hq-one fw-one")));
  EXPECT_THAT(found, Contains(std::pair("<13>app: from two", "two hq-two fw-two")));
  EXPECT_THAT(found, Contains(std::pair("{\"a\":1}", "one hq-one fw-one")));
  EXPECT_THAT(found, Contains(std::pair("{\"a\":2}", "one hq-one fw-one")));
  EXPECT_EQ(Stored()[0].origin(), "127.0.0.1") << "as of syslog over TLS";
}

TEST_F(HttpsTest, ACertificateThatNoSourceNamesSendsToQuarantineAndNowhereElse) {
  directory::v1::Source by_serial;
  by_serial.set_name("tenants/two/sources/fw");
  by_serial.mutable_match()->set_device_serial("FGT60FTK00000001");
  Map({by_serial});
  const std::string line =
      "<189>date=2026-11-21 time=09:15:42 devid=\"FGT60FTK00000001\" logid=\"1\" vd=\"root\"";
  EXPECT_EQ(Send(kRaw, line, {.client = &device_}).status, 200);
  EXPECT_EQ(Send("/v1/tenants/two/logs:bulk", "{}", {.client = &device_}).status, 403);
  EXPECT_THAT(Found(), ElementsAre(std::pair(line, "quarantine  ")));
  const auto senders = parts_.quarantine->List(*SourceMap::Empty());
  ASSERT_EQ(senders.size(), 1u);
  EXPECT_EQ(senders[0].listener(), "https");
  EXPECT_THAT(senders[0].certificates(),
              ElementsAre(device_.Digest(), "cn:fw1", "dns:fw1.example.com", "uri:urn:x:fw1"));
}

TEST_F(HttpsTest, OfAKeyTheCertificateSaysWhichDeviceItIsAndNotWhoseTheRecordsAre) {
  Map({SourceOf("acme", "dns:fw1.example.com"), SourceOf("two", "dns:fw2.example.com")});
  Options options = with_key_;
  options.client = &device_;
  EXPECT_EQ(Send(kRaw, "<13>app: one", options).status, 200);
  options.client = &other_;
  EXPECT_EQ(Send(kRaw, "<13>app: two", options).status, 200);
  EXPECT_EQ(Found(), (std::map<std::string, std::string>{{"<13>app: one", "acme hq-acme fw-acme"},
                                                         {"<13>app: two", "acme  "}}));
}

TEST_F(HttpsTest, RepeatsOfOneDeviceAreNotThoseOfAnother) {
  Map({SourceOf("one", "dns:fw1.example.com"), SourceOf("two", "dns:fw2.example.com")});
  for (const TestCertificate* client : {&device_, &device_, &other_}) {
    EXPECT_EQ(
        Send(kRaw, "<13>app: the same", {.client = client, .headers = {"Idempotency-Key: b1"}})
            .status,
        200);
  }
  EXPECT_EQ(Stored().size(), 2u);
}

TEST_F(HttpsTest, CertificatesThatAreNotTrustedAreRefusedAndNothingOfTheirsIsTaken) {
  const TestCertificate stranger(files_, "stranger", {"fw1", "DNS:fw1.example.com"});
  const TestCertificate expired(files_, "expired",
                                {"fw1", "DNS:fw1.example.com", false, std::chrono::hours(-1)},
                                &authority_);
  Map({SourceOf("one", "dns:fw1.example.com")});
  int refused = 0;
  for (const TestCertificate* client : {&stranger, &expired}) {
    for (const long version : {kTls12, kTls13}) {
      Options options = with_key_;  // a good key does not help
      options.client = client;
      options.version = version;
      const Reply reply = Send(kRaw, "<13>app: no", options);
      EXPECT_NE(reply.result, CURLE_OK);
      EXPECT_EQ(reply.status, 0);
      ++refused;
    }
  }
  EXPECT_TRUE(EventuallyCut("handshake", refused));
  EXPECT_TRUE(Stored().empty());
  EXPECT_EQ(Send(kRaw, "<13>app: yes", {.client = &device_}).status, 200);
}

TEST_F(HttpsTest, ACertificateCanBeRequired) {
  TlsOptions tls = Tls();
  tls.require_client_certificate = true;
  Serve(tls);
  Options options = with_key_;
  EXPECT_NE(Send(kRaw, "<13>app: no", options).result, CURLE_OK);
  EXPECT_TRUE(EventuallyCut("handshake", 1));
  options.client = &device_;
  EXPECT_EQ(Send(kRaw, "<13>app: yes", options).status, 200);
  EXPECT_EQ(RawOf(Stored()), (std::multiset<std::string>{"<13>app: yes"}));
}

TEST_F(HttpsTest, ASingleCertificateCanBeTrustedWithoutAnAuthority) {
  const TestCertificate single(files_, "single", {"old agent"});
  Map({SourceOf("one", single.Digest())});
  TlsOptions tls = Tls();
  tls.client_ca = single.certificate();
  Serve(tls);
  EXPECT_EQ(Send(kRaw, "<13>app: hello", {.client = &single}).status, 200);
  EXPECT_EQ(Stored()[0].tenant(), "one");
  EXPECT_NE(Send(kRaw, "<13>app: no", {.client = &device_}).result, CURLE_OK);
}

TEST_F(HttpsTest, WithoutAuthoritiesClientsAreNotAskedForACertificate) {
  TlsOptions tls = Tls();
  tls.client_ca.clear();
  Serve(tls);
  Map({SourceOf("one", "dns:fw1.example.com")});
  EXPECT_EQ(Send(kRaw, "<13>app: no", {.client = &device_}).status, 401);
  EXPECT_EQ(Send(kRaw, "<13>app: yes", with_key_).status, 200);
}

TEST_F(HttpsTest, OldVersionsAndCiphersWithoutForwardSecrecyAreRefused) {
  EXPECT_THAT(Connect("-tls1_1 -cipher DEFAULT@SECLEVEL=0"), HasSubstr("no peer certificate"));
  EXPECT_TRUE(EventuallyCut("handshake", 1));
  EXPECT_THAT(Connect("-tls1_2 -cipher AES128-GCM-SHA256"), HasSubstr("no peer certificate"));
  EXPECT_TRUE(EventuallyCut("handshake", 2));
  EXPECT_THAT(Connect("-tls1_2"), HasSubstr("ECDHE"));
  EXPECT_THAT(Connect("-tls1_3"), HasSubstr("TLSv1.3"));
}

TEST_F(HttpsTest, PlainHttpOnTheTlsPortIsNotAnswered) {
  const Client plain(SOCK_STREAM, server_->address());
  plain.Offer(
      "POST /services/collector/raw HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n"
      "Authorization: Splunk ygr_acme_sender_good\r\n\r\n<13>app: no");
  EXPECT_TRUE(Eventually([&] { return plain.HasEnded(); }));
  EXPECT_TRUE(EventuallyCut("handshake", 1));
  EXPECT_TRUE(Stored().empty());
  EXPECT_EQ(Send(kRaw, "<13>app: yes", with_key_).status, 200);
}

TEST_F(HttpsTest, ThoseWhoNeverEndTheirHandshakeAreClosedInTime) {
  options_.handshake_timeout = std::chrono::milliseconds(300);
  Serve(Tls());
  std::vector<std::unique_ptr<Client>> slow;
  for (int i = 0; i < 3; ++i) {
    slow.push_back(std::make_unique<Client>(SOCK_STREAM, server_->address()));
    slow.back()->Send(std::string_view("\x16\x03\x01\x02\x00\x01", 6));  // begins a ClientHello
  }
  EXPECT_TRUE(EventuallyCut("handshake_timeout", 3));
  EXPECT_TRUE(Eventually([&] {
    return std::all_of(slow.begin(), slow.end(), [](const auto& c) { return c->HasEnded(); });
  }));
  // Who has ended his in time may take longer with what follows.
  EXPECT_EQ(Send(kRaw, "<13>app: one", with_key_, "kept").status, 200);
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(700);
  EXPECT_TRUE(Eventually([&] { return std::chrono::steady_clock::now() > until; }));
  EXPECT_EQ(Send(kRaw, "<13>app: two", with_key_, "kept").status, 200);
  EXPECT_TRUE(HasMetric("connections_opened_total{listener=\"https\"} 4\n"));
}

TEST_F(HttpsTest, ThoseWhoOnlyBeginHandshakesKeepNobodyOut) {
  options_.max_handshakes = 4;
  Serve(Tls());
  std::vector<std::unique_ptr<Client>> idle;
  for (int i = 0; i < 10; ++i) {
    idle.push_back(std::make_unique<Client>(SOCK_STREAM, server_->address()));
  }
  EXPECT_TRUE(EventuallyCut("handshakes", 6));
  EXPECT_EQ(Send(kRaw, "<13>app: hello", with_key_).status, 200);
}

TEST_F(HttpsTest, WhoSaysNothingAfterTheHandshakeIsCutOff) {
  options_.timeout = std::chrono::seconds(1);
  Serve(Tls());
  const auto input = files_ / "pipe";
  ASSERT_EQ(::mkfifo(input.c_str(), 0600), 0);
  const Socket pipe(::open(input.c_str(), O_RDWR | O_CLOEXEC));  // nothing comes, and no end
  testing::Process client(
      {"sh", "-c",
       "exec openssl s_client -quiet -connect " + server_->address() + " <" + input.string()},
      files_ / "said");
  EXPECT_TRUE(EventuallyCut("slow", 1));
  client.Wait();
}

TEST_F(HttpsTest, ACertificateThatIsReplacedIsShownToThoseWhoComeAfterAMinute) {
  testing::FakeClock clock;
  Serve(Tls(), std::shared_ptr<const Clock>(std::shared_ptr<void>(), &clock));
  EXPECT_EQ(Send(kRaw, "<13>app: one", with_key_, "kept").status, 200);
  const TestCertificate next(files_, "server", {"here again", "IP:127.0.0.1"});
  std::filesystem::last_write_time(next.certificate(),
                                   std::filesystem::file_time_type::clock::now() +
                                       std::chrono::seconds(5));  // whatever the disk's resolution
  EXPECT_NE(Send(kRaw, "<13>app: no", with_key_).result, CURLE_OK);  // the file is another by now
  clock.Advance(std::chrono::seconds(61));
  EXPECT_EQ(Send(kRaw, "<13>app: two", with_key_).status, 200);
  EXPECT_EQ(Send(kRaw, "<13>app: three", with_key_, "kept").status, 200) << "that goes on";
  // Half of a new pair is not used.
  std::ofstream(own_.key()) << "nonsense";
  std::filesystem::last_write_time(
      own_.key(), std::filesystem::file_time_type::clock::now() + std::chrono::seconds(10));
  clock.Advance(std::chrono::seconds(61));
  EXPECT_EQ(Send(kRaw, "<13>app: four", with_key_).status, 200);
  EXPECT_EQ(Stored().size(), 4u);
  options_.tls.reset();
  server_.reset();  // before its clock
}

TEST_F(HttpsTest, FilesThatCannotBeUsedAreNamed) {
  const auto told = [](const TlsOptions& tls) {
    return std::string(HttpTls::Make(tls, SystemClock(), Logger::Null()).status().message());
  };
  TlsOptions tls = Tls();
  tls.key = device_.key();
  EXPECT_THAT(told(tls), HasSubstr("device.key"));
  tls = Tls();
  tls.certificate = files_ / "none.crt";
  EXPECT_THAT(told(tls), HasSubstr("none.crt"));
  tls = Tls();
  tls.certificate = own_.key();
  EXPECT_THAT(told(tls), HasSubstr("server.key"));
  tls = Tls();
  tls.client_ca = own_.key();
  EXPECT_THAT(told(tls), HasSubstr("server.key"));
  tls = Tls();
  tls.client_ca.clear();
  tls.require_client_certificate = true;
  EXPECT_THAT(told(tls), HasSubstr("client_ca"));
}

TEST_F(HttpsTest, SettingsOpenThePortBesideTheOneWithoutTls) {
  rpc::Platform platform{.logger = Logger::Null()};
  platform.flow = pool_;
  platform.clock = SystemClock();
  platform.metrics = std::make_shared<MetricsRegistry>();
  platform.verifier = verifier_;
  platform.data_dir = folder_ / "data";
  platform.channels = std::make_shared<rpc::Channels>(
      "ingestion", std::map<std::string, std::string>{{"*", "unix:/nonexistent"}},
      std::make_shared<auth::TokenIssuer>(auth::SigningKey::Generate(), "yagura-internal",
                                          SystemClock()));
  Settings settings;
  settings.syslog_udp = settings.syslog_tcp = "";
  settings.http = settings.https = "127.0.0.1:0";
  settings.https_certificate = own_.certificate();
  settings.https_key = own_.key();
  settings.https_client_ca = authority_.certificate();
  {
    const auto app = NewApp(settings, platform);
    ASSERT_THAT(app, IsOk());
    ASSERT_THAT((*app)->Start(), IsOk());
    auto listeners = (*app)->Listeners();
    EXPECT_TRUE(listeners.contains("http"));
    EXPECT_THAT(Connect("", listeners["https"]), HasSubstr("devices of acme"))
        << "the authorities that it trusts";
    (*app)->Stop();
  }
  settings.https_key = device_.key();
  const auto refused = NewApp(settings, platform).status();
  EXPECT_THAT(std::string(refused.message()), HasSubstr("https"));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("device.key"));
}

}  // namespace
}  // namespace yagura::ingestion
