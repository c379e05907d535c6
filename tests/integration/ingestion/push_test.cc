// IngestionService over a real gRPC server and a real flow Redis. Sources come from the cache of an
// earlier run; no directory answers here.
#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <thread>

#include "google/rpc/error_details.pb.h"
#include "grpcpp/create_channel.h"

#include "common/auth/token.h"
#include "common/clock/proto_time.h"
#include "common/event/batch_codec.h"
#include "common/metrics/metrics.h"
#include "common/redis/pool.h"
#include "common/rpc/channels.h"
#include "common/rpc/server.h"
#include "common/stream/topic.h"
#include "common/testing/eventually.h"
#include "common/testing/fortigate_lines.h"
#include "common/testing/process.h"
#include "common/testing/redis_server.h"
#include "common/testing/status_matchers.h"
#include "services/ingestion/app.h"
#include "yagura/directory/v1/directory_service.pb.h"
#include "yagura/event/v1/event.pb.h"
#include "yagura/ingestion/v1/coverage_report.pb.h"
#include "yagura/ingestion/v1/ingestion_service.grpc.pb.h"

namespace yagura::ingestion {
namespace {

using testing::IsOk;
using testing::StatusIs;

class PushTest : public ::testing::Test {
 protected:
  using Stream = grpc::ClientReaderWriter<v1::PushRequest, v1::PushResponse>;

  PushTest() {
    directory::v1::ListSourcesResponse cached;
    auto* source = cached.add_sources();
    source->set_name("tenants/acme/sources/key");
    source->set_site("hq");
    source->mutable_match()->set_credential("tenants/acme/apiKeys/sender");
    source = cached.add_sources();
    source->set_name("tenants/globex/sources/box");
    source->set_charset("shift_jis");
    source->mutable_match()->set_device_serial("FGT60FTK00000009");
    cached.add_sources()->set_name("tenants/acme/sites/hq");
    cached.add_sources()->set_name("tenants/acme/sites/branch");
    for (const char* site : {"hq", "branch"}) {
      source = cached.add_sources();
      source->set_name(std::string("tenants/acme/sources/fw-") + site);
      source->set_site(site);
      source->set_device(std::string("fw-") + site);
      source->mutable_match()->set_listener("relay");
      source->mutable_match()->set_cidr("10.0.0.5/32");
      source = cached.add_sources();  // that key is of the relays of these sites
      source->set_name("tenants/acme/apiKeys/relay");
      source->set_site(std::string("tenants/acme/sites/") + site);
    }
    source = cached.add_sources();
    source->set_name("tenants/acme/apiKeys/relay");
    source->set_site("tenants/acme/sites/nowhere");
    std::filesystem::create_directories(folder_ / "ingestion");
    std::ofstream(folder_ / "ingestion" / "sources.pb", std::ios::binary)
        << cached.SerializeAsString();

    issuer_ =
        std::make_shared<auth::TokenIssuer>(auth::SigningKey::Generate(), "yagura", SystemClock());
    settings_.syslog_udp.clear();
    settings_.syslog_tcp = "127.0.0.1:0";
    settings_.events = topic_;
    options_.address = "127.0.0.1:0";
    Serve();
  }
  ~PushTest() override {
    server_->Stop();
    server_.reset();
    std::filesystem::remove_all(folder_);
  }

  // Starts ingestion with settings_ and options_, in the place of the one that runs.
  void Serve() {
    if (server_) server_->Stop();
    server_.reset();
    metrics_ = std::make_shared<MetricsRegistry>();
    rpc::Platform platform{.logger = Logger::Null()};
    platform.flow = redis_.NewPool();
    platform.clock = SystemClock();
    platform.metrics = metrics_;
    platform.verifier = std::make_shared<auth::TokenVerifier>(platform.clock);
    platform.data_dir = folder_;
    platform.verifier->Trust("yagura", issuer_->key().public_key());
    platform.channels = std::make_shared<rpc::Channels>(
        "ingestion", std::map<std::string, std::string>{{"*", "unix:/nonexistent"}}, issuer_);
    std::vector<std::unique_ptr<rpc::App>> apps;
    apps.push_back(NewApp(settings_, platform).value());
    server_ = rpc::Server::Start(options_, platform, std::move(apps)).value();
    channel_ = grpc::CreateChannel("127.0.0.1:" + std::to_string(server_->port()),
                                   grpc::InsecureChannelCredentials());
    stub_ = v1::IngestionService::NewStub(channel_);
  }

