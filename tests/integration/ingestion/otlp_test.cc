// OTLP log records over gRPC, into a real flow Redis.
#include <fstream>
#include <map>
#include <string>

#include "gmock/gmock.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/generic/generic_stub.h"

#include "common/testing/fortigate_lines.h"
#include "common/testing/patience.h"
#include "opentelemetry/proto/collector/logs/v1/logs_service.grpc.pb.h"
#include "services/ingestion/api/otlp_server.h"
#include "services/ingestion/workers/descriptor_budget.h"
#include "tests/integration/ingestion/intake_world.h"

namespace yagura::ingestion {
namespace {

namespace otlp = opentelemetry::proto::collector::logs::v1;
using opentelemetry::proto::logs::v1::LogRecord;

class OtlpTest : public IntakeWorld {
 protected:
  OtlpTest() {
    verifier_->Trust("yagura", issuer_.key().public_key());
    auto keys = std::make_shared<ApiKeys>(
        [this](const std::string& secret, const std::string&) -> StatusOr<std::string> {
          auth::Principal principal;
          const std::string tenant = secret.starts_with("ygr_beta") ? "beta" : "acme";
          principal.name = "tenants/" + tenant + "/apiKeys/collector";
          principal.grants = {{.role = secret.ends_with("good") ? "collector" : "viewer",
                               .all_tenants = false,
                               .tenants = {tenant}}};
          if (secret.ends_with("bad")) {
            return MakeError(absl::StatusCode::kUnauthenticated, "LOGIN_FAILED", "log-in failed");
          }
          return issuer_.Issue(principal, std::chrono::minutes(15));
        },
        verifier_, SystemClock());
    keys_ = keys;
    Serve();
  }
  ~OtlpTest() override { server_.reset(); }

  void Serve() {
    server_.reset();
    options_.address = "127.0.0.1:0";
    server_ = OtlpServer::Start(options_, parts_, keys_, TenantCharges(quotas_)).value();
    stub_ = otlp::LogsService::NewStub(
        grpc::CreateChannel(server_->address(), grpc::InsecureChannelCredentials()));
  }

  // Whatever the bytes are.
  grpc::Status ExportBytes(const std::string& bytes, const std::string& key,
                           grpc_compression_algorithm compression = GRPC_COMPRESS_NONE) const {
    grpc::GenericStub stub(
        grpc::CreateChannel(server_->address(), grpc::InsecureChannelCredentials()));
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    context.set_compression_algorithm(compression);
    if (!key.empty()) context.AddMetadata("authorization", "Bearer " + key);
    const grpc::Slice slice(bytes);
    const grpc::ByteBuffer request(&slice, 1);
    grpc::CompletionQueue queue;
    const auto call = stub.PrepareUnaryCall(
        &context, "/opentelemetry.proto.collector.logs.v1.LogsService/Export", request, &queue);
    call->StartCall();
    grpc::ByteBuffer response;
    grpc::Status status;
    call->Finish(&response, &status, nullptr);
    void* tag = nullptr;
    bool ok = false;
    queue.Next(&tag, &ok);
    return status;
  }

  grpc::Status Export(const std::string& key = "ygr_acme_collector_good") {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    if (!key.empty()) context.AddMetadata("authorization", "Bearer " + key);
    response_.Clear();
    return stub_->Export(&context, request_, &response_);
  }

  LogRecord& AddRecord() {
    if (request_.resource_logs().empty()) request_.add_resource_logs()->add_scope_logs();
    return *request_.mutable_resource_logs(0)->mutable_scope_logs(0)->add_log_records();
  }

  static bool HasRetryInfo(const grpc::Status& status) {
    google::rpc::Status details;
    details.ParseFromString(status.error_details());
    return std::any_of(details.details().begin(), details.details().end(), [](const auto& detail) {
      return detail.template Is<google::rpc::RetryInfo>();
    });
  }

  auth::TokenIssuer issuer_{auth::SigningKey::Generate(), "yagura", SystemClock()};
  std::shared_ptr<auth::TokenVerifier> verifier_ =
      std::make_shared<auth::TokenVerifier>(SystemClock());
  std::shared_ptr<ApiKeys> keys_;
  std::shared_ptr<rpc::TenantQuotas> quotas_;
  OtlpServerOptions options_;
  std::unique_ptr<OtlpServer> server_;
  std::unique_ptr<otlp::LogsService::Stub> stub_;
  otlp::ExportLogsServiceRequest request_;
  otlp::ExportLogsServiceResponse response_;
};

// KiB that this process has had at most since the last call.
long PeakMemory() {
  std::ifstream status("/proc/self/status");
  long peak = 0;
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) peak = std::stol(line.substr(6));
  }
  std::ofstream("/proc/self/clear_refs") << 5;  // counts anew
  return peak;
}

