// NDJSON and HEC over HTTP, with libcurl at the other end and a real flow Redis behind.
#include <curl/curl.h>
#include <zlib.h>

#include <algorithm>
#include <atomic>
#include <map>

#include "gmock/gmock.h"

#include "common/testing/fake_clock.h"
#include "common/testing/fortigate_lines.h"
#include "common/text/text.h"
#include "services/ingestion/api/http_intake.h"
#include "services/ingestion/domain/multi_line.h"
#include "tests/integration/ingestion/intake_world.h"

namespace yagura::ingestion {
namespace {

using ::testing::HasSubstr;

struct Reply {
  long status = 0;  // 0: the connection was closed without an answer
  std::string body;
  std::string headers;
};

size_t Append(char* data, size_t size, size_t count, void* text) {
  static_cast<std::string*>(text)->append(data, size * count);
  return size * count;
}

struct Options {
  std::string key = "ygr_acme_sender_good";
  std::vector<std::string> headers;
  std::string method = "POST";
};

std::string Gzip(const std::string& text) {
  z_stream stream{};
  deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

class HttpTest : public IntakeWorld {
 protected:
  HttpTest() {
    verifier_->Trust("yagura", issuer_.key().public_key());
    principals_["ygr_acme_sender_good"] = {
        .name = "tenants/acme/apiKeys/sender",
        .grants = {{.role = "collector", .all_tenants = false, .tenants = {"acme"}}}};
    principals_["ygr_acme_viewer_good"] = {
        .name = "tenants/acme/apiKeys/viewer",
        .grants = {{.role = "viewer", .all_tenants = false, .tenants = {"acme"}}}};
    principals_["ygr_provider_relay_good"] = {
        .name = "tenants/provider/apiKeys/relay",
        .grants = {{.role = "collector", .all_tenants = true, .tenants = {}}}};
    Serve();
  }
  ~HttpTest() override { server_.reset(); }

  void Serve() {
    server_.reset();
    options_.address = "127.0.0.1:0";
    auto keys = std::make_shared<ApiKeys>(
        [this](const std::string& secret, const std::string&) -> StatusOr<std::string> {
          ++exchanges_;
          const auto found = principals_.find(secret);
          if (found == principals_.end()) {
            return MakeError(absl::StatusCode::kUnauthenticated, "LOGIN_FAILED", "log-in failed");
          }
          return issuer_.Issue(found->second, std::chrono::minutes(15));
        },
        verifier_, SystemClock());
    intake_ =
        std::make_unique<HttpIntake>(HttpIntake::Options{options_.body_bytes, rule_}, parts_, keys);
    intake_->Charge(TenantCharges(quotas_));
    server_ = HttpServer::Make(options_, *intake_, parts_.metrics, Logger::Null()).value();
    ASSERT_THAT(server_->Start(), IsOk());
  }

  Reply Send(const std::string& path, const std::string& body, const Options& options = {}) const {
    Reply reply;
    CURL* curl = curl_easy_init();
    curl_slist* headers = nullptr;
    if (!options.key.empty()) {
      headers = curl_slist_append(headers, ("Authorization: Splunk " + options.key).c_str());
    }
    headers = curl_slist_append(headers, "Expect:");
    for (const std::string& header : options.headers) {
      headers = curl_slist_append(headers, header.c_str());
    }
    curl_easy_setopt(curl, CURLOPT_URL, ("http://" + server_->address() + path).c_str());
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, options.method.c_str());
    if (options.method == "POST") {
      curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
      curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.data());
    }
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &Append);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &reply.body);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, &Append);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, &reply.headers);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, 60L);
    curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &reply.status);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    return reply;
  }

  auth::TokenIssuer issuer_{auth::SigningKey::Generate(), "yagura", SystemClock()};
  std::shared_ptr<auth::TokenVerifier> verifier_ =
      std::make_shared<auth::TokenVerifier>(SystemClock());
  std::map<std::string, auth::Principal> principals_;  // by secret
  std::shared_ptr<rpc::TenantQuotas> quotas_;
  std::atomic<int> exchanges_ = 0;
  HttpServerOptions options_;
  std::shared_ptr<const MultiLineRule> rule_;
  std::unique_ptr<HttpIntake> intake_;
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpTest, NdjsonIsDurableWhenItIsAnswered) {
  std::string body;
  std::multiset<std::string> sent;
  for (int i = 0; i < 1000; ++i) {
    const std::string line =
        R"({"EventID":)" + std::to_string(i) + R"(,"Computer":"srv","Message":"hello"})";
    sent.insert(line);
    body += line + (i % 2 == 0 ? "\n" : "\r\n\n");
  }
  const Reply reply = Send("/v1/tenants/acme/logs:bulk", body);
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, R"({"event_count":1000})");
  const auto events = Stored();
  EXPECT_EQ(RawOf(events), sent);
  EXPECT_EQ(events[0].tenant(), "acme");
  EXPECT_EQ(events[0].origin(), "tenants/acme/apiKeys/sender");
}

