// OTLP log records over gRPC, into a real flow Redis.
#include <map>

#include "gmock/gmock.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpcpp/create_channel.h"

#include "common/testing/fortigate_lines.h"
#include "opentelemetry/proto/collector/logs/v1/logs_service.grpc.pb.h"
#include "services/ingestion/api/otlp_server.h"
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
        [this](const std::string& secret) -> StatusOr<std::string> {
          auth::Principal principal;
          principal.name = "tenants/acme/apiKeys/collector";
          principal.grants = {{.role = secret.ends_with("good") ? "collector" : "viewer",
                               .all_tenants = false,
                               .tenants = {"acme"}}};
          if (secret.ends_with("bad")) {
            return MakeError(absl::StatusCode::kUnauthenticated, "LOGIN_FAILED", "log-in failed");
          }
          return issuer_.Issue(principal, std::chrono::minutes(15));
        },
        verifier_, SystemClock());
    OtlpServerOptions options;
    options.address = "127.0.0.1:0";
    server_ = OtlpServer::Start(options, parts_, keys).value();
    stub_ = otlp::LogsService::NewStub(
        grpc::CreateChannel(server_->address(), grpc::InsecureChannelCredentials()));
  }
  ~OtlpTest() override { server_.reset(); }

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
  std::unique_ptr<OtlpServer> server_;
  std::unique_ptr<otlp::LogsService::Stub> stub_;
  otlp::ExportLogsServiceRequest request_;
  otlp::ExportLogsServiceResponse response_;
};

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

}  // namespace
}  // namespace yagura::ingestion