// A field of protobuf that holds bytes.
std::string Field(int number, const std::string& bytes) {
  std::string out(1, static_cast<char>(number << 3 | 2));
  size_t size = bytes.size();
  for (; size >= 0x80; size >>= 7) out += static_cast<char>(size | 0x80);
  return out + static_cast<char>(size) + bytes;
}

// As many empty messages as 15 MiB hold.
std::string Many(int number) {
  std::string out;
  for (int i = 0; i < (15 << 20) / 2; ++i) out += Field(number, "");
  return out;
}

void AddText(const std::string& key, const std::string& value, auto* attributes) {
  auto* attribute = attributes->Add();
  attribute->set_key(key);
  attribute->mutable_value()->set_string_value(value);
}

TEST_F(OtlpTest, ARecordBecomesAnEventWithAllThatItHas) {
  testing::FortigateLines source;
  LogRecord& record = AddRecord();
  const std::string line = source.Next();
  record.mutable_body()->set_string_value(line);
  record.set_time_unix_nano(1763716542'250'000'000);
  record.set_severity_number(17);
  record.set_trace_id(std::string("\x01\x02", 2));
  AddText("log.file.name", "fw.log", record.mutable_attributes());
  auto& logs = *request_.mutable_resource_logs(0);
  AddText("host.name", "relay7", logs.mutable_resource()->mutable_attributes());
  logs.mutable_scope_logs(0)->mutable_scope()->set_name("filelog");
  const grpc::Status status = Export();
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_FALSE(response_.has_partial_success());
  const auto events = Stored();  // at once: it was answered
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].tenant(), "acme");
  EXPECT_EQ(events[0].raw(), line);
  EXPECT_EQ(events[0].product(), "fortinet.fortigate");
  EXPECT_EQ(events[0].event_time().seconds(), 1763716542);
  EXPECT_EQ(events[0].event_time().nanos(), 250'000'000);
  std::map<std::string, std::string> fields;
  for (const auto& field : events[0].fields()) fields[field.name()] = field.value();
  EXPECT_EQ(fields["log.file.name"], "fw.log");
  EXPECT_EQ(fields["resource.host.name"], "relay7");
  EXPECT_EQ(fields["scope.name"], "filelog");
  EXPECT_EQ(fields["otel.trace_id"], "0102");
  EXPECT_EQ(fields["otel.severity_number"], "17");
}

TEST_F(OtlpTest, AStructuredBodyIsKeptAsJsonAndSeverityAndTimesAreTaken) {
  LogRecord& record = AddRecord();
  auto& body = *record.mutable_body()->mutable_kvlist_value();
  AddText("user", "s\"ato", body.mutable_values());
  auto* list = body.add_values();
  list->set_key("ports");
  list->mutable_value()->mutable_array_value()->add_values()->set_int_value(22);
  list->mutable_value()->mutable_array_value()->add_values()->set_bool_value(true);
  record.set_observed_time_unix_nano(1763716542'000'000'000);
  record.set_severity_number(21);
  LogRecord& bare = AddRecord();
  AddText("event", "login", bare.mutable_attributes());
  ASSERT_TRUE(Export().ok());
  const auto events = Stored();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].raw(), R"({"user":"s\"ato","ports":[22,true]})");
  EXPECT_EQ(events[0].event_time().seconds(), 1763716542);
  EXPECT_EQ(events[0].severity(), event::v1::CRITICAL);
  EXPECT_EQ(events[1].raw(), R"({"event":"login"})");
}

TEST_F(OtlpTest, AnApplicationsOwnTextIsUnderstood) {
  LogRecord& text = AddRecord();
  text.mutable_body()->set_string_value("the queue was emptied");
  text.set_time_unix_nano(static_cast<uint64_t>(SystemClock()->Now().time_since_epoch().count()));
  AddRecord().mutable_body()->mutable_array_value()->add_values()->set_string_value("no text");
  ASSERT_TRUE(Export().ok());
  std::map<std::string, event::v1::Event> events;
  for (const auto& event : Stored()) events[event.raw()] = event;
  ASSERT_EQ(events.size(), 2u);
  const auto& understood = events["the queue was emptied"];
  EXPECT_EQ(understood.product(), "generic.text");
  EXPECT_EQ(understood.message(), "the queue was emptied");
  EXPECT_EQ(understood.parse_error(), "");
  EXPECT_TRUE(understood.flaws().empty());
  EXPECT_TRUE(std::ranges::count(events[R"(["no text"])"].flaws(), event::v1::UNPARSED));
}