TEST_F(HttpTest, HecEventsKeepTheirTimeHostAndFields) {
  testing::FortigateLines source;
  const std::string line = source.Next();
  const Reply reply = Send("/services/collector/event",
                           R"({"time":1763716542.25,"host":"relay7","source":"fw.log","event":)" +
                               QuoteJson(line) + R"(,"fields":{"rack":"r1","slots":[1,2]}})" +
                               R"({"event":{"EventID":4625,"user":"sato"},"time":"1763716543"})");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, R"({"text":"Success","code":0})");
  const auto events = Stored();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].raw(), line);
  EXPECT_EQ(events[0].product(), "fortinet.fortigate");
  EXPECT_EQ(events[0].event_time().seconds(), 1763716542);
  EXPECT_EQ(events[0].event_time().nanos(), 250'000'000);
  std::map<std::string, std::string> fields;
  for (const auto& field : events[0].fields()) fields[field.name()] = field.value();
  EXPECT_EQ(fields["hec.source"], "fw.log");
  EXPECT_EQ(fields["rack"], "r1");
  EXPECT_EQ(fields["slots"], "[1,2]");
  EXPECT_EQ(events[1].raw(), R"({"EventID":4625,"user":"sato"})");
  EXPECT_EQ(events[1].event_time().seconds(), 1763716543);
}

TEST_F(HttpTest, AByteOrderMarkBeforeNdjsonIsNoPartOfIt) {
  const Reply reply = Send("/v1/tenants/acme/logs:bulk", "\xef\xbb\xbf{\"a\":1}\n{\"a\":2}\n");
  EXPECT_EQ(reply.status, 200) << reply.body;
  EXPECT_EQ(RawOf(Stored()), (std::multiset<std::string>{"{\"a\":1}", "{\"a\":2}"}));
}

TEST_F(HttpTest, TheHostOfAnHecEventIsItsDevicesUnlessTheLineSurelyNamesAnother) {
  const std::map<std::string, std::string> lines = {
      {"nothing but text", "web1"},
      {"2026-11-23T10:00:00Z worker started the queue", "web1"},  // a word is no host
      {"<13>Nov 23 10:00:00 fw7 app: x", "fw7"},
      {"Nov 23 10:00:00 fw7 sshd[12]: x", "fw7"},
      {"{\"message\":\"x\"}", "web1"},
      {"{\"message\":\"x\",\"hostname\":\"db3\"}", "db3"}};
  std::string body;
  for (const auto& [line, host] : lines) {
    body += R"({"host":"web1","event":)" + QuoteJson(line) + "}";
  }
  EXPECT_EQ(Send("/services/collector/event", body).status, 200);
  std::map<std::string, std::string> found;
  for (const auto& event : Stored()) found[event.raw()] = event.host();
  EXPECT_EQ(found, lines);
}

TEST_F(HttpTest, HecRawLinesMayBeCompressed) {
  const Reply reply = Send("/services/collector/raw", Gzip("<13>app: one\n<13>app: two\n"),
                           {.headers = {"Content-Encoding: gzip"}});
  EXPECT_EQ(reply.status, 200) << reply.body;
  EXPECT_EQ(RawOf(Stored()), (std::multiset<std::string>{"<13>app: one", "<13>app: two"}));
}