  bool HasWaited() const {
    return metrics_->Render().find("\nyagura_ingestion_push_waits_total") != std::string::npos;
  }

  // More than the flow budget of the tests, and away again.
  void Fill() {
    EXPECT_THAT(redis_.NewPool()->Command({"SETRANGE", "fill", "67108864", "x"}), IsOk());
  }
  void MakeRoom() { EXPECT_THAT(redis_.NewPool()->Command({"DEL", "fill"}), IsOk()); }

  static Status StatusOf(const v1::PushResponse& response) {
    return rpc::FromGrpc({static_cast<grpc::StatusCode>(response.status().code()),
                          response.status().message(), response.status().SerializeAsString()});
  }
  static bool HasRetryInfo(const v1::PushResponse& response) {
    return std::ranges::any_of(response.status().details(), [](const auto& detail) {
      return detail.template Is<google::rpc::RetryInfo>();
    });
  }
  // Whether another method is not answered at once.
  bool IsRefusedElsewhere() {
    grpc::ClientContext context;
    Authorize(context, {}, "tenants/provider/users/alice");
    v1::ListQuarantinedSourcesRequest request;
    request.set_parent("tenants/quarantine");
    v1::ListQuarantinedSourcesResponse response;
    return !stub_->ListQuarantinedSources(&context, request, &response).ok();
  }

  bool OneWasCutOff() const {
    return metrics_->Render().find("\nyagura_rpc_slow_readers_total 1") != std::string::npos;
  }

  // An opened stream and what must outlive it.
  struct Session {
    grpc::ClientContext context;
    std::unique_ptr<Stream> stream;

    v1::PushResponse Push(const v1::PushRequest& request) const {
      v1::PushResponse response;
      if (!stream->Write(request) || !stream->Read(&response)) {
        response.mutable_status()->set_code(static_cast<int>(grpc::StatusCode::ABORTED));
        response.mutable_status()->set_message("the stream has ended: " +
                                               stream->Finish().error_message());
      }
      return response;
    }
    Status End() const {
      stream->WritesDone();
      return rpc::FromGrpc(stream->Finish());
    }
  };

  void Authorize(grpc::ClientContext& context, const std::set<std::string>& tenants,
                 const std::string& name) const {
    auth::Principal principal;
    principal.name = name;
    principal.grants.push_back({"engineer", tenants.empty(), tenants});
    context.AddMetadata("authorization",
                        "Bearer " + issuer_->Issue(principal, std::chrono::hours(1)));
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
  }

  std::unique_ptr<Session> Open(const std::set<std::string>& tenants = {"acme"},
                                const std::string& name = "tenants/acme/apiKeys/sender") const {
    auto session = std::make_unique<Session>();
    Authorize(session->context, tenants, name);
    session->stream = stub_->Push(&session->context);
    return session;
  }

  static v1::PushRequest Request(const std::string& id, const std::vector<std::string>& lines,
                                 const std::string& parent = "tenants/acme") {
    v1::PushRequest request;
    request.set_parent(parent);
    request.set_batch_id(id);
    for (const std::string& line : lines) request.add_lines(line);
    return request;
  }

  // Lines of 10.0.0.5 and 10.0.0.6, received by a relay a minute ago.
  static v1::PushRequest Relayed(const std::string& id, const std::string& site) {
    v1::PushRequest request = Request(id, {"<13>app: of five", "<13>app: of six"});
    v1::RelayedBatch& relay = *request.mutable_relay();
    relay.set_site(site);
    relay.add_senders()->set_address(std::string("\x0a\x00\x00\x05", 4));
    relay.add_senders()->set_address(std::string("\x0a\x00\x00\x06", 4));
    for (const uint32_t sender : {0, 1}) {
      relay.add_line_senders(sender);
      *relay.add_line_receive_times() = ToProto(SystemClock()->Now() - std::chrono::minutes(1));
    }
    relay.add_cut_lines(1);
    return request;
  }