TEST_F(OtlpTest, RecordsThatAreRefusedAreToldAndTheOthersTaken) {
  AddRecord().mutable_body()->set_string_value("good");
  AddRecord();  // nothing in it
  auto* deep = AddRecord().mutable_body();
  for (int i = 0; i < 40; ++i) deep = deep->mutable_array_value()->add_values();
  ASSERT_TRUE(Export().ok());
  EXPECT_EQ(response_.partial_success().rejected_log_records(), 2);
  EXPECT_EQ(response_.partial_success().error_message(),
            "a record has neither body nor attributes");
  EXPECT_EQ(RawOf(Stored()), (std::multiset<std::string>{"good"}));
}

TEST_F(OtlpTest, OnlyAKeyThatMayPushIsLetIn) {
  AddRecord().mutable_body()->set_string_value("x");
  EXPECT_EQ(Export("").error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(Export("ygr_acme_collector_bad").error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(Export("ygr_acme_viewer").error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_TRUE(Stored().empty());
}

TEST_F(OtlpTest, WhileNothingCanBeTakenSendersAreToldWhenToComeBack) {
  AddRecord().mutable_body()->set_string_value("x");
  redis_.KillHard();
  const grpc::Status away = Export();
  EXPECT_EQ(away.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_TRUE(HasRetryInfo(away));
  redis_.Restart();
  EXPECT_TRUE(Eventually([&] { return Export().ok(); }));
}

TEST_F(OtlpTest, AHostileRequestCostsItsOwnBytesAndLittleMore) {
  AddRecord().mutable_body()->set_string_value("x");
  ASSERT_TRUE(Export().ok());
  struct Hostile {
    const char* what;
    std::string bytes;
    grpc::StatusCode code;
  };
  const std::vector<Hostile> all = {
      {"records", Field(1, Field(2, Many(2))), grpc::StatusCode::INVALID_ARGUMENT},
      {"scopes", Field(1, Many(2)), grpc::StatusCode::INVALID_ARGUMENT},
      {"resources", Many(1), grpc::StatusCode::INVALID_ARGUMENT},
      {"attributes", Field(1, Field(2, Field(2, Many(6)))), grpc::StatusCode::OK},
      {"attributes of a resource", Field(1, Field(1, Many(1)) + Field(2, Field(2, ""))),
       grpc::StatusCode::OK},
      {"values", Field(1, Field(2, Field(2, Field(5, Field(5, Many(1)))))), grpc::StatusCode::OK},
      {"nonsense", std::string(15 << 20, '\xff'), grpc::StatusCode::INVALID_ARGUMENT},
  };
  for (const auto& [what, bytes, code] : all) {
    for (const std::string key : {"", "ygr_acme_collector_good"}) {
      const auto expected = key.empty() ? grpc::StatusCode::UNAUTHENTICATED : code;
      PeakMemory();
      const long before = PeakMemory();
      const grpc::Status status = ExportBytes(bytes, key);
      const long cost = PeakMemory() - before;
      EXPECT_EQ(status.error_code(), expected) << what << ": " << status.error_message();
      // The sender's copies are here, too.
      EXPECT_LT(cost, 100 << 10) << what << ", KiB; key: " << key;
      RecordProperty(std::string(what) + (key.empty() ? ", no key" : ""), static_cast<int>(cost));
    }
  }
  EXPECT_EQ(Stored().size(), 1u);
}

TEST_F(OtlpTest, CompressedRequestsAreTakenAndBombsAreNot) {
  AddRecord().mutable_body()->set_string_value("x");
  EXPECT_TRUE(
      ExportBytes(request_.SerializeAsString(), "ygr_acme_collector_good", GRPC_COMPRESS_GZIP)
          .ok());
  EXPECT_TRUE(
      ExportBytes(request_.SerializeAsString(), "ygr_acme_collector_good", GRPC_COMPRESS_DEFLATE)
          .ok());
  EXPECT_EQ(Stored().size(), 2u);
  const std::string bomb = Field(1, std::string(64 << 20, '\0'));
  PeakMemory();
  const long before = PeakMemory();
  const grpc::Status status = ExportBytes(bomb, "ygr_acme_collector_good", GRPC_COMPRESS_GZIP);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_FALSE(HasRetryInfo(status)) << "it will never be taken";
  EXPECT_LT(PeakMemory() - before, (64 + 64) << 10) << "the sender's copy, and ours";
}

TEST_F(OtlpTest, RequestsDrawOnTheQuotasOfTheirTenant) {
  quotas_ = std::make_shared<rpc::TenantQuotas>(0.01, 1e9, SystemClock());
  Serve();
  AddRecord().mutable_body()->set_string_value("x");
  grpc::Status status;
  for (int i = 0; i < 100 && status.ok(); ++i) status = Export();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_TRUE(HasRetryInfo(status));
  EXPECT_TRUE(Export("ygr_beta_collector_good").ok()) << "another tenant has its own";
}

TEST_F(OtlpTest, OneTenantDoesNotFillTheQueueForTheOthers) {
  options_.threads = 1;
  Serve();
  AddRecord().mutable_body()->set_string_value("x");
  ASSERT_TRUE(Export().ok());
  ASSERT_TRUE(Export("ygr_beta_collector_good").ok());
  const std::string bytes = request_.SerializeAsString();
  redis_.Pause();  // nothing is answered
  std::atomic<int> refused = 0;
  std::vector<std::thread> flood;
  for (int i = 0; i < 40; ++i) {
    flood.emplace_back([&] {
      const grpc::Status status = ExportBytes(bytes, "ygr_acme_collector_good");
      if (status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED && HasRetryInfo(status)) {
        ++refused;
      }
    });
  }
  EXPECT_TRUE(Eventually([&] { return refused > 0; })) << "acme has all that it may have";
  grpc::Status other;
  std::thread beta([&] { other = ExportBytes(bytes, "ygr_beta_collector_good"); });
  redis_.Resume();
  beta.join();
  for (std::thread& thread : flood) thread.join();
  EXPECT_NE(other.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << other.error_message();
}

TEST_F(OtlpTest, ConnectionsCountAmongTheDescriptorsOfInputs) {
  parts_.descriptors = std::make_shared<DescriptorBudget>(2, parts_.metrics, Logger::Null());
  Serve();
  {
    const Client first(SOCK_STREAM, server_->address());
    EXPECT_TRUE(Eventually([&] { return HasMetric("yagura_ingestion_descriptors 1"); }));
    const Client second(SOCK_STREAM, server_->address());
    EXPECT_TRUE(Eventually([&] { return second.HasEnded(); }));
  }
  EXPECT_TRUE(Eventually([&] { return HasMetric("yagura_ingestion_descriptors 0"); }));
  AddRecord().mutable_body()->set_string_value("x");
  EXPECT_TRUE(Export().ok());
}

TEST_F(OtlpTest, NoAddressHasMoreConnectionsThanItsPartAndIdleOnesAreClosed) {
  options_.connections_per_address = 2;
  options_.idle_timeout = std::chrono::milliseconds(500);
  Serve();
  const auto channel = grpc::CreateChannel(server_->address(), grpc::InsecureChannelCredentials());
  ASSERT_TRUE(channel->WaitForConnected(std::chrono::system_clock::now() +
                                        testing::Patient(std::chrono::seconds(20))));
  {
    const Client first(SOCK_STREAM, server_->address());
    const Client second(SOCK_STREAM, server_->address());
    EXPECT_TRUE(Eventually([&] { return first.HasEnded() || second.HasEnded(); }));
    EXPECT_TRUE(HasMetric("cut_total{listener=\"otlp\",reason=\"limit\"} 1"));
  }
  // Without a request the first one does not stay, either.
  EXPECT_TRUE(Eventually([&] { return channel->GetState(false) == GRPC_CHANNEL_IDLE; }));
  EXPECT_TRUE(Eventually([&] {
    return HasMetric("connections_closed_total{listener=\"otlp\"} 2");
  })) << registry_->Render();
  AddRecord().mutable_body()->set_string_value("x");
  EXPECT_TRUE(Export().ok());
}

TEST_F(OtlpTest, ARequestThatTricklesInIsCutOff) {
  options_.timeout = std::chrono::milliseconds(300);
  Serve();
  grpc::GenericStub stub(
      grpc::CreateChannel(server_->address(), grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
  context.AddMetadata("authorization", "Bearer ygr_acme_collector_good");
  grpc::CompletionQueue queue;
  const auto call = stub.PrepareCall(
      &context, "/opentelemetry.proto.collector.logs.v1.LogsService/Export", &queue);
  void* tag = nullptr;
  bool ok = false;
  call->StartCall(nullptr);
  queue.Next(&tag, &ok);
  grpc::Status status;  // and no message
  call->Finish(&status, nullptr);
  queue.Next(&tag, &ok);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::CANCELLED) << status.error_message();
}

}  // namespace
}  // namespace yagura::ingestion