TEST_F(HttpTest, HecRawLinesHaveWhatTheQuerySays) {
  const Reply reply =
      Send("/services/collector/raw?host=rh%201&source=s1&sourcetype=st&channel=c&index=",
           "one line\n<13>Nov 23 10:00:00 fw7 app: x\n");
  EXPECT_EQ(reply.status, 200) << reply.body;
  const auto events = Stored();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].host(), "rh 1");
  EXPECT_EQ(events[1].host(), "fw7") << "which the line itself names";
  for (const auto& event : events) {
    std::map<std::string, std::string> fields;
    for (const auto& field : event.fields()) fields[field.name()] = field.value();
    EXPECT_EQ(fields["hec.source"], "s1");
    EXPECT_EQ(fields["hec.sourcetype"], "st");
    EXPECT_FALSE(fields.contains("hec.index") || fields.contains("hec.channel"));
  }
}

// They are repeated in every line.
TEST_F(HttpTest, WhatTheQuerySaysIsBounded) {
  const std::string path = "/services/collector/raw?source=" + std::string(2'000, 'a') +
                           "&source=b&source=c&host=" + std::string(2'000, 'h');
  EXPECT_EQ(Send(path, "one line\n").status, 200);
  const auto events = Stored();
  ASSERT_EQ(events.size(), 1u);
  std::vector<std::string> sources;
  for (const auto& field : events[0].fields()) {
    if (field.name() == "hec.source") sources.push_back(field.value());
  }
  EXPECT_THAT(sources, ::testing::ElementsAre(std::string(1'024, 'a')));
  EXPECT_EQ(events[0].host().size(), 1'024u);
}

TEST_F(HttpTest, OneKeyWithAnotherQueryIsAnotherRequest) {
  const Options options{.headers = {"Idempotency-Key: k1"}};
  for (const char* source : {"s1", "s1", "s2"}) {
    const std::string path = std::string("/services/collector/raw?source=") + source;
    EXPECT_EQ(Send(path, "one line\n", options).status, 200);
  }
  EXPECT_EQ(Stored().size(), 2u);
}

TEST_F(HttpTest, ClientsOfHecMayAskWhetherItIsThere) {
  for (const char* path : {"/services/collector", "/services/collector/event",
                           "/services/collector/event/1.0", "/services/collector/raw"}) {
    EXPECT_EQ(Send(path, "", {.key = "", .method = "OPTIONS"}).status, 200) << path;
  }
  EXPECT_EQ(Send("/v1/tenants/acme/logs:bulk", "", {.method = "OPTIONS"}).status, 405);
  for (const char* path : {"/services/collector/health", "/services/collector/health/1.0"}) {
    EXPECT_EQ(Send(path, "", {.key = "", .method = "GET"}).status, 200) << path;
  }
}

TEST_F(HttpTest, TextOfHecThatNoParserKnowsIsAnApplicationsOwn) {
  EXPECT_EQ(Send("/services/collector",
                 R"({"event":"nothing but text"}{"event":"<13>Nov 23 10:00:00 fw7 app: x"})")
                .status,
            200);
  const auto events = Stored();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].product(), "generic.text");
  EXPECT_EQ(events[0].message(), "nothing but text");
  EXPECT_TRUE(events[0].parse_error().empty());
  EXPECT_EQ(events[1].product(), "generic.syslog");
}

TEST_F(HttpTest, WhoMayNotPushIsToldBeforeTheBodyIsRead) {
  const std::string event = R"({"event":"x"})";
  const Reply none = Send("/services/collector", event, {.key = ""});
  EXPECT_EQ(none.status, 401);
  EXPECT_THAT(none.body, HasSubstr("\"code\":2"));
  const Reply wrong = Send("/services/collector", event, {.key = "ygr_acme_sender_bad"});
  EXPECT_EQ(wrong.status, 401);
  EXPECT_THAT(wrong.body, HasSubstr("\"code\":3"));
  EXPECT_EQ(Send("/services/collector", event, {.key = "ygr_acme_viewer_good"}).status, 403);
  EXPECT_EQ(Send("/v1/tenants/beta/logs:bulk", "{}").status, 403);
  EXPECT_EQ(Send("/v1/tenants/nobody/logs:bulk", "{}").status, 403);
  EXPECT_TRUE(Stored().empty());
  const std::string basic = Base64Encode("x:ygr_acme_sender_good");
  EXPECT_EQ(
      Send("/services/collector", event, {.key = "", .headers = {"Authorization: Basic " + basic}})
          .status,
      200);
}

TEST_F(HttpTest, AKeyIsAskedForOnceAndRefusedAsSoonAsItIsRevoked) {
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(Send("/services/collector", R"({"event":"x"})").status, 200);
  }
  EXPECT_EQ(exchanges_, 1);
  principals_.clear();
  verifier_->Revoke("tenants/acme/apiKeys/sender", SystemClock()->Now() + std::chrono::seconds(1));
  EXPECT_EQ(Send("/services/collector", R"({"event":"x"})").status, 401);
}

TEST_F(HttpTest, GuessersAreHeldUpAndThoseWithAKnownKeyAreNot) {
  EXPECT_EQ(Send("/services/collector", R"({"event":"x"})").status, 200);
  long last = 0;
  for (int i = 0; i < 10; ++i) {
    last = Send("/services/collector", "{}", {.key = "ygr_acme_guess_" + std::to_string(i)}).status;
  }
  EXPECT_EQ(last, 429);
  EXPECT_LE(exchanges_, 7);
  principals_["ygr_acme_new_good"] = principals_["ygr_acme_sender_good"];
  EXPECT_EQ(Send("/services/collector", R"({"event":"x"})", {.key = "ygr_acme_new_good"}).status,
            200)
      << "another key from the same address, not seen before";
  EXPECT_EQ(Send("/services/collector", R"({"event":"x"})").status, 200);
}

TEST_F(HttpTest, WhoIsHeldUpIsToldForHowLong) {
  // Guesses at one key.
  Reply last;
  for (int i = 0; i < 10; ++i) {
    last = Send("/services/collector", "{}", {.key = "ygr_acme_guess_" + std::to_string(i)});
  }
  EXPECT_EQ(last.status, 429);
  const size_t at = last.headers.find("Retry-After: ");
  ASSERT_NE(at, std::string::npos) << last.headers;
  // One more in three minutes; a hundred seconds earlier it would be refused again.
  const int seconds = std::stoi(last.headers.substr(at + 13));
  EXPECT_GT(seconds, 100);
  EXPECT_LE(seconds, 180);
}

TEST_F(HttpTest, KeysOfAllKindsFromOneNetworkAreAskedForAtABoundedRate) {
  const auto clock = std::make_shared<testing::FakeClock>();
  int asked = 0;
  ApiKeys keys(
      [&](const std::string&, const std::string&) -> StatusOr<std::string> {
        ++asked;
        return MakeError(absl::StatusCode::kUnauthenticated, "LOGIN_FAILED", "log-in failed");
      },
      verifier_, clock);
  const auto try_all = [&](const std::string& peer) {
    for (int i = 0; i < 100; ++i) {
      const std::string secret = "ygr_acme_key" + peer + std::to_string(i) + "_0";
      EXPECT_FALSE(keys.Resolve(secret, "ipv4:" + peer + ":1").ok());
    }
  };
  try_all("192.0.2.1");
  EXPECT_EQ(asked, 40);
  try_all("192.0.2.2");
  EXPECT_EQ(asked, 80) << "another network has its own";
}

TEST_F(HttpTest, GuessesAtOneKeyLeaveRoomForOtherKeysOfTheirNetwork) {
  const auto clock = std::make_shared<testing::FakeClock>();
  std::vector<std::string> peers;
  ApiKeys keys(
      [&](const std::string& secret, const std::string& peer) -> StatusOr<std::string> {
        peers.push_back(peer);
        if (const auto found = principals_.find(secret); found != principals_.end()) {
          return issuer_.Issue(found->second, std::chrono::minutes(15));
        }
        return MakeError(absl::StatusCode::kUnauthenticated, "LOGIN_FAILED", "log-in failed");
      },
      verifier_, clock);
  for (int i = 0; i < 100; ++i) {
    EXPECT_FALSE(keys.Resolve("ygr_acme_sender_" + std::to_string(i), "ipv4:192.0.2.1:1").ok());
  }
  EXPECT_EQ(peers.size(), 5u);
  EXPECT_THAT(keys.Resolve("ygr_provider_relay_good", "ipv4:192.0.2.1:2"), IsOk())
      << "another key behind the same proxy";
  EXPECT_EQ(peers.back(), "ipv4:192.0.2.1:2") << "the directory is told who shows it";
}

TEST_F(HttpTest, ADirectoryThatIsAwayUsesUpNoAllowanceOfGoodKeys) {
  const auto clock = std::make_shared<testing::FakeClock>();
  Status away = Unavailable("AWAY", "away");
  ApiKeys keys(
      [&](const std::string& secret, const std::string&) -> StatusOr<std::string> {
        if (!away.ok()) return away;
        return issuer_.Issue(principals_.at(secret), std::chrono::minutes(15));
      },
      verifier_, clock);
  const auto resolve = [&](int i) {
    return keys.Resolve("ygr_acme_sender_" + std::to_string(i), "ipv4:192.0.2.1:1").status();
  };
  for (int i = 0; i < 100; ++i) EXPECT_EQ(ErrorReason(resolve(i)), "AWAY");
  // Nor does one that does not know us.
  away = MakeError(absl::StatusCode::kUnauthenticated, "TOKEN_EXPIRED", "the token has expired");
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(resolve(i).code(), absl::StatusCode::kUnavailable) << resolve(i);
  }
  EXPECT_EQ(keys.Resolve("ygr_provider_relay_good", "ipv4:192.0.2.1:2").status().code(),
            absl::StatusCode::kUnavailable);
  away = absl::OkStatus();
  EXPECT_THAT(keys.Resolve("ygr_provider_relay_good", "ipv4:192.0.2.1:2"), IsOk());
}

TEST_F(HttpTest, BadBodiesAreToldAndNothingOfThemIsKept) {
  const std::map<std::string, std::string> bodies = {
      {"", "\"code\":5"},
      {"   ", "\"code\":5"},
      {"{\"event\":\"a\"} nonsense", "\"code\":6"},
      {"{\"event\":\"a\"}{\"event\":", "\"invalid-event-number\":1"},
      {"{\"host\":\"a\"}", "\"code\":12"},
      {"{\"event\":\"\"}", "\"code\":13"},
      {"{\"event\":\"a\",\"time\":\"noon\"}", "\"code\":6"},
      {"[1]", "\"code\":6"},
      {"{\"event\":\"a\"}{\"event\":\"a}", "\"invalid-event-number\":1"},
      {"{\"event\":{\"a\":[1}}}", "\"code\":6"},
      {"{\"event\" \"a\"}", "\"code\":6"},
      {"{\"event\":\"a\",}", "\"code\":6"},
      {"{\"event\":\"a\",\"fields\":[]}", "\"code\":6"},
  };
  for (const auto& [body, code] : bodies) {
    const Reply reply = Send("/services/collector", body);
    EXPECT_EQ(reply.status, 400) << body;
    EXPECT_THAT(reply.body, HasSubstr(code)) << body;
  }
  const Reply bulk = Send("/v1/tenants/acme/logs:bulk", "{\"a\":1}\nnonsense\n");
  EXPECT_EQ(bulk.status, 400);
  EXPECT_THAT(bulk.body, HasSubstr("\"line\":2"));
  const Reply spaced = Send("/v1/tenants/acme/logs:bulk", "\r\n{\"a\":1}\n\n\n[1]\n{\"b\":1}\n");
  EXPECT_EQ(spaced.status, 400);
  EXPECT_THAT(spaced.body, HasSubstr("\"line\":5"));
  EXPECT_THAT(spaced.body, HasSubstr("line 5 is not"));
  for (const char* line :
       {"\n", "{", "{\"a\":1", "{\"a\":1}{\"b\":2}", "{\"a\"}", "{\"a\":}", "\"a\""}) {
    EXPECT_EQ(Send("/v1/tenants/acme/logs:bulk", line).status, 400) << line;
  }
  EXPECT_EQ(
      Send("/services/collector/raw", "no gzip", {.headers = {"Content-Encoding: gzip"}}).status,
      400);
  EXPECT_EQ(Send("/services/collector", "{}", {.headers = {"Content-Encoding: br"}}).status, 415);
  EXPECT_EQ(Send("/v1/logs", "{}").status, 404);
  EXPECT_EQ(Send("/services/collector", "", {.method = "GET"}).status, 405);
  EXPECT_EQ(Send("/services/collector", "{}", {.headers = {"Idempotency-Key: a b"}}).status, 400);
  EXPECT_TRUE(Stored().empty());
}

TEST_F(HttpTest, WhatAStrictReaderOfJsonRefusesCostsNoRecord) {
  const std::vector<std::string> objects = {R"({"n":18446744073709551616})",
                                            R"({"n":123456789012345678901234567890})",
                                            R"({"n":1e400})",
                                            R"({"s":"\ud800"})",
                                            R"({"s":"\x22"})",
                                            "{\"s\":\"\xff\"}",
                                            "{\"s\":\"\x93\x8c\"}",
                                            "{\"s\":\"a\tb\"}"};
  std::string lines;
  std::string events;
  for (const std::string& object : objects) {
    lines += object + "\n";
    events += R"({"event": )" + object + R"(, "fields": { "f" : )" + object + "}}\n";
  }
  const Reply bulk = Send("/v1/tenants/acme/logs:bulk", lines);
  EXPECT_EQ(bulk.status, 200) << bulk.body;
  EXPECT_EQ(RawOf(Stored()), std::multiset<std::string>(objects.begin(), objects.end()));
  const Reply hec = Send("/services/collector", events);
  EXPECT_EQ(hec.status, 200) << hec.body;
  std::multiset<std::string> twice(objects.begin(), objects.end());
  twice.insert(objects.begin(), objects.end());
  const auto stored = Stored();
  EXPECT_EQ(RawOf(stored), twice);
  EXPECT_EQ(stored.back().fields(1).name(), "f");
}

TEST_F(HttpTest, TextOfHecKeepsItsBytesAndItsEscapesAreRead) {
  const Reply reply =
      Send("/services/collector",
           "{\"event\":\"<13>app: \\u6771\\\"\\ud83d\\ude00 \x93\x8c \\x41\",\"host\":\"a\\/b\"}");
  EXPECT_EQ(reply.status, 200) << reply.body;
  const auto events = Stored();
  EXPECT_EQ(RawOf(events),
            (std::multiset<std::string>{"<13>app: \xe6\x9d\xb1\"\xf0\x9f\x98\x80 \x93\x8c \\x41"}));
  EXPECT_EQ(events[0].host(), "a/b");
}

TEST_F(HttpTest, BodiesAreBoundedWhateverTheySayOfTheirSize) {
  options_.body_bytes = 10'000;
  Serve();
  const std::string large(20'000, 'x');
  EXPECT_EQ(Send("/services/collector/raw", large).status, 413);
  EXPECT_EQ(
      Send("/services/collector/raw", large, {.headers = {"Transfer-Encoding: chunked"}}).status,
      413);
  const std::string bomb = Gzip(std::string(1'000'000, '\n'));
  ASSERT_LT(bomb.size(), 10'000u);
  EXPECT_EQ(Send("/services/collector/raw", bomb, {.headers = {"Content-Encoding: gzip"}}).status,
            413);
  EXPECT_EQ(Send("/services/collector/raw", "<13>app: small").status, 200);
  options_.pending_bytes = 5'000;
  Serve();
  const Reply busy = Send("/services/collector/raw", std::string(9'000, 'x'));
  EXPECT_EQ(busy.status, 503);
  EXPECT_THAT(busy.headers, HasSubstr("Retry-After: 1"));
}

TEST_F(HttpTest, WhileRedisTakesNothingSendersAreToldToComeBack) {
  EXPECT_EQ(Send("/services/collector/health", "", {.key = "", .method = "GET"}).status, 200);
  redis_.KillHard();
  const Reply hec = Send("/services/collector", R"({"event":"x"})");
  EXPECT_EQ(hec.status, 503);
  EXPECT_THAT(hec.body, HasSubstr("\"code\":9"));
  EXPECT_THAT(hec.headers, HasSubstr("Retry-After: 1"));
  EXPECT_EQ(Send("/v1/tenants/acme/logs:bulk", "{}").status, 503);
  redis_.Restart();
  EXPECT_TRUE(
      Eventually([&] { return Send("/services/collector", R"({"event":"x"})").status == 200; }));
  EXPECT_EQ(Stored().size(), 1u);
}

TEST_F(HttpTest, LinesOfARequestThatBelongTogetherAreOneEvent) {
  MultiLineOptions rule;
  rule.continuation = "^\\s";
  rule_ = MultiLineRule::Make(rule).value();
  Serve();
  EXPECT_EQ(Send("/services/collector/raw", "<11>app: one\n\tat a\n\tat b\n<13>app: two\n").status,
            200);
  EXPECT_EQ(RawOf(Stored()),
            (std::multiset<std::string>{"<11>app: one\n\tat a\n\tat b", "<13>app: two"}));
  // NDJSON has a record a line in any case.
  EXPECT_EQ(Send("/v1/tenants/acme/logs:bulk", "{\"a\":1}\n {\"a\":2}\n").status, 200);
  EXPECT_EQ(Stored().size(), 4u);
}

TEST_F(HttpTest, AnotherBodyUnderAKeyIsNoRepeat) {
  const Options again{.headers = {"Idempotency-Key: batch-1"}};
  const std::string path = "/services/collector";
  EXPECT_EQ(Send(path, R"({"event":"x","fields":{"a":"1"}})", again).status, 200);
  EXPECT_EQ(Send(path, R"({"event":"x","fields":{"a":"2"}})", again).status, 200);
  EXPECT_EQ(Send(path, R"({"event":"x","fields":{"a":"2"}})", again).status, 200);
  EXPECT_EQ(Stored().size(), 2u);
}

TEST_F(HttpTest, ARepeatUnderItsKeyIsNotDoubled) {
  const Options again{.headers = {"Idempotency-Key: batch-1"}};
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Send("/services/collector/raw", "<13>app: once", again).status, 200);
  }
  EXPECT_EQ(Stored().size(), 1u);
  EXPECT_EQ(Send("/services/collector/raw", "<13>app: once").status, 200);
  EXPECT_EQ(Stored().size(), 2u);
}

TEST_F(HttpTest, AKeyOfManyTenantsLeavesItToTheSources) {
  std::vector<directory::v1::Source> sources(1);
  sources[0].set_name("tenants/beta/sources/fw");
  sources[0].mutable_match()->set_device_serial("FGT60FTK00000001");
  parts_.sources->Set(SourceMap::Build(sources, {}, nullptr));
  const std::string line =
      "<189>date=2026-11-21 time=09:15:42 devid=\"FGT60FTK00000001\" logid=\"1\" vd=\"root\"\n";
  EXPECT_EQ(Send("/services/collector/raw", line + "<13>app: unknown\n",
                 {.key = "ygr_provider_relay_good"})
                .status,
            200);
  std::multiset<std::string> tenants;
  for (const auto& event : Stored()) tenants.insert(event.tenant());
  EXPECT_EQ(tenants, (std::multiset<std::string>{"beta", "quarantine"}));
}

TEST_F(HttpTest, ThoseWhoHoldConnectionsOpenKeepNobodyOut) {
  options_.connections_per_address = 3;
  options_.timeout = std::chrono::seconds(1);
  Serve();
  std::vector<std::unique_ptr<Client>> silent;
  for (int i = 0; i < 6; ++i) {
    silent.push_back(std::make_unique<Client>(SOCK_STREAM, server_->address()));
    silent.back()->Offer("POST /services/collector HTTP/1.1\r\nHost: x\r\n");
  }
  EXPECT_TRUE(Eventually([&] {
    return std::all_of(silent.begin(), silent.end(), [](const auto& c) { return c->HasEnded(); });
  }));
  EXPECT_TRUE(
      Eventually([&] { return Send("/services/collector", R"({"event":"x"})").status == 200; }));
}

TEST_F(HttpTest, ABodyThatTricklesInIsCutOff) {
  options_.timeout = std::chrono::seconds(1);
  Serve();
  const Client slow(SOCK_STREAM, server_->address());
  slow.Send(
      "POST /services/collector/raw HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n"
      "Authorization: Splunk ygr_acme_sender_good\r\n\r\n");
  EXPECT_TRUE(Eventually([&] {
    slow.Offer("x");
    return slow.HasEnded();
  }));
  EXPECT_TRUE(Eventually(
      [&] { return HasMetric("connections_cut_total{listener=\"http\",reason=\"slow\"} 1"); }));
}

TEST_F(HttpTest, AHeadThatTricklesInIsCutOff) {
  options_.timeout = std::chrono::seconds(1);
  Serve();
  const Client slow(SOCK_STREAM, server_->address());
  slow.Send("POST /services/collector/raw HTTP/1.1\r\nHost: x\r\nX-Slow: ");
  EXPECT_TRUE(Eventually([&] {
    slow.Offer("x");
    return slow.HasEnded();
  }));
  EXPECT_TRUE(Eventually(
      [&] { return HasMetric("connections_cut_total{listener=\"http\",reason=\"slow\"} 1"); }));
}

TEST_F(HttpTest, AStopAnswersWhatHasBegun) {
  redis_.KillHard();  // no answer without it
  std::atomic<long> status = -1;
  std::thread sender([&] {
    status = Send("/v1/tenants/acme/logs:bulk", std::string(4 << 20, ' ') + "{}\n").status;
  });
  EXPECT_TRUE(Eventually([&] { return exchanges_ == 1; }));
  server_->Stop();
  sender.join();
  EXPECT_EQ(status, 503) << "0: cut off without an answer";
}

TEST_F(HttpTest, AStopCutsOffWhoNeverEnds) {
  options_.drain = std::chrono::milliseconds(200);
  Serve();
  const Client slow(SOCK_STREAM, server_->address());
  slow.Send(
      "POST /services/collector/raw HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n"
      "Authorization: Splunk ygr_acme_sender_good\r\n\r\n");
  EXPECT_TRUE(Eventually([&] { return exchanges_ == 1; }));
  server_->Stop();
  EXPECT_TRUE(Eventually([&] { return slow.HasEnded(); }));
}

TEST_F(HttpTest, RequestsDrawOnTheQuotasOfTheirTenant) {
  quotas_ = std::make_shared<rpc::TenantQuotas>(0.01, 1e9, SystemClock());
  principals_["ygr_beta_sender_good"] = {
      .name = "tenants/beta/apiKeys/sender",
      .grants = {{.role = "collector", .all_tenants = false, .tenants = {"beta"}}}};
  Serve();
  Reply reply;
  for (int i = 0; i < 100 && reply.status != 429; ++i) {
    reply = Send("/services/collector", R"({"event":"x"})");
  }
  EXPECT_EQ(reply.status, 429);
  EXPECT_THAT(reply.body, HasSubstr("\"code\":9"));
  EXPECT_THAT(reply.headers, HasSubstr("Retry-After: "));
  EXPECT_EQ(Send("/services/collector", R"({"event":"x"})", {.key = "ygr_beta_sender_good"}).status,
            200)
      << "another tenant has its own";
  EXPECT_GT(quotas_->calls.Take("acme", 1).count(), 0) << "the quota that calls draw on";
}

TEST_F(HttpTest, BytesCountAsTheyAreInflated) {
  quotas_ = std::make_shared<rpc::TenantQuotas>(1e6, 50'000, SystemClock());
  Serve();
  std::string line = "<13>app: " + std::string(2'500'000, 'x') + "\n";
  EXPECT_EQ(
      Send("/services/collector/raw", Gzip(line), {.headers = {"Content-Encoding: gzip"}}).status,
      200);
  EXPECT_EQ(Send("/services/collector/raw", "<13>app: small").status, 429);
}

TEST_F(HttpTest, OneTenantDoesNotFillTheQueueForTheOthers) {
  options_.threads = 1;
  principals_["ygr_beta_sender_good"] = {
      .name = "tenants/beta/apiKeys/sender",
      .grants = {{.role = "collector", .all_tenants = false, .tenants = {"beta"}}}};
  Serve();
  EXPECT_EQ(Send("/services/collector", R"({"event":"x"})").status, 200);
  EXPECT_EQ(Send("/services/collector", R"({"event":"x"})", {.key = "ygr_beta_sender_good"}).status,
            200);
  redis_.Pause();  // nothing is answered
  const auto is_busy = [](const Reply& reply) {
    return reply.body.find("too many requests wait") != std::string::npos;
  };
  std::atomic<int> busy = 0;
  std::vector<std::thread> flood;
  for (int i = 0; i < 40; ++i) {
    flood.emplace_back([&] {
      if (is_busy(Send("/services/collector", R"({"event":"flood"})"))) ++busy;
    });
  }
  EXPECT_TRUE(Eventually([&] { return busy > 0; })) << "acme has all that it may have";
  bool refused = true;
  std::thread beta([&] {
    refused =
        is_busy(Send("/services/collector", R"({"event":"x"})", {.key = "ygr_beta_sender_good"}));
  });
  redis_.Resume();
  beta.join();
  for (std::thread& thread : flood) thread.join();
  EXPECT_FALSE(refused);
}

}  // namespace
}  // namespace yagura::ingestion