  std::vector<event::v1::Event> Stored() {
    std::vector<event::v1::Event> events;
    for (int shard = 0; shard < topic_.shards; ++shard) {
      const auto reply =
          redis_.NewPool()->Command({"XRANGE", stream::StreamKey(topic_.name, shard), "-", "+"});
      EXPECT_THAT(reply, IsOk());
      if (!reply.ok()) return {};
      for (const redis::Reply& entry : reply->items) {
        for (const redis::Reply& text : entry.items[1].items) {
          auto reader = event::BatchReader::Open(text.text);
          if (!reader.ok()) continue;  // a name or the key
          for (size_t i = 0; i < reader->size(); ++i) {
            EXPECT_THAT(reader->Get(i, &events.emplace_back()), IsOk());
          }
        }
      }
    }
    return events;
  }

  const std::filesystem::path folder_ = testing::MakeTemporaryFolder();
  testing::RedisServer redis_;
  const stream::Topic topic_{"events", 2, {"archive"}};
  std::shared_ptr<auth::TokenIssuer> issuer_;
  Settings settings_;
  rpc::ServerOptions options_;
  std::shared_ptr<MetricsRegistry> metrics_;
  std::unique_ptr<rpc::Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::IngestionService::Stub> stub_;
};

TEST_F(PushTest, AnAcknowledgedBatchIsInTheStreams) {
  const auto session = Open();
  auto request = Request("b1", {"<13>app: one", "<13>app: two"});
  request.set_source("file.log");
  const v1::PushResponse response = session->Push(request);
  EXPECT_FALSE(response.has_status()) << response.ShortDebugString();
  EXPECT_EQ(response.batch_id(), "b1");
  EXPECT_EQ(response.event_count(), 2u);
  const auto events = Stored();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].raw(), "<13>app: one");
  EXPECT_EQ(events[0].tenant(), "acme");
  EXPECT_EQ(events[0].site(), "hq") << "the source of the credential";
  EXPECT_EQ(events[0].origin(), "tenants/acme/apiKeys/sender file.log");
  EXPECT_THAT(session->End(), IsOk());
}

TEST_F(PushTest, AResentBatchIsAcknowledgedAndNotDoubled) {
  std::vector<std::string> lines;
  testing::FortigateLines source;
  for (int i = 0; i < 700; ++i) lines.push_back(source.Next());  // several batches of 64 KiB
  EXPECT_FALSE(Open()->Push(Request("b1", lines)).has_status());
  const auto second = Open();
  EXPECT_FALSE(second->Push(Request("b1", lines)).has_status());
  EXPECT_FALSE(second->Push(Request("b1", lines)).has_status());
  EXPECT_EQ(Stored().size(), lines.size());
  EXPECT_FALSE(second->Push(Request("b2", lines)).has_status());
  EXPECT_EQ(Stored().size(), 2 * lines.size()) << "another batch id is another batch";
}

TEST_F(PushTest, AResentBatchIsKnownAgainAfterRestartsOfIngestionAndRedis) {
  std::vector<std::string> lines;
  testing::FortigateLines source;
  for (int i = 0; i < 700; ++i) lines.push_back(source.Next());
  EXPECT_FALSE(Open()->Push(Request("b1", lines)).has_status());
  Serve();
  EXPECT_FALSE(Open()->Push(Request("b1", lines)).has_status());
  redis_.KillHard();
  redis_.Restart();
  const auto session = Open();
  v1::PushResponse response = session->Push(Request("b1", lines));
  while (StatusOf(response).code() == absl::StatusCode::kUnavailable) {
    response = session->Push(Request("b1", lines));  // an old connection to Redis is noticed
  }
  EXPECT_FALSE(response.has_status()) << response.ShortDebugString();
  EXPECT_EQ(Stored().size(), lines.size());
}

TEST_F(PushTest, TheSameBatchIdOfAnotherPrincipalIsAnotherBatch) {
  EXPECT_FALSE(Open()->Push(Request("b1", {"<13>app: one"})).has_status());
  EXPECT_FALSE(Open({"acme"}, "tenants/acme/apiKeys/other")
                   ->Push(Request("b1", {"<13>app: one"}))
                   .has_status());
  EXPECT_EQ(Stored().size(), 2u);
}

TEST_F(PushTest, RedisKilledInTheMiddleLosesAndDoublesNothingAcknowledged) {
  constexpr int kBatches = 200;
  std::multiset<std::string> sent;
  std::atomic<int> acknowledged = 0;
  std::atomic<int> refused = 0;
  std::atomic<bool> ended = false;
  // Redis dies with the thread that started it, so this one plays the sender.
  std::jthread sender([&] {
    testing::FortigateLines source;
    const auto session = Open();
    for (int i = 0; i < kBatches; ++i) {
      std::vector<std::string> lines;
      for (int n = 0; n < 200; ++n) {
        lines.push_back(source.Next());
        sent.insert(lines.back());
      }
      const auto request = Request("batch-" + std::to_string(i), lines);
      for (;;) {
        const v1::PushResponse response = session->Push(request);
        if (!response.has_status()) break;
        EXPECT_EQ(response.status().code(), static_cast<int>(grpc::StatusCode::UNAVAILABLE))
            << response.ShortDebugString();
        if (response.status().code() != static_cast<int>(grpc::StatusCode::UNAVAILABLE)) {
          ended = true;
          return;
        }
        ++refused;
      }
      ++acknowledged;
    }
    ended = true;
  });
  const auto wait_for = [&](const std::atomic<int>& count, int at_least) {
    while (count < at_least && !ended) std::this_thread::yield();
  };
  for (const int mark : {20, 80, 140}) {
    wait_for(acknowledged, mark);
    const int before = refused;
    redis_.KillHard();
    wait_for(refused, before + 3);
    redis_.Restart();
  }
  sender.join();
  EXPECT_GE(refused, 9);
  EXPECT_EQ(acknowledged, kBatches);
  std::multiset<std::string> stored;
  std::set<std::string> ids;
  for (const auto& event : Stored()) {
    stored.insert(event.raw());
    ids.insert(event.id());
  }
  EXPECT_EQ(stored.size(), sent.size());
  EXPECT_TRUE(stored == sent);
  EXPECT_EQ(ids.size(), sent.size());
}

TEST_F(PushTest, ABadBatchIsAnsweredAndTheStreamGoesOn) {
  const auto session = Open();
  for (v1::PushRequest bad : {Request("", {"x"}), Request("b1", {}), Request("a b", {"x"}),
                              Request("b1", {std::string(5 << 20, 'x')})}) {
    const v1::PushResponse response = session->Push(bad);
    EXPECT_EQ(response.status().code(), static_cast<int>(grpc::StatusCode::INVALID_ARGUMENT))
        << response.ShortDebugString();
    EXPECT_GT(response.status().details_size(), 0) << "which field it was";
  }
  auto parser = Request("b1", {"x"});
  parser.set_parser("nosuch");
  EXPECT_TRUE(session->Push(parser).has_status());
  EXPECT_FALSE(session->Push(Request("b1", {"<13>app: good"})).has_status());
  EXPECT_EQ(Stored().size(), 1u);
}

// How many answers go unread until then is up to the sender's transport, which takes some MiB of
// them; what we keep is the outbox. So the sender writes on until it is cut off.
TEST_F(PushTest, ASenderThatReadsNoAnswersIsCutOffAndHoldsUpNobody) {
  options_.threads_per_app = 1;
  options_.slow_reader_grace = std::chrono::milliseconds(100);
  options_.reader_patience = std::chrono::minutes(10);
  Serve();
  const auto deaf = Open();
  std::atomic<bool> cut_off = false;
  std::jthread sender([&] {
    while (deaf->stream->Write(Request("", {"x"}))) {
    }
    cut_off = true;
  });
  const auto other = Open();
  int answered = 0;
  auto slowest = std::chrono::steady_clock::duration::zero();
  std::string refusal;
  const bool done = testing::Eventually(
      [&] {
        if (cut_off) return true;
        const auto begin = std::chrono::steady_clock::now();
        const auto response =
            other->Push(Request("b" + std::to_string(answered), {"<13>app: other"}));
        slowest = std::max(slowest, std::chrono::steady_clock::now() - begin);
        if (response.has_status()) refusal = response.ShortDebugString();
        ++answered;
        return !refusal.empty();
      },
      std::chrono::minutes(5));
  deaf->context.TryCancel();  // so that the sender ends whatever happened
  ASSERT_TRUE(done) << "nobody was cut off";
  ASSERT_EQ(refusal, "");
  EXPECT_LT(slowest, std::chrono::minutes(2)) << "a patience of ten would have been waited for";
  EXPECT_TRUE(OneWasCutOff());
  EXPECT_EQ(Stored().size(), static_cast<size_t>(answered));
}

TEST_F(PushTest, ASenderThatReadsAgainInTimeIsToldWhyItWasCutOff) {
  options_.slow_reader_grace = std::chrono::seconds(60);
  Serve();
  const auto deaf = Open();
  std::atomic<bool> ended = false;
  std::jthread sender([&] {
    while (deaf->stream->Write(Request("", {"x"}))) {
    }
    ended = true;
  });
  if (!testing::Eventually([&] { return OneWasCutOff() || ended; }, std::chrono::minutes(5))) {
    deaf->context.TryCancel();
    FAIL() << "nobody was cut off";
  }
  v1::PushResponse unread;
  while (deaf->stream->Read(&unread)) {
  }
  sender.join();
  EXPECT_THAT(rpc::FromGrpc(deaf->stream->Finish()),
              StatusIs(absl::StatusCode::kResourceExhausted, "SLOW_READER"));
}

TEST_F(PushTest, AFullFlowRedisMakesTheSenderWaitInsteadOfRefusingIt) {
  options_.threads_per_app = 1;
  settings_.flow_memory_budget = 32 << 20;
  settings_.push_patience = std::chrono::seconds(60);
  Serve();
  Fill();
  const auto session = Open();
  for (const char* id : {"b1", "b2", "b3"}) {
    ASSERT_TRUE(session->stream->Write(Request(id, {"<13>app: " + std::string(id)})));
  }
  while (!HasWaited()) std::this_thread::yield();
  EXPECT_TRUE(Stored().empty());
  EXPECT_FALSE(IsRefusedElsewhere()) << "waiting holds no thread";
  MakeRoom();
  for (const char* id : {"b1", "b2", "b3"}) {
    v1::PushResponse response;
    ASSERT_TRUE(session->stream->Read(&response));
    EXPECT_EQ(response.batch_id(), id);
    EXPECT_FALSE(response.has_status()) << response.ShortDebugString();
  }
  EXPECT_EQ(Stored().size(), 3u);
  EXPECT_THAT(session->End(), IsOk());
}

TEST_F(PushTest, ASourceIsBoundedInCharacters) {
  const auto session = Open();
  auto request = Request("b1", {"<13>app: one"});
  for (int i = 0; i < 128; ++i) request.mutable_source()->append("櫓");
  EXPECT_FALSE(session->Push(request).has_status());
  request.set_batch_id("b2");
  request.mutable_source()->append("a");
  EXPECT_THAT(StatusOf(session->Push(request)), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(PushTest, AFlowRedisThatStaysFullIsToldWithTheTimeToComeBack) {
  settings_.flow_memory_budget = 32 << 20;
  settings_.push_patience = std::chrono::milliseconds(300);
  Serve();
  Fill();
  const auto session = Open();
  const v1::PushResponse refused = session->Push(Request("b1", {"<13>app: one"}));
  EXPECT_THAT(StatusOf(refused), StatusIs(absl::StatusCode::kResourceExhausted, "FLOW_FULL"));
  EXPECT_TRUE(HasRetryInfo(refused));
  MakeRoom();
  v1::PushResponse again = session->Push(Request("b1", {"<13>app: one"}));
  EXPECT_FALSE(again.has_status()) << again.ShortDebugString();
  EXPECT_EQ(Stored().size(), 1u);
}

TEST_F(PushTest, WithoutSourcesASenderIsToldToComeBackAfterAWhile) {
  std::filesystem::remove(folder_ / "ingestion" / "sources.pb");
  settings_.push_patience = std::chrono::milliseconds(300);
  Serve();
  const v1::PushResponse refused = Open()->Push(Request("b1", {"<13>app: one"}));
  EXPECT_THAT(StatusOf(refused), StatusIs(absl::StatusCode::kUnavailable, "SOURCES_UNKNOWN"));
  EXPECT_TRUE(HasRetryInfo(refused));
  EXPECT_TRUE(HasWaited());
}

TEST_F(PushTest, AForeignTenantEndsTheStream) {
  const auto session = Open();
  session->stream->Write(Request("b1", {"<13>app: x"}, "tenants/globex"));
  EXPECT_THAT(session->End(), StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_TRUE(Stored().empty());
}

TEST_F(PushTest, SourcesSayWhoseLinesAreButOnlyWithinTheCallersTenants) {
  const std::string line =
      "<189>date=2026-11-21 time=09:15:42 devid=\"FGT60FTK00000009\" logid=\"1\" type=\"traffic\"";
  const auto staff = Open({}, "tenants/provider/users/alice");
  EXPECT_FALSE(staff->Push(Request("b1", {line, "<13>app: whose?"}, "tenants/-")).has_status());
  const auto customer = Open({"acme", "initech"}, "tenants/acme/apiKeys/other");
  EXPECT_FALSE(customer->Push(Request("b2", {line}, "tenants/-")).has_status());
  std::map<std::string, int> by_tenant;
  for (const auto& event : Stored()) ++by_tenant[event.tenant()];
  EXPECT_EQ(by_tenant, (std::map<std::string, int>{{"globex", 1}, {"quarantine", 2}}));

  grpc::ClientContext context;
  Authorize(context, {}, "tenants/provider/users/alice");
  v1::ListQuarantinedSourcesRequest request;
  request.set_parent("tenants/quarantine");
  v1::ListQuarantinedSourcesResponse response;
  ASSERT_THAT(rpc::FromGrpc(stub_->ListQuarantinedSources(&context, request, &response)), IsOk());
  ASSERT_EQ(response.quarantined_sources_size(), 2);
  std::set<std::string> serials;
  for (const auto& found : response.quarantined_sources()) {
    EXPECT_EQ(found.listener(), "push");
    serials.insert(found.device_serial());
  }
  EXPECT_EQ(serials, (std::set<std::string>{"", "FGT60FTK00000009"}));

  grpc::ClientContext filtered;
  Authorize(filtered, {}, "tenants/provider/users/alice");
  request.set_filter("device_serial : FGT60");
  ASSERT_THAT(rpc::FromGrpc(stub_->ListQuarantinedSources(&filtered, request, &response)), IsOk());
  ASSERT_EQ(response.quarantined_sources_size(), 1);
  EXPECT_EQ(response.quarantined_sources(0).device_serial(), "FGT60FTK00000009");
}

// The source is found by what the line says, so that the line is read a second time.
TEST_F(PushTest, ALineIsReadInTheCharacterSetOfItsSourceAndKeptAsItCame) {
  const std::string line =
      "<189>date=2026-11-21 time=09:15:42 devid=\"FGT60FTK00000009\" logid=\"1\" type=\"event\" "
      "user=\"\x95\x5c\x8e\xa6\"";
  const auto staff = Open({}, "tenants/provider/users/alice");
  EXPECT_FALSE(staff->Push(Request("b1", {line}, "tenants/-")).has_status());
  const auto events = Stored();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].tenant(), "globex");
  EXPECT_EQ(events[0].raw(), line);
  const auto user =
      std::ranges::find(events[0].fields(), "user", [](const auto& field) { return field.name(); });
  ASSERT_NE(user, events[0].fields().end());
  EXPECT_EQ(user->value(), "表示");
}

TEST_F(PushTest, ARelaysLinesAreThoseOfItsSiteAlone) {
  // The key's own source is of hq and more specific: relays have keys of their own.
  const auto session = Open({"acme"}, "tenants/acme/apiKeys/relay");
  for (const char* site : {"hq", "branch"}) {
    const auto answer = session->Push(Relayed(std::string("of-") + site, site));
    EXPECT_FALSE(answer.has_status()) << answer.ShortDebugString();
    EXPECT_EQ(answer.event_count(), 2u);
  }
  std::map<std::string, event::v1::Event> events;
  for (const auto& event : Stored()) events[event.site() + " " + event.origin()] = event;
  ASSERT_EQ(events.size(), 4u);
  for (const std::string site : {"hq", "branch"}) {
    const auto& five = events[site + " 10.0.0.5"];
    EXPECT_EQ(five.device(), "fw-" + site);
    EXPECT_EQ(five.tenant(), "acme");
    const auto age = SystemClock()->Now() - FromProto(five.receive_time());
    EXPECT_GE(age, std::chrono::minutes(1));
    EXPECT_LT(age, std::chrono::minutes(5));
    // Of no source, but of the site all the same; and cut there.
    const auto& six = events[site + " 10.0.0.6"];
    EXPECT_EQ(six.device(), "");
    EXPECT_EQ(six.raw(), "<13>app: of six");
    EXPECT_TRUE(std::ranges::count(six.flaws(), event::v1::TRUNCATED));
    EXPECT_FALSE(std::ranges::count(five.flaws(), event::v1::TRUNCATED));
  }
}

TEST_F(PushTest, TheSameBatchIdOfAnotherSiteIsAnotherBatch) {
  // One shard: an id is known within its shard.
  server_->Stop();
  EXPECT_THAT(redis_.NewPool()->Command({"FLUSHALL"}), IsOk());
  settings_.events.shards = 1;
  Serve();
  const auto session = Open({"acme"}, "tenants/acme/apiKeys/relay");
  for (const char* site : {"hq", "branch", "hq"}) {
    EXPECT_FALSE(session->Push(Relayed("b1", site)).has_status());
  }
  std::multiset<std::string> events;
  for (const auto& event : Stored()) events.insert(event.site() + " " + event.origin());
  EXPECT_EQ(events, (std::multiset<std::string>{"branch 10.0.0.5", "branch 10.0.0.6", "hq 10.0.0.5",
                                                "hq 10.0.0.6"}));
}

TEST_F(PushTest, LinesWithoutASourceAreCountedByTheSiteOfTheirRelay) {
  const auto session = Open({"acme"}, "tenants/acme/apiKeys/relay");
  for (const char* site : {"hq", "branch"}) {
    v1::PushRequest request = Relayed(std::string("of-") + site, site);
    v1::RelayLoss& loss = *request.mutable_relay()->add_losses();
    loss.set_sender(1);
    loss.set_line_count(site[0] == 'h' ? 3 : 4);
    *loss.mutable_receive_time() = request.relay().line_receive_times(0);
    EXPECT_FALSE(session->Push(request).has_status());
  }
  EXPECT_FALSE(Open()->Push(Request("direct", {"<13>app: of nobody"})).has_status());
  server_->Stop();  // tells

  std::map<std::string, std::pair<uint64_t, uint64_t>> counts;  // lines, lost
  const auto reply =
      redis_.NewPool()->Command({"XRANGE", stream::StreamKey("coverage", 0), "-", "+"});
  ASSERT_THAT(reply, IsOk());
  for (const redis::Reply& entry : reply->items) {
    const auto& fields = entry.items.at(1).items;
    for (size_t i = 0; i + 1 < fields.size(); i += 2) {
      v1::CoverageReport report;
      if (fields[i].text != "p" || !report.ParseFromString(fields[i + 1].text)) continue;
      for (const auto& hour : report.hours()) {
        if (hour.lines() > 0) counts[hour.source()] = {hour.lines(), hour.lost()};
      }
    }
  }
  EXPECT_EQ((counts["tenants/acme/sites/hq"]), (std::pair<uint64_t, uint64_t>(1, 3)));
  EXPECT_EQ((counts["tenants/acme/sites/branch"]), (std::pair<uint64_t, uint64_t>(1, 4)));
}

TEST_F(PushTest, OnlyAKeyThatNamesTheSiteSpeaksForItsRelay) {
  for (const char* name : {"tenants/acme/apiKeys/sender", "tenants/acme/users/alice"}) {
    const auto session = Open({"acme"}, name);
    v1::PushRequest request = Relayed("b", "hq");
    v1::RelayLoss& loss = *request.mutable_relay()->add_losses();
    loss.set_line_count(7);
    *loss.mutable_receive_time() = ToProto(SystemClock()->Now());
    const Status status = StatusOf(session->Push(request));
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kPermissionDenied)) << name;
    EXPECT_EQ(ErrorReason(status), "RELAY_SITE_DENIED");
  }
  EXPECT_TRUE(Stored().empty());
  EXPECT_EQ(metrics_->Render().find("lost_lines_total"), std::string::npos);
}

TEST_F(PushTest, ARelayOfAnUnknownSiteWaitsAndIsToldWhy) {
  const auto session = Open({"acme"}, "tenants/acme/apiKeys/relay");
  const Status status = StatusOf(session->Push(Relayed("b", "nowhere")));
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(ErrorReason(status), "SITE_UNKNOWN");
  EXPECT_TRUE(Stored().empty());
}

TEST_F(PushTest, WhatARelayTellsIsChecked) {
  const auto session = Open();
  const auto refused = [&](const std::function<void(v1::PushRequest&)>& change) {
    v1::PushRequest request = Relayed("b", "hq");
    change(request);
    return StatusOf(session->Push(request)).code() == absl::StatusCode::kInvalidArgument;
  };
  EXPECT_TRUE(refused([](auto& request) { request.set_parent("tenants/-"); }));
  EXPECT_TRUE(refused([](auto& request) { request.mutable_relay()->clear_site(); }));
  EXPECT_TRUE(refused([](auto& request) { request.mutable_relay()->set_line_senders(1, 2); }));
  EXPECT_TRUE(refused([](auto& request) { request.mutable_relay()->add_line_senders(0); }));
  EXPECT_TRUE(refused([](auto& request) { request.mutable_relay()->clear_line_receive_times(); }));
  EXPECT_TRUE(refused(
      [](auto& request) { request.mutable_relay()->mutable_senders(0)->set_address("abc"); }));
  EXPECT_TRUE(refused([](auto& request) { request.mutable_relay()->add_losses()->set_sender(9); }));
  EXPECT_TRUE(Stored().empty());
}

TEST_F(PushTest, WhatARelayLostCountsOnceForItsSource) {
  const auto session = Open({"acme"}, "tenants/acme/apiKeys/relay");
  v1::PushRequest request = Relayed("b", "branch");
  v1::RelayLoss& loss = *request.mutable_relay()->add_losses();
  loss.set_line_count(7);
  *loss.mutable_receive_time() = ToProto(SystemClock()->Now());
  for (int i = 0; i < 2; ++i) EXPECT_FALSE(session->Push(request).has_status());
  EXPECT_NE(metrics_->Render().find(
                "yagura_ingestion_lost_lines_total{source=\"fw-branch\",tenant=\"acme\"} 7\n"),
            std::string::npos)
      << metrics_->Render();
}

TEST_F(PushTest, WhatTheKernelDroppedAtARelayIsCountedAsThat) {
  const auto session = Open({"acme"}, "tenants/acme/apiKeys/relay");
  v1::PushRequest request = Relayed("b", "branch");
  v1::RelayLoss& loss = *request.mutable_relay()->add_losses();
  loss.set_line_count(7);
  loss.set_kernel_dropped(true);
  *loss.mutable_receive_time() = ToProto(SystemClock()->Now());
  for (int i = 0; i < 2; ++i) EXPECT_FALSE(session->Push(request).has_status());
  const std::string metrics = metrics_->Render();
  EXPECT_NE(metrics.find("yagura_ingestion_relayed_kernel_drops_total 7\n"), std::string::npos)
      << metrics;
  EXPECT_EQ(metrics.find("yagura_ingestion_lost_lines_total{"), std::string::npos) << metrics;
}

}  // namespace
}  // namespace yagura::ingestion
